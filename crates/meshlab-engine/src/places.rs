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
    Engine, HostError,
    engine::lock,
    keep::{KEPT_BYTES_MAX, keep},
    state::{Kind, Namespace, Node, Place},
};

/// What fits on a node's disk where the scenario does not say, in bytes. It is memory, but only
/// what is written takes any.
const DISK_BYTES: u64 = 64 * 1024 * 1024;
/// Each node has its own network, so all can have the same port and keep it over restarts.
const LAB_PORT: u16 = 7777;

impl Engine {
    /// Makes the place of a program of either kind.
    pub(crate) fn place(
        &self,
        kind: Kind,
        mesh: &MeshId,
        id: &NodeId,
        role: &str,
        binary: &str,
        environment: BTreeMap<String, String>,
    ) -> Result<(), HostError> {
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
        };
        let (place, http, grpc) = self.make_place(id, &disk)?;
        let receiver =
            Receiver::spawn(&shared.runtime, id.clone(), http, grpc, shared.store.clone())
                .map_err(|error| HostError::Harness(format!("failed to receive spans: {error}")))?;
        let node = Node {
            kind,
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

    fn make_place(
        &self,
        id: &NodeId,
        disk: &DiskSettings,
    ) -> Result<(Place, TcpListener, TcpListener), HostError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            HostError::Harness(format!("failed to make {what} for {id}: {error}"))
        };
        let Some(lab) = lock(&self.shared.lab).clone() else {
            let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let http = listen().map_err(|error| failed("a telemetry port", &error))?;
            let grpc = listen().map_err(|error| failed("a telemetry port", &error))?;
            let port = http.local_addr().map_err(|error| failed("a telemetry port", &error))?;
            let place = Place {
                bind: vec!["127.0.0.1:0".to_owned()],
                namespaces: Vec::new(),
                otlp: format!("http://{port}"),
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
        let six = net.ipv6.map(|six| format!("[{six}]:{LAB_PORT}"));
        let place = Place {
            bind: [Some(format!("{}:{LAB_PORT}", net.ipv4)), six].into_iter().flatten().collect(),
            namespaces: vec![Arc::new(net.net_ns), Arc::new(net.mount_ns)],
            otlp: "http://127.0.0.1:4318".to_owned(),
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
            Some(disk) => keep(&disk.path().join("."), &data, left),
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
