//! `meshlab probe -- CMD`: starts a program once in the lab, says what it did, and writes a first
//! kind of node from that. `kind.rs` is the file that it writes.

mod kind;

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use meshlab_engine::{ProbeSettings, Probed, Template, is_outside, probe_program};
use meshlab_model::{ByteSize, ExitCode, format_duration};

use crate::programs;

/// Lines of a list that are shown.
const SHOWN_MAX: usize = 12;

#[derive(Debug, Args)]
pub(crate) struct ProbeArguments {
    /// How long the program is looked at
    #[arg(long = "for", value_name = "DURATION", default_value = "5s",
          value_parser = crate::cli::duration)]
    length: Duration,
    /// Write a kind of node to this file, such as scenarios/lib/NAME.lua; one that is there stays
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Set a variable of its environment; repeatable
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// The program and its arguments; {port}, {ip}, {bind}, {data} and the other placeholders of a
    /// kind stand for what its place in the lab has
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    parts.map(|(n, v)| (n.to_owned(), v.to_owned())).ok_or_else(|| "write NAME=VALUE".to_owned())
}

pub(crate) fn probe(arguments: &ProbeArguments) -> Result<ExitCode> {
    let (program, words) = arguments.command.split_first().context("no program was given")?;
    if let Some(file) = arguments.write.as_ref().filter(|file| file.exists()) {
        eprintln!("error: {} is there already, and stays: give another file", file.display());
        return Ok(ExitCode::Usage);
    }
    let found = programs::found(program)?;
    let found = fs::canonicalize(&found)
        .with_context(|| format!("failed to find the program {}", found.display()))?;
    let templates = words.iter().map(|word| {
        let wrong = |name| anyhow!("{word:?}: there is no placeholder `{{{name}}}`");
        Template::parse(word).map_err(wrong)
    });
    let templates = templates.collect::<Result<Vec<_>>>()?;
    if let Err(why) = meshlab_lab::probe().lab_possible() {
        bail!(
            "this host cannot make the network lab: {why}\n`meshlab doctor` says how to allow it"
        );
    }
    let folder = Folder::make()?;
    let settings = ProbeSettings {
        program: found.clone(),
        arguments: templates,
        env: arguments.env.iter().cloned().collect::<BTreeMap<_, _>>(),
        length: arguments.length,
        folder: folder.0.clone(),
    };
    println!(
        "{} for {}, in a network of its own",
        found.display(),
        format_duration(arguments.length)
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let probed = runtime.block_on(probe_program(&settings)).map_err(|why| anyhow!("{why}"))?;
    drop(runtime);
    print!("{}", told(&probed));
    if let Some(file) = &arguments.write {
        let text = kind::text(&found, words, &arguments.env, &probed);
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))?;
        println!("\nwrote {}: read it, it is a first guess", file.display());
    }
    Ok(match probed.exit {
        // What ends by itself is no node; that it was seen is not a success.
        Some(_) => ExitCode::ClaimFailed,
        None => ExitCode::Passed,
    })
}

/// A folder for the time of one probe.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let name = format!(".probe-{}", std::process::id());
        let path = std::env::current_dir()?.join("results").join(name);
        fs::create_dir_all(&path).with_context(|| format!("failed to make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        // Goes only if nothing else is in it.
        let _ = self.0.parent().map(fs::remove_dir);
    }
}

/// What was seen, for people.
fn told(probed: &Probed) -> String {
    let mut said = String::new();
    let mut section = |title: &str, lines: Vec<String>, none: &str| {
        let more = lines.len().saturating_sub(SHOWN_MAX);
        let mut shown: Vec<String> = lines.into_iter().take(SHOWN_MAX).collect();
        if more > 0 {
            shown.push(format!("and {more} more"));
        }
        if shown.is_empty() {
            shown.push(none.to_owned());
        }
        for (place, line) in shown.iter().enumerate() {
            let title = if place == 0 { title } else { "" };
            said.push_str(format!("  {title:<9} {line}").trim_end());
            said.push('\n');
        }
    };
    section("ends", ending(probed), "");
    let bound = probed.bound.iter().map(|(word, address)| format!("{word} {address}"));
    section("binds", bound.collect(), "nothing");
    section("dials", dialled(probed), "nobody");
    let spans = probed.spans.iter().map(|((of, name), count)| match of.as_str() {
        "" => format!("{count} x {name}"),
        of => format!("{count} x {name} of {of}"),
    });
    section("spans", spans.collect(), "none: it exports nothing to OTEL_EXPORTER_OTLP_ENDPOINT");
    let lines = kind::candidates(&probed.log)
        .into_iter()
        .map(|(line, pattern)| format!("{line:?}, as the pattern {pattern:?}"));
    section("ready?", lines.collect(), "no line of its log looks like it");
    section("log", probed.log.clone(), "empty");
    let cpu = probed.idle_cpu.map(|cpu| format!("CPU {:.1}% of a core at idle", cpu * 100.0));
    let rss = probed.rss_bytes.map(|bytes| format!("RSS {}", ByteSize(bytes)));
    section("uses", cpu.into_iter().chain(rss).collect(), "it was gone before it could be seen");
    if let Some(why) = &probed.not_own_tmp {
        section("/tmp", vec![format!("shared with this host: {why}")], "");
    }
    said
}

fn ending(probed: &Probed) -> Vec<String> {
    let mut lines = Vec::new();
    match (&probed.exit, probed.left.is_empty()) {
        (Some(exit), false) => lines.push(format!(
            "by itself, with {exit}, and leaves processes behind: it goes into the background; \
             start it in the foreground"
        )),
        (Some(exit), true) => lines.push(format!("by itself, with {exit}: its log says why")),
        (None, _) if probed.ended_when_asked => lines.push("when asked to, by SIGTERM".to_owned()),
        (None, _) => lines.push("not within 4 s of SIGTERM; it was killed".to_owned()),
    }
    if !probed.left.is_empty() {
        let left: Vec<String> =
            probed.left.iter().map(|rest| format!("{} ({})", rest.name, rest.pid)).collect();
        lines.push(format!("leaves {} behind, which was ended", left.join(", ")));
    }
    lines
}

fn dialled(probed: &Probed) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (word, address) in &probed.dialled {
        let flag =
            if is_outside(address.ip()) { "  OUTSIDE the lab: it reaches nothing" } else { "" };
        lines.push(format!("{word} {address}{flag}"));
    }
    for (address, packets) in &probed.outside {
        lines.push(format!("{packets} packets to {address}  OUTSIDE the lab: none went anywhere"));
    }
    let named: u64 = probed.outside.values().sum();
    if probed.outside_packets > named {
        let more = probed.outside_packets - named;
        lines.push(format!("{more} packets to other addresses outside the lab"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_reads_well() {
        let at = |text: &str| text.parse().unwrap();
        let mut probed = Probed {
            bound: [("TCP", at("0.0.0.0:8000"))].into(),
            dialled: [("TCP", at("192.0.2.8:443")), ("UDP", at("198.18.0.2:7777"))].into(),
            outside_packets: 9,
            outside: BTreeMap::from([("192.0.2.8".parse().unwrap(), 4)]),
            log: vec!["12:00:01 listening on 0.0.0.0:8000".to_owned()],
            idle_cpu: Some(0.0123),
            rss_bytes: Some(9 << 20),
            ended_when_asked: true,
            ..Probed::default()
        };
        probed.spans.insert(("app::net".to_owned(), "conn.up".to_owned()), 7);
        let gone = Probed {
            exit: Some(meshlab_model::NodeExit { code: Some(3), signal: None }),
            log: vec!["cannot read config".to_owned()],
            not_own_tmp: Some("an overlay on /tmp: EPERM".to_owned()),
            ..Probed::default()
        };
        insta::assert_snapshot!(format!("{}\n{}", told(&probed), told(&gone)));
    }
}
