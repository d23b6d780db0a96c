//! What is written about each fault: `fault_entries.rs` has what each does with it.

use crate::define::{Alias, Class, Definition, Field, WAITS};

const HOLD: Field = Field::optional(
    "hold",
    "Duration",
    "takes it back by itself after this long; a deadline of its own, never scaled",
);
const COUNT: Field = Field::optional(
    "count",
    "integer",
    "of these nodes so many, which the run's \
     seed draws; all of them where it is not given (in a `chaos`: 2)",
);
const BY: Field = Field::optional("by", "Duration", "how far, `\"-30s\"` for back");
const DRIFT: Field = Field::optional(
    "drift",
    "Percent",
    "how much faster it runs, `\"-1%\"` for slower; -50 % to 50 %",
);
const CPU: Field = Field::needed("cpu", "Percent", "a share of one core, 1 % at least");
const LIMIT: Field = Field::or(
    "limit",
    "Size",
    "\"64MiB\"",
    "writes at most this; a disk with more room than that cannot be filled",
);
const FILES: Field = Field::needed("files", "integer", "files that it may have open");
const DOWN: Field = Field::or("down", "Duration", "\"1s\"", "cut for so long, 50 ms to 1 h");
const UP: Field = Field::or("up", "Duration", "\"1s\"", "whole for so long, 50 ms to 1 h");
const CYCLES: Field = Field::or("count", "integer", "3", "cycles, at most 10,000");
const SPIKE: Field = Field::or("spike", "Duration", "\"1s\"", "late for so long, 50 ms to 1 h");
const CALM: Field = Field::or("calm", "Duration", "\"1s\"", "on time for so long, 50 ms to 1 h");
const DELAY: Field = Field::needed("delay", "Duration", "how late a packet is, at most 1 h");
const JITTER: Field =
    Field::or("jitter", "Duration", "\"0s\"", "how far the delay varies, at most 1 h");
const LOSS: Field = Field::optional("loss", "Percent", "the share that is lost, more than 0 %");
const BURST: Field =
    Field::optional("burst", "number", "the mean number lost in a row, 1 at least");
const DUPLICATE: Field = Field::optional("duplicate", "Percent", "the share that arrives twice");
const REORDER: Field = Field::optional("reorder", "Percent", "the share that is overtaken");
const MEMORY: Field = Field::needed("memory", "Size", "bytes that it may have");
const BYTES: Field = Field::or("bytes", "integer", "1280", "the largest packet, 68 to 1499");
const BLACK_HOLE: Field =
    Field::or("black_hole", "boolean", "false", "says nothing of what it drops");
const CORRUPT: Field = Field::needed("corrupt", "Percent", "the share that arrives altered");
const GROUP: Field = Field::needed("group", "Group", "who is parted from the others");
const ROLE: Field = Field::optional("role", "string", "whose group, with `group = \"role\"`");
const RATE: Field = Field::needed("rate", "ByteRate", "bytes that cross in a second");
const DIRECTION: Field =
    Field::or("direction", "Direction", "\"out\"", "which packets of the node");
const TO: Field =
    Field::optional("to", "From", "only on the links to these; else on all links").by_itself();

const fn options(name: &'static str, fields: &'static [Field]) -> Class {
    Class::options(name, "", fields)
}

pub(super) const HELD: Class = options("FaultOptions", &[HOLD]);
const AT_ONCE: Class = options("InstantFaultOptions", &[]);
const BURST_KILL_OPTIONS: Class = options("BurstKillOptions", &[HOLD, COUNT]);
const CLOCK_SKEW_OPTIONS: Class = options("ClockSkewOptions", &[HOLD, BY, DRIFT]);
const CPU_LIMIT_OPTIONS: Class = options("CpuLimitOptions", &[HOLD, CPU]);
const DISK_FULL_OPTIONS: Class = options("DiskFullOptions", &[HOLD, LIMIT]);
const FD_LIMIT_OPTIONS: Class = options("FdLimitOptions", &[HOLD, FILES]);
const FLAP_LINK_OPTIONS: Class = options("FlapLinkOptions", &[HOLD, CYCLES, DOWN, UP]);
const LATENCY_SPIKE_OPTIONS: Class =
    options("LatencySpikeOptions", &[HOLD, DELAY, SPIKE, CALM, CYCLES, DIRECTION, TO]);
const LOSSY_LINK_OPTIONS: Class =
    options("LossyLinkOptions", &[HOLD, LOSS, BURST, DUPLICATE, REORDER, DIRECTION, TO]);
const MEMORY_LIMIT_OPTIONS: Class = options("MemoryLimitOptions", &[HOLD, MEMORY]);
const MTU_OPTIONS: Class = options("MtuOptions", &[HOLD, BYTES, BLACK_HOLE]);
const PACKET_CORRUPT_OPTIONS: Class =
    options("PacketCorruptOptions", &[HOLD, CORRUPT, DIRECTION, TO]);
const PARTITION_SUBSET_OPTIONS: Class = options("PartitionSubsetOptions", &[HOLD, GROUP, ROLE]);
const RATE_LIMIT_OPTIONS: Class = options("RateLimitOptions", &[HOLD, RATE, DIRECTION, TO]);
const SLOW_LINK_OPTIONS: Class = options("SlowLinkOptions", &[HOLD, DELAY, JITTER, DIRECTION, TO]);

pub(super) const FUNCTIONS: &[&Definition] = &[
    &BURST_KILL,
    &CLOCK_SKEW,
    &CPU_LIMIT,
    &DISK_FULL,
    &FD_LIMIT,
    &FIREWALL_INBOUND,
    &FLAP_LINK,
    &KILL_NODE,
    &LATENCY_SPIKE,
    &LOSSY_LINK,
    &MEMORY_LIMIT,
    &MTU,
    &NAT_SHIFT,
    &PACKET_CORRUPT,
    &PARTITION,
    &PARTITION_PAIR,
    &PARTITION_SUBSET,
    &RATE_LIMIT,
    &RELAY_DOWN,
    &RESTART_NODE,
    &SLOW_LINK,
    &WEDGE_NODE,
];

/// What they give and take.
pub(super) const CLASSES: &[&Class] = &[
    &HIT,
    &HELD,
    &AT_ONCE,
    &BURST_KILL_OPTIONS,
    &CLOCK_SKEW_OPTIONS,
    &CPU_LIMIT_OPTIONS,
    &DISK_FULL_OPTIONS,
    &FD_LIMIT_OPTIONS,
    &FLAP_LINK_OPTIONS,
    &LATENCY_SPIKE_OPTIONS,
    &LOSSY_LINK_OPTIONS,
    &MEMORY_LIMIT_OPTIONS,
    &MTU_OPTIONS,
    &PACKET_CORRUPT_OPTIONS,
    &PARTITION_SUBSET_OPTIONS,
    &RATE_LIMIT_OPTIONS,
    &SLOW_LINK_OPTIONS,
];

pub(super) const ALIASES: &[&Alias] = &[
    &Alias {
        name: "Direction",
        summary: "Which packets of a node are meant.",
        kind: "",
        texts: &["out", "in", "both"],
    },
    &Alias {
        name: "Group",
        summary: "Who is parted from the others: one node, more than half, those of a role, a \
                  whole mesh; in a ring each keeps the links to its neighbours.",
        kind: "",
        texts: &["one", "majority", "ring", "mesh", "role"],
    },
];

/// A fault that was injected.
pub(super) const HIT: Class = Class::given(
    "Hit",
    "A fault that was injected. As `since` it stands for the moment from which on it acted.",
    &[
        Field::needed("fault", "string", "its name, `kill_node`"),
        Field::needed("targets", "string[]", "the ids of the nodes that it was aimed at"),
        Field::needed("acted", "boolean", "false where this run cannot do it and has skipped it"),
    ],
    &[],
);

const RETURNS: &[Field] = &[Field::needed("hit", "Hit", "what was done")];
const BODY: Field =
    Field::optional("body", "fun(hit: Hit)", "the fault lasts as long as this runs");
const NODE: Field = Field::needed("node", "Node", "whom it hurts");
const MANY: Field = Field::needed("nodes", "From", "whom it hurts");

/// Arguments of a fault: whom, its options, its body.
macro_rules! arguments {
    ($($whom:expr),+; $options:expr) => {
        &[$($whom),+, Field::optional("options", $options.name, ""), BODY]
    };
    ($($whom:expr),+; needs $options:expr) => {
        &[$($whom),+, Field::needed("options", $options.name, ""), BODY]
    };
}

const NODE_FAULT: Definition = Definition {
    arguments: arguments!(NODE; HELD),
    options: Some(&HELD),
    returns: RETURNS,
    ..WAITS
};

const INSTANT_FAULT: Definition = Definition {
    arguments: arguments!(NODE; AT_ONCE),
    options: Some(&AT_ONCE),
    refused: &[("hold", "is over as soon as it acted: nothing can be held")],
    ..NODE_FAULT
};

pub(super) const BURST_KILL: Definition = Definition {
    name: "fault.burst_kill",
    summary: "Ends several nodes in one instant (SIGKILL).",
    text: "Taken back, they are started again. Without `hold` and a body they stay dead. The \
           others must infer that each of them is dead.",
    arguments: arguments!(MANY; BURST_KILL_OPTIONS),
    options: Some(&BURST_KILL_OPTIONS),
    example: "fault.burst_kill(swarm, { count = 2 }, function(hit)\n  \
              print(table.concat(hit.targets, \", \"))\nend)",
    see_also: &["fault.kill_node"],
    ..NODE_FAULT
};

pub(super) const CLOCK_SKEW: Definition = Definition {
    name: "fault.clock_skew",
    summary: "Sets the node's wall clock wrong, or lets it run away.",
    text: "It needs `by` or `drift`. Nobody may be evicted for it.",
    arguments: arguments!(NODE; needs CLOCK_SKEW_OPTIONS),
    options: Some(&CLOCK_SKEW_OPTIONS),
    example: "fault.clock_skew(swarm:node(2), { by = \"-30s\", hold = \"10s\" })",
    ..NODE_FAULT
};

pub(super) const CPU_LIMIT: Definition = Definition {
    name: "fault.cpu_limit",
    summary: "Bounds the node's CPU time.",
    text: "It needs control groups. Nobody may say that the node is dead.",
    arguments: arguments!(NODE; needs CPU_LIMIT_OPTIONS),
    options: Some(&CPU_LIMIT_OPTIONS),
    example: "fault.cpu_limit(swarm:node(2), { cpu = \"10%\", hold = \"5s\" })",
    see_also: &["fault.memory_limit", "fault.fd_limit"],
    ..NODE_FAULT
};

pub(super) const DISK_FULL: Definition = Definition {
    name: "fault.disk_full",
    summary: "Fills the disk that is the node's data directory.",
    text: "The node must say that it is Degraded, and stay a member.",
    arguments: arguments!(NODE; DISK_FULL_OPTIONS),
    options: Some(&DISK_FULL_OPTIONS),
    example: "fault.disk_full(swarm:node(2), {}, function(hit)\n  \
              expect.state(swarm:node(2), \"Degraded\", { since = hit })\nend)",
    ..NODE_FAULT
};

pub(super) const FD_LIMIT: Definition = Definition {
    name: "fault.fd_limit",
    summary: "Bounds how many files the node may have open.",
    text: "Nobody may say that the node is dead.",
    arguments: arguments!(NODE; needs FD_LIMIT_OPTIONS),
    options: Some(&FD_LIMIT_OPTIONS),
    example: "fault.fd_limit(swarm:node(2), { files = 64, hold = \"5s\" })",
    see_also: &["fault.cpu_limit", "fault.memory_limit"],
    ..NODE_FAULT
};

pub(super) const FIREWALL_INBOUND: Definition = Definition {
    name: "fault.firewall_inbound",
    summary: "Lets in only what answers the node.",
    text: "The node must stay a member.",
    example: "fault.firewall_inbound(swarm:node(2), { hold = \"10s\" })",
    ..NODE_FAULT
};

const A: Field = Field::needed("a", "Node", "one end of the link");
const B: Field = Field::needed("b", "Node", "the other end");

pub(super) const FLAP_LINK: Definition = Definition {
    name: "fault.flap_link",
    summary: "Cuts a link and mends it, in a cycle.",
    text: "Both must stay members by way of the others.",
    arguments: arguments!(A, B; FLAP_LINK_OPTIONS),
    options: Some(&FLAP_LINK_OPTIONS),
    example: "fault.flap_link(swarm:node(1), swarm:node(2), { down = \"500ms\", hold = \"6s\" })",
    see_also: &["fault.partition_pair"],
    ..NODE_FAULT
};

pub(super) const KILL_NODE: Definition = Definition {
    name: "fault.kill_node",
    summary: "Ends a node's process at once (SIGKILL).",
    text: "Taken back, it is started again with the same identity. Without `hold` and a body it \
           stays dead. The others must infer that it is dead.",
    example: "local victim = swarm:pick()\nlocal hit = fault.kill_node(victim)\n\
              expect.state(victim, \"Dead\", { via = \"inference\", since = hit })",
    see_also: &["fault.burst_kill", "fault.restart_node", "node:leave"],
    ..NODE_FAULT
};

pub(super) const LATENCY_SPIKE: Definition = Definition {
    name: "fault.latency_spike",
    summary: "Delays the node's packets for a while, and again.",
    text: "Nobody may say that the node is dead.",
    arguments: arguments!(NODE; needs LATENCY_SPIKE_OPTIONS),
    options: Some(&LATENCY_SPIKE_OPTIONS),
    example: "fault.latency_spike(swarm:node(2), { delay = \"500ms\", count = 2, hold = \"4s\" })",
    see_also: &["fault.slow_link"],
    ..NODE_FAULT
};

pub(super) const LOSSY_LINK: Definition = Definition {
    name: "fault.lossy_link",
    summary: "Loses, doubles or reorders a share of the node's packets.",
    text: "It needs `loss`, `duplicate` or `reorder`. Nobody may say that the node is dead.",
    arguments: arguments!(NODE; needs LOSSY_LINK_OPTIONS),
    options: Some(&LOSSY_LINK_OPTIONS),
    example: "local from, to = swarm:node(1), swarm:node(2)\n\
              fault.lossy_link(from, { loss = \"10%\", to = to }, function()\n  \
              traffic.bulk { from = from, to = to, size = \"1MiB\" }\nend)",
    see_also: &["fault.packet_corrupt", "fault.slow_link"],
    ..NODE_FAULT
};

pub(super) const MEMORY_LIMIT: Definition = Definition {
    name: "fault.memory_limit",
    summary: "Bounds the node's memory.",
    text: "It needs control groups. Nobody may say that the node is dead.",
    arguments: arguments!(NODE; needs MEMORY_LIMIT_OPTIONS),
    options: Some(&MEMORY_LIMIT_OPTIONS),
    example: "fault.memory_limit(swarm:node(2), { memory = \"64MiB\", hold = \"5s\" })",
    see_also: &["fault.cpu_limit", "fault.fd_limit"],
    ..NODE_FAULT
};

pub(super) const MTU: Definition = Definition {
    name: "fault.mtu",
    summary: "Lets no larger packet cross the node's line.",
    text: "Nobody may say that the node is dead.",
    arguments: arguments!(NODE; MTU_OPTIONS),
    options: Some(&MTU_OPTIONS),
    example: "fault.mtu(swarm:node(2), { bytes = 1280, black_hole = true, hold = \"5s\" })",
    ..NODE_FAULT
};

pub(super) const NAT_SHIFT: Definition = Definition {
    name: "fault.nat_shift",
    summary: "Moves the node to another address, as its peers see it.",
    text: "The node must stay a member without a restart.",
    example: "fault.nat_shift(swarm:node(2))",
    ..INSTANT_FAULT
};

pub(super) const PACKET_CORRUPT: Definition = Definition {
    name: "fault.packet_corrupt",
    summary: "Flips a bit in a share of the node's packets and makes the checksum fit.",
    text: "Nobody may say that the node is dead.",
    arguments: arguments!(NODE; needs PACKET_CORRUPT_OPTIONS),
    options: Some(&PACKET_CORRUPT_OPTIONS),
    example: "fault.packet_corrupt(swarm:node(2), { corrupt = \"1%\", hold = \"5s\" })",
    see_also: &["fault.lossy_link"],
    ..NODE_FAULT
};

pub(super) const PARTITION: Definition = Definition {
    name: "fault.partition",
    summary: "Cuts every link between two sides.",
    text: "Who is parted from the rest buries it; healed, they must be one mesh again.",
    arguments: arguments!(
        Field::needed("left", "From", "one side"),
        Field::needed("right", "From", "the other side");
        HELD
    ),
    example: "local left = { swarm:node(1), swarm:node(2) }\n\
              fault.partition(left, swarm:others(left[1], left[2]), {}, function()\n  \
              expect.state(swarm:node(1), \"Dead\", { seen_by = swarm:node(3) })\nend)",
    see_also: &["fault.partition_pair", "fault.partition_subset"],
    ..NODE_FAULT
};

pub(super) const PARTITION_PAIR: Definition = Definition {
    name: "fault.partition_pair",
    summary: "Cuts one link.",
    text: "Both must stay members by way of the others.",
    arguments: arguments!(A, B; HELD),
    example: "fault.partition_pair(swarm:node(1), swarm:node(2), { hold = \"5s\" })",
    see_also: &["fault.partition", "fault.flap_link"],
    ..NODE_FAULT
};

pub(super) const PARTITION_SUBSET: Definition = Definition {
    name: "fault.partition_subset",
    summary: "Parts a named group from the others.",
    text: "Where the group has to be drawn, the run's seed does it.",
    arguments: arguments!(MANY; needs PARTITION_SUBSET_OPTIONS),
    options: Some(&PARTITION_SUBSET_OPTIONS),
    example: "fault.partition_subset(swarm, { group = \"majority\", hold = \"6s\" })",
    see_also: &["fault.partition"],
    ..NODE_FAULT
};

pub(super) const RATE_LIMIT: Definition = Definition {
    name: "fault.rate_limit",
    summary: "Bounds what crosses the node's line in a second.",
    text: "Nobody may say that the node is dead.",
    arguments: arguments!(NODE; needs RATE_LIMIT_OPTIONS),
    options: Some(&RATE_LIMIT_OPTIONS),
    example: "fault.rate_limit(swarm:node(2), { rate = \"256KiB/s\", hold = \"5s\" })",
    ..NODE_FAULT
};

pub(super) const RELAY_DOWN: Definition = Definition {
    name: "fault.relay_down",
    summary: "Ends the mesh's relay; taken back, it is started again.",
    text: "The mesh needs `relay = true`. Nobody may say that a node is dead.",
    arguments: arguments!(Field::needed("swarm", "Mesh", "whose relay"); HELD),
    example: "local relayed = mesh { name = \"relayed\", nodes = 2, relay = true }\n\
              fault.relay_down(relayed, { hold = \"5s\" })",
    see_also: &["mesh:relay"],
    ..NODE_FAULT
};

pub(super) const RESTART_NODE: Definition = Definition {
    name: "fault.restart_node",
    summary: "Kills the node and starts it again, with the same identity and address.",
    text: "The others must see it return, once.",
    example: "fault.restart_node(swarm:node(2))\nexpect.agreed(swarm, { within = \"15s\" })",
    see_also: &["fault.kill_node", "node:start"],
    ..INSTANT_FAULT
};

pub(super) const SLOW_LINK: Definition = Definition {
    name: "fault.slow_link",
    summary: "Delays the node's packets.",
    text: "Nobody may say that the node is dead.",
    arguments: arguments!(NODE; needs SLOW_LINK_OPTIONS),
    options: Some(&SLOW_LINK_OPTIONS),
    example: "fault.slow_link(swarm:node(2), { delay = \"200ms\", jitter = \"40ms\", hold = \
              \"5s\" })",
    see_also: &["fault.latency_spike", "fault.lossy_link"],
    ..NODE_FAULT
};

pub(super) const WEDGE_NODE: Definition = Definition {
    name: "fault.wedge_node",
    summary: "Freezes the node's process (SIGSTOP); taken back, it goes on.",
    text: "The others must infer that it is dead; it is back without a restart.",
    example: "fault.wedge_node(swarm:node(2), {}, function(hit)\n  \
              expect.state(swarm:node(2), \"Dead\", { via = \"inference\", since = hit })\nend)",
    see_also: &["fault.kill_node"],
    ..NODE_FAULT
};
