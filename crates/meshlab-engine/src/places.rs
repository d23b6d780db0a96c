//! Where nodes live: their networks, their disks, and what is kept of the latter.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    os::{fd::AsRawFd, linux::fs::MetadataExt},
    sync::Arc,
};

use meshlab_lab::{DiskSettings, namespace_cookie};
use meshlab_model::{ByteSize, MeshId, NodeId};
use meshlab_spans::Receiver;

use crate::{
    Engine, HostError, SharedKind,
    engine::lock,
    keep::{KEPT_BYTES_MAX, keep, keep_disk},
    kinds::{KeyPair, Stranger, free_port, translate},
    state::{Kind, Namespace, Node, Place},
};

/// What fits on a node's disk where the scenario does not say, in bytes. It is memory, but only
/// what is written takes any.
const DISK_BYTES: u64 = 64 * 1024 * 1024;
/// Each node has its own network, so all can have the same port and keep it over restarts.
const LAB_PORT: u16 = 7777;

/// What runs in a place.
pub(crate) struct Program<'a> {
    /// Its name.
    pub(crate) binary: &'a str,
    pub(crate) environment: BTreeMap<String, String>,
    /// How to run it, where it has no agent.
    pub(crate) stranger: Option<SharedKind>,
}

impl Engine {
    /// Makes the place of a program of either kind.
    pub(crate) fn place(
        &self,
        kind: Kind,
        mesh: &MeshId,
        id: &NodeId,
        role: &str,
        program: Program<'_>,
    ) -> Result<(), HostError> {
        let Program { binary, environment, stranger } = program;
        let shared = &self.shared;
        let results = &shared.folder.results;
        let data = results.join("data").join(id.as_str());
        std::fs::create_dir_all(&data).map_err(|error| {
            HostError::Harness(format!("failed to make {}: {error}", data.display()))
        })?;
        let disk = shared.state().meshes.get(mesh).and_then(|mesh| mesh.options.disk);
        let disk = DiskSettings {
            directory: data.clone(),
            bytes: disk.map_or(DISK_BYTES, |ByteSize(bytes)| bytes),
            own_tmp: stranger.is_some(),
        };
        let stranger = stranger.map(|kind| self.stranger(id, kind)).transpose()?;
        let port = stranger.as_ref().map(|stranger| stranger.port);
        let (place, http, grpc) = self.make_place(id, port, &disk)?;
        if let Some(stranger) = &stranger {
            self.know_peer(id, stranger, &place);
        }
        if let Some(why) = place.disk.as_ref().and_then(|disk| disk.not_own_tmp()) {
            self.warn_once(format!("programs share /tmp with this host and each other: {why}"));
        }
        let receiver =
            Receiver::spawn(&shared.runtime, id.clone(), http, grpc, shared.store.clone())
                .map_err(|error| HostError::Harness(format!("failed to receive spans: {error}")))?;
        let node = Node {
            kind,
            stranger,
            mesh: mesh.clone(),
            role: role.to_owned(),
            binary: binary.to_owned(),
            place,
            environment,
            data,
            log: results.join("logs").join(format!("{id}.log")),
            incarnation: 0,
            life: None,
            _receiver: receiver,
        };
        shared.state().nodes.insert(id.clone(), node);
        Ok(())
    }

    /// A program of somebody else's, with an identity and a port.
    fn stranger(&self, id: &NodeId, kind: SharedKind) -> Result<Stranger, HostError> {
        let port = match lock(&self.shared.lab).is_some() {
            true => kind.port,
            false => free_port().map_err(|error| {
                HostError::Harness(format!("failed to find a port for {id}: {error}"))
            })?,
        };
        let keys = KeyPair::of(self.shared.config.seed, id);
        Ok(Stranger { keys, kind, port, captured: Arc::default(), changing: Arc::default() })
    }

    /// Learns the names that programs may have for a node, and has its spans translated.
    fn know_peer(&self, id: &NodeId, stranger: &Stranger, place: &Place) {
        let key = stranger.keys.public_hex();
        let mut peers = lock(&self.shared.peers);
        let bind = place.bind.iter().cloned();
        let ips = place.bind.iter().filter_map(|bind| Some(bind.rsplit_once(':')?.0.to_owned()));
        let names = bind.chain(ips).chain([id.to_string(), stranger.keys.public_base64()]);
        peers.extend(names.map(|name| (name, key.clone())));
        drop(peers);
        match translate(&stranger.kind, &self.shared.peers) {
            Some(translate) => self.shared.store.translate(id, translate),
            None => self.shared.store.stop_translating(id),
        }
    }

    fn make_place(
        &self,
        id: &NodeId,
        port: Option<u16>,
        disk: &DiskSettings,
    ) -> Result<(Place, TcpListener, TcpListener), HostError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            HostError::Harness(format!("failed to make {what} for {id}: {error}"))
        };
        let Some(lab) = lock(&self.shared.lab).clone() else {
            let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let http = listen().map_err(|error| failed("a telemetry port", &error))?;
            let grpc = listen().map_err(|error| failed("a telemetry port", &error))?;
            let address = |listener: &TcpListener| {
                let address = listener.local_addr();
                address.map_err(|error| failed("a telemetry port", &error))
            };
            let place = Place {
                bind: vec![format!("127.0.0.1:{}", port.unwrap_or(0))],
                namespaces: Vec::new(),
                otlp: format!("http://{}", address(&http)?),
                otlp_grpc: format!("http://{}", address(&grpc)?),
                disk: None,
            };
            return Ok((place, http, grpc));
        };
        let net = lab.add_node_with_disk(id, disk).map_err(|error| failed("a place", &error))?;
        let inode = std::fs::metadata(format!("/proc/self/fd/{}", net.net_ns.as_raw_fd()))
            .map_err(|error| failed("a network", &error))?
            .st_ino();
        let cookie = namespace_cookie(&net.net_ns).ok();
        let made = Namespace { node: id.clone(), cookie };
        self.shared.state().namespaces.insert(inode, made);
        let port = port.unwrap_or(LAB_PORT);
        let six = net.ipv6.map(|six| format!("[{six}]:{port}"));
        let place = Place {
            bind: [Some(format!("{}:{port}", net.ipv4)), six].into_iter().flatten().collect(),
            namespaces: vec![Arc::new(net.net_ns), Arc::new(net.mount_ns)],
            otlp: "http://127.0.0.1:4318".to_owned(),
            otlp_grpc: "http://127.0.0.1:4317".to_owned(),
            disk: net.disk.map(Arc::new),
        };
        Ok((place, net.otlp_http, net.otlp_grpc))
    }

    /// Copies what a node that has ended left on its disk into the record. Where it had none, its
    /// directory in the record becomes what the copy would be.
    pub(crate) fn keep_data(&self, id: &NodeId) {
        let (data, disk, left) = {
            let state = self.shared.state();
            let Some(node) = state.nodes.get(id) else { return };
            let left = KEPT_BYTES_MAX.saturating_sub(state.data_bytes_kept);
            (node.data.clone(), node.place.disk.clone(), left)
        };
        let plain = data.with_extension("all");
        let kept = match &disk {
            // The dot, because what is before it is a link by itself.
            Some(disk) => keep_disk(&disk.path().join("."), &data, left),
            None => std::fs::rename(&data, &plain).and_then(|()| keep(&plain, &data, left)),
        };
        let _ = std::fs::remove_dir_all(&plain);
        // Where the disk was mounted; it goes if nothing was kept.
        let _ = std::fs::remove_dir(&data);
        match kept {
            Ok(bytes) => self.shared.state().data_bytes_kept += bytes,
            Err(error) => {
                self.shared.warn(format!("the data of {id} is not in the record: {error}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use meshlab_lab::mounts_under;
    use meshlab_model::{EndReason, NetworkMode, TestId, TestOutcome};

    use crate::{Host, fixture::Bench};

    #[tokio::test]
    async fn what_a_node_leaves_on_its_disk_is_in_the_record_and_was_never_on_the_host() {
        let bench = Bench::start(NetworkMode::Lab, 2).await;
        let data = bench.engine.folder().results.join("data");
        assert_eq!(std::fs::read_dir(data.join("node-1")).unwrap().count(), 0);
        assert!(mounts_under(&data).unwrap().is_empty());
        bench.engine.end_test(TestId(0), TestOutcome::Completed).await.unwrap();
        let left = std::fs::read_to_string(data.join("node-1/hello")).unwrap();
        assert_eq!(left, "node-1\n");
        assert_eq!(bench.engine.finish(EndReason::Completed).await, None);
        assert!(data.join("node-2/hello").exists(), "the end of the run leaves it");
    }

    #[tokio::test]
    async fn a_plain_directory_is_kept_by_the_same_rules() {
        let bench = Bench::start(NetworkMode::Host, 1).await;
        let data = bench.engine.folder().results.join("data");
        std::fs::write(data.join("node-1/large"), vec![0; 17 * 1024 * 1024]).unwrap();
        bench.engine.end_test(TestId(0), TestOutcome::Completed).await.unwrap();
        assert!(data.join("node-1/hello").exists() && !data.join("node-1/large").exists());
        assert!(data.join("node-1/LEFT-OUT").exists());
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1);
    }
}
