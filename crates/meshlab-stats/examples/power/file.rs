//! Another recording, from a file.

use std::{collections::BTreeMap, path::Path};

use crate::recorded::{BLOCK, Node, WARM};

/// The nodes of a recording that `meshlab query` wrote: `node,rss_bytes,cpu_seconds_total`, a line
/// each second of each node, under a line of names. Who has no whole recording is left out.
pub(crate) fn read(path: &Path) -> Result<Vec<Node>, String> {
    let text = std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
    let mut series: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()).skip(1) {
        let words: Vec<&str> = line.split(',').collect();
        let &[node, rss, cpu] = words.as_slice() else {
            return Err(format!("line {number} has {} values, not 3: {line}", words.len()));
        };
        let (Ok(rss), Ok(cpu)) = (rss.parse(), cpu.parse()) else {
            return Err(format!("line {number} has no numbers: {line}"));
        };
        series.entry(node).or_default().push((rss, cpu));
    }
    let node = |series: &Vec<(f64, f64)>| {
        let steady = series.get(WARM..)?;
        let rss = steady.iter().map(|(rss, _)| *rss).collect();
        let cpu = steady.windows(2).map(|two| (two[1].1 - two[0].1) * 1e6).collect();
        (steady.len() > 2 * BLOCK).then_some(Node { rss, cpu })
    };
    let nodes: Vec<Node> = series.values().filter_map(node).collect();
    match nodes.len() {
        0..3 => {
            Err(format!("{} nodes have {} s of it, 3 are needed", nodes.len(), WARM + 2 * BLOCK))
        }
        _ => Ok(nodes),
    }
}
