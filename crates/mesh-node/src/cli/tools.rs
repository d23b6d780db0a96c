//! What an operator does without a node: a key, and capabilities that root in it.

use anyhow::{Context, anyhow};
use iroh::PublicKey;

use super::Tool;
use crate::{
    authority::{self, Acts, Capability},
    identity,
};

pub(super) fn run(tool: &Tool) -> anyhow::Result<String> {
    match tool {
        Tool::Operator { file } => {
            let key = identity::load_or_mint_file(file).context("failed to load the operator")?;
            Ok(identity::hex(&key.public()))
        }
        Tool::Grant { operator, to, mesh, may, valid_for } => {
            let key = identity::load_file(operator).context("failed to load the operator")?;
            let acts = Acts::from_names(may).map_err(|why| anyhow!("failed to grant: {why}"))?;
            let capability = Capability { mesh: mesh.clone(), acts };
            let to: &PublicKey = to;
            let token = authority::grant(&key, to, capability, *valid_for, None);
            Ok(authority::to_text(&[token.encode()]))
        }
    }
}
