//! `expect.file`: what a program wrote, looked at from outside, on the node's own disk.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use meshlab_model::{ClaimEvidence, NodeId, Severity, SourceLine, Tally, Verdict, format_duration};
use tokio::time::Instant;

use crate::{
    ClaimOutcome, Engine, HostError, Since, binaries::sha256_hex, cancel::describe, claims::names,
};

/// How often it is looked at. Nobody tells when a file changes.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Digits of a SHA-256 that tell contents apart for a person.
const HASH_DIGITS: usize = 12;

/// Judges whether a file of each of these nodes, by its path below the data directory, holds these
/// bytes and nothing else.
pub(crate) async fn judge(
    engine: &Engine,
    nodes: Vec<NodeId>,
    path: &str,
    holds: &Arc<[u8]>,
    within: Duration,
    (severity, at): (Severity, SourceLine),
) -> Result<ClaimOutcome, HostError> {
    let files = files(engine, &nodes, path)?;
    let since = engine.since(Since::Ago(Duration::ZERO))?;
    let hash: String = sha256_hex(holds).chars().take(HASH_DIGITS).collect();
    let (who, bytes) = (names(&nodes), holds.len());
    let text = format!(
        "`{path}` of {who} holds {bytes} bytes (sha256 {hash}...) within {}",
        format_duration(within)
    );
    let claim = engine.start_claim("expect.file", text, severity, within, at)?;
    let open = engine.until_judged(claim);
    let started = Instant::now();
    let mut left = files.clone();
    let verdict = loop {
        let mut why = None;
        let mut other = Vec::new();
        for (node, file) in left {
            let (of, wanted) = (file.clone(), Arc::clone(holds));
            let look = tokio::task::spawn_blocking(move || differs(&of, &wanted));
            let told = look.await.unwrap_or_else(|error| Some(error.to_string()));
            if let Some(told) = told {
                why.get_or_insert_with(|| format!("`{path}` of {node} {told}"));
                other.push((node, file));
            }
        }
        left = other;
        let Some(why) = why else { break Verdict::Passed };
        if started.elapsed() >= within {
            break Verdict::Failed(format!("{why}, after {}", format_duration(within)));
        }
        if engine.shared.cancel.or(tokio::time::sleep(LOOK_EVERY)).await.is_err() {
            let reason = engine.shared.cancel.reason().as_ref().map(describe).unwrap_or_default();
            break Verdict::Inconclusive(format!("{why} when {reason}"));
        }
    };
    let tally = |node: &NodeId| {
        let missing = left.iter().any(|(of, _)| of == node);
        Tally { node: node.clone(), have: u64::from(!missing), need: 1 }
    };
    let by_node = nodes.iter().map(tally).collect();
    let took = started.elapsed();
    open.judged();
    let evidence = ClaimEvidence { by_node, notes: Vec::new(), since: Some(since) };
    engine.finish_claim(claim, verdict, took, evidence, severity, took)
}

/// Where the files are for this process.
fn files(
    engine: &Engine,
    nodes: &[NodeId],
    path: &str,
) -> Result<Vec<(NodeId, PathBuf)>, HostError> {
    let below = Path::new(path);
    if path.is_empty() || !below.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(HostError::Misuse(format!(
            "`{path}` is not below the data directory: write a relative path without `..`"
        )));
    }
    if nodes.is_empty() {
        let why = "no node to look at: nothing that is not looked at can pass";
        return Err(HostError::Misuse(why.to_owned()));
    }
    let state = engine.shared.state();
    let file = |id: &NodeId| {
        let node = state.node(id)?;
        let root = node.place.disk.as_ref().map_or_else(|| node.data.clone(), |disk| disk.path());
        Ok((id.clone(), root.join(below)))
    };
    nodes.iter().map(file).collect()
}

/// How a file differs from what it is to hold, as the end of a sentence.
fn differs(file: &Path, wanted: &[u8]) -> Option<String> {
    let mut got = vec![0; 64 * 1024];
    let mut at = 0;
    // A link could lead out of the node's disk, and a pipe would wait for somebody to write.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(file);
    let mut file = match opened.and_then(|file| Ok((file.metadata()?, file))) {
        Ok((meta, file)) if meta.is_file() => file,
        Ok(_) => return Some("is no plain file".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some("is not there".to_owned());
        }
        Err(error) => return Some(format!("cannot be read: {error}")),
    };
    loop {
        let count = match file.read(&mut got) {
            Ok(0) if at == wanted.len() => return None,
            Ok(0) => return Some(format!("holds the first {at} of {} bytes", wanted.len())),
            Ok(count) => count,
            Err(error) => return Some(format!("cannot be read: {error}")),
        };
        let expected = wanted[at..].iter();
        let same = got[..count].iter().zip(expected).take_while(|(got, wanted)| got == wanted);
        let same = same.count();
        if same < count {
            return Some(match at + same == wanted.len() {
                true => format!("holds more than the {} bytes", wanted.len()),
                false => format!("differs from byte {} of {} on", at + same, wanted.len()),
            });
        }
        at += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_how_it_differs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it");
        let told = |text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            differs(&file, b"hello")
        };
        assert_eq!(told(None).as_deref(), Some("is not there"));
        assert_eq!(told(Some("hello")), None);
        assert_eq!(told(Some("hel")).as_deref(), Some("holds the first 3 of 5 bytes"));
        assert_eq!(told(Some("help!")).as_deref(), Some("differs from byte 3 of 5 on"));
        assert_eq!(told(Some("hello!")).as_deref(), Some("holds more than the 5 bytes"));
        assert_eq!(differs(folder.path(), b"x").as_deref(), Some("is no plain file"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(differs(&link, b"hello!").is_some_and(|why| why.starts_with("cannot be read")));
    }
}
