//! What can be asked of a node: the polite acts. What hurts is a fault.

use std::sync::Arc;

use meshlab_engine::{NodeAct, NodeInfo};
use meshlab_model::{ByteSize, NodeId};
use meshlab_wire::{Order, Outcome as Done, State};
use mlua::{MetaMethod, Table, UserData, UserDataFields, UserDataMethods, Value};

use super::{binaries::BinaryRef, mesh::missing, mesh_definitions as define, profile, usage};
use crate::{
    call::{Bound, Call, Outcome, as_data, method, waiting_method},
    context::Context,
    values::{DurationValue, SizeValue, micros},
};

/// Files and size of a directory that is shared without options.
const SHARED_FILES: u64 = 4;
const SHARED_EACH: ByteSize = ByteSize(1024 * 1024);

/// A node of the running test.
#[derive(Clone)]
pub(crate) struct NodeRef {
    pub(crate) id: NodeId,
    role: String,
    name: Option<String>,
    public_key: Option<String>,
    binary: String,
    context: Arc<Context>,
}

impl NodeRef {
    pub(super) fn new(info: NodeInfo, context: &Arc<Context>) -> Self {
        let context = Arc::clone(context);
        let NodeInfo { id, role, name, public_key, binary, .. } = info;
        Self { id, role, name, public_key, binary, context }
    }

    /// Asks the node; what it refuses comes back as the inner error.
    async fn act(&self, call: &Call, act: NodeAct) -> Outcome<Result<Done, String>> {
        let host = Arc::clone(call.host()?);
        let answered = host.act(&self.id, act, call.at()).await;
        call.answer(answered)
    }

    /// Asks for something that a healthy node does not refuse.
    async fn must(&self, call: &Call, act: NodeAct) -> Outcome<Done> {
        let refused = |why| call.mistake(format!("{} refused: {why}", self.id));
        self.act(call, act).await?.map_err(refused)
    }
}

async fn start(node: NodeRef, call: Call) -> Outcome<()> {
    let host = Arc::clone(call.host()?);
    let started = host.start_node(&node.id, call.at()).await;
    call.answer(started)
}

async fn leave(node: NodeRef, call: Call) -> Outcome<()> {
    let host = Arc::clone(call.host()?);
    let stopped = host.stop_node(&node.id, call.at()).await;
    call.answer(stopped)
}

async fn enter(node: NodeRef, call: Call, state: State) -> Outcome<()> {
    node.must(&call, NodeAct::SetState(state)).await.map(|_| ())
}

async fn update(node: NodeRef, call: Call) -> Outcome<()> {
    enter(node, call, State::Updating).await
}

async fn drain(node: NodeRef, call: Call) -> Outcome<()> {
    enter(node, call, State::Draining).await
}

async fn resume(node: NodeRef, call: Call) -> Outcome<()> {
    enter(node, call, State::Alive).await
}

async fn shutdown(node: NodeRef, call: Call) -> Outcome<Table> {
    let to = call.node(0)?.id;
    order(&node, &call, to, Order::Shutdown).await
}

async fn set_state(node: NodeRef, call: Call) -> Outcome<Table> {
    let to = call.node(0)?.id;
    let state = super::claims::state_named(&call, 1)?;
    order(&node, &call, to, Order::SetState { state }).await
}

/// Orders another node; says whether it was accepted, and why not.
async fn order(node: &NodeRef, call: &Call, to: NodeId, order: Order) -> Outcome<Table> {
    let answered = node.act(call, NodeAct::Order { to, order }).await?;
    let (accepted, reason) = match answered {
        Ok(Done::Ordered { accepted, reason }) => (accepted, reason),
        Ok(other) => (false, Some(format!("answered {other:?}"))),
        Err(why) => (false, Some(why)),
    };
    call.table(&define::ORDERED, |table| {
        table.raw_set("accepted", accepted)?;
        table.raw_set("reason", reason)
    })
}

async fn deliver(node: NodeRef, call: Call) -> Outcome<Table> {
    let to = call.node(0)?.id;
    let text = match call.argument(1) {
        Value::Nil => "a message".to_owned(),
        _ => call.text(1, "a message, as text,")?,
    };
    let answered = node.act(&call, NodeAct::Deliver { to, text }).await?;
    let lua = call.lua.clone();
    call.table(&define::DELIVERED, |table| match answered {
        Ok(Done::Delivered { trace, via, took_micros }) => {
            table.raw_set("delivered", true)?;
            table.raw_set("trace", trace)?;
            table.raw_set("via", via)?;
            table.raw_set("took", lua.create_userdata(DurationValue(micros(took_micros)))?)
        }
        other => {
            table.raw_set("delivered", false)?;
            table.raw_set("reason", other.err())
        }
    })
}

async fn resolve(node: NodeRef, call: Call) -> Outcome<Table> {
    let name = match as_data::<NodeRef>(&call.argument(0)) {
        Some(other) => other.name.unwrap_or_default(),
        None => call.text(0, "a node, or the name of one,")?,
    };
    let answered = node.act(&call, NodeAct::Resolve { name }).await?;
    call.table(&define::RESOLVED, |table| match answered {
        Ok(Done::Resolved(contact)) => {
            table.raw_set("found", true)?;
            table.raw_set("name", contact.name)?;
            table.raw_set("addresses", contact.addresses)
        }
        other => {
            table.raw_set("found", false)?;
            table.raw_set("reason", other.err())
        }
    })
}

async fn share(node: NodeRef, call: Call) -> Outcome<String> {
    let options = call.options(0)?;
    let files = options.count("files")?.unwrap_or(SHARED_FILES);
    let each = options.size("each")?.unwrap_or(SHARED_EACH);
    let files = u32::try_from(files).unwrap_or(u32::MAX);
    match node.must(&call, NodeAct::Share { files, each }).await? {
        Done::Shared { hash, .. } => Ok(hash),
        other => Err(call.mistake(format!("{} answered {other:?}", node.id))),
    }
}

async fn fetch(node: NodeRef, call: Call) -> Outcome<Table> {
    let from = call.node(0)?.id;
    let hash = call.text(1, "what `share` gave")?;
    let answered = node.act(&call, NodeAct::Fetch { from, hash }).await?;
    let lua = call.lua.clone();
    call.table(&define::FETCHED, |table| match answered {
        Ok(Done::Fetched { files, bytes, took_micros }) => {
            table.raw_set("whole", true)?;
            table.raw_set("files", files)?;
            table.raw_set("bytes", lua.create_userdata(SizeValue(ByteSize(bytes)))?)?;
            table.raw_set("took", lua.create_userdata(DurationValue(micros(took_micros)))?)
        }
        other => {
            table.raw_set("whole", false)?;
            table.raw_set("reason", other.err())
        }
    })
}

async fn view(node: NodeRef, call: Call) -> Outcome<Table> {
    let host = Arc::clone(call.host()?);
    let view = host.node_view(&node.id).await;
    let view = call.answer(view)?;
    call.table(&define::VIEW, |table| {
        table.raw_set("peers", view.peers)?;
        table.raw_set("neighbors", view.neighbors)?;
        table.raw_set("connections", view.connections)
    })
}

async fn counters(node: NodeRef, call: Call) -> Outcome<Table> {
    numbers(node, call, false).await
}

async fn gauges(node: NodeRef, call: Call) -> Outcome<Table> {
    numbers(node, call, true).await
}

/// Its numbers by name: those that rise and fall, or those that only grow.
async fn numbers(node: NodeRef, call: Call, rise_and_fall: bool) -> Outcome<Table> {
    match node.must(&call, NodeAct::Counters).await? {
        Done::Counters { counters, gauges } => {
            let numbers = if rise_and_fall { gauges } else { counters };
            let made_up = call.host()?.rehearses();
            let lua = call.lua.clone();
            let made = call.lua.create_table().and_then(|table| {
                numbers.into_iter().try_for_each(|(name, value)| table.raw_set(name, value))?;
                if made_up {
                    // Which numbers a node has is its own word: here each of them is 0.
                    let meta = lua.create_table()?;
                    meta.raw_set(
                        "__index",
                        lua.create_function(|_, (_, _): (Value, Value)| Ok(0))?,
                    )?;
                    table.set_metatable(Some(meta))?;
                }
                Ok(table)
            });
            made.map_err(|error| call.mistake(error.to_string()))
        }
        other => Err(call.mistake(format!("{} answered {other:?}", node.id))),
    }
}

impl Bound for NodeRef {
    fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

impl UserData for NodeRef {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("id", |_, this| Ok(this.id.to_string()));
        fields.add_field_method_get("role", |_, this| Ok(this.role.clone()));
        fields.add_field_method_get("name", |_, this| Ok(this.name.clone()));
        fields.add_field_method_get("public_key", |_, this| Ok(this.public_key.clone()));
        fields.add_field_method_get("binary", |_, this| {
            Ok(BinaryRef::new(&this.binary, &this.context))
        });
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        waiting_method(methods, &define::START, start);
        waiting_method(methods, &define::LEAVE, leave);
        waiting_method(methods, &define::UPDATE, update);
        waiting_method(methods, &define::DRAIN, drain);
        waiting_method(methods, &define::RESUME, resume);
        waiting_method(methods, &define::SHUTDOWN, shutdown);
        waiting_method(methods, &define::SET_STATE, set_state);
        waiting_method(methods, &define::DELIVER, deliver);
        waiting_method(methods, &define::RESOLVE, resolve);
        waiting_method(methods, &define::SHARE, share);
        waiting_method(methods, &define::FETCH, fetch);
        waiting_method(methods, &define::VIEW_OF, view);
        waiting_method(methods, &define::COUNTERS, counters);
        waiting_method(methods, &define::GAUGES, gauges);
        waiting_method(methods, &profile::PROFILE, profile::profile);
        waiting_method(methods, &profile::NODE_HEAP, profile::heap);
        method(methods, &define::NODE_USAGE, |this: &Self, call| {
            usage::usage(&call, std::slice::from_ref(&this.id))
        });
        methods.add_meta_function(MetaMethod::Eq, |_, (a, b): (Value, Value)| {
            let id = |value: &Value| as_data::<Self>(value).map(|node| node.id);
            Ok(id(&a).is_some() && id(&a) == id(&b))
        });
        methods.add_meta_method(MetaMethod::Index, |lua, this, key: Value| {
            Err::<Value, _>(missing(&this.context, lua, "a node", &key, &define::NODE_CLASS))
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.id.to_string()));
    }
}
