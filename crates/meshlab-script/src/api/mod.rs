//! The functions of the language, a file a family.

mod binaries;
mod chaos;
mod claim_definitions;
mod claims;
mod compare;
mod comparison;
mod comparison_definitions;
mod declare;
mod fault_definitions;
mod fault_entries;
mod faults;
mod kind_definitions;
mod kinds;
mod limits;
mod mesh;
mod mesh_definitions;
mod node;
mod operator;
mod params;
mod profile;
mod query;
mod record;
mod spans;
mod task_definitions;
mod tasks;
mod temporal;
mod traffic;
mod traffic_definitions;
mod usage;

use std::sync::Arc;

use mlua::{Lua, Result, Table};

use crate::{context::Context, define::Family, values};

pub(crate) use binaries::BinaryRef;
pub(crate) use fault_entries::in_chaos;
pub(crate) use faults::Hit;
pub(crate) use mesh::MeshRef;
#[cfg(test)]
pub(crate) use mesh_definitions::STATES;
pub(crate) use mesh_definitions::{MESH_CLASS, NODE_CLASS};
pub(crate) use node::NodeRef;
pub(crate) use params::NODES as NODES_PARAM;

/// All that is defined, a chapter of the manual a family.
pub(crate) const FAMILIES: &[Family] = &[
    declare::FAMILY,
    mesh_definitions::FAMILY,
    kind_definitions::FAMILY,
    spans::FAMILY,
    claim_definitions::FAMILY,
    faults::FAMILY,
    chaos::FAMILY,
    comparison_definitions::FAMILY,
    traffic_definitions::FAMILY,
    operator::FAMILY,
    task_definitions::FAMILY,
    record::FAMILY,
    values::FAMILY,
];

/// Puts every function of the language into `globals`.
pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    declare::install(lua, context, globals)?;
    mesh::install(lua, context, globals)?;
    kinds::install(lua, context, globals)?;
    spans::install(lua, context, globals)?;
    claims::install(lua, context, globals)?;
    faults::install(lua, context, globals)?;
    chaos::install(lua, context, globals)?;
    traffic::install(lua, context, globals)?;
    comparison::install(lua, context, globals)?;
    operator::install(lua, context, globals)?;
    tasks::install(lua, context, globals)?;
    record::install(lua, context, globals)
}
