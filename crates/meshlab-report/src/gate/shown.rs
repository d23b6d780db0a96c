//! The gate for people: a table in the terminal, and in markdown.

use meshlab_model::{Baseline, ExitCode, Verdict};

use super::{GateReport, GateRow};
use crate::{
    exports::plain,
    figures::amount,
    text::{clean, meaning},
};

/// Rows that a terminal shows; the whole table is in the files.
const ROWS_SHOWN: usize = 40;

impl GateReport {
    /// The table for a terminal, worst first, and the verdict.
    pub fn terminal(&self) -> String {
        let mut text = format!("gate of {}\n\n", clean(&self.run));
        let shown = &self.rows[..self.rows.len().min(ROWS_SHOWN)];
        let cut = |text: &str, most: usize| -> String {
            let text = clean(text);
            match text.char_indices().nth(most) {
                Some((end, _)) => format!("{}...", &text[..end]),
                None => text,
            }
        };
        let width = |of: &dyn Fn(&GateRow) -> usize| shown.iter().map(of).max().unwrap_or(0);
        let what = width(&|row| cut(&row.what, 60).chars().count());
        let found = width(&|row| cut(&row.found, 60).chars().count());
        for row in shown {
            let (name, is, limit) = (cut(&row.what, 60), cut(&row.found, 60), clean(&row.limit));
            let limit = if limit.is_empty() { limit } else { format!("of {limit}") };
            let word = row.verdict.word();
            let line = format!("  {word:12}  {name:what$}  {is:found$}  {limit}");
            text += line.trim_end();
            text.push('\n');
            if let Some(why) = row.verdict.reason() {
                text += &format!("                {}\n", cut(why, 400));
            }
        }
        if self.rows.len() > shown.len() {
            text += &format!("  and {} more, none of them worse\n", self.rows.len() - shown.len());
        }
        text.push('\n');
        for note in &self.notes {
            text += &format!("  {}\n", clean(note));
        }
        let code = self.exit_code();
        text += &format!(
            "\n{}\nexit code {} ({})\n",
            clean(&self.verdict.to_string()),
            code as u8,
            gate_meaning(code)
        );
        text
    }

    /// The head of the markdown: verdict, notes, and the beginning of the table.
    pub(super) fn markdown_head(&self) -> String {
        let code = self.exit_code();
        let mut text = format!(
            "## Gate of {}: {}\n\n{}\n\nExit code {} ({}).\n\n",
            plain(&self.run),
            self.verdict.word(),
            plain(&short(self.verdict.reason().unwrap_or("Everything held."))),
            code as u8,
            gate_meaning(code)
        );
        for note in &self.notes {
            text += &format!("- {}\n", plain(&short(note)));
        }
        text + "\n| Verdict | What | Found | Allowed | Why |\n|---|---|--:|--:|---|\n"
    }

    pub(super) fn markdown_row(row: &GateRow) -> String {
        let place = row.source.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        format!(
            "| {} | {} | {} | {} | {} |\n",
            row.verdict.word(),
            plain(&short(&format!("{}{place}", row.what))),
            plain(&short(&row.found)),
            plain(&row.limit),
            plain(&short(row.verdict.reason().unwrap_or("")))
        )
    }
}

/// One cell must not fill the page.
fn short(text: &str) -> String {
    match text.char_indices().nth(1000) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn gate_meaning(code: ExitCode) -> &'static str {
    match code {
        ExitCode::Passed => "everything was looked at and held",
        ExitCode::ClaimFailed => "something did not hold",
        ExitCode::HarnessFailed => "the record says nothing about the nodes",
        other => meaning(other),
    }
}

/// What JUnit has of a row.
pub(super) fn case_name(row: &GateRow) -> String {
    clean(&row.what)
}

/// Whether a row is worth an annotation.
pub(super) fn is_bad(row: &GateRow) -> bool {
    !matches!(row.verdict, Verdict::Passed)
}

/// A baseline for a terminal: each number with how much it varied.
pub fn baseline_terminal(baseline: &Baseline) -> String {
    let runs = baseline.runs.len();
    let mut text = format!("{}, {runs} runs\n\n", clean(&baseline.conditions.scenario));
    let names: Vec<String> =
        baseline.figures.iter().map(|figure| clean(&figure.key.to_string())).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, figure) in names.iter().zip(&baseline.figures) {
        let median = clean(&amount(figure.median, &figure.unit));
        let spread = figure
            .spread
            .map_or("not known".to_owned(), |spread| format!("{:.1} %", spread * 100.0));
        text += &format!("  {name:width$}  {median:>12}  spread {spread}\n");
    }
    if runs < meshlab_stats::PREDICTION_MIN {
        text += &format!(
            "\n{} runs are the fewest that a gate can be decided by: how much runs vary is not \
             known yet\n",
            meshlab_stats::PREDICTION_MIN
        );
    }
    text
}
