//! The run's operator: a key that is minted for the run, and what it allows.
//!
//! The node's own program has the tools for it, so the harness does not know how a capability is
//! written, only whom it is for.

use std::{path::PathBuf, time::Duration};

use meshlab_fleet::run_tool;
use meshlab_model::{NodeId, RunEventKind, SourceLine};
use meshlab_wire::{Command, Reply, Request};

use crate::{Engine, Grant, HostError, NODE_BINARY};

/// The tools read a file and print a line.
const TOOL_WITHIN: Duration = Duration::from_secs(10);

/// Longest wait for a node to take a capability.
const GRANT_WITHIN: Duration = Duration::from_secs(3);

impl Engine {
    fn operator_file(&self) -> PathBuf {
        self.shared.folder.results.join("data").join("operator.key")
    }

    /// Removes the operator's key, which nothing takes orders from any more.
    pub(crate) fn forget_operator(&self) {
        let file = self.operator_file();
        let _ = std::fs::remove_file(&file);
        // Empty if no node left anything to be kept.
        let _ = file.parent().map(std::fs::remove_dir);
    }

    async fn node_tool(&self, arguments: &[String]) -> Result<String, HostError> {
        let binary = self.shared.config.binaries.get(NODE_BINARY);
        let binary = binary.ok_or_else(|| HostError::Harness("no node program".to_owned()))?;
        let ran = run_tool(binary.path.as_ref(), arguments, TOOL_WITHIN).await;
        ran.map_err(|error| HostError::Node(format!("failed to {error}")))
    }

    /// Public key of the run's operator; the key is minted when it is first needed.
    pub(crate) async fn operator(&self) -> Result<String, HostError> {
        if let Some(known) = self.shared.state().operator.clone() {
            return Ok(known);
        }
        let file = self.operator_file();
        let folder = file.parent().unwrap_or(&file);
        std::fs::create_dir_all(folder).map_err(|error| {
            HostError::Harness(format!("failed to make {}: {error}", folder.display()))
        })?;
        let arguments = ["operator".to_owned(), file.display().to_string()];
        let public = self.node_tool(&arguments).await?;
        self.shared.state().operator = Some(public.clone());
        Ok(public)
    }

    /// Has the operator allow `node` to order others, and gives it the capability.
    pub(crate) async fn grant_to(
        &self,
        node: &NodeId,
        grant: Grant,
        at: SourceLine,
    ) -> Result<(), HostError> {
        self.operator().await?;
        let life = self.life(node)?;
        let key = self.shared.state().key(node).unwrap_or_default();
        let operator = self.operator_file().display().to_string();
        let mut arguments = vec!["grant".to_owned()];
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("--operator", operator);
        add("--to", key);
        add("--may", grant.may.clone());
        if let Some(mesh) = &grant.mesh {
            add("--mesh", mesh.to_string());
        }
        if let Some(length) = grant.valid_for {
            add("--for", format!("{}s", length.as_secs()));
        }
        let token = self.node_tool(&arguments).await?;
        let request = Request::Command(Command::Grant { token });
        match life.process.control().ask(request, GRANT_WITHIN).await {
            Ok(Reply::Outcome(_)) => {}
            Ok(other) => {
                return Err(HostError::Node(format!("{node} did not take a grant: {other:?}")));
            }
            Err(error) => return Err(HostError::Node(format!("failed to {error}"))),
        }
        let of = grant.mesh.map_or("of every mesh".to_owned(), |mesh| format!("of {mesh}"));
        let text = format!("the operator allows {node} to order nodes {of}: {}", grant.may);
        self.shared.event_at(RunEventKind::Note { text }, at);
        Ok(())
    }
}
