//! Connections of the data plane that are kept for the next message, and their paths.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use iroh::{
    PublicKey,
    endpoint::{Connection, PathEvent},
};
use meshlab_wire::Contact;
use n0_future::StreamExt;
use tokio::sync::Notify;
use tracing::info_span;

use super::ALPN;
use crate::{dial::Dialer, identity::hex};

/// Connections that are kept.
const KEPT_MAX: usize = 16;

/// An unused connection is closed after this.
const IDLE: Duration = Duration::from_secs(60);

/// Connections by peer. A new one closes the one that it replaces.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    dialer: Dialer,
    mesh: String,
    kept: Arc<Mutex<BTreeMap<PublicKey, Link>>>,
}

#[derive(Debug, Clone)]
struct Link {
    connection: Connection,
    used: Arc<Notify>,
}

impl Links {
    pub(crate) fn new(dialer: Dialer, mesh: &str) -> Self {
        Self { dialer, mesh: mesh.to_owned(), kept: Arc::default() }
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The connection to a node: the one that is there, or a new one.
    pub(crate) async fn to(&self, contact: &Contact) -> Result<Connection, String> {
        let (key, _) = crate::dial::parse_contact(contact)?;
        if let Some(link) = self.lock().get(&key)
            && link.connection.close_reason().is_none()
        {
            link.used.notify_one();
            return Ok(link.connection.clone());
        }
        let connection = self.dialer.dial_contact(contact, ALPN).await?;
        let foreign = contact.name.split('.').next().filter(|mesh| *mesh != self.mesh);
        if let Some(mesh) = foreign {
            info_span!(
                parent: None, "cross.peer_connected", peer.id = hex(&key),
                peer.name = contact.name, mesh, via = super::via(&connection)
            )
            .in_scope(|| ());
        }
        self.keep(key, connection.clone());
        Ok(connection)
    }

    fn keep(&self, key: PublicKey, connection: Connection) {
        let link = Link { connection: connection.clone(), used: Arc::default() };
        let used = Arc::clone(&link.used);
        {
            let mut kept = self.lock();
            if kept.len() >= KEPT_MAX
                && let Some((_, other)) = kept.pop_first()
            {
                other.connection.close(0_u32.into(), b"not kept");
            }
            if let Some(former) = kept.insert(key, link) {
                former.connection.close(0_u32.into(), b"replaced");
            }
        }
        let (links, task) = (self.clone(), self.dialer.counters.task());
        tokio::spawn(async move {
            attend(&connection, &used).await;
            links.forget(&key, connection.stable_id());
            drop(task);
        });
    }

    fn forget(&self, key: &PublicKey, id: usize) {
        let mut kept = self.lock();
        if kept.get(key).is_some_and(|link| link.connection.stable_id() == id) {
            kept.remove(key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PublicKey, Link>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells of the connection's paths until it ends or nobody has used it for a while.
async fn attend(connection: &Connection, used: &Notify) {
    let mut events = connection.path_events();
    let mut told = "none";
    tell_path(connection, &mut told);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(PathEvent::Opened { .. }) => {}
                Some(_) => tell_path(connection, &mut told),
                None => return,
            },
            () = used.notified() => {}
            _ = connection.closed() => return,
            () = tokio::time::sleep(IDLE) => {
                connection.close(0_u32.into(), b"idle");
                return;
            }
        }
    }
}

fn tell_path(connection: &Connection, told: &mut &'static str) {
    let via = super::via(connection);
    if via != *told && via != "none" {
        *told = via;
        info_span!(
            parent: None, "path.changed", peer.id = hex(&connection.remote_id()), via
        )
        .in_scope(|| ());
    }
}
