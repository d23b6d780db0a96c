//! Whether nodes grow for sure, told while a run goes on.

use std::collections::BTreeMap;

use meshlab_model::{NodeId, Resource, RunTime, Sample};
use meshlab_stats::{Leak, MinuteMedians};

use super::Model;
use crate::slopes::{MEDIANS_MIN, words};

/// Share of runs without growth in which one is told of, over all looks at a resource.
const ALPHA: f64 = 0.01;
/// The first look, in seconds.
const FIRST: f64 = 600.0;
/// A look is later than the one before by this factor: 25 reach from ten minutes to two days.
const FACTOR: f64 = 1.25;
/// How far ahead a growth is told: the length of a soak, in seconds.
const AHEAD: f64 = 4.0 * 86_400.0;
/// What would not add this share of the level by then is certain, but nothing to look up for.
const MATTERS: f64 = 0.1;

const RESOURCES: [Resource; 4] = Resource::ALL;

/// The medians of the processes that live, by node and resource, and when they are looked at.
#[derive(Debug, Default)]
pub(super) struct Growing {
    lives: BTreeMap<NodeId, Life>,
    looks: u32,
    /// When the next look is due, in seconds.
    due: Option<f64>,
}

#[derive(Debug)]
struct Life {
    pid: u32,
    began: RunTime,
    medians: [MinuteMedians; RESOURCES.len()],
}

impl Growing {
    pub(super) fn add(&mut self, node: &NodeId, sample: &Sample) {
        let new = || Life { pid: sample.pid, began: sample.at, medians: Default::default() };
        let life = self.lives.entry(node.clone()).or_insert_with(new);
        if life.pid != sample.pid {
            *life = new();
        }
        let age = sample.at.since(life.began).as_secs_f64();
        let values = [
            sample.cpu,
            Some(sample.rss_bytes as f64),
            Some(f64::from(sample.open_files)),
            Some(f64::from(sample.threads)),
        ];
        for (medians, value) in life.medians.iter_mut().zip(values) {
            value.into_iter().for_each(|value| medians.add(age, value));
        }
    }

    /// What grows for sure, in words, if it is time to look.
    ///
    /// The k-th look may spend ALPHA / (k (k + 1)) of the false alarms, as the looks at `trends`
    /// do, so that looking again and again raises no more of them than one look.
    fn look(&mut self, now: RunTime) -> Option<Vec<(Resource, Option<String>)>> {
        let now = now.as_secs_f64();
        if now < *self.due.get_or_insert(FIRST) {
            return None;
        }
        self.looks += 1;
        self.due = Some(now * FACTOR);
        let spent = ALPHA / (f64::from(self.looks) * f64::from(self.looks + 1));
        let one = |(place, resource): (usize, Resource)| {
            let lives = self.lives.values().map(|life| life.medians[place].points());
            let lives: Vec<_> = lives.filter(|points| points.len() >= MEDIANS_MIN).collect();
            let last = |points: &Vec<(f64, f64)>| points.last().map_or(0.0, |point| point.1);
            let level = lives.iter().map(last).sum::<f64>() / lives.len().max(1) as f64;
            let told = Leak::of(&lives, 0.0).filter(|leak| {
                let more = leak.growth.mean * AHEAD;
                leak.alarm(0.0) && leak.growth.p_value < spent && more > level * MATTERS
            });
            let text = told.map(|leak| {
                let in_four_days = resource.amount(level + leak.growth.mean * AHEAD);
                let growth = words(Some(resource), leak.growth);
                format!(
                    "{resource} grows for sure: {growth}; at this rate {in_four_days} after 4 d"
                )
            });
            (resource, text)
        };
        Some(RESOURCES.into_iter().enumerate().map(one).collect())
    }
}

impl Model {
    /// A slope that turned certain, or is not any more.
    pub(super) fn alert_growth(&mut self, now: RunTime) {
        for (resource, text) in self.growing.look(now).into_iter().flatten() {
            let about = format!("slope/{resource}");
            match text {
                Some(text) => self.raise(about, now, text, true),
                None => self.withdraw(&about),
            }
        }
    }
}
