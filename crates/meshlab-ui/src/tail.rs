//! A run that another process writes, as it grows on the disk.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use meshlab_engine::results::{Following, file, is_written};
use meshlab_model::{CounterSample, Manifest, RunTime, Sample};

use crate::{live::News, model::is_told};

/// Looks between two at spans and samples: those are written about once a second.
const LOOKS_EACH: u32 = 2;

/// What of a run is not read yet.
pub(crate) struct Tail {
    following: Following,
    folder: PathBuf,
    looks: u32,
    /// The times of the newest that was read.
    spans: RunTime,
    samples: RunTime,
    counters: RunTime,
}

impl Tail {
    /// Of the run in `folder`; `None` if no process writes it.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        if !is_written(folder) {
            return None;
        }
        let manifest = std::fs::read(folder.join(file::MANIFEST)).ok()?;
        let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
        let following = Following::open(folder, manifest.schema).ok()?;
        Some(Self {
            following,
            folder: folder.to_owned(),
            looks: 0,
            spans: RunTime::ZERO,
            samples: RunTime::ZERO,
            counters: RunTime::ZERO,
        })
    }

    /// What the record says already is not to come again.
    pub(crate) fn known(&mut self, spans: RunTime, samples: RunTime) {
        (self.spans, self.samples, self.counters) = (spans, samples, samples);
    }

    /// What came since the last look, and whether that is all. Blocks for as long as the disk
    /// takes.
    pub(crate) fn look(&mut self) -> (Vec<News>, bool) {
        // First: what is written before the writer lets go is seen by this look.
        let over = !is_written(&self.folder);
        let mut news = Vec::new();
        self.looks += 1;
        if over || self.looks.is_multiple_of(LOOKS_EACH) {
            self.numbers(&mut news);
        }
        loop {
            // What cannot be read any more is no reason to end: the folder is looked after too.
            let events = self.following.events().unwrap_or_default();
            if events.is_empty() {
                break;
            }
            news.extend(events.into_iter().map(|event| News::Event(Arc::new(event))));
        }
        (news, over)
    }

    /// Spans, samples and counters; some spans of the last moment come again, by their numbers.
    fn numbers(&mut self, news: &mut Vec<News>) {
        for span in self.following.spans(self.spans) {
            self.spans = self.spans.max(span.arrived);
            if is_told(&span.name) {
                news.push(News::Span(span));
            }
        }
        let newer = |sample: &Sample| sample.at > self.samples;
        let samples: Vec<Sample> = self.following.samples(self.samples).filter(newer).collect();
        if let Some(last) = samples.iter().map(|sample| sample.at).max() {
            self.samples = last;
            news.push(News::Samples(samples));
        }
        let newer = |sample: &CounterSample| sample.at > self.counters;
        let counters: Vec<CounterSample> =
            self.following.counters(self.counters).filter(newer).collect();
        if let Some(last) = counters.iter().map(|sample| sample.at).max() {
            self.counters = last;
            news.push(News::Counters(counters));
        }
    }
}
