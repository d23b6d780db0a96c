//! Claims about the order and the density of spans: sequences, what follows what, counts in a
//! window, nothing before something.
//!
//! Each is a [`Machine`] that takes spans in as they arrive, so a watch of hours costs no more than
//! the spans that are new, and what is evicted from memory meanwhile has been seen.

mod counts;
mod follows;
mod sequence;
mod until;

use std::time::Duration;

use meshlab_model::{
    ClaimEvidence, NodeId, RunTime, Severity, SourceLine, Tally, Verdict, format_duration,
};
use meshlab_spans::{Found, Selector, SpanStore};
use tokio::time::Instant;

use super::{loss, notes, query};
use crate::{ClaimOutcome, Engine, HostError, SpanQuery, cancel::describe};

/// How long a span may be under way before its absence counts: nodes flush each tenth of a second,
/// the rest is for a busy host.
const TRAVEL: Duration = Duration::from_secs(1);

/// A claim about the order or the density of spans. Every part of it is looked for at each node by
/// itself: spans of two nodes have no order but that of their arrival.
#[derive(Debug, Clone, PartialEq)]
pub enum Temporal {
    /// These spans came in this order, others may lie between.
    Sequence {
        /// The spans; at least two.
        steps: Vec<SpanQuery>,
        /// Whether each node must show it, or one of them is enough.
        each: bool,
        /// An attribute that must have one value in all of them.
        by: Option<String>,
        /// Deadline.
        within: Duration,
    },
    /// Each span of one kind is followed by one of another.
    Follows {
        /// What is to be followed.
        first: SpanQuery,
        /// What must follow it.
        then: SpanQuery,
        /// An attribute that must have the same value in both.
        by: Option<String>,
        /// How soon.
        within: Duration,
        /// For how long new ones of the first kind are looked for; `None` for those that are there.
        during: Option<Duration>,
    },
    /// In every stretch of time of that length there are so many.
    Counts {
        /// Which.
        query: SpanQuery,
        /// Whether it is asked of each node, or of all together.
        each: bool,
        /// The length of the stretch.
        window: Duration,
        /// At least so many in each stretch that is over.
        at_least: Option<u64>,
        /// At most so many.
        at_most: Option<u64>,
        /// How long to keep watching; `None` to look at what is there.
        during: Option<Duration>,
    },
    /// None of one kind before the first of another.
    Until {
        /// What must not be there.
        query: SpanQuery,
        /// What ends the watch.
        until: SpanQuery,
        /// Deadline for it.
        within: Duration,
    },
}

impl Temporal {
    /// What is asked for about the spans, one for each kind.
    pub fn queries(&self) -> Vec<&SpanQuery> {
        match self {
            Self::Sequence { steps, .. } => steps.iter().collect(),
            Self::Follows { first, then, .. } => vec![first, then],
            Self::Counts { query, .. } => vec![query],
            Self::Until { query, until, .. } => vec![query, until],
        }
    }

    /// How long it watches whatever comes.
    pub fn watches(&self) -> Duration {
        match self {
            Self::Follows { during, .. } | Self::Counts { during, .. } => {
                during.unwrap_or_default()
            }
            Self::Sequence { .. } | Self::Until { .. } => Duration::ZERO,
        }
    }

    /// Whether it can hold at all.
    ///
    /// # Errors
    /// [`HostError::Misuse`]: a sequence of fewer than two, bounds that exclude each other or are
    /// not there.
    pub fn check(&self) -> Result<(), HostError> {
        let mistake = match self {
            Self::Sequence { steps, .. } if steps.len() < 2 => {
                let text = "a sequence has at least two spans; for one there is `expect.spans`";
                Some(text.to_owned())
            }
            Self::Counts { window, at_least, at_most, .. } => {
                let (window, at_least, at_most) = (*window, *at_least, *at_most);
                counts::Bounds { window, at_least, at_most }.mistake()
            }
            _ => None,
        };
        mistake.map_or(Ok(()), |text| Err(HostError::Misuse(text)))
    }
}

/// What a machine has come to.
struct Judged {
    verdict: Verdict,
    /// Whether spans that were lost could have made it another.
    rests_on_absence: bool,
}

impl Judged {
    fn holds(rests_on_absence: bool) -> Self {
        Self { verdict: Verdict::Passed, rests_on_absence }
    }

    /// It fails because something is not there.
    fn lacks(why: String) -> Self {
        Self { verdict: Verdict::Failed(why), rests_on_absence: true }
    }

    /// It fails because of something that is there.
    fn has(why: String) -> Self {
        Self { verdict: Verdict::Failed(why), rests_on_absence: false }
    }

    fn undecided(why: String) -> Self {
        Self { verdict: Verdict::Inconclusive(why), rests_on_absence: false }
    }
}

/// A claim that takes spans in.
trait Machine: Send {
    /// A span of one part of the claim. They come in order of arrival.
    fn take(&mut self, part: usize, found: &Found);
    /// What can be said now, if it cannot change any more.
    fn judge(&mut self, now: RunTime) -> Option<Judged>;
    /// What is to be said once the time is up.
    fn end(&mut self, now: RunTime) -> Judged;
    /// How much each node has of what it needs.
    fn tallies(&self) -> Vec<Tally>;
    /// What was found, for a claim that holds.
    fn found(&self) -> String;
}

/// A claim that is about to be watched.
struct Watch {
    call: &'static str,
    text: String,
    selectors: Vec<Selector>,
    senders: Vec<NodeId>,
    machine: Box<dyn Machine>,
    /// How long it may take until it is decided.
    length: Duration,
}

impl Engine {
    pub(super) async fn judge_temporal(
        &self,
        claim: Temporal,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        claim.check()?;
        let shared = &self.shared;
        let Watch { call, text, selectors, senders, mut machine, length } = self.watch(claim)?;
        let since = selectors.iter().map(|selector| selector.since).min().unwrap_or_default();
        let claim = self.start_claim(call, text, severity, length, at)?;
        let open = self.until_judged(claim);
        let started = Instant::now();
        let mut reader = Reader { selectors: &selectors, seen: 0, gap: None };
        let waited = shared.store.wait_for(started + length, |store| {
            reader.read(store, since, machine.as_mut());
            machine.judge(shared.clock.now())
        });
        let judged = match shared.cancel.or(waited).await {
            Ok(Some(judged)) => judged,
            Ok(None) => machine.end(shared.clock.now()),
            Err(_) => {
                let why = shared.cancel.reason().as_ref().map(describe).unwrap_or_default();
                Judged::undecided(format!("not decided when {why}"))
            }
        };
        let lost = || reader.gap.clone().or_else(|| loss::at_doors(&shared.store, &senders));
        let verdict = match judged.verdict {
            verdict @ Verdict::Inconclusive(_) => verdict,
            verdict if !judged.rests_on_absence => verdict,
            verdict => match lost() {
                Some(why) => Verdict::Inconclusive(match verdict.reason() {
                    Some(found) => format!("{found}; but {why}"),
                    None => format!("none that speaks against it came, but {why}"),
                }),
                None => verdict,
            },
        };
        let by_node = machine.tallies();
        let short = |tally: &&Tally| tally.have < tally.need;
        let culprits: Vec<NodeId> =
            by_node.iter().filter(short).map(|tally| tally.node.clone()).collect();
        let notes = match verdict {
            Verdict::Passed => vec![machine.found()],
            _ => notes::about_nodes(self, &culprits),
        };
        let evidence = ClaimEvidence { by_node, notes, since: Some(since) };
        let took = shared.clock.now().since(since);
        open.judged();
        self.finish_claim(claim, verdict, started.elapsed(), evidence, severity, took)
    }

    fn watch(&self, claim: Temporal) -> Result<Watch, HostError> {
        match claim {
            Temporal::Sequence { steps, each, by, within } => {
                let (selectors, senders) = self.parts(steps.iter())?;
                let text = format!(
                    "{} of {}{}{} within {}",
                    steps.iter().map(query::words).collect::<Vec<_>>().join(", then "),
                    if each { "each of " } else { "" },
                    notes::names(&senders),
                    by_words(by.as_deref()),
                    format_duration(within)
                );
                let names = steps.into_iter().map(|step| step.name).collect();
                let machine = sequence::Sequence::new(names, &senders, each, by);
                let call = "expect.sequence";
                let machine = Box::new(machine);
                Ok(Watch { call, text, selectors, senders, machine, length: within })
            }
            Temporal::Follows { first, then, by, within, during } => {
                let (selectors, senders) = self.parts([&first, &then])?;
                let text = format!(
                    "each {} of {} is followed by {}{} within {}{}",
                    query::words(&first),
                    notes::names(&senders),
                    query::words(&then),
                    by_words(by.as_deref()),
                    format_duration(within),
                    query::during_words(during)
                );
                let ends = self.ends(during);
                let names = (first.name, then.name);
                let machine = follows::Follows::new(names, by, within, ends);
                let length = during.unwrap_or_default() + within + TRAVEL;
                let machine = Box::new(machine);
                Ok(Watch { call: "expect.follows", text, selectors, senders, machine, length })
            }
            Temporal::Counts { query, each, window, at_least, at_most, during } => {
                let (selectors, senders) = self.parts([&query])?;
                let bounds = counts::Bounds { window, at_least, at_most };
                let text = format!(
                    "{} {} of {}{}{}",
                    bounds.words(),
                    query::words(&query),
                    if each { "each of " } else { "" },
                    notes::names(&senders),
                    query::during_words(during)
                );
                let since = selectors.first().map(|selector| selector.since).unwrap_or_default();
                let ends = self.ends(during);
                let machine = counts::Counts::new(bounds, query.name, &senders, each, since, ends);
                let length = during.unwrap_or_default() + TRAVEL;
                let machine = Box::new(machine);
                Ok(Watch { call: "expect.counts", text, selectors, senders, machine, length })
            }
            Temporal::Until { query, until, within } => {
                let (selectors, senders) = self.parts([&query, &until])?;
                let text = format!(
                    "no {} of {} before {}, which comes within {}",
                    query::words(&query),
                    notes::names(&senders),
                    query::words(&until),
                    format_duration(within)
                );
                let machine = Box::new(until::Until::new(query.name, until.name, &senders));
                let call = "expect.no_spans";
                Ok(Watch { call, text, selectors, senders, machine, length: within })
            }
        }
    }

    /// What to ask of the store for each part, and the nodes that the claim is about.
    fn parts<'a>(
        &self,
        queries: impl IntoIterator<Item = &'a SpanQuery>,
    ) -> Result<(Vec<Selector>, Vec<NodeId>), HostError> {
        let mut selectors = Vec::new();
        let mut senders = None;
        for query in queries {
            selectors.push(super::selector(self, query)?);
            senders.get_or_insert_with(|| query::senders(self, query));
        }
        let senders: Vec<NodeId> = senders.unwrap_or_default();
        if senders.is_empty() {
            let text = "no node to look at: nothing that is not looked at can pass".to_owned();
            return Err(HostError::Misuse(text));
        }
        Ok((selectors, senders))
    }

    /// The moment at which a watch that begins now ends.
    fn ends(&self, during: Option<Duration>) -> RunTime {
        let now = self.shared.clock.now().as_duration();
        RunTime::from_duration(now + during.unwrap_or_default())
    }
}

/// Hands each span to a machine once, in order of arrival.
struct Reader<'a> {
    selectors: &'a [Selector],
    /// The number of the last span that was handed on.
    seen: u64,
    /// Set once spans were evicted before they were looked at.
    gap: Option<String>,
}

impl Reader<'_> {
    fn read(&mut self, store: &SpanStore, since: RunTime, machine: &mut dyn Machine) {
        if self.seen == 0 {
            self.gap = loss::in_memory(store, since);
        } else if let Some(oldest) = store.oldest_seq().filter(|oldest| *oldest > self.seen + 1) {
            let missed = oldest - self.seen - 1;
            let why =
                format!("{missed} spans came and went from memory before they were looked at");
            self.gap.get_or_insert(why);
        }
        let newest = store.last_seq();
        let mut new: Vec<(usize, Found)> = Vec::new();
        for (part, selector) in self.selectors.iter().enumerate() {
            let found = store.after(selector, self.seen);
            new.extend(found.into_iter().map(|found| (part, found)));
        }
        new.retain(|(_, found)| found.record.seq <= newest);
        new.sort_by_key(|(part, found)| (found.record.seq, *part));
        for (part, found) in &new {
            machine.take(*part, found);
        }
        self.seen = newest;
    }
}

fn by_words(by: Option<&str>) -> String {
    by.map(|by| format!(" with the same {by}")).unwrap_or_default()
}

/// The value of the attribute that ties spans together: `Some("")` if none is asked for, `None` if
/// the span has none.
fn tie(by: Option<&str>, found: &Found) -> Option<String> {
    match by {
        None => Some(String::new()),
        Some(by) => found.record.attributes.get(by).map(|value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        }),
    }
}

/// A span in a sentence: who sent what, when.
fn told(found: &Found) -> String {
    let record = &found.record;
    format!(
        "{} sent `{}` {} at {}",
        record.node,
        record.name,
        notes::attributes(&record.attributes),
        found.happened
    )
}

#[cfg(test)]
mod tests;
