//! What the tests of faults share: processes to hurt, and nodes in a lab that talk.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    net::{IpAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use meshlab_fleet::{Clock, Fleet, SpawnSpec};
use meshlab_lab::{DiskSettings, Lab, NodeNet};
use meshlab_model::NodeId;
use tokio::runtime::Handle;

use crate::{Revived, Settings, Target, Victim};

/// A process to hurt, and what keeps it.
pub(crate) struct Sleeper {
    pub(crate) victim: Victim,
    /// Nodes that were asked to be started again.
    pub(crate) revived: Arc<Mutex<Vec<NodeId>>>,
    _fleet: Fleet,
    folder: tempfile::TempDir,
}

pub(crate) async fn sleeper(script: &str) -> Sleeper {
    spawned(script, None).await
}

/// The same, as a program without an agent whose clock can be set.
pub(crate) async fn sleeper_with_clock(script: &str) -> Sleeper {
    spawned(script, Some(Arc::new(Clock::new().unwrap()))).await
}

async fn spawned(script: &str, clock: Option<Arc<Clock>>) -> Sleeper {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::new(Handle::current()).unwrap();
    let spec = SpawnSpec {
        node: "node-1".into(),
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: BTreeMap::new(),
        log: folder.path().join("node-1.log"),
        namespaces: Vec::new(),
        stranger: clock.is_some().then(|| folder.path().to_owned()),
        clock,
    };
    let process = fleet.spawn(spec).await.unwrap();
    let victim = Victim { node: "node-1".into(), process, key: Some("k".to_owned()), disk: None };
    Sleeper { victim, revived: Arc::default(), _fleet: fleet, folder }
}

/// A process that does nothing, with a disk of so many bytes.
pub(crate) async fn sleeper_with_disk(bytes: u64) -> Sleeper {
    let mut one = sleeper("exec sleep 600").await;
    let lab = Lab::new(1).unwrap();
    let directory = one.folder.path().to_owned();
    let made = lab
        .add_node_with_disk(&one.victim.node, &DiskSettings { directory, bytes, own_tmp: false });
    let net = made.expect("this host can make the lab: `meshlab doctor`");
    // The disk lives by its own descriptor.
    one.victim.disk = net.disk.map(Arc::new);
    one
}

impl Sleeper {
    /// A target that is this process; a start again is only noted, and answered with `answer`.
    pub(crate) fn target(&self, answer: Result<Revived, String>) -> Target {
        let seen = Arc::clone(&self.revived);
        Target {
            nodes: vec![self.victim.clone()],
            far: Vec::new(),
            everywhere: false,
            lab: None,
            settings: Settings::default(),
            revive: Arc::new(move |node| {
                seen.lock().unwrap().push(node);
                let answer = answer.clone();
                Box::pin(async move { answer })
            }),
            stir: Arc::new(|_| Box::pin(async {})),
        }
    }
}

/// Nodes `a`, `b` and `c` in a lab. They are silent until they are made to talk.
pub(crate) struct Talkers {
    pub(crate) lab: Arc<Lab>,
    nets: BTreeMap<NodeId, NodeNet>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Talkers {
    pub(crate) fn new() -> Self {
        let lab = Arc::new(Lab::new(1).unwrap());
        let place = |name: &str| {
            let node = NodeId::from(name);
            let net = lab.add_node(&node).expect("this host can make the lab: `meshlab doctor`");
            (node, net)
        };
        let nets = ["a", "b", "c"].map(place).into();
        Self { lab, nets, stop: Arc::default(), threads: Vec::new() }
    }

    /// Has `from` send to `to`, a thousand packets a second, until this is dropped.
    pub(crate) fn talk(&mut self, from: &str, to: &str) {
        let to = IpAddr::from(self.nets[&NodeId::from(to)].ipv4);
        let from = &self.nets[&NodeId::from(from)];
        let (namespace, source) = (from.net_ns.try_clone().unwrap(), IpAddr::from(from.ipv4));
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            // SAFETY: concerns this thread only; the descriptor is open until it ends.
            let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(entered, 0, "{}", std::io::Error::last_os_error());
            let socket = UdpSocket::bind((source, 0)).unwrap();
            while !stop.load(Ordering::Relaxed) {
                socket.send_to(b"hello", (to, 7777)).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        }));
    }

    /// A target that is the links of a node to all others.
    pub(crate) async fn target(&self, node: &str, settings: Settings) -> Target {
        let others = self.nets.keys().filter(|other| other.as_str() != node);
        self.aimed(node, others.cloned().collect(), true, settings).await
    }

    /// A target that is the link between two nodes.
    pub(crate) async fn between(&self, left: &str, right: &str, settings: Settings) -> Target {
        self.aimed(left, vec![right.into()], false, settings).await
    }

    async fn aimed(
        &self,
        node: &str,
        far: Vec<NodeId>,
        everywhere: bool,
        settings: Settings,
    ) -> Target {
        // No fault of links looks at it; that it is gone already changes nothing.
        let process = sleeper("exit 0").await.victim.process.clone();
        Target {
            nodes: vec![Victim { node: node.into(), process, key: None, disk: None }],
            far,
            everywhere,
            lab: Some(Arc::clone(&self.lab)),
            settings,
            revive: Arc::new(|_| Box::pin(async { Err("nothing starts here".to_owned()) })),
            stir: Arc::new(|_| Box::pin(async {})),
        }
    }

    pub(crate) fn forwarded(&self, from: &str, to: &str) -> u64 {
        let pair = (NodeId::from(from), NodeId::from(to));
        self.lab.counters().get(&pair).map_or(0, |link| link.forwarded_packets)
    }
}

impl Drop for Talkers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
