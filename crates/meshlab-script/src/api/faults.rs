//! `fault.*`: what hurts, and is taken back. `fault_entries.rs` lists them with their options.

use std::sync::Arc;

use meshlab_engine::{FaultCall, Group, Host};
use meshlab_model::{FaultId, NodeId, RunTime};
use mlua::{Lua, MetaMethod, Result, Table, UserData, UserDataFields, UserDataMethods, Value};

use super::{
    fault_definitions as define,
    fault_entries::{ENTRIES, Entry, Takes, group, settings},
};
use crate::{
    call::{Call, Options, Outcome, waiting},
    context::Context,
    define::Family,
    sandbox,
};

pub(super) const FAMILY: Family = Family {
    title: "Faults",
    text: "`fault.name(target, options, body)` does something to a fleet that runs. With a body \
           the \
           fault lasts as long as the body and is undone after it, however the body ends; with \
           `hold` it is taken back by itself. How each is witnessed and judged: `docs/faults.md`.",
    functions: define::FUNCTIONS,
    classes: define::CLASSES,
    aliases: define::ALIASES,
};

/// A fault that was injected.
#[derive(Clone)]
pub(crate) struct Hit {
    pub(crate) fault: FaultId,
    name: &'static str,
    targets: Vec<NodeId>,
    applied: RunTime,
    /// False where the run cannot do it and has skipped it.
    acted: bool,
}

impl UserData for Hit {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("fault", |_, this| Ok(this.name));
        fields.add_field_method_get("targets", |_, this| {
            Ok(this.targets.iter().map(NodeId::to_string).collect::<Vec<_>>())
        });
        fields.add_field_method_get("acted", |_, this| Ok(this.acted));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            let whom: Vec<&str> = this.targets.iter().map(NodeId::as_str).collect();
            let skipped = if this.acted { "" } else { " (skipped)" };
            Ok(format!("{} on {}{skipped}", this.name, whom.join(", ")))
        });
    }
}

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    let entries: Result<Vec<_>> = ENTRIES
        .iter()
        .map(|entry| {
            let function = waiting(lua, context, entry.definition, |call| run(entry, call))?;
            Ok((entry.name(), function))
        })
        .collect();
    globals.raw_set("fault", sandbox::module(lua, context, "fault", entries?)?)
}

/// Whom a call names.
struct Named {
    targets: Vec<NodeId>,
    against: Vec<NodeId>,
    group: Option<Group>,
}

/// A fault that can be taken back says when: one that is forgotten makes the rest of its test a
/// test of something else.
fn must_end(entry: &Entry, call: &Call) -> Outcome<()> {
    if entry.instant || entry.may_stay {
        return Ok(());
    }
    let target = if entry.arguments() == 2 { "a, b" } else { "target" };
    let own = entry.example();
    let held = own.map_or("hold = \"5s\"".to_owned(), |own| format!("{own}, hold = \"5s\""));
    let plain = own.map_or("{}".to_owned(), |own| format!("{{ {own} }}"));
    let full = entry.full();
    Err(call.mistake_with(
        format!("`{full}` says nowhere when it is taken back"),
        format!(
            "give it a length, `{full}({target}, {{ {held} }})`, or a body that it lasts for, \
             `{full}({target}, {plain}, function() ... end)`"
        ),
    ))
}

/// Whom the first arguments of a call and its options name.
fn named(entry: &Entry, call: &Call, host: &Arc<dyn Host>, options: &Options) -> Outcome<Named> {
    let to = |targets, against| Named { targets, against, group: None };
    Ok(match entry.takes {
        Takes::Node => {
            let far = if options.has("to") { options.nodes("to", true)? } else { None };
            to(vec![call.node(0)?.id], far.unwrap_or_default())
        }
        Takes::Pair => to(vec![call.node(0)?.id], vec![call.node(1)?.id]),
        Takes::Sides => to(call.live_nodes(0)?, call.live_nodes(1)?),
        Takes::Several => {
            let nodes = drawn(call, call.live_nodes(0)?)?;
            let count = options.count("count")?.map(|count| usize::try_from(count).unwrap_or(0));
            let count = count.unwrap_or(nodes.len());
            if count > nodes.len() {
                let message = format!("`count` is {count}, and {} nodes run", nodes.len());
                return Err(options.mistake("count", message));
            }
            to(nodes.into_iter().take(count).collect(), Vec::new())
        }
        Takes::Group => {
            let group = Some(group(options)?);
            let nodes = call.live_nodes(0)?;
            Named { group, ..to(drawn(call, nodes)?, Vec::new()) }
        }
        Takes::Relay => {
            let mesh = call.mesh(0)?.id;
            let relay = host.relay(&mesh).ok_or_else(|| {
                let help = "give it one: `mesh { nodes = 4, relay = true }`";
                call.mistake_with(format!("mesh `{mesh}` has no relay"), help)
            })?;
            to(vec![relay.id], Vec::new())
        }
    })
}

/// The same nodes, from one on that the run's seed draws.
fn drawn(call: &Call, mut nodes: Vec<NodeId>) -> Outcome<Vec<NodeId>> {
    if !nodes.is_empty() {
        let first = call.choose(nodes.len())?;
        nodes.rotate_left(first);
    }
    Ok(nodes)
}

async fn run(entry: &'static Entry, call: Call) -> Outcome<Hit> {
    let sides = entry.arguments();
    let host = Arc::clone(call.host()?);
    let options = call.options(sides)?;
    let hold = if entry.instant { None } else { options.duration("hold")? };
    let Named { targets, against, group } = named(entry, &call, &host, &options)?;
    let settings = settings(entry, &call, &options)?;
    let body = match call.argument(1 + sides) {
        Value::Nil => None,
        _ => Some(call.function(1 + sides)?),
    };
    if hold.is_none() && body.is_none() {
        must_end(entry, &call)?;
    }
    let name = entry.name();
    let hurt = targets.iter().chain(&against).cloned().collect();
    let wanted = FaultCall {
        name: name.to_owned(),
        targets,
        against,
        group,
        settings,
        hold,
        detect_within: None,
        chaos: None,
    };
    let started = call.answer(host.fault(wanted, call.at()).await)?;
    let hit = Hit {
        fault: started.fault,
        name,
        targets: hurt,
        applied: started.applied,
        acted: started.acted,
    };
    // What a body looks for comes of the fault; without the fault it would look in vain.
    if let Some(body) = body.filter(|_| started.acted) {
        during(&call, &host, &hit, &body).await?;
    }
    Ok(hit)
}

/// Runs the body of a fault and takes the fault back after it, however the body ends: one that is
/// cancelled ends with an error too, at its next call. The body's own error is the one that is
/// told: what failed first.
async fn during(
    call: &Call,
    host: &Arc<dyn Host>,
    hit: &Hit,
    body: &mlua::Function,
) -> Outcome<()> {
    // What the fault brings may come before its witness has seen it.
    let place = call.place()?.since(hit.applied);
    let result = place.run(body.call_async::<()>(hit.clone())).await;
    let undone = host.undo(hit.fault).await;
    result.map_err(|error| Box::new(crate::unwind::unwind(&call.context, &error)))?;
    call.answer(undone)
}
