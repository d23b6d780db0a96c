//! `mesh`, and what can be asked of a mesh and a node.

use std::{sync::Arc, time::Duration};

use meshlab_engine::{MeshOptions, NodeInfo, NodeOptions};
use meshlab_model::{MeshId, NodeId};
use mlua::{
    Lua, MetaMethod, MultiValue, Result, Table, UserData, UserDataFields, UserDataMethods, Value,
};

use super::{binaries, kinds, limits, mesh_definitions as define, node::NodeRef, usage};
use crate::{
    call::{Bound, Call, Options, Outcome, describe, method, thrown, waiting, waiting_method},
    context::Context,
    define::Class,
    error::nearest,
};

const DEFAULT_ROLE: &str = "broker";
const NODES_MAX: u64 = 250;
const DIGEST_EVERY_MIN: Duration = Duration::from_millis(100);

/// A mesh of the running test.
#[derive(Clone)]
pub(crate) struct MeshRef {
    pub(crate) id: MeshId,
    context: Arc<Context>,
}

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    globals.raw_set("mesh", waiting(lua, context, &define::MESH, mesh)?)
}

async fn mesh(call: Call) -> Outcome<MeshRef> {
    let options = call.options(0)?;
    let digest_every = options.duration("digest_every")?.unwrap_or(Duration::from_secs(2));
    if digest_every < DIGEST_EVERY_MIN {
        let message = "`digest_every` is at least \"100ms\"".to_owned();
        return Err(options.mistake("digest_every", message));
    }
    let name = options.text("name")?.unwrap_or_else(|| "mesh1".to_owned());
    let wanted = MeshOptions {
        name: MeshId(name),
        roles: roles(&options)?,
        digest_every,
        digest_gated: options.boolean("digest_gated")?.unwrap_or(true),
        env: options.text_map("env")?,
        backbone: options.boolean("backbone")?.unwrap_or(false),
        operator: options.boolean("operator")?.unwrap_or(false),
        relay: options.boolean("relay")?.unwrap_or(false),
        disk: options.size("disk")?,
        binary: binaries::chosen(&options)?,
        kind: kinds::chosen(&options)?,
        ceilings: match options.get("ceilings") {
            Value::Nil => None,
            _ => Some(limits::ceilings(&options)?),
        },
    };
    let id = wanted.name.clone();
    let started = call.host()?.start_mesh(wanted, call.at()).await;
    call.answer(started)?;
    Ok(MeshRef { id, context: Arc::clone(&call.context) })
}

/// A role for each node: `4`, or `{ gateway = 2, broker = 2 }` in the order of the roles' names.
fn roles(options: &Options) -> Outcome<Vec<String>> {
    let too_many =
        || options.mistake("nodes", format!("a mesh has at most {NODES_MAX} nodes on one host"));
    let value = options.get("nodes");
    let Value::Table(table) = &value else {
        let Value::Integer(count) = value else {
            let got = describe(&value);
            return Err(options.mistake(
                "nodes",
                format!("`nodes` of `mesh` takes a number, or numbers by role, got {got}"),
            ));
        };
        let count = options.nodes_instead().unwrap_or(count);
        return match u64::try_from(count) {
            Ok(1..=NODES_MAX) => Ok(vec![DEFAULT_ROLE.to_owned(); count.unsigned_abs() as usize]),
            Ok(0) | Err(_) => {
                Err(options.mistake("nodes", "a mesh needs at least one node".to_owned()))
            }
            Ok(_) => Err(too_many()),
        };
    };
    let mut by_role = Vec::new();
    for pair in table.pairs::<String, u64>() {
        by_role.push(pair.map_err(|_| {
            let message = "`nodes` by role is a table such as `{ gateway = 2, broker = 2 }`";
            options.mistake("nodes", message.to_owned())
        })?);
    }
    by_role.sort();
    let total: u64 = by_role.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count));
    match total {
        0 => Err(options.mistake("nodes", "a mesh needs at least one node".to_owned())),
        1..=NODES_MAX => {
            Ok(by_role.into_iter().flat_map(|(role, count)| vec![role; count as usize]).collect())
        }
        _ => Err(too_many()),
    }
}

impl MeshRef {
    /// A mesh that runs already.
    pub(crate) fn of(id: MeshId, context: &Arc<Context>) -> Self {
        Self { id, context: Arc::clone(context) }
    }

    fn node_ref(&self, info: NodeInfo) -> NodeRef {
        NodeRef::new(info, &self.context)
    }

    fn all(&self, call: &Call) -> Outcome<Vec<NodeInfo>> {
        Ok(call.host()?.nodes(&self.id))
    }

    fn select(&self, call: &Call, keep: impl Fn(&NodeInfo) -> bool) -> Outcome<Vec<NodeRef>> {
        Ok(self.all(call)?.into_iter().filter(keep).map(|node| self.node_ref(node)).collect())
    }

    fn node(&self, call: &Call) -> Outcome<NodeRef> {
        let nodes = self.all(call)?;
        let wanted = call.argument(0);
        let found = match &wanted {
            Value::Integer(place) => usize::try_from(*place)
                .ok()
                .and_then(|place| place.checked_sub(1))
                .and_then(|place| nodes.get(place)),
            Value::String(id) => {
                let id = id.to_string_lossy();
                nodes.iter().find(|node| node.id.0 == id)
            }
            _ => None,
        };
        let found = found.cloned().map(|node| self.node_ref(node));
        found.ok_or_else(|| {
            call.mistake(format!(
                "{} has {} nodes (1 is the first) and none is {}",
                self.id,
                nodes.len(),
                describe(&wanted)
            ))
        })
    }

    fn pick(&self, call: &Call) -> Outcome<NodeRef> {
        let mut live = self.select(call, |node| node.live)?;
        if live.is_empty() {
            return Err(call.mistake(format!("no node of {} runs, so none can be picked", self.id)));
        }
        let place = call.choose(live.len())?;
        Ok(live.swap_remove(place.min(live.len() - 1)))
    }

    fn others(&self, call: &Call) -> Outcome<Vec<NodeRef>> {
        let mut without = Vec::new();
        for place in 0..call.given() {
            without.push(call.node(place)?.id);
        }
        self.select(call, |node| node.live && !without.contains(&node.id))
    }

    fn usage(&self, call: &Call) -> Outcome<Table> {
        let live = self.all(call)?.into_iter().filter(|node| node.live);
        let live: Vec<NodeId> = live.map(|node| node.id).collect();
        if live.is_empty() {
            return Err(call.mistake(format!("no node of {} runs, so none uses anything", self.id)));
        }
        usage::usage(call, &live)
    }

    /// The relay, as a node that faults can be done to.
    fn relay(&self, call: &Call) -> Outcome<NodeRef> {
        let relay = call.host()?.relay(&self.id);
        let relay = relay.map(|info| self.node_ref(info));
        relay.ok_or_else(|| {
            call.mistake_with(
                format!("{} has no relay", self.id),
                "start the mesh with `relay = true`",
            )
        })
    }

    async fn add(self, call: Call) -> Outcome<NodeRef> {
        let options = call.options(0)?;
        let wanted = NodeOptions {
            id: options.text("id")?.map(NodeId),
            role: options.text("role")?,
            env: options.text_map("env")?,
            binary: binaries::chosen(&options)?,
            kind: kinds::chosen(&options)?,
            seeds: options.nodes("seeds", false)?.unwrap_or_default(),
        };
        let host = Arc::clone(call.host()?);
        let added = host.add_node(&self.id, wanted, call.at()).await;
        let id = call.answer(added)?;
        let info = self.all(&call)?.into_iter().find(|node| node.id == id);
        let info = info.ok_or_else(|| call.mistake(format!("{id} vanished at its start")))?;
        Ok(self.node_ref(info))
    }
}

impl Bound for MeshRef {
    fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

impl UserData for MeshRef {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("nodes", |lua, this| {
            let nothing = MultiValue::new();
            let call = Call::new(&this.context, lua, "nodes", &define::NODES_FIELD, nothing);
            thrown(this.select(&call, |_| true))
        });
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        let live = |node: &NodeInfo| node.live;
        method(methods, &define::LIVE, move |this: &Self, call| this.select(&call, live));
        method(methods, &define::OTHERS, |this: &Self, call| this.others(&call));
        method(methods, &define::NODE, |this: &Self, call| this.node(&call));
        method(methods, &define::PICK, |this: &Self, call| this.pick(&call));
        method(methods, &define::MESH_USAGE, |this: &Self, call| this.usage(&call));
        method(methods, &define::RELAY, |this: &Self, call| this.relay(&call));
        waiting_method(methods, &define::ADD, Self::add);
        methods.add_meta_method(MetaMethod::Index, |lua, this, key: Value| {
            Err::<Value, _>(missing(&this.context, lua, "a mesh", &key, &define::MESH_CLASS))
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.id.to_string()));
    }
}

/// A method that is not there. Polite acts are methods; hostile ones are faults.
pub(super) fn missing(
    context: &Arc<Context>,
    lua: &Lua,
    what: &str,
    key: &Value,
    class: &'static Class,
) -> mlua::Error {
    let key = key.to_string().unwrap_or_default();
    let line = context.caller_line(lua);
    let mut error = context.mistake(&key, line, format!("{what} has no `{key}`"));
    let has: Vec<&str> = class.members().collect();
    error.label =
        nearest(&key, has.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
    error.help = Some(if what == "a node" && key == "kill" {
        "what hurts is a fault: `fault.kill_node(node)`".to_owned()
    } else {
        format!("{what} has: {}", has.join(", "))
    });
    mlua::Error::external(error)
}
