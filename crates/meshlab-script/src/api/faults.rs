//! `fault.*`: what hurts, and is taken back.

use std::sync::Arc;

use meshlab_engine::{FaultCall, Host};
use meshlab_model::{FaultId, NodeId};
use mlua::{Lua, Result, Table, UserData, UserDataFields, Value};

use crate::{
    call::{Call, Outcome, waiting},
    context::Context,
    sandbox,
};

/// A fault that was injected.
#[derive(Clone)]
pub(crate) struct Hit {
    pub(crate) fault: FaultId,
    name: &'static str,
    targets: Vec<NodeId>,
}

impl UserData for Hit {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("fault", |_, this| Ok(this.name));
        fields.add_field_method_get("targets", |_, this| {
            Ok(this.targets.iter().map(NodeId::to_string).collect::<Vec<_>>())
        });
    }
}

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    let kill = waiting(lua, context, "fault.kill_node", kill_node)?;
    let entries = vec![("kill_node", kill)];
    globals.raw_set("fault", sandbox::module(lua, context, "fault", entries)?)
}

async fn kill_node(call: Call) -> Outcome<Hit> {
    call.at_most(3)?;
    let node = call.node(0)?;
    let options = call.options(1, &["hold"])?;
    let body = match call.argument(2) {
        Value::Nil => None,
        _ => Some(call.function(2)?),
    };
    let host = Arc::clone(call.host()?);
    let wanted = FaultCall {
        name: "kill_node".to_owned(),
        targets: vec![node.id.clone()],
        hold: options.duration("hold")?,
        has_body: body.is_some(),
    };
    let fault = call.answer(host.fault(wanted, call.at()).await)?;
    let hit = Hit { fault, name: "kill_node", targets: vec![node.id] };
    if let Some(body) = body {
        during(&call, &host, &hit, &body).await?;
    }
    Ok(hit)
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
