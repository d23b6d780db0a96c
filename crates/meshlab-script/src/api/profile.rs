//! `node:profile` and `node:heap`: where a node's CPU time goes, and what its heap holds.

use std::{sync::Arc, time::Duration};

use meshlab_model::{ByteSize, HeapSnapshot};
use mlua::{Lua, Table};

use super::node::NodeRef;
use crate::{
    call::{Call, Outcome},
    define::{Class, Definition, Field, WAITS},
    values::SizeValue,
};

/// Longest profile at a moment: beyond it `--profile cpu` is what is meant.
const CPU_MAX: Duration = Duration::from_secs(600);

pub(super) const PROFILE_OPTIONS: Class = Class::options(
    "ProfileOptions",
    "What of a node is looked at.",
    &[Field::needed("cpu", "Duration", "how long its CPU time is sampled, 10 minutes at most")],
);

pub(super) const CPU_PROFILE: Class = Class::given(
    "CpuProfile",
    "Where CPU time went for a while.",
    &[
        Field::needed("samples", "integer", "samples that it rests on"),
        Field::needed("sampler", "string", "what took them: `perf`, or `the node itself`"),
        Field::optional("file", "string", "the flamegraph; nil where there is no sample"),
        Field::needed("hottest", "HotFunction[]", "the functions that ran most, the first first"),
    ],
    &[],
);

pub(super) const HOT: Class = Class::given(
    "HotFunction",
    "A function and its share of the samples.",
    &[
        Field::needed("name", "string", "its name"),
        Field::needed("share", "number", "of all samples, 0 to 1, in which it ran itself"),
    ],
    &[],
);

pub(super) const HEAP: Class = Class::given(
    "Heap",
    "What a heap holds: what was allocated and not freed.",
    &[
        Field::needed("bytes", "SizeValue", "all of it"),
        Field::needed("blocks", "integer", "allocations that it is in"),
        Field::needed("attributed", "number", "share whose subsystem is known, 0 to 1"),
        Field::needed(
            "buckets",
            "table<string, SizeValue>",
            "by subsystem: quic, iroh, gossip, otel/tracing, sysinfo, app, other",
        ),
        Field::needed("sites", "HeapSite[]", "where most was allocated, the largest first"),
        Field::needed(
            "grown",
            "HeapSite[]",
            "what sites gained since the first look at this process, the most first",
        ),
        Field::needed("churn", "integer", "processes of nodes that ended since that look"),
        Field::needed("file", "string", "the dump, which DHAT's viewer opens"),
    ],
    &[],
);

pub(super) const HELD: Class = Class::given(
    "HeapSite",
    "An allocation site.",
    &[
        Field::needed("site", "string", "the function and its line"),
        Field::needed("bucket", "string", "the subsystem"),
        Field::needed("bytes", "SizeValue", "what it holds, or gained"),
    ],
    &[],
);

pub(super) const PROFILE: Definition = Definition {
    name: "node:profile",
    summary: "Samples where the node's CPU time goes, for a while, and draws a flamegraph.",
    text: "By `perf`, or by the node itself where `perf` is not allowed. What waits is not seen: a \
           node that is idle has few samples, and none is no error. For a phase, `spawn` it beside \
           what goes on.",
    arguments: &[Field::needed("options", "ProfileOptions", "")],
    options: Some(&PROFILE_OPTIONS),
    returns: &[Field::needed("profile", "CpuProfile", "")],
    example: "local taken = swarm:node(1):profile { cpu = \"2s\" }\n\
              print(taken.samples, taken.sampler, taken.file)",
    see_also: &["node:heap", "node:usage"],
    ..WAITS
};

pub(super) const NODE_HEAP: Definition = Definition {
    name: "node:heap",
    summary: "Asks the node what its heap holds now, by subsystem and by allocation site.",
    text: "It needs a program that keeps book of its heap: `meshlab run --profile heap` takes one. \
           Each look is compared with the first one at the same process.",
    returns: &[Field::needed("heap", "Heap", "")],
    example: "local node = swarm:node(1)\nlocal before = node:heap()\nsleep \"5s\"\n\
              local after = node:heap()\nprint(before.bytes, after.bytes)\n\
              for _, site in ipairs(after.grown) do print(site.bytes, site.bucket, site.site) end",
    see_also: &["node:profile", "node:usage"],
    ..WAITS
};

pub(super) async fn profile(node: NodeRef, call: Call) -> Outcome<Table> {
    let options = call.options(0)?;
    let length = options.planned("cpu")?;
    let length = length.ok_or_else(|| options.missing("cpu", "a length of time"))?;
    if length.is_zero() || length > CPU_MAX {
        return Err(options.mistake("cpu", "`cpu` is more than 0 and at most 10 minutes".into()));
    }
    let host = Arc::clone(call.host()?);
    let taken = host.cpu_profile(&node.id, length).await;
    let taken = call.answer(taken)?;
    let hottest = list(&call, taken.hottest, |(name, share)| {
        call.table(&HOT, |table| {
            table.raw_set("name", name)?;
            table.raw_set("share", share)
        })
    })?;
    call.table(&CPU_PROFILE, |table| {
        table.raw_set("samples", taken.samples)?;
        table.raw_set("sampler", taken.sampler)?;
        table.raw_set("file", taken.file)?;
        table.raw_set("hottest", hottest)
    })
}

pub(super) async fn heap(node: NodeRef, call: Call) -> Outcome<Table> {
    let host = Arc::clone(call.host()?);
    let taken = host.heap(&node.id).await;
    let taken = call.answer(taken)?;
    let lua = call.lua.clone();
    let site = |(bucket, site, bytes): (String, Option<String>, u64)| {
        call.table(&HELD, |table| {
            table.raw_set("site", site)?;
            table.raw_set("bucket", bucket)?;
            table.raw_set("bytes", size(&lua, bytes)?)
        })
    };
    let sites = taken.sites.iter().map(|row| (row.bucket.clone(), row.site.clone(), row.bytes));
    let sites = list(&call, sites, site)?;
    let since = taken.since.as_ref();
    let grown = since.map(|since| since.sites.clone()).unwrap_or_default().into_iter();
    let gained = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    let grown = grown.map(|gain| (gain.bucket, gain.site, gained(gain.bytes)));
    let grown = list(&call, grown, site)?;
    let buckets = buckets(&call, &taken)?;
    call.table(&HEAP, |table| {
        table.raw_set("bytes", size(&lua, taken.bytes)?)?;
        table.raw_set("blocks", taken.blocks)?;
        table.raw_set("attributed", taken.attributed())?;
        table.raw_set("buckets", buckets)?;
        table.raw_set("sites", sites)?;
        table.raw_set("grown", grown)?;
        table.raw_set("churn", since.map_or(0, |since| since.churn))?;
        table.raw_set("file", taken.file.clone())
    })
}

fn buckets(call: &Call, taken: &HeapSnapshot) -> Outcome<Table> {
    let made = call.lua.create_table().and_then(|table| {
        for row in &taken.buckets {
            table.raw_set(row.bucket.as_str(), size(&call.lua, row.bytes)?)?;
        }
        Ok(table)
    });
    made.map_err(|error| call.mistake(error.to_string()))
}

fn size(lua: &Lua, bytes: u64) -> mlua::Result<mlua::AnyUserData> {
    lua.create_userdata(SizeValue(ByteSize(bytes)))
}

/// A list of tables.
fn list<T>(
    call: &Call,
    of: impl IntoIterator<Item = T>,
    make: impl Fn(T) -> Outcome<Table>,
) -> Outcome<Table> {
    let all = of.into_iter().map(make).collect::<Outcome<Vec<Table>>>()?;
    call.lua.create_sequence_from(all).map_err(|error| call.mistake(error.to_string()))
}
