//! Where the faults of a timeline lie: their bars in time, and lanes in which neither bars nor the
//! labels above them overlap.

use meshlab_model::RunTime;

use crate::{text::clean, view::FaultView};

/// Width of a character of a label's monospaced font, with some air.
const CHARACTER: f64 = 6.8;

/// Width of a character that the font may not have, and that another, wider one shows.
const WIDE_CHARACTER: f64 = 13.0;

/// Narrowest part of a bar: onset takes milliseconds, and must be seen beside minutes.
const PART_MIN: f64 = 2.0;

/// Half of the width of the dot of a node that noticed.
const DOT: f64 = 3.5;

/// Free space between two faults of a lane.
const GAP: f64 = 6.0;

/// Characters of a label; the tooltip has the rest.
const LABEL_MAX: usize = 36;

/// Most lanes; what would need more is left out, and counted.
pub(super) const LANES_MAX: usize = 40;

/// A part of a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    /// Its class in the style sheet, by which it is filled.
    pub(super) class: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// A fault in its lane.
#[derive(Debug, Clone)]
pub(super) struct Bar<'a> {
    pub(super) fault: &'a FaultView,
    pub(super) lane: usize,
    pub(super) parts: Vec<Part>,
    /// When each observer noticed.
    pub(super) noticed: Vec<f64>,
    /// The label and where it begins; `None` if there is no room for any.
    pub(super) label: Option<(f64, String)>,
}

impl Bar<'_> {
    /// The room that it takes, label included.
    fn room(&self) -> (f64, f64) {
        let from = self.parts.first().map_or(0.0, |part| part.from);
        let to = self.parts.last().map_or(from, |part| part.to);
        // Who notices late may do so after the others hold it to be over.
        let to = self.noticed.iter().map(|x| x + DOT).fold(to, f64::max);
        match &self.label {
            Some((at, label)) => (from.min(*at), to.max(at + width(label))),
            None => (from, to),
        }
    }
}

/// The axis of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) left: f64,
    pub(super) wide: f64,
    pub(super) end: RunTime,
}

impl Axis {
    pub(super) fn x(&self, at: RunTime) -> f64 {
        let end = (self.end.micros as f64).max(1.0);
        tenth(self.left + (at.micros as f64 / end).min(1.0) * self.wide)
    }

    fn right(&self) -> f64 {
        self.left + self.wide
    }
}

/// Rounded to what can be seen.
pub(super) fn tenth(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

/// Lays out the faults: every one with its label, or if that takes too many lanes, labels only for
/// those that did not pass, or none. Returns how many were left out even so.
pub(super) fn lay_out<'a>(
    faults: impl Iterator<Item = &'a FaultView> + Clone,
    axis: Axis,
) -> (Vec<Bar<'a>>, usize) {
    let labelled: [fn(&FaultView) -> bool; 3] =
        [|_| true, |fault| !fault.judged().is_passed(), |_| false];
    let mut bars = Vec::new();
    for labelled in labelled {
        bars = faults.clone().map(|fault| bar(fault, axis, labelled(fault))).collect();
        let rooms: Vec<(f64, f64)> = bars.iter().map(Bar::room).collect();
        for (bar, lane) in bars.iter_mut().zip(pack(&rooms, GAP)) {
            bar.lane = lane;
        }
        if bars.iter().all(|bar| bar.lane < LANES_MAX) {
            return (bars, 0);
        }
    }
    let all = bars.len();
    bars.retain(|bar| bar.lane < LANES_MAX);
    let left_out = all - bars.len();
    (bars, left_out)
}

fn bar(fault: &FaultView, axis: Axis, labelled: bool) -> Bar<'_> {
    let parts = parts(fault, axis);
    let from = parts.first().map_or(axis.left, |part| part.from);
    let text = label(fault);
    let at = from.min(axis.right() - width(&text)).max(axis.left);
    let noticed = fault.noticed.iter().map(|(at, ..)| axis.x(*at)).collect();
    Bar { fault, lane: 0, parts, noticed, label: labelled.then_some((at, text)) }
}

/// Planned, acting, healing: as far as it came, up to its verdict or the end of the record.
fn parts(fault: &FaultView, axis: Axis) -> Vec<Part> {
    let over = fault.verdict.as_ref().map_or(axis.end, |verdict| verdict.0);
    let acted = fault.acted.as_ref().map(|acted| acted.0);
    let healed = fault.healed.iter().map(|healed| healed.0).max();
    // What has nothing to be taken back heals from when it acted.
    let back = fault.undone.as_ref().map(|undone| undone.0).or(acted.filter(|_| healed.is_some()));
    let mut bounds = vec![("planned", acted.unwrap_or(over))];
    if acted.is_some() {
        if back != acted {
            bounds.push(("acting", back.unwrap_or(over)));
        }
        if back.is_some() {
            bounds.push(("healing", healed.unwrap_or(over)));
        }
    }
    let mut from = axis.x(fault.planned);
    let part = |(class, until): (&'static str, RunTime)| {
        let to = axis.x(until).max(from + PART_MIN);
        let part = Part { class, from, to };
        from = to;
        part
    };
    bounds.into_iter().map(part).collect()
}

/// A sign of the verdict, told by its shape, before the name and the first target.
fn label(fault: &FaultView) -> String {
    let judged = fault.judged();
    let sign = sign(&judged);
    let more = match fault.targets.len() {
        0 | 1 => String::new(),
        count => format!(" +{}", count - 1),
    };
    let word = if judged.is_passed() { String::new() } else { format!("{} ", judged.word()) };
    let target = fault.targets.first().map(|node| clean(node.as_str())).unwrap_or_default();
    let text = format!("{sign} {word}{} {target}{more}", clean(&fault.name));
    if text.chars().count() <= LABEL_MAX {
        return text;
    }
    text.chars().take(LABEL_MAX - 1).chain(['…']).collect()
}

/// A verdict as a sign that needs no colour.
pub(super) fn sign(verdict: &meshlab_model::Verdict) -> char {
    match verdict.word() {
        "passed" => '✓',
        "failed" => '✗',
        "skipped" => '–',
        "inconclusive" => '?',
        _ => '!',
    }
}

/// How wide a label is drawn at the most.
pub(super) fn width(text: &str) -> f64 {
    let of = |c: char| if c.is_ascii() { CHARACTER } else { WIDE_CHARACTER };
    text.chars().map(of).sum()
}

/// For each interval the lowest lane in which it touches no other: first fit, by where they begin.
pub(super) fn pack(rooms: &[(f64, f64)], gap: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rooms.len()).collect();
    order.sort_by(|a, b| rooms[*a].0.total_cmp(&rooms[*b].0));
    let mut ends: Vec<f64> = Vec::new();
    let mut lanes = vec![0; rooms.len()];
    for place in order {
        let (from, to) = rooms[place];
        let free = ends.iter().position(|end| *end + gap <= from);
        let lane = free.unwrap_or(ends.len());
        if lane == ends.len() {
            ends.push(to);
        } else {
            ends[lane] = to;
        }
        lanes[place] = lane;
    }
    lanes
}

#[cfg(test)]
mod tests {
    use meshlab_model::{NodeId, TestId, Verdict};
    use proptest::prelude::*;

    use super::*;

    const AXIS: Axis = Axis { left: 110.0, wide: 1060.0, end: RunTime { micros: 60_000_000 } };

    fn fault(planned: u64, lasts: u64, verdict: Verdict) -> FaultView {
        let at = |micros| RunTime { micros: planned + micros };
        FaultView {
            test: TestId(0),
            name: "kill_node".to_owned(),
            targets: vec![NodeId::from("node-4")],
            against: 0,
            told: String::new(),
            unnoticed: None,
            chaos: None,
            source: None,
            planned: at(0),
            acted: Some((at(lasts / 4), String::new())),
            noticed: vec![(at(lasts * 2), NodeId::from("node-2"), String::new())],
            undone: Some((at(lasts / 2), String::new())),
            healed: vec![(at(lasts), NodeId::from("node-1"))],
            verdict: Some((at(lasts), verdict)),
            interrupted: None,
            capture: None,
        }
    }

    /// Pairs of the same lane whose bars or labels overlap.
    fn overlaps(bars: &[Bar<'_>]) -> usize {
        let pairs = bars.iter().enumerate();
        let pairs = pairs.flat_map(|(place, a)| bars[place + 1..].iter().map(move |b| (a, b)));
        let both = |(a, b): &(&Bar<'_>, &Bar<'_>)| {
            let ((a_from, a_to), (b_from, b_to)) = (a.room(), b.room());
            a.lane == b.lane && a_from < b_to && b_from < a_to
        };
        pairs.filter(both).count()
    }

    #[test]
    fn labels_of_faults_that_come_close_together_do_not_overlap() {
        let close: Vec<FaultView> =
            (0..4).map(|n| fault(n * 1_000_000, 900_000, Verdict::Passed)).collect();
        let (mut bars, left_out) = lay_out(close.iter(), AXIS);
        assert_eq!((overlaps(&bars), left_out), (0, 0));
        // The bars alone would have fitted into one lane: it is the labels that need more.
        assert!(bars.iter().any(|bar| bar.lane > 0));
        bars.iter_mut().for_each(|bar| bar.lane = 0);
        assert_eq!(overlaps(&bars), 6, "all in one lane, as they once were");
    }

    #[test]
    fn the_parts_tell_how_far_it_came() {
        let classes = |fault: &FaultView| {
            parts(fault, AXIS).iter().map(|part| part.class).collect::<Vec<_>>()
        };
        let mut one = fault(0, 8_000_000, Verdict::Failed("late".into()));
        assert_eq!(classes(&one), ["planned", "acting", "healing"]);
        assert_eq!(label(&one), "✗ failed kill_node node-4");
        one.undone = None;
        assert_eq!(classes(&one), ["planned", "healing"], "it was over as soon as it acted");
        one.healed.clear();
        assert_eq!(classes(&one), ["planned", "acting"]);
        one.acted = None;
        assert_eq!(classes(&one), ["planned"]);
    }

    #[test]
    fn many_lose_the_labels_of_those_that_passed_first_and_then_are_counted() {
        let some = |count: u64, each: u64| -> Vec<FaultView> {
            let verdict = |n| match n % 50 {
                0 => Verdict::Failed("late".into()),
                _ => Verdict::Passed,
            };
            (0..count).map(|n| fault(n * each, 100_000, verdict(n))).collect()
        };
        let (many, more) = (some(400, 150_000), some(3000, 1000));
        let (bars, left_out) = lay_out(many.iter(), AXIS);
        assert_eq!((overlaps(&bars), left_out), (0, 0));
        assert_eq!(bars.iter().filter(|bar| bar.label.is_some()).count(), 8);
        let (bars, left_out) = lay_out(more.iter(), AXIS);
        assert_eq!(overlaps(&bars), 0);
        assert!(left_out > 0 && bars.len() + left_out == 3000);
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_nothing_leaves_the_page(
            faults in proptest::collection::vec((0..60_000_000_u64, 0..30_000_000_u64), 0..60)
        ) {
            let faults: Vec<FaultView> =
                faults.iter().map(|(at, lasts)| fault(*at, *lasts, Verdict::Passed)).collect();
            let (bars, left_out) = lay_out(faults.iter(), AXIS);
            prop_assert_eq!(overlaps(&bars), 0);
            prop_assert_eq!(bars.len() + left_out, faults.len());
            for bar in &bars {
                let (from, to) = bar.room();
                prop_assert!(from >= AXIS.left && to <= AXIS.right() + 3.0 * PART_MIN + DOT);
            }
        }
    }
}
