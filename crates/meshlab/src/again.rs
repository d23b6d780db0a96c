//! What a recorded run was asked for, to ask for it again: of a replay, and of what goes on.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use meshlab_model::{Manifest, NetworkMode};

use crate::cli::{Network, RunArguments};

/// What the run was asked for, of this file.
///
/// # Errors
/// Its duration is none that can be run.
pub(crate) fn arguments(
    manifest: &Manifest,
    scenario: PathBuf,
    output: PathBuf,
) -> Result<RunArguments> {
    let network = match manifest.network {
        NetworkMode::Lab => Network::Lab,
        NetworkMode::Host => Network::Host,
    };
    Ok(RunArguments {
        set: manifest.params.iter().map(|(name, set)| (name.clone(), set.to_string())).collect(),
        time_scale: manifest.time_scale,
        nodes: manifest.nodes,
        seed: Some(manifest.seed),
        node_env: node_env(manifest),
        duration: manifest.duration_secs.map(duration).transpose()?,
        ..RunArguments::plain(scenario, network, output)
    })
}

/// Refuses programs that the run did not have.
///
/// # Errors
/// One of them, with those that it had.
pub(crate) fn had_all(manifest: &Manifest, named: &[(String, String)]) -> Result<()> {
    if let Some((name, _)) = named.iter().find(|(name, _)| !manifest.binaries.contains_key(name)) {
        let names: Vec<&str> = manifest.binaries.keys().map(String::as_str).collect();
        bail!("{}: it had no program `{name}`; it had {}", manifest.run, names.join(", "));
    }
    Ok(())
}

fn duration(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).context("its manifest has no duration that can be run")
}

fn node_env(manifest: &Manifest) -> Vec<(String, String, String)> {
    let all = manifest.node_env.iter();
    let each = all.flat_map(|(node, set)| set.iter().map(move |(name, value)| (node, name, value)));
    each.map(|(node, name, value)| (node.clone(), name.clone(), value.clone())).collect()
}
