//! The rehearsal: a scenario run to its end without a node, in no time.
//!
//! Open `host.rs` for what is answered, `world.rs` for what is believed to be there, `clock.rs` for
//! how four days pass in a moment. It finds what is wrong with the scenario itself: names, options,
//! units, nodes that do not run, roles that nobody has. It judges no measurement and no claim: of
//! these only real nodes can tell.

mod answers;
mod checks;
mod clock;
mod host;
mod remarks;
mod world;

use std::{sync::Arc, time::Duration};

use meshlab_engine::{Host, fault_needs_lab};
use meshlab_model::{TestId, TestOutcome};
use serde::Serialize;

use crate::{
    ErrorKind, Script, ScriptError,
    context::Context,
    locate::Line,
    task::{Place, Task},
};
use host::Stage;
use remarks::Remark;

/// How long, in real time, one test is rehearsed: hundreds of times what a long one takes. What is
/// not over then is said to be unfinished.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of a rehearsal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// What is wrong with the scenario: at most one for each test, because a test ends with it.
    pub errors: Vec<ScriptError>,
    /// What may be wrong, or could not be looked at.
    pub warnings: Vec<ScriptError>,
    /// What its tests need of the host.
    pub needs: Needs,
}

/// What a scenario needs of the host that runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// A network of its own: it does something to links.
    pub lab: bool,
    /// Control groups: it limits CPU or memory.
    pub cgroups: bool,
    /// The relay's program.
    pub relay: bool,
    /// The program that meshes take which name none.
    #[serde(skip)]
    pub node: bool,
    /// Nodes that run at the same time, at most.
    pub nodes_max: usize,
}

impl Needs {
    pub(crate) fn fault(&mut self, name: &str) {
        self.lab |= fault_needs_lab(name);
        self.cgroups |= matches!(name, "cpu_limit" | "memory_limit");
    }
}

impl Script {
    /// Runs every test against nothing: no process is started and nothing is waited for.
    ///
    /// Blocks for as long as the script computes, which is milliseconds; an endless loop is ended
    /// after a second, or after ten where each of its instructions takes long.
    pub fn rehearse(self) -> Rehearsed {
        let mut rehearsed = Rehearsed::default();
        // No clock and no input or output: whatever waits, waits on the rehearsal's own clock.
        let runtime = match tokio::runtime::Builder::new_current_thread().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let message = format!("failed to start the rehearsal's runtime: {error}");
                let mut error = self.context.mistake("", Line::default(), message);
                error.kind = ErrorKind::Harness;
                rehearsed.errors.push(error);
                return rehearsed;
            }
        };
        let timeout = self.declaration().timeout;
        let stage = Arc::new(Stage::new(Arc::clone(&self.context), timeout, PATIENCE));
        self.context.set_host(Arc::clone(&stage) as Arc<dyn Host>);
        runtime.block_on(rehearse_tests(&self, &stage, &mut rehearsed));
        let mut remarks = stage.take_remarks();
        remarks.sort();
        rehearsed.warnings.extend(remarks.into_iter().map(|remark| warning(&self.context, remark)));
        rehearsed.needs = stage.world().needs.clone();
        rehearsed
    }
}

async fn rehearse_tests(script: &Script, stage: &Arc<Stage>, rehearsed: &mut Rehearsed) {
    let context = &script.context;
    let root = Task::root();
    for ((number, test), body) in (0..).zip(&script.declaration().tests).zip(&script.bodies) {
        // Neither of the two has anything to fail at here.
        let _ = stage.begin_test(TestId(number), &test.title, test.source.clone()).await;
        context.set_in_test(true);
        let place = Place { task: Arc::clone(&root), since: stage.now() };
        let wrong = script.run_body(body, place).await;
        context.set_in_test(false);
        let _ = stage.end_test(TestId(number), TestOutcome::Completed).await;
        for error in wrong {
            judge(stage, error, rehearsed);
        }
    }
}

/// What the error that ended a test is: a mistake of the scenario, or the end of what can be known
/// without nodes.
fn judge(stage: &Stage, mut error: ScriptError, rehearsed: &mut Rehearsed) {
    match error.kind {
        // A claim does not fail here, and a task that was cancelled has nothing to tell.
        ErrorKind::ClaimFailed | ErrorKind::Withdrawn => {}
        ErrorKind::Cancelled if stage.stands() => {
            error.kind = ErrorKind::Mistake;
            error.message =
                "the script goes on and on here and waits for nothing: an endless loop?".to_owned();
            error.help = Some("to wait, use `sleep` or a claim with `within`".to_owned());
            rehearsed.errors.push(error);
        }
        ErrorKind::Cancelled => {
            let why = error.message.trim_start_matches("the run was stopped: ").to_owned();
            error.message = format!("the rehearsal ends here: {why}");
            error.help = Some("what comes after it in this test was not looked at".to_owned());
            rehearsed.warnings.push(error);
        }
        // Lua's own errors may come of what a rehearsal cannot know: a list that is empty here.
        ErrorKind::Mistake if error.of_lua && stage.world().invented => {
            error.message = format!("the rehearsal ends here: {}", error.message);
            error.help = Some(
                "it may depend on what real nodes say; what comes after it in this test was not \
                 looked at"
                    .to_owned(),
            );
            rehearsed.warnings.push(error);
        }
        ErrorKind::Mistake | ErrorKind::Node | ErrorKind::Harness => rehearsed.errors.push(error),
    }
}

fn warning(context: &Context, remark: Remark) -> ScriptError {
    let mut warning = context.word_mistake(&remark.word, remark.line, remark.message);
    warning.label = remark.label;
    warning.help = remark.help;
    warning
}
