//! What is written about tasks and time: `tasks.rs` and `record.rs` have what they do.

use crate::define::{Class, Definition, Family, Field, PLAIN, WAITS};

pub(super) const FAMILY: Family = Family {
    title: "Time, and beside each other",
    text: "Each body has scopes and random choices of its own. A task that still runs when its \
           test \
           ends fails it; one that is cancelled takes its faults back and is no failure.",
    functions: &[&SLEEP, &EVERY, &SPAWN, &PARALLEL, &RACE],
    classes: &[&TASK],
    aliases: &[],
};

pub(super) const TASK: Class =
    Class::given("Task", "A body that runs beside the test.", &[], &[&JOIN, &CANCEL]);

pub(super) const SLEEP: Definition = Definition {
    name: "sleep",
    summary: "Waits.",
    text: "`--time-scale` multiplies a length that is written as text. To wait for something, use \
           a claim with `within`: it ends as soon as it can.",
    arguments: &[Field::needed("length", "Duration", "for how long")],
    example: "sleep \"2s\"",
    see_also: &["every", "expect.eventually"],
    ..WAITS
};

pub(super) const EVERY: Definition = Definition {
    name: "every",
    summary: "Runs the body at the end of each period until the total is over.",
    text: "In the body, `since` is the start of its period by default. Of a body that lasts beyond \
           the next period, one round follows at once for all that has passed. `--time-scale` \
           multiplies both lengths; a `--duration` that is shorter than a period has one round, at \
           its end.",
    arguments: &[
        Field::needed("period", "Duration", "more than nothing"),
        Field::needed("total", "Duration", "the period at least"),
        Field::needed("body", "fun(round: integer)", "it is told its number, from 1 on"),
    ],
    example: "every(\"10s\", \"1m\", function(round)\n  \
              check.spans(\"gossip.digest_received\", { from_each = swarm })\n  \
              record.metric(\"RSS in round \" .. round, swarm:usage().rss)\nend)",
    see_also: &["sleep", "chaos"],
    ..WAITS
};

pub(super) const SPAWN: Definition = Definition {
    name: "spawn",
    summary: "Starts the body now and goes on.",
    arguments: &[Field::needed("body", "fun(): ...", "what runs beside the test")],
    returns: &[Field::needed("task", "Task", "")],
    example: "local task = spawn(function()\n  sleep \"1s\"\n  return 7\nend)\n\
              expect.equal(task:join(), 7, \"what the task returned\")",
    see_also: &["parallel", "race"],
    ..PLAIN
};

const BODIES: Field = Field::needed("bodies", "(fun())[]", "what runs, at most 1000 of them");

pub(super) const PARALLEL: Definition = Definition {
    name: "parallel",
    summary: "Runs all bodies at once and waits for all.",
    text: "The first failure cancels the others.",
    arguments: &[BODIES],
    example: "parallel {\n  function() swarm:node(1):drain() end,\n  \
              function() swarm:node(2):update() end,\n}",
    see_also: &["race", "spawn"],
    ..WAITS
};

pub(super) const RACE: Definition = Definition {
    name: "race",
    summary: "Runs all bodies at once; the first to finish wins and the others are cancelled.",
    arguments: &[BODIES],
    returns: &[Field::needed("winner", "integer", "the place of the first to finish")],
    example: "local winner = race {\n  function() sleep \"5s\" end,\n  \
              function() expect.formed(swarm, { within = \"20s\" }) end,\n}\nprint(winner)",
    see_also: &["parallel", "spawn"],
    ..WAITS
};

pub(super) const JOIN: Definition = Definition {
    name: "task:join",
    summary: "Waits for the task; its error is yours.",
    returns: &[Field::needed("...", "any", "what its body returned")],
    example: "local task = spawn(function() return swarm:pick() end)\nprint(task:join().id)",
    see_also: &["spawn", "task:cancel"],
    ..WAITS
};

pub(super) const CANCEL: Definition = Definition {
    name: "task:cancel",
    summary: "Ends the task at its next call, and waits until it has taken back what it did.",
    example: "local task = spawn(function()\n  \
              fault.wedge_node(swarm:node(2), {}, function() sleep \"1h\" end)\nend)\n\
              sleep \"2s\"\ntask:cancel()",
    see_also: &["task:join"],
    ..WAITS
};
