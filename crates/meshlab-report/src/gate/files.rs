//! The gate for a CI service: annotations, a step summary, a comment, JUnit. Each has a bound that
//! the service sets, and says in words what it left out.

use meshlab_model::Verdict;
use quick_junit::{Report, TestCase, TestSuite};

use super::{
    GateReport,
    shown::{case_name, is_bad},
};
use crate::{exports::status, text::clean};

/// Bytes of a step summary; GitHub shows nothing of a larger one.
pub const SUMMARY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a comment on a pull request; GitHub takes 65,536 characters.
pub const COMMENT_BYTES_MAX: usize = 64 * 1024;

/// Annotations of one kind that GitHub shows of a step.
const ANNOTATIONS_MAX: usize = 10;

/// Bytes of one annotation's text; it is a line in a margin.
const ANNOTATION_BYTES_MAX: usize = 2000;

/// Lines that GitHub reads from the output of a step, one a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotations(Vec<String>);

impl Annotations {
    /// The lines, each without its end.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl GateReport {
    /// `::error file=...,line=...::...` for what failed, `::warning` for what is undecided. At most
    /// ten of each, because GitHub shows no more; the last one says how many there are.
    pub fn annotations(&self) -> Annotations {
        let is_error =
            |verdict: &Verdict| matches!(verdict, Verdict::Failed(_) | Verdict::Broken(_));
        let mut lines = Vec::new();
        for (kind, errors) in [("error", true), ("warning", false)] {
            let bad = self.rows.iter().filter(|row| is_bad(row));
            let all: Vec<_> = bad.filter(|row| is_error(&row.verdict) == errors).collect();
            let shown = if all.len() > ANNOTATIONS_MAX { ANNOTATIONS_MAX - 1 } else { all.len() };
            for row in &all[..shown] {
                let (file, line) = match &row.source {
                    Some(place) => (place.file.as_str(), place.line),
                    None => (self.script_path.as_str(), 1),
                };
                let text = format!("{}: {}", row.what, row.verdict);
                lines.push(annotation(kind, file, line, &text));
            }
            if all.len() > shown {
                let text = format!("{} more; the step summary has them", all.len() - shown);
                lines.push(annotation(kind, &self.script_path, 1, &text));
            }
        }
        Annotations(lines)
    }

    /// Markdown of at most so many bytes, worst first. What does not fit is left out from the end,
    /// and counted in words.
    pub fn markdown(&self, bytes_max: usize) -> String {
        let mut text = self.markdown_head();
        let more = |left: usize| {
            format!("\n{left} more rows are left out, none of them worse: there is no more room.\n")
        };
        let room = bytes_max.saturating_sub(more(self.rows.len()).len());
        if text.len() > room {
            // Nothing but a name of a run beyond all reason comes to that.
            return "The gate's verdict does not fit here.\n".chars().take(bytes_max).collect();
        }
        for (place, row) in self.rows.iter().enumerate() {
            let row = Self::markdown_row(row);
            if text.len() + row.len() > room {
                return text + &more(self.rows.len() - place);
            }
            text += &row;
        }
        text
    }

    /// `junit.xml`: a case a row, worst first.
    pub fn junit(&self) -> String {
        let mut suite = TestSuite::new("gate");
        for row in &self.rows {
            let details = match (&row.found, &row.limit) {
                (found, limit) if found.is_empty() && limit.is_empty() => String::new(),
                (found, limit) => clean(&format!("found {found}, allowed {limit}")),
            };
            let mut case = TestCase::new(case_name(row), status(&row.verdict, &details));
            case.set_classname("gate");
            suite.add_test_case(case);
        }
        let mut report = Report::new(clean(&self.run));
        report.add_test_suite(suite);
        report.to_string().unwrap_or_else(|error| format!("<!-- cannot be written: {error} -->"))
    }
}

/// One annotation. Names come from scenarios and nodes and must not end the command: GitHub's own
/// escapes (`@actions/core`, `command.ts`).
fn annotation(kind: &str, file: &str, line: u32, text: &str) -> String {
    let data =
        |text: &str| clean(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut end = text.len().min(ANNOTATION_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!(
        "::{kind} file={},line={line},title=meshlab gate::{}",
        property(file),
        data(&text[..end])
    )
}
