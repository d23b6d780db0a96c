//! All of them: the name by which one is chosen, the files in which it is made, what it blinds.

macro_rules! mutants {
    ($($variant:ident => $name:literal, $files:literal, $meaning:literal;)*) => {
        /// A mistake of the harness.
        // Its words are in no program but one with the feature.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(feature = "mutants", derive(Debug))]
        pub enum Mutant {
            $(#[doc = $meaning] $variant,)*
        }

        impl Mutant {
            /// All of them, each at the place that it has as a number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
        }

        /// The words for each, in the order of [`Mutant::ALL`].
        #[cfg(feature = "mutants")]
        pub const CATALOGUE: &[Entry] = &[
            $(Entry {
                mutant: Mutant::$variant, name: $name, files: $files, meaning: $meaning,
            }),*
        ];
    };
}

/// What there is to say of a mutant.
#[cfg(feature = "mutants")]
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Which.
    pub mutant: Mutant,
    /// The name by which it is chosen.
    pub name: &'static str,
    /// In which files below `crates/` it is made, with a space between two.
    pub files: &'static str,
    /// What it blinds.
    pub meaning: &'static str,
}

mutants! {
    // Faults: whether they acted, were noticed, taken back and healed.
    FaultWithoutEffect => "wedge-that-does-not-stop", "meshlab-faults/src/wedge_node.rs",
        "a wedged node is sent no signal and goes on";
    WitnessUnseen => "witness-not-looked-at", "meshlab-faults/src/wedge_node.rs",
        "the witness of a wedged node says that it stopped without asking the kernel";
    UndoNothing => "undo-that-does-nothing", "meshlab-faults/src/undo.rs",
        "a fault is said to be taken back and stays";
    UndoLeftOut => "undo-left-out-at-the-end", "meshlab-engine/src/faults/mod.rs",
        "what still acts when its test ends is not taken back";
    HealedUnasked => "healed-without-a-look", "meshlab-engine/src/faults/heal.rs",
        "a mesh is healed as soon as its fault is taken back";
    DeathFromTable => "death-from-the-process-table", "meshlab-engine/src/faults/judge.rs",
        "a death is noticed because the process is gone, whatever survivors say";
    AnyObserver => "word-of-any-observer", "meshlab-engine/src/faults/judge.rs",
        "that one node noticed counts for all of them";
    QuietUnwatched => "false-deaths-not-looked-for", "meshlab-engine/src/faults/quiet.rs",
        "a node that is only slow may be held for dead";
    SilenceBelieved => "silence-excused-unasked", "meshlab-engine/src/faults/quiet.rs",
        "whoever is held for dead is said to have got no processor";
    FaultUnjournalled => "fault-not-in-the-journal", "meshlab-engine/src/faults/plan.rs",
        "a fault is applied before anything says that it will be";
    // Chaos, replay, the seed.
    BudgetEndless => "flake-budget-without-end", "meshlab-engine/src/chaos/mod.rs",
        "any number of faults of a schedule may go unnoticed";
    SkipsDetected => "skip-counted-as-detected", "meshlab-engine/src/chaos/mod.rs",
        "a fault of a schedule that could not be done counts as noticed";
    SeedIgnored => "seed-not-used", "meshlab-engine/src/chaos/mod.rs",
        "a schedule is drawn from the clock, so that no run can be had again";
    ReplayNothing => "replay-that-fires-nothing", "meshlab-engine/src/chaos/replay.rs",
        "a replay waits for its time and applies no fault";
    // Claims.
    ClaimUnasked => "claim-that-is-not-asked", "meshlab-engine/src/claims/mod.rs",
        "a claim that waits for evidence holds at once";
    EqualUnasked => "values-not-compared", "meshlab-engine/src/claims/mod.rs",
        "a claim on two values holds whatever they are";
    AbsenceUnasked => "absence-not-looked-for", "meshlab-engine/src/claims/no_spans.rs",
        "spans that should not be there are not looked for";
    LossUnseen => "lost-spans-not-counted", "meshlab-engine/src/claims/loss.rs",
        "absence is proved though spans of that time were refused";
    FormedByOne => "one-pair-is-a-mesh", "meshlab-engine/src/claims/formed.rs",
        "a mesh is formed when one node has heard one other";
    BooksUnread => "books-not-compared", "meshlab-engine/src/claims/agreed.rs",
        "what nodes say of each other is asked and not held against who is there";
    BalanceUnasked => "balance-not-judged", "meshlab-engine/src/claims/conserved.rs",
        "what was made and not ended is counted and not bounded";
    HearsayInferred => "hearsay-is-inference", "meshlab-engine/src/claims/state.rs",
        "a state that a node told itself counts as worked out by others";
    WindowUnheld => "window-not-counted", "meshlab-engine/src/claims/temporal/counts.rs",
        "the most in a stretch of time is not held against what came";
    // Spans.
    StoreLoses => "store-that-loses-spans", "meshlab-spans/src/store.rs",
        "every third span that came is forgotten, and no counter says so";
    SpanTwice => "span-counted-twice", "meshlab-spans/src/store.rs",
        "each span counts for two";
    OldEvidence => "evidence-from-before", "meshlab-spans/src/store.rs",
        "spans from before a claim began satisfy it";
    SenderUnseen => "sender-not-looked-at", "meshlab-spans/src/store.rs",
        "spans of other nodes count for the ones that were asked for";
    ConditionUnseen => "conditions-not-looked-at", "meshlab-spans/src/condition.rs",
        "attributes that a claim asks for are not compared";
    ClockStill => "clock-that-stands-still", "meshlab-spans/src/clock.rs",
        "the run's clock shows its first moment for ever";
    // Limits and samples.
    SamplerRepeats => "sampler-repeats-its-last-value", "meshlab-sampler/src/sampler.rs",
        "a process is read once, and that reading is told for ever";
    SamplerSelf => "sampler-that-reads-itself", "meshlab-sampler/src/sampler.rs",
        "samples of every node are readings of the harness";
    CeilingUnheld => "samples-not-held-against-limits", "meshlab-engine/src/limits/ceilings.rs",
        "samples are counted and no limit is compared with them";
    CeilingBlind => "limit-without-samples-passes", "meshlab-engine/src/limits/ceilings.rs",
        "a limit of which nothing was sampled holds";
    TrendBlind => "trend-without-data-passes", "meshlab-engine/src/limits/trends/mod.rs",
        "a trend with too little data to judge holds";
    // The run: its timeout, its programs, what it leaves behind.
    TimeoutUnkept => "timeout-that-is-not-kept", "meshlab-engine/src/engine.rs",
        "a scenario may take for ever";
    StaleAccepted => "program-older-than-its-source", "meshlab-engine/src/binaries.rs",
        "a program that was built before its last change is run";
    ExitAskedFor => "every-exit-was-asked-for", "meshlab-engine/src/nodes.rs",
        "a node that ends by itself ended because it was told to";
    AuditAsksNothing => "audit-that-asks-nothing", "meshlab-engine/src/audit.rs",
        "what a run leaves behind is not looked for";
    StraysUnseen => "strays-not-found", "meshlab-fleet/src/stray.rs",
        "processes of a harness that is gone are not found";
    TasksForgotten => "task-that-still-runs-is-forgotten", "meshlab-script/src/script.rs",
        "a task that runs when its test ends is no failure";
    // The record.
    RecorderDrops => "recorder-that-drops-failures", "meshlab-results/src/recorder.rs",
        "a claim that failed is not written";
    TailUnseen => "torn-tail-not-seen", "meshlab-results/src/reader.rs",
        "a record that ends in half a line is whole";
    GapUnseen => "missing-events-not-seen", "meshlab-results/src/reader.rs",
        "a record with an event cut out of it is whole";
    ChecksumUnseen => "checksum-not-looked-at", "meshlab-results/src/reader.rs",
        "a line that was changed after it was written is believed";
    // The verdict and the exit code.
    ExitCodeZero => "exit-code-always-zero", "meshlab-model/src/verdict.rs",
        "what failed is told, and the process ends with 0";
    SkippedPasses => "skipped-is-passed", "meshlab-model/src/verdict.rs",
        "a run in which a part was skipped ends with 0";
    UndecidedPasses => "undecided-is-passed", "meshlab-model/src/verdict.rs",
        "a run in which a part is undecided ends with 0";
    NeverReachedPasses => "never-reached-is-passed", "meshlab-report/src/verdict.rs",
        "a test that was never begun counts as passed";
    NoClaimPasses => "no-claim-is-passed", "meshlab-report/src/verdict.rs",
        "a test that claimed nothing counts as passed";
    UnjudgedPasses => "unjudged-is-passed", "meshlab-report/src/verdict.rs",
        "a claim that was begun and never judged counts as passed";
    EndUnasked => "record-without-end-is-green", "meshlab-report/src/verdict.rs",
        "a run whose record breaks off counts as completed";
    ExitUnjudged => "exit-of-a-node-not-judged", "meshlab-report/src/verdict.rs",
        "a node that ended by itself is in the record and fails nothing";
    LeftoversPass => "leftovers-not-judged", "meshlab-report/src/verdict.rs",
        "what a run left behind is in the record and fails nothing";
    // Gate, comparison, history.
    GateBlind => "gate-with-few-samples-passes", "meshlab-report/src/gate/mod.rs",
        "a ceiling of the gate holds with too few samples";
    GateFirstNode => "gate-of-the-first-node", "meshlab-report/src/gate/mod.rs",
        "the gate holds one node to its ceilings and passes the others by";
    UnsampledUnseen => "node-without-samples-unseen", "meshlab-report/src/figures/samples.rs",
        "that no node was sampled is no reason to refuse a run";
    NoiseIgnored => "noise-of-the-host-ignored", "meshlab-report/src/figures/mod.rs",
        "what was measured on a busy host decides";
    BaselineAnyHost => "baseline-of-another-host", "meshlab-report/src/gate/baseline.rs",
        "a run is held against what other hardware came to";
    CompareItself => "run-beside-itself", "meshlab/src/compare.rs",
        "a run is compared with itself and found to be the same";
    WorseUnsaid => "worse-fails-nothing", "meshlab-report/src/compare/mod.rs",
        "a figure that is worse is told and fails nothing";
    // Statistics.
    IntervalZero => "interval-of-no-width", "meshlab-stats/src/paired.rs",
        "the interval of a comparison is the effect itself";
    PValueHalved => "p-value-of-one-side", "meshlab-stats/src/drift.rs",
        "a difference to either side has half its probability";
    ShareCertain => "share-without-interval", "meshlab-stats/src/proportion.rs",
        "a rate of few observations is told as if it were exact";
    SequentialAtOnce => "sequential-test-that-accepts-at-once", "meshlab-stats/src/sequential.rs",
        "a scenario is held to be steady after its first run";
    ShufflesUnmade => "shuffles-not-made", "meshlab-stats/src/change.rs",
        "the clearest change of any series is one";
    // The lab.
    SwitchUncut => "switch-that-cuts-nothing", "meshlab-lab/src/link/mod.rs",
        "a link that is cut forwards all packets";
    SwitchPrompt => "switch-that-delays-nothing", "meshlab-lab/src/link/mod.rs",
        "a delay is taken and no packet is late";
    CutBelieved => "cut-read-from-the-settings", "meshlab-faults/src/cut.rs",
        "the witness of a cut link asks what was set, not whether a packet crosses";
    ProberBelieves => "prober-answers-from-settings", "meshlab-faults/src/slow_link.rs",
        "the witness of a delay tells what was asked for and sends no probe";
}
