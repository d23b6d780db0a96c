//! What the engine's own tests share: an engine, and subjects that do what they are told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    time::Duration,
};

use meshlab_model::{
    BinaryRecord, EndReason, FaultId, FaultStage, NetworkMode, NodeId, NoiseLimits, RunEvent,
    RunEventKind, SourceLine, TestId, TestOutcome, Verdict,
};
use meshlab_spans::IncomingSpan;
use meshlab_wire::attr;
use tokio::runtime::Handle;

use crate::{
    Engine, FaultCall, FaultSettings, FaultStarted, Host, HostError, Limits, MeshOptions,
    NODE_BINARY, Replay, RunConfig,
    results::{RunRecord, read_run},
};

/// A subject that says it is ready, sends a packet to each of the first addresses of the lab
/// twenty times a second, and leaves when it is asked anything. Its key is its name, and it writes
/// that on its disk. `HELLO_MORE` of its environment is said in its first line.
const SUBJECT: &str = r#"#!/bin/bash
fd=$MESHLAB_CONTROL_FD
echo $MESHLAB_NODE_ID > $MESH_NODE_DATA/hello
echo '{"tell":"hello","protocol":2,"program":"fake"'$HELLO_MORE'}' >&$fd
echo '{"tell":"ready","name":"'$MESHLAB_NODE_ID'","public_key":"'$MESHLAB_NODE_ID'",
"addresses":["127.0.0.1:1"],"dead_after_ms":300}' | tr -d '\n' >&$fd
echo >&$fd
while :; do
  for n in 1 2 3 4; do echo x > /dev/udp/198.18.0.$n/9; done 2> /dev/null
  read -r -t 0.05 line <&$fd && exit 0
done
"#;

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    events: Receiver<Arc<RunEvent>>,
    folder: tempfile::TempDir,
}

pub(crate) fn here() -> SourceLine {
    SourceLine { file: "x.lua".to_owned(), line: 1, column: 1 }
}

/// A mesh of so many nodes with nothing special about it.
pub(crate) fn mesh_of(name: &str, nodes: usize) -> MeshOptions {
    MeshOptions::plain(name, vec!["broker".to_owned(); nodes])
}

impl Bench {
    /// A run with a mesh of so many nodes, inside its first test.
    pub(crate) async fn start(network: NetworkMode, nodes: usize) -> Self {
        Self::start_again(network, nodes, None).await
    }

    /// The same, with something else about the run.
    pub(crate) async fn start_with(
        network: NetworkMode,
        nodes: usize,
        change: impl FnOnce(&mut RunConfig),
    ) -> Self {
        Self::make(network, nodes, change).await
    }

    /// The same, with the schedules of another run.
    pub(crate) async fn start_again(
        network: NetworkMode,
        nodes: usize,
        replay: Option<Replay>,
    ) -> Self {
        Self::make(network, nodes, |config| config.replay = replay).await
    }

    async fn make(network: NetworkMode, nodes: usize, change: impl FnOnce(&mut RunConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("subject");
        fs::write(&program, SUBJECT).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let binary = BinaryRecord {
            path: program.display().to_string(),
            sha256: String::new(),
            bytes: 0,
            built_unix_nanos: 0,
            built_by_run: false,
            built_with: None,
        };
        let (listener, events) = sync_channel(10_000);
        let mut config = RunConfig {
            output: folder.path().to_owned(),
            scenario: "x".to_owned(),
            script_path: "x.lua".to_owned(),
            script: String::new(),
            tests: Vec::new(),
            arguments: Vec::new(),
            seed: 1,
            timeout: Duration::from_secs(120),
            sample_every: Duration::from_millis(100),
            network,
            binaries: BTreeMap::from([(NODE_BINARY.to_owned(), binary)]),
            node_env: BTreeMap::new(),
            duration: None,
            time_scale: None,
            nodes: None,
            keep: false,
            params: BTreeMap::new(),
            ceilings: Limits::default(),
            bounds: Limits::default(),
            trends: Limits::default(),
            replay: None,
            resume: None,
            // What a test of the engine says does not depend on who else uses this host.
            noise: NoiseLimits::NONE,
            clock_library: crate::clock_library(),
            profile: crate::Profiling::default(),
            commit: None,
            listener: Some(listener),
        };
        change(&mut config);
        let engine = Engine::start(config, Handle::current()).unwrap();
        // Lets the first round of samples be over before there is a node.
        tokio::task::yield_now().await;
        engine.begin_test(TestId(0), "it", here()).await.unwrap();
        engine.start_mesh(mesh_of("mesh1", nodes), here()).await.unwrap();
        Self { engine, events, folder }
    }

    /// Ends the test and the run; what is in its record, and the folder that it lies in.
    pub(crate) async fn finish_with_record(self) -> (RunRecord, tempfile::TempDir) {
        self.engine.end_test(TestId(0), TestOutcome::Completed).await.unwrap();
        assert_eq!(self.engine.finish(EndReason::Completed).await, None);
        (read_run(&self.engine.folder().results).unwrap(), self.folder)
    }

    pub(crate) async fn fault(
        &self,
        name: &str,
        targets: &[&str],
        against: &[&str],
        hold: Option<Duration>,
    ) -> Result<FaultStarted, HostError> {
        let ids = |names: &[&str]| names.iter().map(|name| NodeId::from(*name)).collect::<Vec<_>>();
        let call = self.call(name, &ids(targets));
        self.engine.fault(FaultCall { against: ids(against), hold, ..call }, here()).await
    }

    /// A fault on these nodes, with nothing set.
    pub(crate) fn call(&self, name: &str, targets: &[NodeId]) -> FaultCall {
        FaultCall {
            name: name.to_owned(),
            targets: targets.to_vec(),
            against: Vec::new(),
            group: None,
            settings: FaultSettings::default(),
            hold: None,
            detect_within: None,
            chaos: None,
        }
    }

    /// As if `from` had sent such a span about `peer`.
    pub(crate) fn says(&self, from: &str, name: &str, peer: &str, state: Option<&str>) {
        let mut attributes = BTreeMap::from([(attr::PEER_ID.to_owned(), peer.into())]);
        attributes.extend(state.map(|state| (attr::STATE.to_owned(), state.into())));
        let span = IncomingSpan {
            name: name.to_owned(),
            trace_id: String::new(),
            span_id: String::new(),
            parent_id: String::new(),
            start_unix_nanos: 0,
            end_unix_nanos: 0,
            attributes,
        };
        self.engine.shared.store.add(&from.into(), vec![span]);
    }

    /// Ends the test and the run; what came of each claim, in order.
    pub(crate) async fn finish_with_claims(self) -> Vec<(String, Verdict)> {
        self.engine.end_test(TestId(0), TestOutcome::Completed).await.unwrap();
        assert_eq!(self.engine.finish(EndReason::Completed).await, None);
        let mut texts = BTreeMap::new();
        let mut claims = Vec::new();
        for event in self.events.try_iter() {
            match &event.kind {
                RunEventKind::ClaimStarted { claim, text, .. } => {
                    texts.insert(*claim, text.clone());
                }
                RunEventKind::ClaimFinished { claim, verdict, .. } => {
                    claims.push((texts[claim].clone(), verdict.clone()));
                }
                _ => {}
            }
        }
        claims
    }

    /// Ends the test and the run; what came of each fault, in order, and what the witnesses said.
    pub(crate) async fn finish(self) -> (Vec<Verdict>, Vec<String>) {
        self.engine.end_test(TestId(0), TestOutcome::Completed).await.unwrap();
        assert_eq!(self.engine.finish(EndReason::Completed).await, None);
        let mut verdicts = BTreeMap::<FaultId, Verdict>::new();
        let mut acted = Vec::new();
        for event in self.events.try_iter() {
            match &event.kind {
                RunEventKind::FaultFinished { fault, verdict } => {
                    let again = verdicts.insert(*fault, verdict.clone());
                    assert_eq!(again, None, "a fault is judged once");
                }
                RunEventKind::FaultReached {
                    stage: FaultStage::Acted { witness, unnoticed },
                    ..
                } => {
                    let why = unnoticed.as_ref().map(|why| format!("; {why}"));
                    acted.push(format!("{witness}{}", why.unwrap_or_default()));
                }
                RunEventKind::Audited { leftovers, .. } => {
                    assert_eq!(*leftovers, Vec::<String>::new());
                }
                _ => {}
            }
        }
        (verdicts.into_values().collect(), acted)
    }
}
