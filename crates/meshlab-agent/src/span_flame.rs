//! The time between enter and exit of spans, as folded stacks. It is not CPU time: a span that is
//! entered and blocks counts in full.
//!
//! `tracing-flame` writes a line for each enter and exit, about a megabyte a second at 120 messages
//! a second. Here the lines are added up as they come, so that the file stays as small as its
//! distinct stacks.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use tracing::Subscriber;
use tracing_flame::FlameLayer;
use tracing_subscriber::registry::LookupSpan;

/// Most distinct stacks. What else comes is added to [`REST`].
const STACKS_MAX: usize = 4096;

/// Stands for the stacks that found no room.
const REST: &str = "all-threads;stacks beyond the first 4096";

/// How often the file is written anew, if there is something new: a node that is killed leaves what
/// it had by then.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// A layer that adds up spans, into the file at `path`.
pub(crate) fn layer<S>(path: PathBuf) -> FlameLayer<S, Folding>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    FlameLayer::new(Folding { path, stacks: BTreeMap::new(), saved: Instant::now() })
        .with_empty_samples(false)
        .with_threads_collapsed(true)
        .with_file_and_line(false)
}

/// Adds up lines of folded stacks.
pub(crate) struct Folding {
    path: PathBuf,
    stacks: BTreeMap<String, u64>,
    saved: Instant,
}

impl Folding {
    fn add(&mut self, line: &str) {
        let Some((stack, nanos)) = line.trim_end().rsplit_once(' ') else { return };
        let Ok(nanos) = nanos.parse::<u64>() else { return };
        if !self.stacks.contains_key(stack) && self.stacks.len() >= STACKS_MAX {
            *self.stacks.entry(REST.to_owned()).or_default() += nanos;
        } else {
            *self.stacks.entry(stack.to_owned()).or_default() += nanos;
        }
    }

    /// In microseconds, which is what the harness labels them as.
    fn save(&mut self) -> io::Result<()> {
        self.saved = Instant::now();
        let line = |(stack, nanos): (&String, &u64)| {
            format!("{} {}\n", stack.replace("; ", ";"), nanos / 1000)
        };
        let text: String = self.stacks.iter().map(line).collect();
        let beside = self.path.with_extension("part");
        fs::write(&beside, text).and_then(|()| fs::rename(&beside, &self.path))
    }
}

impl io::Write for Folding {
    /// A whole line comes in pieces; only whole stacks are added.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        String::from_utf8_lossy(bytes).lines().for_each(|line| self.add(line));
        if self.saved.elapsed() >= SAVE_EVERY {
            self.save()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.save()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn spans_are_added_up_by_their_parents_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spans.folded");
        let layer = layer(path.clone());
        let flush = layer.flush_on_drop();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..50 {
                let _outer = tracing::info_span!("outer").entered();
                tracing::info_span!("inner").in_scope(|| ());
            }
        });
        flush.flush().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().any(|line| line.contains("outer;") && line.contains("inner ")));

        let mut folding =
            Folding { path: path.clone(), stacks: BTreeMap::new(), saved: Instant::now() };
        for number in 0..STACKS_MAX + 10 {
            folding.write_all(format!("all-threads; a; s{number} 5000\n").as_bytes()).unwrap();
        }
        folding.flush().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), STACKS_MAX + 1);
        assert!(text.contains(&format!("{REST} 50\n")), "what found no room is told");
    }
}
