//! What the matrix comes to: a table, and a verdict.

use std::time::Duration;

use meshlab_model::{ExitCode, format_duration};

use super::{
    cases::{Case, Kind, SCENARIOS},
    matrix::Seen,
};

/// Letters of a red claim that are told in the table; the report has all of it.
const NAMED_MAX: usize = 240;

/// How one case came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// As it must.
    Right,
    /// A mistake that nobody noticed, or an alarm over nothing.
    Wrong,
    /// Runs that say nothing: broken or undecided.
    Unknown,
}

/// A case and its runs.
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) seen: Vec<Seen>,
}

impl Row {
    pub(super) fn came(&self) -> Came {
        let silent = self.seen.iter().any(|one| !one.is_red() && !one.is_green());
        match self.case.kind {
            // Red without a word that names it has found nothing.
            Kind::Mistake | Kind::Stale if self.finding().is_some() => Came::Right,
            Kind::Stale => Came::Wrong,
            Kind::Mistake if self.unnamed().is_some() => Came::Wrong,
            Kind::Mistake if silent || self.seen.is_empty() => Came::Unknown,
            Kind::Mistake => Came::Wrong,
            Kind::Sound if self.seen.iter().any(Seen::is_red) => Came::Wrong,
            Kind::Sound if silent || self.seen.is_empty() => Came::Unknown,
            Kind::Sound => Came::Right,
        }
    }

    /// The run that was red by a claim that names the culprit, and what that says.
    fn finding(&self) -> Option<(&Seen, &String)> {
        self.seen.iter().find_map(|one| Some((one, one.named(&self.case)?)))
    }

    /// A run that was red over something else.
    fn unnamed(&self) -> Option<&Seen> {
        self.seen.iter().find(|one| one.is_red())
    }

    /// The row's lines.
    pub(super) fn text(&self) -> String {
        let looked: Vec<&str> = self.seen.iter().map(|one| one.scenario.as_str()).collect();
        let looked = looked.join(", ");
        let name = self.case.name;
        let (by, after, named) = match (self.came(), self.finding(), self.unnamed()) {
            (Came::Right, Some((one, said)), _) => {
                let mut named = shortened(said, one.red.len() - 1);
                if one.tries > 1 {
                    named.push_str(&format!(" (run {} times, the others said nothing)", one.tries));
                }
                (one.scenario.clone(), one.after, named)
            }
            (Came::Right, None, _) => ("green".to_owned(), None, looked),
            (Came::Wrong, _, Some(one)) => {
                let what = if self.case.kind == Kind::Sound { "ALARM in" } else { "NOT NAMED in" };
                let first = one.red.first().map(String::as_str).unwrap_or_default();
                let more = one.red.len().saturating_sub(1);
                (format!("{what} {}", one.scenario), one.after, shortened(first, more))
            }
            (Came::Wrong, ..) => ("NOT FOUND".to_owned(), None, format!("looked: {looked}")),
            (Came::Unknown, ..) => ("UNKNOWN".to_owned(), None, self.silent()),
        };
        let after = after.map_or_else(|| "-".to_owned(), rounded);
        format!("{name:<22} {by:<18} {after:>7}  {named}")
    }

    /// The runs that say nothing.
    fn silent(&self) -> String {
        let silent = self.seen.iter().filter(|one| !one.is_red() && !one.is_green());
        let silent: Vec<String> = silent
            .map(|one| format!("{} ended with exit code {}", one.scenario, one.code))
            .collect();
        silent.join(", ")
    }
}

fn rounded(after: Duration) -> String {
    format_duration(Duration::from_secs(after.as_secs().max(1)))
}

/// A red claim on one line, and how many there are besides.
fn shortened(claim: &str, more: usize) -> String {
    let line = claim.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let mut text: String = line.chars().take(NAMED_MAX).collect();
    if text.len() < line.len() {
        text.push_str(" ...");
    }
    if more > 0 {
        text.push_str(&format!(" (and {more} more)"));
    }
    text
}

/// The table's head.
pub(super) fn head() -> String {
    format!("{:<22} {:<18} {:>7}  {}", "defect", "found by", "after", "how it is named")
}

/// Each case against each scenario, in one word.
pub(super) fn grid(rows: &[Row]) -> String {
    let line = |name: &str, cells: &[&str]| {
        let cells = SCENARIOS.iter().zip(cells);
        let cells = cells.map(|(scenario, cell)| format!(" {cell:<0$}", scenario.len().max(5)));
        format!("{name:<22}{}", cells.collect::<String>()).trim_end().to_owned()
    };
    let mut text = vec![line("defect", &SCENARIOS)];
    for row in rows.iter().filter(|row| row.case.kind != Kind::Stale) {
        let cell = |scenario: &&str| {
            let one = row.seen.iter().find(|one| one.scenario == **scenario);
            match (one, row.case.kind) {
                (None, _) => "",
                (Some(one), Kind::Sound) if one.is_red() => "ALARM",
                (Some(one), _) if one.named(&row.case).is_some() => "found",
                (Some(one), _) if one.is_red() => "red",
                (Some(one), _) if one.is_green() => "green",
                (Some(_), _) => "?",
            }
        };
        text.push(line(row.case.name, &SCENARIOS.iter().map(cell).collect::<Vec<_>>()));
    }
    text.push(
        "found: red, and the culprit named; red: over something else; ?: the run said nothing"
            .to_owned(),
    );
    text.join("\n")
}

/// What all of it comes to, in a sentence, and the exit code.
pub(super) fn summary(rows: &[Row]) -> (String, ExitCode) {
    let count = |kind: &dyn Fn(Kind) -> bool, came: Came| {
        rows.iter().filter(|row| kind(row.case.kind) && row.came() == came).count()
    };
    let (planted, sound) = (|kind| kind != Kind::Sound, |kind| kind == Kind::Sound);
    let of = |kind: &dyn Fn(Kind) -> bool| rows.iter().filter(|row| kind(row.case.kind)).count();
    let wrong = count(&planted, Came::Wrong) + count(&sound, Came::Wrong);
    let unknown = count(&planted, Came::Unknown) + count(&sound, Came::Unknown);
    let text = format!(
        "{} of {} mistakes found, {} of {} sound nodes left alone{}",
        count(&planted, Came::Right),
        of(&planted),
        count(&sound, Came::Right),
        of(&sound),
        if unknown > 0 { format!(", {unknown} not known") } else { String::new() }
    );
    let interrupted = ExitCode::Interrupted as i32;
    let interrupted = rows.iter().flat_map(|row| &row.seen).any(|one| one.code == interrupted);
    let code = match (interrupted, wrong, unknown) {
        (true, ..) => ExitCode::Interrupted,
        (_, 0, 0) => ExitCode::Passed,
        (_, 0, _) => ExitCode::Inconclusive,
        _ => ExitCode::ClaimFailed,
    };
    (text, code)
}

#[cfg(test)]
mod tests {
    use super::{super::cases::CASES, *};

    fn row(name: &str, runs: &[(&str, i32, &[&str])]) -> Row {
        let case = CASES.into_iter().find(|case| case.name == name).unwrap();
        let seen = runs.iter().map(|(scenario, code, red)| Seen {
            scenario: (*scenario).to_owned(),
            code: *code,
            tries: if *scenario == "restart" { 2 } else { 1 },
            after: (*code == 1).then_some(Duration::from_millis(17_400)),
            red: red.iter().map(|text| (*text).to_owned()).collect(),
        });
        Row { case, seen: seen.collect() }
    }

    #[test]
    fn each_run_has_its_place_in_the_grid() {
        let storm = "check.at_most: connections.opened a second of node-2: 9.5 is more than 0.4";
        let rows = [
            row("healthy", &[("idle", 0, &[]), ("churn", 1, &[storm])]),
            row("join-storm", &[("volume", 1, &["another"]), ("idle", 1, &[storm])]),
            row("seed-one-shot", &[("boot-order", 5, &[]), ("clocks", 0, &[])]),
            row("stale-binary", &[("before the run", 5, &["older than its source"])]),
        ];
        insta::assert_snapshot!(grid(&rows));
    }

    #[test]
    fn what_was_found_and_what_was_not_is_told_and_decides() {
        let storm = "check.at_most: connections.opened a second of node-2: 9.5 is more than 0.4";
        let found = row("join-storm", &[("idle", 1, &[storm, "another"])]);
        let other = row("join-not-select", &[("churn", 1, &["a fault: it did not act"])]);
        let later = row("mdns-full-mesh", &[("idle", 0, &[]), ("volume", 1, &[storm])]);
        let again = row("joined-set-grows", &[("restart", 1, &["node-1 is missed by node-2"])]);
        let stale = row(
            "stale-binary",
            &[("before the run", 5, &["use x: it is older than its source y"])],
        );
        let blind = row("span-forever", &[("idle", 0, &[]), ("volume", 0, &[])]);
        let mute = row("address-cache", &[("churn", 1, &[])]);
        let accepted = row("stale-binary", &[("before the run", 0, &[])]);
        let broken = row("seed-one-shot", &[("boot-order", 5, &[])]);
        let green = row("healthy", &[("idle", 0, &[]), ("churn", 0, &[])]);
        let alarm = row("lookalike-steps", &[("idle", 0, &[]), ("churn", 1, &[storm])]);
        let undecided = row("lookalike-cache", &[("churn", 4, &[])]);
        let mut text = vec![head()];
        let all =
            [&found, &later, &again, &stale, &blind, &mute, &other, &accepted, &broken, &green];
        text.extend(all.into_iter().chain([&alarm, &undecided]).map(Row::text));
        let code = |rows: Vec<Row>| {
            let (text, code) = summary(&rows);
            format!("{text}: exit code {}", code as i32)
        };
        text.push(code(vec![found, later, stale, green]));
        text.push(code(vec![blind]));
        text.push(code(vec![mute]));
        text.push(code(vec![other]));
        text.push(code(vec![accepted]));
        text.push(code(vec![alarm]));
        text.push(code(vec![broken, undecided]));
        text.push(code(vec![row("healthy", &[("idle", 130, &[])])]));
        insta::assert_snapshot!(text.join("\n"));
    }
}
