//! The functions of the language, a file a family.

mod chaos;
mod claims;
mod compare;
mod declare;
mod fault_entries;
mod faults;
mod mesh;
mod node;
mod operator;
mod params;
mod query;
mod record;
mod spans;
mod tasks;
mod temporal;
mod traffic;
mod usage;

use std::sync::Arc;

use mlua::{Lua, Result, Table};

use crate::context::Context;

pub(crate) use faults::Hit;
pub(crate) use mesh::MeshRef;
pub(crate) use node::NodeRef;

/// Puts every function of the language into `globals`.
pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    declare::install(lua, context, globals)?;
    mesh::install(lua, context, globals)?;
    spans::install(lua, context, globals)?;
    claims::install(lua, context, globals)?;
    faults::install(lua, context, globals)?;
    chaos::install(lua, context, globals)?;
    traffic::install(lua, context, globals)?;
    operator::install(lua, context, globals)?;
    tasks::install(lua, context, globals)?;
    record::install(lua, context, globals)
}
