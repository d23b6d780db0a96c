//! Two sets of runs for people: a table in the terminal and in markdown, and JSON for machines.

use meshlab_stats::Latency;
use serde_json::{Value, json};

use super::{CompareReport, CompareRow, Replicate};
use crate::{
    exports::plain,
    figures::amount,
    text::{change, clean, short},
    view::percentiles,
};

/// Version of `compare.json`.
const COMPARE_SCHEMA: u32 = 1;

impl CompareRow {
    /// Its cells: before, after, effect, interval.
    pub(super) fn cells(&self) -> [String; 4] {
        let show = |value: f64| match value.is_nan() {
            true => "-".to_owned(),
            false => clean(&amount(value, &self.unit)),
        };
        let interval = match self.interval {
            Some((low, high)) => format!("{} to {}", change(low), change(high)),
            None => "too few".to_owned(),
        };
        let effect = self.effect.map_or("-".to_owned(), change);
        [show(self.before), show(self.after), effect, interval]
    }
}

impl CompareReport {
    /// What it is about, in a line.
    pub(super) fn about(&self) -> String {
        let (before, after) = (self.before.len(), self.after.len());
        match self.replicate {
            Replicate::Run => format!(
                "{}: {before} runs before, {after} after; a pair of runs is one observation",
                clean(&self.scenario)
            ),
            Replicate::Node => format!(
                "{}: {} before, {} after; a node is one observation",
                clean(&self.scenario),
                clean(&self.before[0]),
                clean(&self.after[0])
            ),
        }
    }

    /// The table for a terminal, worst first, and the verdict.
    pub fn terminal(&self) -> String {
        let mut text = format!("{}\n\n", self.about());
        let mut table =
            vec![["", "figure", "before", "after", "effect", "99 % interval"].map(str::to_owned)];
        for row in &self.rows {
            let [before, after, effect, interval] = row.cells();
            let name = clean(&row.key.to_string());
            table.push([row.word.as_str().to_owned(), name, before, after, effect, interval]);
        }
        let whys = [None].into_iter().chain(self.rows.iter().map(|row| row.why.as_deref()));
        text += &aligned(&table, whys);
        if !self.latencies.is_empty() {
            text.push('\n');
            let names = ["lengths of time", "", "n", "p50", "p90", "p99", "max"];
            let mut table = vec![names.map(str::to_owned)];
            for of in &self.latencies {
                for (side, times) in [("before", &of.before), ("after", &of.after)] {
                    table.push(latency(&of.name, side, times));
                }
            }
            text += &aligned(&table, std::iter::repeat(None));
        }
        text.push('\n');
        for note in &self.notes {
            text += &format!("  {}\n", clean(note));
        }
        let code = self.exit_code() as u8;
        text + &format!("\n{}\nexit code {code}\n", clean(&self.verdict.to_string()))
    }

    /// The table of before and after in markdown, for a pull request or a step's summary, of at
    /// most so many bytes; what does not fit is left out from the end, and counted.
    pub fn markdown(&self, bytes_max: usize) -> String {
        let mut text = format!(
            "## Before and after: {}\n\n{}\n\n",
            self.verdict.word(),
            plain(self.verdict.reason().unwrap_or("Nothing is worse, and nothing undecided."))
        );
        text += &format!("{}.\n\n", plain(&self.about()));
        text += "| Word | Figure | Before | After | Effect | 99 % interval | Pairs |\n\
            |---|---|--:|--:|--:|--:|--:|\n";
        let mut tail = String::new();
        if !self.latencies.is_empty() {
            tail += "\n| Lengths of time | Side | n | p50 | p90 | p99 | max |\n\
                |---|---|--:|--:|--:|--:|--:|\n";
        }
        for of in &self.latencies {
            for (side, times) in [("before", &of.before), ("after", &of.after)] {
                let cells = latency(&of.name, side, times).map(|cell| plain(&cell)).join(" | ");
                tail += &format!("| {cells} |\n");
            }
        }
        tail.push('\n');
        for note in &self.notes {
            tail += &format!("- {}\n", plain(note));
        }
        let more =
            |left: usize| format!("\n{left} more figures are left out, none of them worse.\n");
        let room = bytes_max.saturating_sub(more(self.rows.len()).len());
        if text.len() > room {
            return "The comparison does not fit here.\n".chars().take(bytes_max).collect();
        }
        if tail.len() + text.len() > room / 2 {
            tail = "\nLengths of time and notes are left out: there is no more room.\n".to_owned();
        }
        let room = room.saturating_sub(tail.len());
        for (place, row) in self.rows.iter().enumerate() {
            let cells = row.cells().map(|cell| plain(&cell)).join(" | ");
            let (word, name, pairs) = (row.word.as_str(), plain(&row.key.to_string()), row.pairs);
            let row = format!("| {word} | {name} | {cells} | {pairs} |\n");
            if text.len() + row.len() > room {
                return text + &more(self.rows.len() - place) + &tail;
            }
            text += &row;
        }
        text + &tail
    }

    /// Everything for machines.
    pub fn json(&self) -> Value {
        let replicate = match self.replicate {
            Replicate::Run => "run",
            Replicate::Node => "node",
        };
        let rows = self.rows.iter().map(|row| {
            json!({ "figure": row.key, "unit": row.unit, "before": row.before, "after": row.after,
                "effect": row.effect, "interval": row.interval, "pairs": row.pairs,
                "word": row.word.as_str(), "why": row.why })
        });
        json!({
            "schema": COMPARE_SCHEMA,
            "scenario": self.scenario,
            "before": self.before,
            "after": self.after,
            "replicate": replicate,
            "verdict": self.verdict,
            "exit_code": self.exit_code() as u8,
            "claims": self.claims.as_ref().map(|claims| json!({
                "rounds": claims.rounds, "red_before": claims.red_before,
                "red_after": claims.red_after, "green_after": claims.green_after,
                "p_value": claims.p_value, "word": claims.word.as_str(),
            })),
            "figures": rows.collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

/// A side of a latency: name, side, count and percentiles.
pub(super) fn latency(name: &str, side: &str, times: &Latency) -> [String; 7] {
    let at = percentiles(times).map(|all| all.map(short));
    let [p50, p90, p99, max] = at.unwrap_or_else(|| ["-"; 4].map(str::to_owned));
    [clean(name), side.to_owned(), times.count().to_string(), p50, p90, p99, max]
}

/// Columns beside each other; the first two to the left, numbers to the right. Below a row stands
/// why it is as it is.
fn aligned<'a, const N: usize>(
    table: &[[String; N]],
    whys: impl Iterator<Item = Option<&'a str>>,
) -> String {
    let width =
        |place: usize| table.iter().map(|row| row[place].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for (row, why) in table.iter().zip(whys) {
        let cells = row.iter().zip(&widths).enumerate().map(|(place, (cell, width))| {
            if place < 2 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        text += format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end();
        text.push('\n');
        if let Some(why) = why {
            text += &format!("      {}\n", clean(why));
        }
    }
    text
}
