//! `fault.*`: what hurts, and is taken back.

use std::sync::Arc;

use meshlab_engine::{FaultCall, FaultSettings, Host};
use meshlab_model::{FaultId, NodeId, Percent};
use mlua::{Lua, Result, Table, UserData, UserDataFields, Value};

use crate::{
    call::{Call, Options, Outcome, waiting},
    context::Context,
    sandbox,
};

/// A fault that was injected.
#[derive(Clone)]
pub(crate) struct Hit {
    pub(crate) fault: FaultId,
    name: &'static str,
    targets: Vec<NodeId>,
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
}

/// A fault as the language has it: `fault.name(target, options, body)`.
pub(super) struct Entry {
    /// With its module, for errors: `fault.kill_node`.
    full: &'static str,
    options: &'static [&'static str],
    /// Whether it is between two sides, and so takes two targets.
    sides: bool,
    /// Whether it is over as soon as it acted, and so cannot be held.
    instant: bool,
    /// Its options in a `chaos`.
    pub(super) chaos: &'static [&'static str],
}

const HELD: &[&str] = &["weight", "hold"];
const LOSSY: &[&str] = &["weight", "hold", "loss"];

const ENTRIES: &[Entry] = &[
    Entry {
        full: "fault.kill_node",
        options: &["hold"],
        sides: false,
        instant: false,
        chaos: HELD,
    },
    Entry {
        full: "fault.lossy_link",
        options: &["hold", "loss"],
        sides: false,
        instant: false,
        chaos: LOSSY,
    },
    Entry { full: "fault.partition", options: &["hold"], sides: true, instant: false, chaos: HELD },
    Entry {
        full: "fault.restart_node",
        options: &["hold"],
        sides: false,
        instant: true,
        chaos: &["weight"],
    },
    Entry {
        full: "fault.wedge_node",
        options: &["hold"],
        sides: false,
        instant: false,
        chaos: HELD,
    },
];

impl Entry {
    pub(super) fn name(&self) -> &'static str {
        self.full.split_once('.').map_or(self.full, |(_, name)| name)
    }
}

/// The fault of that name.
pub(super) fn entry(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name() == name)
}

/// The names of all faults.
pub(super) fn entry_names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(Entry::name)
}

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    let entries: Result<Vec<_>> = ENTRIES
        .iter()
        .map(|entry| {
            Ok((entry.name(), waiting(lua, context, entry.full, |call| run(entry, call))?))
        })
        .collect();
    globals.raw_set("fault", sandbox::module(lua, context, "fault", entries?)?)
}

async fn run(entry: &'static Entry, call: Call) -> Outcome<Hit> {
    let sides = usize::from(entry.sides);
    call.at_most(3 + sides)?;
    let host = Arc::clone(call.host()?);
    let (targets, against) = if entry.sides {
        (call.live_nodes(0)?, call.live_nodes(1)?)
    } else {
        (vec![call.node(0)?.id], Vec::new())
    };
    let options = call.options(1 + sides, entry.options)?;
    let hold = options.duration("hold")?;
    if entry.instant && hold.is_some() {
        let message = format!("`{}` is over as soon as it acted: nothing can be held", entry.full);
        return Err(options.mistake("hold", message));
    }
    let settings =
        FaultSettings { loss: loss(entry, &call, &options)?, ..FaultSettings::default() };
    let body = match call.argument(2 + sides) {
        Value::Nil => None,
        _ => Some(call.function(2 + sides)?),
    };
    let name = entry.name();
    let hurt = targets.iter().chain(&against).cloned().collect();
    let wanted = FaultCall {
        name: name.to_owned(),
        targets,
        against,
        settings,
        hold,
        detect_within: None,
        chaos: None,
    };
    let started = call.answer(host.fault(wanted, call.at()).await)?;
    let hit = Hit { fault: started.fault, name, targets: hurt, acted: started.acted };
    // What a body looks for comes of the fault; without the fault it would look in vain.
    if let Some(body) = body.filter(|_| started.acted) {
        during(&call, &host, &hit, &body).await?;
    }
    Ok(hit)
}

/// `loss`, where the fault has it; it cannot do without.
pub(super) fn loss(entry: &Entry, call: &Call, options: &Options) -> Outcome<Option<Percent>> {
    if !entry.options.contains(&"loss") {
        return Ok(None);
    }
    let loss = options.percent("loss")?.ok_or_else(|| {
        let help = "for example `{ loss = \"10%\" }`: a share of the packets that the node sends";
        call.mistake_with(format!("`{}` needs the option `loss`", entry.full), help)
    })?;
    if loss.0 <= 0.0 || loss.0 > 1.0 {
        let message = format!("`loss` is more than \"0%\" and at most \"100%\", got {loss}");
        return Err(options.mistake("loss", message));
    }
    Ok(Some(loss))
}

/// Runs the body of a fault and takes the fault back after it, however the body ends. The body's
/// own error is the one that is told: what failed first.
async fn during(
    call: &Call,
    host: &Arc<dyn Host>,
    hit: &Hit,
    body: &mlua::Function,
) -> Outcome<()> {
    host.open_scope();
    let result = body.call_async::<()>(hit.clone()).await;
    host.close_scope();
    let undone = host.undo(hit.fault).await;
    result.map_err(|error| Box::new(crate::unwind::unwind(&call.context, &error)))?;
    call.answer(undone)
}
