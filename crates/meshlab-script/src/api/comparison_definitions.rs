//! What is written about two programs beside each other and about limits: `comparison.rs`,
//! `binaries.rs` and `limits.rs` have what they do.

use crate::define::{ASKS, Class, Definition, Family, Field, WAITS};

pub(super) const FAMILY: Family = Family {
    title: "Before and after",
    text: "The same round with two programs, in turn. A round is one observation, whatever was \
           sampled in it. Smaller is better, and what the rounds cannot decide is never passed.",
    functions: &[&COMPARE],
    classes: &[
        &COMPARE_OPTIONS,
        &COMPARISON,
        &GAIN,
        &BINARY,
        &CEILINGS,
        &BOUNDS,
        &PHASES,
        &TREND,
        &TRENDS,
    ],
    aliases: &[],
};

pub(super) const BINARY: Class = Class::given(
    "Binary",
    "A program that meshes can be made of.",
    &[
        Field::needed("name", "string", "as `--binary` names it"),
        Field::needed("path", "string", "where it lies; empty in a rehearsal"),
        Field::needed("version", "string", "the first digits of its SHA-256"),
    ],
    &[],
);

/// Fields of `ScenarioOptions` and of `MeshOptions`.
const COUNTERS: Field = Field::optional(
    "counters",
    "table<string, integer>",
    "what nodes count themselves, by the names of `node:counters()`",
);

pub(super) const CEILINGS: Class = Class::options(
    "Ceilings",
    "The most that a node may use at any sample; the run ends at the first above.",
    &[
        Field::optional("cpu", "Percent", "share of one core, averaged over one sample period"),
        Field::optional("rss", "Size", "resident memory"),
        Field::optional("open_files", "integer", "open files"),
        Field::optional("threads", "integer", "threads"),
        COUNTERS,
    ],
);

/// Fields of `ScenarioOptions`.
pub(super) const BOUNDS: Class = Class::options(
    "Bounds",
    "Limits of every node, and others of some roles or of some of the time. All that are about a \
     node hold for it; the run ends at the first sample beyond one.",
    &[
        Field::optional("cpu", "Percent", "share of one core, averaged over one sample period"),
        Field::optional("rss", "Size", "resident memory"),
        Field::optional("open_files", "integer", "open files"),
        Field::optional("threads", "integer", "threads"),
        COUNTERS,
        Field::optional("roles", "table<string, Ceilings>", "of the nodes of a role"),
        Field::of("phases", &PHASES, "of a part of the test, without ten seconds after each start"),
    ],
);

const PHASES: Class = Class::options(
    "Phases",
    "The parts of a test.",
    &[
        Field::of("idle", &CEILINGS, "until the first fault"),
        Field::of("chaos", &CEILINGS, "while a fault acts or heals, or a chaos goes on"),
        Field::of("recovered", &CEILINGS, "after that, once all have healed"),
    ],
);

pub(super) const TREND: Class = Class::options(
    "Trend",
    "The most that nodes may grow by: the upper end of the 95 % interval of their mean slope.",
    &[
        Field::needed(
            "max_growth",
            "Rate",
            "an amount per time: `\"256KiB/h\"`, `\"1/h\"`; or `\"64KiB/peer\"` that goes away, of \
             the least value between two of them",
        ),
        Field::or("after", "Duration", "\"10m\"", "left out at the start of each process"),
        Field::or("needs", "Duration", "\"1h\"", "with less data it is inconclusive"),
        Field::or(
            "stop_when_certain",
            "boolean",
            "false",
            "end the run once it is certain that more is grown by: looks from a quarter of `needs` \
             on, with 1 % false alarms over all of them",
        ),
    ],
);

pub(super) const TRENDS: Class = Class::options(
    "Trends",
    "What nodes may grow by.",
    &[
        Field::of("cpu", &TREND, "share of one core"),
        Field::of("rss", &TREND, "resident memory"),
        Field::of("open_files", &TREND, "open files"),
        Field::of("threads", &TREND, "threads"),
        Field::optional(
            "counters",
            "table<string, Trend>",
            "what nodes count themselves, by the names of `node:counters()`",
        ),
    ],
);

const COMPARE_OPTIONS: Class = Class::options(
    "CompareOptions",
    "What is compared, and how often.",
    &[
        Field::needed("before", "Binary", "the one program"),
        Field::needed("after", "Binary", "the other one"),
        Field::needed("rounds", "integer", "with each of them, at most 200"),
        Field::or("warmup", "integer", "1", "rounds that come first and do not count"),
        Field::needed(
            "round",
            "fun(binary: Binary): table<string, number|DurationValue|SizeValue>",
            "measures, each above zero",
        ),
    ],
);

pub(super) const GAIN: Class = Class::options(
    "Gain",
    "How much, and how sure.",
    &[
        Field::needed("by", "Percent", "of what it was before"),
        Field::or("confidence", "Percent", "\"95%\"", "of the interval, 50% to 99.99%"),
    ],
);

pub(super) const COMPARE: Definition = Definition {
    name: "compare",
    summary: "Runs the same round with two programs: before, after, after, before, and so on.",
    text: "What a round starts ends with it, and evidence counts from its start. A round that \
           fails fails the comparison and is told with its number.",
    arguments: &[Field::needed("options", "CompareOptions", "")],
    options: Some(&COMPARE_OPTIONS),
    returns: &[Field::needed("comparison", "Comparison", "")],
    example: "local run = scenario { binaries = { \"before\", \"after\" } }\n\n\
              test(\"a mesh forms sooner\", function()\n  local result = compare {\n    \
              before = run.binaries.before,\n    after = run.binaries.after,\n    \
              rounds = 10,\n    round = function(binary)\n      \
              local swarm = mesh { nodes = 4, binary = binary }\n      \
              return { formed = expect.formed(swarm).took }\n    end,\n  }\n  \
              expect.improved(result, \"formed\", { by = \"20%\" })\nend)",
    top_level: true,
    see_also: &["expect.improved", "expect.not_worse"],
    ..WAITS
};

pub(super) const MEASURE: Field = Field::needed("measure", "string", "its name");

pub(super) const COMPARISON: Class = Class::given(
    "Comparison",
    "What rounds with two programs measured.",
    &[Field::needed("rounds", "integer", "with each of them")],
    &[&BEFORE, &AFTER, &EFFECT],
);

pub(super) const BEFORE: Definition = Definition {
    name: "comparison:before",
    summary: "The median of a measure with the one program.",
    arguments: &[MEASURE],
    returns: &[Field::needed("median", "number|DurationValue|SizeValue", "")],
    example: "local run = scenario { binaries = { \"before\", \"after\" } }\n\n\
              test(\"a mesh forms sooner\", function()\n  local result = compare {\n    \
              before = run.binaries.before,\n    after = run.binaries.after,\n    rounds = 5,\n    \
              round = function(binary)\n      \
              local swarm = mesh { nodes = 4, binary = binary }\n      \
              return { formed = expect.formed(swarm).took }\n    end,\n  }\n  \
              record.metric(\"before\", result:before(\"formed\"))\n  \
              record.metric(\"after\", result:after(\"formed\"))\n  \
              record.note(\"ratio \" .. result:effect(\"formed\"))\nend)",
    top_level: true,
    see_also: &["compare"],
    ..ASKS
};
pub(super) const AFTER: Definition = Definition {
    name: "comparison:after",
    summary: "The median of a measure with the other program.",
    ..BEFORE
};
pub(super) const EFFECT: Definition = Definition {
    name: "comparison:effect",
    summary: "The ratio of after to before, by rounds.",
    returns: &[Field::needed("ratio", "number", "below 1 is better")],
    ..BEFORE
};
