//! The beginning and the end of a long recording, so that one run can be held against itself.

use std::time::Duration;

use crate::Folded;

/// Share of a recording that is its warm-up and left out: what is done once.
const WARM_UP: f64 = 0.1;
/// Share of it that each window has.
const WINDOW: f64 = 0.3;
/// Shortest recording that has windows: 99 samples a CPU second of less say nothing.
const LENGTH_MIN: Duration = Duration::from_secs(10);

/// The stacks of a recording, and of its first and last steady window.
#[derive(Debug, Clone, Default)]
pub struct Windows {
    /// All of it.
    pub whole: Folded,
    /// After its warm-up, and as long at its end; `None` of one that is shorter than ten seconds.
    pub ends: Option<(Folded, Folded)>,
}

/// The parts of what `perf script` said that lie in the first and in the last window, a stack after
/// the other. `None` where it is too short.
pub(crate) fn ends(said: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let blocks: Vec<(f64, &[u8])> =
        blocks(said).filter_map(|block| Some((time(block)?, block))).collect();
    let (began, ended) = (blocks.first()?.0, blocks.last()?.0);
    let length = ended - began;
    if length < LENGTH_MIN.as_secs_f64() {
        return None;
    }
    let within = |from: f64, until: f64| {
        let mut text = Vec::new();
        for (_, block) in blocks.iter().filter(|(at, _)| (from..=until).contains(at)) {
            text.extend_from_slice(block);
            text.extend_from_slice(b"\n\n");
        }
        text
    };
    let first = began + length * WARM_UP;
    Some((within(first, first + length * WINDOW), within(ended - length * WINDOW, ended)))
}

/// Stacks stand apart by an empty line.
fn blocks(said: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = said;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(rest.len());
        let block = rest.get(..end)?;
        rest = rest.get(end + 2..).unwrap_or_default();
        Some(block)
    })
}

/// The time in the first line of a stack, in seconds: `tokio-rt-worker 71/72 1234.567890: ...`. The
/// name of a thread may have anything in it, also blanks and colons.
fn time(block: &[u8]) -> Option<f64> {
    let line = block.split(|byte| *byte == b'\n').find(|line| !line.is_empty())?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace().rev();
    words.find_map(|word| word.strip_suffix(':')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(times: impl Iterator<Item = f64>) -> Vec<u8> {
        let one = |at: f64| {
            format!(
                "a thread: 1 71/72 {at:.6}:     cpu-clock:ppp: \n\t  55d0 f{} (/x)\n\n",
                at as u64
            )
        };
        times.map(one).collect::<String>().into_bytes()
    }

    #[test]
    fn windows_are_of_one_length_and_leave_out_the_start() {
        let all = said((0..=100).map(|n| 1000.0 + f64::from(n)));
        let (first, last) = ends(&all).unwrap();
        let times = |text: &[u8]| blocks(text).filter_map(time).collect::<Vec<_>>();
        let (first, last) = (times(&first), times(&last));
        assert_eq!((first.first(), first.last()), (Some(&1010.0), Some(&1040.0)));
        assert_eq!((last.first(), last.last()), (Some(&1070.0), Some(&1100.0)));
        assert_eq!(first.len(), last.len());
    }

    #[test]
    fn what_is_short_or_nothing_has_no_windows() {
        assert_eq!(ends(b""), None);
        assert_eq!(ends(b"\n\n\n\nno time here\n\n"), None);
        assert_eq!(ends(&said((0..9).map(f64::from))), None);
    }
}
