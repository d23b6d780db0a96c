//! Heap profiles in the terminal: what is held by whom, and what became of it.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use meshlab_model::{ByteSize, ExitCode};
use meshlab_profile::{
    Names, Title, difference,
    heap::{Dump, HeapTable},
};

/// Ending of heap profiles.
const JSON: &str = "json";
/// Sites that are told.
const SITES: usize = 10;

/// Whether a file is a heap profile, by its name.
pub(super) fn is_dump(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == JSON)
}

fn read(path: &Path) -> Result<Dump> {
    let mut dump = Dump::read(path).context("failed to read a heap profile")?;
    // What a node wrote has addresses; what the harness wrote has names already.
    dump.resolve(&mut Names::default()).context("failed to name its sites")?;
    Ok(dump)
}

/// Tells what a dump holds.
pub(super) fn tell(path: &Path) -> Result<ExitCode> {
    let dump = read(path)?;
    let table = HeapTable::of(&dump);
    println!(
        "{} in {} blocks, {:.1} % attributed (rule {})\n",
        ByteSize(table.bytes),
        table.blocks,
        table.attributed() * 100.0,
        table.rule
    );
    println!("       bytes   blocks  part");
    for row in &table.buckets {
        println!("{:>12} {:8}  {}", ByteSize(row.bytes).to_string(), row.blocks, row.bucket);
    }
    println!("\n       bytes   blocks  part          site");
    for row in table.sites.iter().take(SITES) {
        let bytes = ByteSize(row.bytes).to_string();
        println!("{bytes:>12} {:8}  {:12}  {}", row.blocks, row.bucket, row.site);
    }
    Ok(ExitCode::Passed)
}

/// Tells what became of one in another, and draws it.
pub(super) fn diff(before_path: &Path, after_path: &Path, output: &Path) -> Result<ExitCode> {
    let (before, after) = (read(before_path)?, read(after_path)?);
    let (was, is) = (HeapTable::of(&before), HeapTable::of(&after));
    println!("{} -> {}\n", ByteSize(was.bytes), ByteSize(is.bytes));
    println!("      before         after        gained  part");
    for ((row, old), (_, gained)) in is.buckets.iter().zip(&was.buckets).zip(is.growth(&was)) {
        let (old, new) = (ByteSize(old.bytes).to_string(), ByteSize(row.bytes).to_string());
        println!("{old:>12}  {new:>12}  {:>12}  {}", signed(gained), row.bucket);
    }
    println!("\n      gained  part          site");
    for (row, gained) in is.grown_sites(&was, SITES) {
        println!("{:>12}  {:12}  {}", signed(gained), row.bucket, row.site);
    }
    let title = Title {
        title: format!("{} against {}", after_path.display(), before_path.display()),
        rests_on: format!(
            "{} bytes against {}, scaled to the same total; red takes more, blue less",
            is.bytes, was.bytes
        ),
        unit: "bytes".to_owned(),
    };
    let svg = difference(&before.folded(), &after.folded(), &title)?;
    fs::write(output, svg).with_context(|| format!("failed to write {}", output.display()))?;
    println!("\ndifference  {}", output.display());
    Ok(ExitCode::Passed)
}

pub(super) fn signed(bytes: i64) -> String {
    format!("{}{}", if bytes < 0 { "-" } else { "+" }, ByteSize(bytes.unsigned_abs()))
}
