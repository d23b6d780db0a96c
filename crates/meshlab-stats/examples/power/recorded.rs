//! Noise of a fleet of our own: 18 idle nodes, a value a second for 32 minutes.

use meshlab_stats::{MinuteMedians, Stream};

const RECORDED: &str = include_str!("../../fixtures/idle-18.txt");
const PAGE_BYTES: f64 = 4096.0;
/// Seconds that are drawn together: longer than the noise remembers.
pub(crate) const BLOCK: usize = 300;
/// What is left out at the beginning: their own warm-up. One is added where it is asked for.
pub(crate) const WARM: usize = 300;

/// What one node used.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Resident memory in bytes, a second each.
    pub(crate) rss: Vec<f64>,
    /// CPU time in microseconds, a second each.
    pub(crate) cpu: Vec<f64>,
}

/// The nodes of the recording.
pub(crate) fn fleet() -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let (Some(_), Some(kind)) = (words.next(), words.next()) else { continue };
        let values = words.flat_map(|word| {
            let (value, times) = word.split_once('*').unwrap_or((word, "1"));
            let times = times.parse().unwrap_or_else(|_| panic!("`{word}`"));
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("`{word}`"));
            std::iter::repeat_n(value, times)
        });
        match kind {
            "rss" => {
                let rss = values.skip(WARM).map(|pages| pages * PAGE_BYTES).collect();
                nodes.push(Node { rss, cpu: Vec::new() });
            }
            _ => {
                nodes.last_mut().unwrap_or_else(|| panic!("{line}")).cpu =
                    values.skip(WARM).collect()
            }
        }
    }
    nodes
}

/// Where a block of a node begins.
fn block(stream: &mut Stream, series: &[f64]) -> usize {
    stream.below(series.len() - BLOCK)
}

/// Memory of a node that was never there: blocks of what recorded ones gained from second to second
/// (block bootstrap; Kuensch, "The jackknife and the bootstrap for general stationary
/// observations", 1989), with a growth in bytes a second and a warm-up of that many bytes with a
/// time constant of five minutes added; in pages, as medians of minutes.
pub(crate) fn memory(
    stream: &mut Stream,
    fleet: &[Node],
    minutes: u32,
    growth: f64,
    warmup: f64,
) -> Vec<(f64, f64)> {
    let mut medians = MinuteMedians::default();
    let (mut level, mut at) = (20e6, 0_u32);
    while at < minutes * 60 {
        let rss = &fleet[stream.below(fleet.len())].rss;
        let from = block(stream, rss);
        for pair in rss[from..=from + BLOCK].windows(2) {
            if at == minutes * 60 {
                break;
            }
            level += pair[1] - pair[0];
            let seconds = f64::from(at);
            let added = growth * seconds + warmup * (1.0 - (-seconds / 300.0).exp());
            let pages = ((level + added) / PAGE_BYTES).floor();
            medians.add(seconds, pages * PAGE_BYTES);
            at += 1;
        }
    }
    medians.points()
}

/// What a round measures of the CPU of one node, as a ratio to its mean, with this coefficient of
/// variation: blocks of 30 s of the recording, of which the shape is kept and the width is not.
pub(crate) fn rounds(stream: &mut Stream, node: &Node, count: usize, variation: f64) -> Vec<f64> {
    let of = |from: usize| node.cpu[from..from + 30].iter().sum::<f64>();
    let all: Vec<f64> = (0..node.cpu.len() - 30).map(of).collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let squares: f64 = all.iter().map(|value| (value - mean).powi(2)).sum();
    let width = (squares / all.len() as f64).sqrt();
    let one = |_| 1.0 + variation * (all[stream.below(all.len())] - mean) / width;
    (0..count).map(one).collect()
}
