//! Names and messages across meshes. A name of the own mesh is looked up in the directory; one of
//! another mesh is asked for at a contact that the backbone knows. Then the message goes straight
//! to its node: there is no bridge.

use std::{sync::Arc, time::Instant};

use meshlab_wire::{Contact, Outcome};
use tracing::{Instrument, info_span};

use super::{ALPN, Opening, Word, Work, links::Links, via};
use crate::{backbone::Meshes, frame, view::SharedView};

/// Finds nodes by name and delivers to them.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) name: String,
    pub(crate) mesh: String,
    pub(crate) view: Arc<SharedView>,
    pub(crate) meshes: Meshes,
    pub(crate) links: Links,
}

impl Post {
    /// How to reach the node of that name.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Contact, String> {
        let mesh = name.split('.').next().unwrap_or_default();
        if mesh == self.mesh {
            let found = self.view.contact(name);
            return found.ok_or_else(|| format!("{name} is not in the directory of {mesh}"));
        }
        let contacts = self.meshes.contacts(mesh);
        if contacts.is_empty() {
            return Err(format!("mesh `{mesh}` is not known on the backbone"));
        }
        let mut why = String::new();
        for contact in contacts {
            if contact.name == name {
                return Ok(contact);
            }
            match self.ask(&contact, name).await {
                Ok(found) => return Ok(found),
                Err(error) => why = error,
            }
        }
        Err(format!("nobody in `{mesh}` could say where {name} is: {why}"))
    }

    async fn ask(&self, whom: &Contact, name: &str) -> Result<Contact, String> {
        // A question at a contact is no delivery: its connection is not kept.
        let connection = self.links.dialer().dial_contact(whom, ALPN).await?;
        let opening = Opening {
            trace: None,
            from: self.name.clone(),
            work: Work::Resolve { name: name.to_owned() },
        };
        let answered = async {
            let (mut send, mut recv) = connection.open_bi().await.map_err(|e| e.to_string())?;
            let failed = |error: frame::FrameError| error.to_string();
            frame::write_message(&mut send, &opening).await.map_err(failed)?;
            let _ = send.finish();
            frame::read_message::<Word>(&mut recv).await.map_err(failed)
        };
        let word = tokio::time::timeout(crate::dial::DIAL_WITHIN, answered).await;
        connection.close(0_u32.into(), b"done");
        match word.map_err(|_| format!("{} did not answer", whom.name))?? {
            Word::Found { name, public_key, addresses } => {
                Ok(Contact { name, public_key, addresses })
            }
            Word::Refused(why) => Err(format!("{} says: {why}", whom.name)),
            Word::Ok => Err(format!("{} gave no answer", whom.name)),
        }
    }

    /// Delivers a message to the node of that name; returns once it has said that it has it.
    pub(crate) async fn deliver(&self, to: &str, text: String) -> Result<Outcome, String> {
        let span = info_span!(parent: None, "cross.deliver", peer.name = to);
        let started = Instant::now();
        let trace = meshlab_agent::trace_context(&span);
        let sent = async {
            let contact = self.resolve(to).await?;
            let connection = self.links.to(&contact).await?;
            let opening = Opening {
                trace: trace.clone(),
                from: self.name.clone(),
                work: Work::Deliver { text },
            };
            let opened = super::open(&connection, &opening);
            let opened = tokio::time::timeout(super::bulk::SILENT * 4, opened).await;
            let mut stream = opened.map_err(|_| format!("{to} did not answer"))??;
            let _ = stream.send.finish();
            Ok::<_, String>(via(&connection))
        };
        let via = sent.instrument(span).await?;
        Ok(Outcome::Delivered {
            trace: trace.as_deref().and_then(meshlab_agent::trace_id).unwrap_or_default(),
            via: via.to_owned(),
            took_micros: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }
}
