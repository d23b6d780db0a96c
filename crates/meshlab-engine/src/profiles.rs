//! CPU profiles of the nodes, from the start of each process to its end, when a run asks for them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use meshlab_model::{NodeId, RunEventKind};
use meshlab_profile::{Folded, Recording, Title, collapse, cpu_time, files, record};

use crate::engine::{Shared, lock};

/// Recordings that go on, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Profiles {
    running: Vec<(NodeId, Recording)>,
}

/// Begins to record a process that has just been started, if the run asks for it.
pub(crate) fn begin(shared: &Shared, node: &NodeId, pid: u32) {
    let Some(hz) = shared.config.profile_hz else { return };
    let raw = raw(&shared.folder.profiles);
    let data = raw.join(format!("{node}.{pid}.data"));
    let begun = fs::create_dir_all(&raw)
        .map_err(|error| format!("{}: {error}", raw.display()))
        .and_then(|()| record(pid, hz, &data).map_err(|error| error.to_string()));
    match begun {
        Ok(recording) => lock(&shared.profiles).running.push((node.clone(), recording)),
        Err(why) => shared.warn(format!("{node} is not profiled: {why}")),
    }
}

fn raw(profiles: &Path) -> PathBuf {
    profiles.join("raw")
}

/// Ends all recordings and draws a flamegraph of each node and one of all of them.
pub(crate) async fn finish(shared: &Arc<Shared>) {
    let Some(hz) = shared.config.profile_hz else { return };
    let running = std::mem::take(&mut lock(&shared.profiles).running);
    let folder = shared.folder.profiles.clone();
    // From `results/<run>`, which is as deep as `profiles/<run>`.
    let prefix = format!("../../../profiles/{}", shared.folder.name);
    let drawing = shared.runtime.spawn_blocking(move || draw(&folder, &prefix, hz, running));
    let (drawn, problems) = match drawing.await {
        Ok(drawn) => drawn,
        Err(error) => return shared.warn(format!("the profiles could not be drawn: {error}")),
    };
    for why in problems {
        shared.warn(why);
    }
    for Drawn { node, file, samples } in drawn {
        let kind = "cpu".to_owned();
        shared.event(RunEventKind::ProfileTaken { node, kind, file, samples, hz });
    }
}

struct Drawn {
    node: Option<NodeId>,
    /// From the run's folder of results.
    file: String,
    samples: u64,
}

/// Every profile that could be drawn, and why others could not.
fn draw(
    folder: &Path,
    prefix: &str,
    hz: u32,
    running: Vec<(NodeId, Recording)>,
) -> (Vec<Drawn>, Vec<String>) {
    let mut problems = Vec::new();
    let mut by_node: BTreeMap<NodeId, Folded> = BTreeMap::new();
    for (node, recording) in running {
        // A node that was restarted has a recording for each of its processes.
        match recording.stop().and_then(|data| collapse(&data)) {
            Ok(stacks) => by_node.entry(node).or_default().merge(&stacks, None),
            Err(error) => problems.push(format!("{node} has no profile: {error}")),
        }
    }
    // Raw samples are many times larger than the stacks that everything is drawn from.
    let _ = fs::remove_dir_all(raw(folder));
    let mut fleet = Folded::default();
    for (node, stacks) in &by_node {
        fleet.merge(stacks, Some(node.as_str()));
    }
    let mut drawn = Vec::new();
    let nodes = by_node.iter().map(|(node, stacks)| (Some(node.clone()), stacks));
    for (node, stacks) in std::iter::once((None, &fleet)).chain(nodes) {
        let name = node.as_ref().map_or("fleet", NodeId::as_str);
        let samples = stacks.samples();
        let used = cpu_time(samples, hz).as_secs_f64();
        let title = Title {
            title: format!("CPU of {name}"),
            rests_on: format!("{samples} samples at {hz} Hz: about {used:.1} s of CPU time"),
            unit: "samples".to_owned(),
        };
        match files::write(folder, name, stacks, &title) {
            Ok(_) => {
                let file = format!("{prefix}/{name}.svg");
                drawn.push(Drawn { node, file, samples });
            }
            Err(error) => problems.push(format!("the CPU profile of {name}: {error}")),
        }
    }
    (drawn, problems)
}
