//! Content-addressed directories through iroh-blobs: made and offered here, fetched there.
//!
//! The store is opened when it is first needed, on disk, so that neither side holds more than a
//! few chunks of a file in memory. A fetched directory is exported beside its place and renamed
//! into it once every file is there: it appears whole or not at all.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use iroh::{
    endpoint::Connection,
    protocol::{AcceptError, ProtocolHandler},
};
use iroh_blobs::{
    BlobsProtocol, Hash, HashAndFormat, format::collection::Collection, store::fs::FsStore,
};
use meshlab_wire::{Contact, Outcome};
use tokio::sync::OnceCell;
use tracing::info_span;

use crate::dial::{Dialer, parse_contact};

/// Longest time for a directory to arrive.
const FETCH_WITHIN: Duration = Duration::from_secs(120);

/// Files of a directory at most.
const FILES_MAX: u32 = 1024;

/// Bytes of a directory at most.
const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Bytes written at once.
const CHUNK: usize = 64 * 1024;

/// The node's directories.
#[derive(Debug, Clone)]
pub(crate) struct Folders(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    data: PathBuf,
    store: OnceCell<(FsStore, BlobsProtocol)>,
}

impl Folders {
    pub(crate) fn new(data: &Path) -> Self {
        Self(Arc::new(Inner { data: data.to_owned(), store: OnceCell::new() }))
    }

    async fn store(&self) -> Result<&FsStore, String> {
        let open = async {
            let folder = self.0.data.join("blobs");
            let store = FsStore::load(&folder).await;
            let store = store.map_err(|error| {
                format!("could not open the store {}: {error}", folder.display())
            })?;
            let protocol = BlobsProtocol::new(&store, None);
            Ok::<_, String>((store, protocol))
        };
        self.0.store.get_or_try_init(|| open).await.map(|(store, _)| store)
    }

    /// Makes a directory with drawn contents and offers it.
    pub(crate) async fn share(
        &self,
        files: u32,
        bytes_each: u64,
        seed: u64,
    ) -> Result<Outcome, String> {
        let bytes = bytes_each.saturating_mul(u64::from(files));
        if files == 0 || files > FILES_MAX || bytes > BYTES_MAX {
            return Err(format!(
                "a directory of {files} files and {bytes} bytes; it must be 1 to {FILES_MAX} \
                 files and at most {BYTES_MAX} bytes"
            ));
        }
        let store = self.store().await?;
        let folder = self.0.data.join(format!("shared-{seed}"));
        let making = folder.clone();
        let made = tokio::task::spawn_blocking(move || make(&making, files, bytes_each, seed));
        let names = made
            .await
            .map_err(|e| e.to_string())?
            .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
        let mut entries = Vec::new();
        for name in names {
            let added = store.blobs().add_path(folder.join(&name)).await;
            let added = added.map_err(|error| format!("could not take in {name}: {error}"))?;
            entries.push((name, added.hash));
        }
        let failed = |error: &dyn std::fmt::Display| format!("could not offer it: {error}");
        let collection = entries.into_iter().collect::<Collection>();
        let tag = collection.store(store).await.map_err(|error| failed(&error))?;
        let created = store.tags().create(tag.hash_and_format()).await;
        created.map_err(|error| failed(&error))?;
        Ok(Outcome::Shared { hash: tag.hash().to_hex().to_string(), bytes })
    }

    /// Fetches a directory into the data directory, under its hash.
    pub(crate) async fn fetch(
        &self,
        dialer: &Dialer,
        from: &Contact,
        hash: &str,
    ) -> Result<Outcome, String> {
        let root: Hash = hash.parse().map_err(|error| format!("`{hash}` is no hash: {error}"))?;
        let started = Instant::now();
        let (key, addresses) = parse_contact(from)?;
        let to = dialer.book.address(key, &addresses);
        let connection = dialer.dial(to, iroh_blobs::ALPN).await?;
        let transfer = self.transfer(connection.clone(), root);
        let arrived = tokio::time::timeout(FETCH_WITHIN, transfer).await;
        connection.close(0_u32.into(), b"done");
        let (files, bytes) =
            arrived.map_err(|_| format!("not whole within {FETCH_WITHIN:?}"))??;
        info_span!(
            parent: None, "directory.fetched", peer.id = from.public_key, files, bytes
        )
        .in_scope(|| ());
        let took_micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Outcome::Fetched { files, bytes, took_micros })
    }

    async fn transfer(&self, from: Connection, root: Hash) -> Result<(u64, u64), String> {
        let store = self.store().await?;
        let progress = store.remote().fetch(from, HashAndFormat::hash_seq(root));
        progress.complete().await.map_err(|error| format!("could not fetch: {error}"))?;
        let collection = Collection::load(root, &**store).await;
        let collection = collection.map_err(|error| format!("no directory: {error}"))?;
        let (place, making) = (self.0.data.join(root.to_hex()), self.0.data.join("fetching"));
        let failed =
            |what: &str, error: &dyn std::fmt::Display| format!("could not {what}: {error}");
        let _ = tokio::fs::remove_dir_all(&making).await;
        tokio::fs::create_dir_all(&making).await.map_err(|e| failed("make a directory", &e))?;
        let (mut files, mut bytes) = (0, 0);
        for (name, hash) in collection.iter() {
            // What comes from a peer names files in this directory and nowhere else.
            let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > 64 || !name.chars().all(fit) {
                return Err(format!("a file name of the peer is refused: {name:?}"));
            }
            let exported = store.blobs().export(*hash, making.join(name)).await;
            bytes += exported.map_err(|error| failed("write a file", &error))?;
            files += 1;
        }
        let _ = tokio::fs::remove_dir_all(&place).await;
        tokio::fs::rename(&making, &place).await.map_err(|e| failed("put it in its place", &e))?;
        Ok((files, bytes))
    }
}

/// Writes the files of a directory; returns their names.
fn make(folder: &Path, files: u32, bytes_each: u64, seed: u64) -> std::io::Result<Vec<String>> {
    use std::io::Write;
    std::fs::create_dir_all(folder)?;
    let mut names = Vec::new();
    for place in 0..files {
        let name = format!("file-{place:04}");
        let mut file = std::io::BufWriter::new(std::fs::File::create(folder.join(&name))?);
        let mut hasher = blake3::Hasher::new_derive_key("mesh-node directory contents 1");
        hasher.update(&seed.to_le_bytes()).update(&place.to_le_bytes());
        let (mut contents, mut left) = (hasher.finalize_xof(), bytes_each);
        let mut chunk = vec![0; CHUNK];
        while left > 0 {
            let take = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            contents.fill(&mut chunk[..take]);
            file.write_all(&chunk[..take])?;
            left -= take as u64;
        }
        file.flush()?;
        names.push(name);
    }
    Ok(names)
}

impl ProtocolHandler for Folders {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        match self.0.store.get() {
            Some((_, protocol)) => protocol.accept(connection).await,
            None => {
                connection.close(1_u32.into(), b"nothing is offered here");
                Ok(())
            }
        }
    }

    async fn shutdown(&self) {
        if let Some((_, protocol)) = self.0.store.get() {
            protocol.shutdown().await;
        }
    }
}
