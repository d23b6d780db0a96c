//! `node:usage()` and `mesh:usage()`: what processes used, from the samples that were taken.

use meshlab_engine::Usage;
use meshlab_model::{ByteSize, NodeId};
use mlua::Table;

use super::mesh_definitions::USAGE;
use crate::{
    call::{Call, Outcome},
    values::SizeValue,
};

/// The sum over these nodes, each averaged from `since` on.
pub(super) fn usage(call: &Call, nodes: &[NodeId]) -> Outcome<Table> {
    let options = call.options(0)?;
    let since = options.since()?;
    let each = call.answer(call.host()?.usage(nodes, since))?;
    let sum = |part: fn(&Usage) -> f64| each.iter().map(part).sum::<f64>();
    let rss = ByteSize(each.iter().map(|usage| usage.rss.0).sum());
    call.table(&USAGE, |usage| {
        usage.raw_set("cpu", sum(|usage| usage.cpu))?;
        usage.raw_set("rss", call.lua.create_userdata(SizeValue(rss))?)?;
        // Counts of things, so whole numbers, even of an average.
        usage.raw_set("open_files", sum(|usage| usage.open_files).round() as i64)?;
        usage.raw_set("threads", sum(|usage| usage.threads).round() as i64)
    })
}
