//! `operator.grant`: what the run's operator allows a node to order others.

use std::sync::Arc;

use meshlab_engine::Grant;
use meshlab_model::MeshId;
use mlua::{Lua, Result, Table};

use crate::{
    call::{Call, Outcome, waiting},
    context::Context,
    sandbox,
};

const ACTS: &[&str] = &["shutdown", "set_state"];

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    let entries = vec![("grant", waiting(lua, context, "operator.grant", grant)?)];
    globals.raw_set("operator", sandbox::module(lua, context, "operator", entries)?)
}

async fn grant(call: Call) -> Outcome<()> {
    call.at_most(2)?;
    let node = call.node(0)?.id;
    let options = call.options(1, &["may", "mesh", "valid_for"])?;
    let may = options.texts("may")?;
    if may.is_empty() || may.iter().any(|act| !ACTS.contains(&act.as_str())) {
        let message = format!("`may` is a list of these: {}", ACTS.join(", "));
        return Err(options.mistake("may", message));
    }
    let wanted = Grant {
        may: may.join(","),
        mesh: options.text("mesh")?.map(MeshId),
        valid_for: options.duration("valid_for")?,
    };
    let host = Arc::clone(call.host()?);
    let granted = host.grant(&node, wanted, call.at()).await;
    call.answer(granted)
}
