//! The view of a run in a terminal, or in a log.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use meshlab_model::{
    DeclaredTest, ExitCode, FaultId, FaultStage, MeshId, RunEvent, RunEventKind, TestId, Verdict,
};

use crate::{
    text::{clean, excerpt, took},
    view::{ClaimView, RunView},
};

/// Faults of a schedule that are printed; the whole of it is in the report.
const PLAN_SHOWN: usize = 40;

/// How to write.
#[derive(Debug, Clone, Copy)]
pub struct TerminalStyle {
    /// Whether a status line can be redrawn in place.
    pub tty: bool,
    /// Whether to colour.
    pub color: bool,
    /// Columns; the status line is cut there.
    pub width: usize,
}

/// What the end of a run says beside its verdict.
#[derive(Debug, Clone)]
pub struct Closing {
    /// The run's folder.
    pub results: PathBuf,
    /// The page.
    pub report: PathBuf,
    /// The scenario file, as given.
    pub script: PathBuf,
    /// The run's seed.
    pub seed: u64,
    /// The verdict of the record, which knows more than this view: the view may have missed an
    /// event, and cannot see whether the record is whole.
    pub verdict: Verdict,
    /// What the process will exit with.
    pub exit_code: ExitCode,
}

/// Writes a run as it goes: one line for each finished claim, fault and test, and where the output
/// is a terminal a status line below them.
pub struct Terminal<W: Write> {
    out: W,
    style: TerminalStyle,
    script: String,
    view: RunView,
    status: bool,
}

impl<W: Write> Terminal<W> {
    /// A view of a run that has not begun. `script` is the scenario's text, for excerpts.
    pub fn new(out: W, style: TerminalStyle, script: String, tests: &[DeclaredTest]) -> Self {
        Self { out, style, script, view: RunView::new(tests), status: false }
    }

    /// Takes in what happened in earlier parts of a run that is gone on with, and writes nothing.
    pub fn knowing(&mut self, events: &[RunEvent]) {
        for event in events {
            self.view.apply(event);
        }
    }

    /// What is known so far.
    pub fn view(&self) -> &RunView {
        &self.view
    }

    /// Takes in an event and writes what it tells.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn event(&mut self, event: &RunEvent) -> io::Result<()> {
        use RunEventKind as K;
        let warnings = self.view.warnings.len();
        self.view.apply(event);
        self.clear_status()?;
        let at = event.at;
        match &event.kind {
            K::RunResumed { .. } => {
                if let Some(gap) = self.view.gaps.last() {
                    writeln!(self.out, "{at}  gap      {}", gap.told())?;
                }
            }
            K::TestStarted { title, .. } => writeln!(self.out, "{at}  test     {}", clean(title))?,
            K::TestFinished { test, .. } => {
                let verdict = self.view.test_verdict(*test);
                let word = self.word(&verdict);
                let title = self.view.tests.get(test).map(|t| clean(&t.title)).unwrap_or_default();
                writeln!(self.out, "{at}  {word} test {title}")?;
            }
            K::StepStarted { name, .. } => writeln!(self.out, "{at}  step     {}", clean(name))?,
            K::ClaimFinished { claim, .. } => {
                if let Some(claim) = self.view.claim(*claim).cloned() {
                    self.claim(event, &claim)?;
                }
            }
            K::ChaosPlanned { .. } | K::ChaosSkipped { .. } | K::ChaosFinished { .. } => {
                self.chaos(event)?;
            }
            K::RoundFinished { round, measures, failed, .. } => {
                let text = crate::text::round(round, measures, failed.as_deref());
                writeln!(self.out, "{at}  compared {text}")?;
            }
            K::FaultReached { .. } | K::FaultCaptured { .. } | K::FaultFinished { .. } => {
                self.fault(event)?;
            }
            K::ProfileTaken { .. } | K::HeapTaken(_) => {
                if let Some(text) = crate::text::profile(&event.kind) {
                    writeln!(self.out, "{at}  profiled {text}")?;
                }
            }
            K::NodeExited { node, exit, asked_for: false, .. } => {
                let node = clean(node.as_str());
                writeln!(self.out, "{at}  {node} exited by itself with {exit}")?;
            }
            K::NodeActed { node, act, outcome, .. } => {
                let (node, act) = (clean(node.as_str()), clean(act));
                writeln!(self.out, "{at}  asked    {node} to {act}: {}", clean(outcome))?;
            }
            K::TrafficMeasured(measure) => {
                writeln!(self.out, "{at}  traffic  {}", clean(&crate::text::traffic(measure)))?;
            }
            K::Kept { meshes, nodes } => self.kept(event, meshes, *nodes)?,
            K::ByHand { text } => {
                for line in text.lines() {
                    writeln!(self.out, "{at}  by hand  {}", clean(line))?;
                }
            }
            K::KeepEnded { by } => writeln!(self.out, "{at}  kept     given up: {}", clean(by))?,
            K::Note { text } => writeln!(self.out, "{at}  note     {}", clean(text))?,
            K::Problem { text, .. } => {
                for line in text.lines() {
                    writeln!(self.out, "{at}  problem  {}", clean(line))?;
                }
            }
            _ => {}
        }
        for (at, text) in &self.view.warnings[warnings..] {
            writeln!(self.out, "{at}  warning  {}", clean(text))?;
        }
        self.draw_status(event)?;
        self.out.flush()
    }

    /// What stays up, and how to get at it.
    fn kept(&mut self, event: &RunEvent, meshes: &[MeshId], nodes: u32) -> io::Result<()> {
        let names: Vec<String> = meshes.iter().map(|mesh| clean(mesh.as_str())).collect();
        let (at, names, run) = (event.at, names.join(", "), clean(&self.view.run));
        let stay = if nodes == 1 { "1 node stays" } else { &format!("{nodes} nodes stay") };
        writeln!(self.out, "{at}  kept     {names}: {stay} up; the tests are judged")?;
        writeln!(self.out, "{:20}meshlab attach {run}", "")?;
        writeln!(self.out, "{:20}gives a prompt on them in another terminal; Ctrl-C ends them", "")
    }

    fn chaos(&mut self, event: &RunEvent) -> io::Result<()> {
        use RunEventKind as K;
        let at = event.at;
        match &event.kind {
            K::ChaosPlanned { chaos, seed, plan, .. } => {
                let last = plan.last().map_or(String::new(), |last| {
                    format!(", the last after {}", took(last.at_micros))
                });
                let count = plan.len();
                writeln!(
                    self.out,
                    "{at}  chaos    {chaos}: {count} faults from seed {seed}{last}"
                )?;
                for fault in plan.iter().take(PLAN_SHOWN) {
                    let (name, target) = (clean(&fault.name), clean(fault.target.as_str()));
                    let when = took(fault.at_micros);
                    writeln!(self.out, "{:11}{when:>10} {name} {target}", "")?;
                }
                if count > PLAN_SHOWN {
                    writeln!(self.out, "{:22}and {} more", "", count - PLAN_SHOWN)?;
                }
            }
            K::ChaosSkipped { place, why } => {
                let (chaos, number) = (place.chaos, place.place + 1);
                writeln!(
                    self.out,
                    "{at}  chaos    {chaos}: fault {number} skipped: {}",
                    clean(why)
                )?;
            }
            K::ChaosFinished { chaos, tally, early } => {
                let found = crate::text::tally(tally);
                let early = early.as_ref().map(|early| format!("; ended early: {}", clean(early)));
                let early = early.unwrap_or_default();
                let view = self.view.chaos.get(chaos);
                let late = view.map(crate::text::late).unwrap_or_default();
                writeln!(self.out, "{at}  chaos    {chaos}: {found}{late}{early}")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn fault(&mut self, event: &RunEvent) -> io::Result<()> {
        use RunEventKind as K;
        let at = event.at;
        match &event.kind {
            K::FaultReached { fault, stage } => {
                let name = self.fault_name(*fault);
                let (what, how) = match stage {
                    FaultStage::Acted { witness, unnoticed } => {
                        let why =
                            unnoticed.as_ref().map(|why| format!(" (not to be noticed: {why})"));
                        ("acted", format!("{witness}{}", why.unwrap_or_default()))
                    }
                    FaultStage::Noticed { by, evidence } => {
                        ("noticed", format!("{by}: {evidence}"))
                    }
                    FaultStage::Undone { how } => ("undone", how.clone()),
                    FaultStage::Healed { .. } => return Ok(()),
                };
                writeln!(self.out, "{at}  fault    {name} {what}: {}", clean(&how))?;
            }
            K::FaultCaptured { fault, file, packets, .. } => {
                let (name, file) = (self.fault_name(*fault), clean(file));
                writeln!(self.out, "{at}  captured {name}: {packets} packets in {file}")?;
            }
            K::FaultFinished { fault, verdict } => {
                let word = self.word(verdict);
                let name = self.fault_name(*fault);
                let why = verdict.reason().map(|why| format!(": {}", clean(why)));
                writeln!(self.out, "{at}  {word} fault {name}{}", why.unwrap_or_default())?;
            }
            _ => {}
        }
        Ok(())
    }

    fn claim(&mut self, event: &RunEvent, claim: &ClaimView) -> io::Result<()> {
        let verdict = claim.judged();
        if verdict.is_passed() {
            let word = self.word(&verdict);
            let (text, took) = (clean(&claim.text), took(claim.took_micros));
            let hand = if claim.after_hand { ", after an act by hand" } else { "" };
            return writeln!(self.out, "{}  {word} {} {text} ({took}{hand})", event.at, claim.call);
        }
        let test = self.view.tests.get(&claim.test).map(|test| clean(&test.title));
        let title = if event.manual { "by hand".to_owned() } else { test.unwrap_or_default() };
        let word = self.paint(&verdict, &format!("{:<7}", verdict.word().to_uppercase()));
        writeln!(self.out, "\n{word} {title}")?;
        let reason = clean(verdict.reason().unwrap_or_default());
        let since = match claim.evidence.since {
            Some(since) if !reason.contains("since") => format!(", counted since {since}"),
            _ => String::new(),
        };
        let found = format!("{reason}{since}");
        let place = claim.source.as_ref();
        let shown = place.and_then(|source| {
            writeln!(self.out, "  {}", clean(&source.to_string())).ok()?;
            let source = Some(source).filter(|source| self.view.in_scenario(source))?;
            excerpt(&self.script, source, &claim.call)
        });
        if let Some(shown) = shown {
            let pad = " ".repeat(shown.gutter);
            writeln!(self.out, "  {pad} |\n  {} | {}", shown.line, shown.code)?;
            let carets = self.paint(&verdict, &shown.carets);
            let gap = if shown.carets.is_empty() { "" } else { " " };
            writeln!(self.out, "  {pad} | {carets}{gap}{found}")?;
        } else {
            writeln!(self.out, "  {}: {found}", claim.call)?;
        }
        if !claim.evidence.by_node.is_empty() {
            writeln!(self.out, "  by node   {}", crate::text::tallies(&claim.evidence))?;
        }
        for note in &claim.evidence.notes {
            writeln!(self.out, "  note      {}", clean(note))?;
        }
        writeln!(self.out)
    }

    /// Writes the summary.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn finish(&mut self, closing: &Closing) -> io::Result<()> {
        self.clear_status()?;
        writeln!(self.out, "\ntests")?;
        let tests: Vec<TestId> = self.view.tests.keys().copied().collect();
        for id in tests {
            let verdict = self.view.test_verdict(id);
            let word = self.word(&verdict);
            let test = &self.view.tests[&id];
            let time = match (test.started, &test.finished) {
                (Some(from), Some((to, _))) => took(to.micros.saturating_sub(from.micros)),
                _ => "-".to_owned(),
            };
            writeln!(self.out, "  {word} {time:>8}  {}", clean(&test.title))?;
            if let Some(why) = verdict.reason() {
                writeln!(self.out, "  {:12} {:>8}  {}", "", "", clean(why))?;
            }
        }
        self.faults()?;
        self.comparisons()?;
        self.limits()?;
        if let Some(replay) = crate::text::replay(&self.view) {
            writeln!(self.out, "\nreplay {replay}")?;
        }
        for gap in &self.view.gaps {
            writeln!(self.out, "\ngap    {}", gap.told())?;
        }
        if let Some(hands) = self.view.hands_line() {
            writeln!(self.out, "\nby hand {hands}")?;
        }
        let passed = self.view.claims.values().filter(|claim| claim.judged().is_passed()).count();
        let (claims, nodes) = (self.view.claims.len(), self.view.nodes.len());
        let (faults, last) = (self.view.faults.len(), took(self.view.last.micros));
        writeln!(
            self.out,
            "\n{passed} of {claims} claims passed, {faults} faults, {nodes} nodes, {last}"
        )?;
        let (verdict, code) = (closing.verdict.clone(), closing.exit_code);
        let word = self.paint(&verdict, &verdict.word().to_uppercase());
        let why = verdict.reason().map(|why| format!(": {}", clean(why))).unwrap_or_default();
        writeln!(self.out, "{word}{why}")?;
        writeln!(self.out, "  report    {}", closing.report.display())?;
        writeln!(self.out, "  results   {}", closing.results.display())?;
        writeln!(self.out, "  exit      {} ({})", code as u8, crate::text::meaning(code))?;
        if !verdict.is_passed() {
            writeln!(self.out, "  next      meshlab report {}", closing.results.display())?;
            let (script, seed) = (closing.script.display(), closing.seed);
            writeln!(self.out, "            meshlab run {script} --seed {seed}")?;
        }
        self.out.flush()
    }

    /// A fault's name and whom it hurts.
    fn fault_name(&self, fault: FaultId) -> String {
        let Some(fault) = self.view.fault(fault) else { return String::new() };
        format!("{} {}", clean(&fault.name), crate::text::whom(fault))
    }

    fn faults(&mut self) -> io::Result<()> {
        if self.view.faults.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "\nfaults")?;
        for fault in self.view.faults.values() {
            let stage = |what: &str, at: Option<meshlab_model::RunTime>| match at {
                Some(at) => {
                    format!("{what} after {}", took(at.micros.saturating_sub(fault.planned.micros)))
                }
                None => format!("not {what}"),
            };
            let noticed = match &fault.unnoticed {
                Some(_) => "not to be noticed".to_owned(),
                None => stage("noticed", fault.noticed.iter().map(|noticed| noticed.0).min()),
            };
            writeln!(
                self.out,
                "  {:<12} {} {} at {}: {}, {noticed}, {}{}",
                fault.judged().word(),
                clean(&fault.name),
                crate::text::whom(fault),
                fault.planned,
                stage("acted", fault.acted.as_ref().map(|acted| acted.0)),
                stage("undone", fault.undone.as_ref().map(|undone| undone.0)),
                fault.healed_after().map_or(String::new(), |micros| {
                    format!(", healed {} after that", took(micros))
                }),
            )?;
        }
        if let Some(recovery) = crate::text::recovery(&self.view.recovery) {
            writeln!(self.out, "  recovery     {recovery}")?;
        }
        Ok(())
    }

    fn comparisons(&mut self) -> io::Result<()> {
        for comparison in self.view.comparisons.values() {
            let (before, after) = (clean(&comparison.before), clean(&comparison.after));
            let rounds = comparison.pairs();
            writeln!(self.out, "\nbefore and after: `{before}` and `{after}`, {rounds} rounds")?;
            for measure in comparison.measures() {
                let (name, text) = (clean(&measure.name), crate::text::measure(&measure));
                writeln!(self.out, "  {:<12} {name}: {text}", measure.word.as_str())?;
            }
        }
        Ok(())
    }

    fn limits(&mut self) -> io::Result<()> {
        let limits: Vec<_> = self.view.limits().collect();
        if !limits.is_empty() {
            writeln!(self.out, "\nlimits")?;
        }
        for claim in limits {
            let verdict = claim.judged();
            let (word, text) = (self.word(&verdict), clean(&claim.text));
            writeln!(self.out, "  {word} {text}")?;
            let told = verdict.reason().into_iter();
            for line in told.chain(claim.evidence.notes.iter().map(String::as_str)) {
                writeln!(self.out, "  {:12}   {}", "", clean(line))?;
            }
        }
        Ok(())
    }

    fn word(&self, verdict: &Verdict) -> String {
        self.paint(verdict, &format!("{:<12}", verdict.word()))
    }

    fn paint(&self, verdict: &Verdict, text: &str) -> String {
        if !self.style.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match verdict {
            Verdict::Passed => 32,
            Verdict::Failed(_) | Verdict::Broken(_) => 31,
            Verdict::Skipped(_) | Verdict::Inconclusive(_) => 33,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    fn clear_status(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.status) {
            write!(self.out, "\r\u{1b}[K")?;
        }
        Ok(())
    }

    fn draw_status(&mut self, event: &RunEvent) -> io::Result<()> {
        let claims = self.view.claims.values();
        let hands = self.view.hands.iter().flat_map(|hands| hands.claims.values());
        let open = claims.chain(hands).rev().find(|claim| claim.verdict.is_none());
        let Some(claim) = open.filter(|_| self.style.tty && self.view.end.is_none()) else {
            return Ok(());
        };
        let progress = match claim.progress {
            Some((have, need)) => format!("{have} of {need}"),
            None => "waiting".to_owned(),
        };
        let line = format!("{}  {progress}  {} {}", event.at, claim.call, clean(&claim.text));
        let cut: String = line.chars().take(self.style.width.saturating_sub(1)).collect();
        write!(self.out, "{cut}")?;
        self.status = true;
        Ok(())
    }
}
