//! The packets around a fault that went wrong: the last ones are kept in memory while faults act,
//! and written to a file as soon as one was missed, did not heal or broke.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use meshlab_lab::RecentSettings;
use meshlab_model::{FaultId, RunEventKind, Verdict};

use crate::{
    engine::{Shared, lock},
    results::file,
};

/// What is kept: long enough to hold the act as well as the moment at which it was to be noticed.
const RECENT: RecentSettings =
    RecentSettings { bytes: 32 * 1024 * 1024, age: Duration::from_secs(60) };

/// Files of a run: with the memory above, at most 320 MiB.
const FILES_MAX: usize = 10;

/// What was captured so far.
#[derive(Debug, Default)]
pub(crate) struct Captures {
    kept: bool,
    of: BTreeSet<FaultId>,
    told: bool,
}

/// Keeps packets from now on, in a run that has a lab.
pub(crate) fn keep(shared: &Shared) {
    let Some(lab) = lock(&shared.lab).clone() else { return };
    let mut captures = lock(&shared.captures);
    if captures.kept {
        return;
    }
    captures.kept = true;
    if let Err(error) = lab.keep_recent(Some(RECENT)) {
        shared.warn(format!("packets cannot be kept: {error}; a missed fault leaves no capture"));
    }
}

/// Keeps none any more.
pub(crate) fn forget(shared: &Shared) {
    let Some(lab) = lock(&shared.lab).clone() else { return };
    lock(&shared.captures).kept = false;
    if let Err(error) = lab.keep_recent(None) {
        shared.warn(format!("packets are still kept in memory: {error}"));
    }
}

/// Writes what is kept to a file of its own if the fault failed or broke, once a fault.
pub(crate) async fn around(shared: &Arc<Shared>, fault: FaultId, verdict: &Verdict) {
    let Some(lab) = lock(&shared.lab).clone() else { return };
    if !matches!(verdict, Verdict::Failed(_) | Verdict::Broken(_)) || !take(shared, fault) {
        return;
    }
    let name = format!("{}/fault-{fault}.pcapng", file::CAPTURES);
    let path = shared.folder.results.join(&name);
    let written = shared.runtime.spawn_blocking(move || {
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder.map_err(|error| error.to_string())?;
        lab.dump_recent(&path).map_err(|error| error.to_string())
    });
    match written.await.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(report) => {
            let (packets, bytes) = (report.packets, report.bytes);
            shared.event(RunEventKind::FaultCaptured { fault, file: name, packets, bytes });
        }
        Err(error) => shared.warn(format!("failed to write {name}: {error}")),
    }
}

/// Whether this fault is still to be captured; says once that there were enough.
fn take(shared: &Shared, fault: FaultId) -> bool {
    let mut captures = lock(&shared.captures);
    if !captures.kept || captures.of.contains(&fault) {
        return false;
    }
    if captures.of.len() < FILES_MAX {
        captures.of.insert(fault);
        return true;
    }
    let tell = !std::mem::replace(&mut captures.told, true);
    drop(captures);
    if tell {
        shared.warn(format!(
            "{FILES_MAX} faults that went wrong were captured, which is the most of a run: the \
             others leave no packets"
        ));
    }
    false
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use meshlab_model::{NetworkMode, RunEvent};

    use super::*;
    use crate::{
        FaultCall, FaultSettings, Host, fixture::Bench, fixture::here, results::RunRecord,
    };

    /// Ways of the blocks of a pcapng file, which must lie end to end: their types.
    fn blocks(path: &Path) -> Vec<u32> {
        let bytes = fs::read(path).unwrap();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (mut at, mut types) = (0, Vec::new());
        while at < bytes.len() {
            let length = word(at + 4) as usize;
            assert_eq!(word(at + length - 4) as usize, length, "the block at {at}");
            types.push(word(at));
            at += length;
        }
        types
    }

    fn captured(record: &RunRecord) -> Vec<(String, u64)> {
        let of = |event: &RunEvent| match &event.kind {
            RunEventKind::FaultCaptured { file, packets, .. } => Some((file.clone(), *packets)),
            _ => None,
        };
        record.events.iter().filter_map(of).collect()
    }

    fn wedge(detect_within: Duration) -> FaultCall {
        FaultCall {
            name: "wedge_node".to_owned(),
            targets: vec!["node-2".into()],
            against: Vec::new(),
            group: None,
            settings: FaultSettings::default(),
            hold: None,
            detect_within: Some(detect_within),
            chaos: None,
        }
    }

    #[tokio::test]
    async fn a_missed_fault_leaves_the_packets_before_it() {
        let bench = Bench::start(NetworkMode::Lab, 3).await;
        bench.engine.fault(wedge(Duration::from_secs(4)), here()).await.unwrap();
        let (record, folder) = bench.finish_with_record().await;
        let [(name, packets)] = &captured(&record)[..] else { panic!("{:?}", record.events) };
        assert_eq!(name, "captures/fault-1.pcapng");
        let blocks = blocks(&record.folder.join(name));
        assert_eq!(blocks[0], 0x0A0D_0D0A, "a section");
        let enhanced = blocks.iter().filter(|kind| **kind == 6).count();
        assert!(*packets > 0 && enhanced as u64 == *packets, "{packets} {enhanced}");
        drop(folder);
    }

    #[tokio::test]
    async fn what_is_noticed_and_what_has_no_lab_leaves_none() {
        let bench = Bench::start(NetworkMode::Host, 3).await;
        bench.engine.fault(wedge(Duration::from_millis(50)), here()).await.unwrap();
        let (record, _folder) = bench.finish_with_record().await;
        assert_eq!(captured(&record), []);
        let bench = Bench::start(NetworkMode::Lab, 3).await;
        keep(&bench.engine.shared);
        around(&bench.engine.shared, FaultId(1), &Verdict::Passed).await;
        around(&bench.engine.shared, FaultId(1), &Verdict::Skipped("x".into())).await;
        let (record, _folder) = bench.finish_with_record().await;
        assert_eq!(captured(&record), []);
    }

    #[tokio::test]
    async fn there_are_only_so_many_and_that_is_said_once() {
        let bench = Bench::start(NetworkMode::Lab, 2).await;
        let failed = Verdict::Failed("missed".to_owned());
        around(&bench.engine.shared, FaultId(99), &failed).await;
        keep(&bench.engine.shared);
        for fault in 1..=14 {
            around(&bench.engine.shared, FaultId(fault), &failed).await;
            around(&bench.engine.shared, FaultId(fault), &failed).await;
        }
        let (record, _folder) = bench.finish_with_record().await;
        assert_eq!(captured(&record).len(), FILES_MAX);
        let told = record.events.iter().filter(|event| match &event.kind {
            RunEventKind::Warning { text } => text.contains("the most of a run"),
            _ => false,
        });
        assert_eq!(told.count(), 1);
    }
}
