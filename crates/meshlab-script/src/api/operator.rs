//! `operator.grant`: what the run's operator allows a node to order others.

use std::sync::Arc;

use meshlab_engine::Grant;
use meshlab_model::MeshId;
use mlua::{Lua, Result, Table};

use crate::{
    call::{Call, Outcome, waiting},
    context::Context,
    define::{Alias, Class, Definition, Family, Field, WAITS},
    sandbox,
};

pub(super) const FAMILY: Family = Family {
    title: "Orders",
    text: "A node orders another one only with a capability that roots in the operator of the \
           other's mesh, which was started with `operator = true`.",
    functions: &[&GRANT],
    classes: &[&GRANT_OPTIONS],
    aliases: &[&Alias {
        name: "Act",
        summary: "What a node may order another to do.",
        kind: "",
        texts: ACTS,
    }],
};

const GRANT_OPTIONS: Class = Class::options(
    "GrantOptions",
    "A capability.",
    &[
        Field::needed("may", "Act[]", "what it may order"),
        Field::optional(
            "mesh",
            "string",
            "nodes of this mesh only; else of each of the operator's",
        ),
        Field::optional("valid_for", "Duration", "for so many whole seconds; else for ever"),
    ],
);

const GRANT: Definition = Definition {
    name: "operator.grant",
    summary: "Gives a node a capability to order others.",
    arguments: &[
        Field::needed("node", "Node", "who may order"),
        Field::needed("options", "GrantOptions", ""),
    ],
    options: Some(&GRANT_OPTIONS),
    example: "local far = mesh { name = \"mesh2\", nodes = 2, operator = true }\n\
              local console = swarm:node(1)\n\
              operator.grant(console, { may = { \"shutdown\" }, mesh = \"mesh2\" })\n\
              expect.equal(console:shutdown(far:node(2)).accepted, true, \"the order\")",
    see_also: &["node:shutdown", "node:set_state"],
    ..WAITS
};

const ACTS: &[&str] = &["shutdown", "set_state"];

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    let entries = vec![("grant", waiting(lua, context, &GRANT, grant)?)];
    globals.raw_set("operator", sandbox::module(lua, context, "operator", entries)?)
}

async fn grant(call: Call) -> Outcome<()> {
    let node = call.node(0)?.id;
    let options = call.options(1)?;
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
