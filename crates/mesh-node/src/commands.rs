//! What the node does when its control channel asks.

use std::sync::Arc;

use meshlab_agent::{Commands, CounterSource, Performing};
use meshlab_wire::{Command, Outcome};
use tokio::sync::mpsc;

use crate::{
    control::{Instruction, Orders, set_state},
    data::{deliver::Post, drive::drive, folder::Folders},
    view::SharedView,
};

/// The node's hands.
#[derive(Debug, Clone)]
pub(crate) struct NodeCommands {
    pub(crate) name: String,
    pub(crate) instructions: mpsc::Sender<Instruction>,
    pub(crate) orders: Orders,
    pub(crate) post: Post,
    pub(crate) folders: Folders,
    pub(crate) view: Arc<SharedView>,
}

impl Commands for NodeCommands {
    fn perform(&self, command: Command) -> Performing {
        let this = self.clone();
        Box::pin(async move { this.run(command).await })
    }
}

impl NodeCommands {
    async fn run(self, command: Command) -> Result<Outcome, String> {
        match command {
            Command::SetState { state } => {
                set_state(&self.instructions, state).await?;
                Ok(Outcome::Done)
            }
            Command::Grant { token } => {
                self.orders.grant(&token)?;
                Ok(Outcome::Done)
            }
            Command::Order { to, order } => self.orders.send(&to, order).await,
            Command::Resolve { name } => self.post.resolve(&name).await.map(Outcome::Resolved),
            Command::Deliver { to, text } => self.post.deliver(&to, text).await,
            Command::Traffic(traffic) => drive(&self.post.links, &self.name, traffic).await,
            Command::Share { files, bytes_each, seed } => {
                self.folders.share(files, bytes_each, seed).await
            }
            Command::Fetch { from, hash } => {
                self.folders.fetch(self.post.links.dialer(), &from, &hash).await
            }
            Command::Counters => {
                Ok(Outcome::Counters { counters: self.view.counters(), gauges: self.view.gauges() })
            }
        }
    }
}
