//! What somebody who watches should know before a verdict says it.

use std::collections::BTreeMap;

use meshlab_model::{NodeId, Resource, RunEvent, RunEventKind, RunTime, Sample, Verdict};

use super::{Key, Model};

/// From this share of a ceiling on it is about to break.
const NEAR: f64 = 0.8;
/// Below this share it is not any more: between the two an alert stays as it is.
const FAR: f64 = 0.7;

/// An alert.
#[derive(Debug, Clone)]
pub(super) struct Alert {
    pub(super) at: RunTime,
    pub(super) text: String,
    /// Whether it goes away by itself; else it stays.
    pub(super) passing: bool,
}

/// The alerts that stand, by what they are about.
#[derive(Debug, Default)]
pub(super) struct Alerts(pub(super) BTreeMap<String, Alert>);

impl Model {
    pub(super) fn raise(&mut self, about: String, at: RunTime, text: String, passing: bool) {
        let at = self.alerts.0.get(&about).map_or(at, |before| before.at);
        self.alerts.0.insert(about.clone(), Alert { at, text, passing });
        self.touch(Key::Alert(about));
    }

    pub(super) fn withdraw(&mut self, about: &str) {
        if self.alerts.0.remove(about).is_some() {
            self.touch(Key::Alert(about.to_owned()));
        }
    }

    /// Lost spans, limits that a claim found broken, a host that is noisy.
    pub(super) fn alert(&mut self, event: &RunEvent) {
        match &event.kind {
            RunEventKind::TelemetryCounted { node, count } => {
                if let Some(lost) = count.lost().filter(|lost| *lost > 0) {
                    let text = format!("{node} lost {lost} spans: counts of them are too low");
                    self.raise(format!("lost/{node}"), event.at, text, false);
                }
            }
            RunEventKind::ClaimFinished { claim, verdict: Verdict::Failed(why), .. } => {
                let limit = self.view.claim(*claim).filter(|claim| {
                    matches!(claim.call.as_str(), "ceilings" | "floors" | "trends")
                });
                if let Some(limit) = limit {
                    let about = format!("limit/{claim}");
                    let what = if limit.call == "trends" { "certain" } else { "broken" };
                    let text = format!("{} is {what}: {why}", limit.text);
                    self.raise(about, event.at, text, false);
                }
            }
            // Of a record that is being read, what counts is how it came out.
            RunEventKind::HostSampled(_) if !self.reading => self.alert_noise(event.at),
            RunEventKind::NodeExited { node, .. } => {
                let limited: Vec<Resource> = self.ceilings.keys().copied().collect();
                for resource in limited {
                    self.withdraw(&about_ceiling(node, resource));
                }
            }
            _ => {}
        }
    }

    /// Whether the host disturbs the run, as far as it is known by now.
    pub(super) fn alert_noise(&mut self, at: RunTime) {
        match self.view.noise().and_then(|noise| noise.why) {
            Some(why) => {
                self.raise("noise".to_owned(), at, format!("the host is noisy: {why}"), true);
            }
            None => self.withdraw("noise"),
        }
    }

    /// A ceiling that is about to break.
    pub(super) fn alert_ceilings(&mut self, node: &NodeId, sample: &Sample) {
        for (resource, limit) in self.ceilings.clone() {
            let value = match resource {
                Resource::Cpu => sample.cpu.unwrap_or(0.0),
                Resource::Rss => sample.rss_bytes as f64,
                Resource::OpenFiles => f64::from(sample.open_files),
                Resource::Threads => f64::from(sample.threads),
                Resource::Counter(name) => {
                    let counted = self.nodes.get(node).map(|live| &live.counted);
                    counted.and_then(|by| by.get(name.as_str())).copied().unwrap_or(0.0)
                }
            };
            let about = about_ceiling(node, resource);
            if limit > 0.0 && value >= limit * NEAR {
                let (value, whole) = (resource.amount(value), value / limit * 100.0);
                let place = if whole >= 100.0 { "above" } else { "near" };
                let text = format!(
                    "{node} is {place} its ceiling: {resource} {value} of {}, {whole:.0} %",
                    resource.amount(limit)
                );
                self.raise(about, sample.at, text, true);
            } else if value < limit * FAR {
                self.withdraw(&about);
            }
        }
    }
}

fn about_ceiling(node: &NodeId, resource: Resource) -> String {
    format!("ceiling/{node}/{resource}")
}
