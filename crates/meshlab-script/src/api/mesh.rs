//! `mesh`, and what can be asked of a mesh and a node.

use std::{sync::Arc, time::Duration};

use meshlab_engine::{MeshOptions, NodeInfo, NodeOptions};
use meshlab_model::{MeshId, NodeId};
use mlua::{
    Lua, MetaMethod, MultiValue, Result, Table, UserData, UserDataFields, UserDataMethods, Value,
};

use super::{binaries, limits, node::NodeRef, usage};
use crate::{
    call::{Call, Options, Outcome, describe, waiting},
    context::Context,
    error::nearest,
};

const OPTIONS: &[&str] = &[
    "nodes",
    "name",
    "digest_every",
    "digest_gated",
    "env",
    "backbone",
    "operator",
    "relay",
    "disk",
    "binary",
    "ceilings",
];
const NODE_OPTIONS: &[&str] = &["id", "role", "env", "binary"];
const MESH_HAS: &[&str] = &["nodes", "node", "live", "others", "pick", "add", "usage", "relay"];
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
    globals.raw_set("mesh", waiting(lua, context, "mesh", mesh)?)
}

async fn mesh(call: Call) -> Outcome<MeshRef> {
    call.at_most(1)?;
    let options = call.options(0, OPTIONS)?;
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
    fn call(&self, lua: &Lua, name: &str, arguments: MultiValue) -> Call {
        Call::new(&self.context, lua, name, arguments)
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

    fn others(&self, call: &Call, count: usize) -> Outcome<Vec<NodeRef>> {
        let mut without = Vec::new();
        for place in 0..count {
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
        call.at_most(0)?;
        let relay = call.host()?.relay(&self.id);
        let relay = relay.map(|info| self.node_ref(info));
        relay.ok_or_else(|| {
            call.mistake_with(
                format!("{} has no relay", self.id),
                "start the mesh with `relay = true`",
            )
        })
    }

    async fn add(&self, call: Call) -> Outcome<NodeRef> {
        call.at_most(1)?;
        let options = call.options(0, NODE_OPTIONS)?;
        let wanted = NodeOptions {
            id: options.text("id")?.map(NodeId),
            role: options.text("role")?,
            env: options.text_map("env")?,
            binary: binaries::chosen(&options)?,
        };
        let host = Arc::clone(call.host()?);
        let added = host.add_node(&self.id, wanted, call.at()).await;
        let id = call.answer(added)?;
        let info = self.all(&call)?.into_iter().find(|node| node.id == id);
        let info = info.ok_or_else(|| call.mistake(format!("{id} vanished at its start")))?;
        Ok(self.node_ref(info))
    }
}

pub(super) fn thrown<T>(result: Outcome<T>) -> Result<T> {
    result.map_err(|error| mlua::Error::external(*error))
}

impl UserData for MeshRef {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("nodes", |lua, this| {
            let call = this.call(lua, "nodes", MultiValue::new());
            thrown(this.select(&call, |_| true))
        });
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("live", |lua, this, arguments| {
            thrown(this.select(&this.call(lua, "live", arguments), |node| node.live))
        });
        methods.add_method("others", |lua, this, arguments: MultiValue| {
            let count = arguments.len();
            thrown(this.others(&this.call(lua, "others", arguments), count))
        });
        methods.add_method("node", |lua, this, arguments| {
            thrown(this.node(&this.call(lua, "node", arguments)))
        });
        methods.add_method("pick", |lua, this, arguments| {
            thrown(this.pick(&this.call(lua, "pick", arguments)))
        });
        methods.add_async_method("add", |lua, this, arguments: MultiValue| {
            let call = this.call(&lua, "add", arguments);
            async move { thrown(this.add(call).await) }
        });
        methods.add_method("usage", |lua, this, arguments| {
            thrown(this.usage(&this.call(lua, "usage", arguments)))
        });
        methods.add_method("relay", |lua, this, arguments| {
            thrown(this.relay(&this.call(lua, "relay", arguments)))
        });
        methods.add_meta_method(MetaMethod::Index, |lua, this, key: Value| {
            Err::<Value, _>(missing(&this.context, lua, "a mesh", &key, MESH_HAS))
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
    has: &[&str],
) -> mlua::Error {
    let key = key.to_string().unwrap_or_default();
    let line = context.caller_line(lua);
    let mut error = context.mistake(&key, line, format!("{what} has no `{key}`"));
    error.label =
        nearest(&key, has.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
    error.help = Some(if what == "a node" && key == "kill" {
        "what hurts is a fault: `fault.kill_node(node)`".to_owned()
    } else {
        format!("{what} has: {}", has.join(", "))
    });
    mlua::Error::external(error)
}
