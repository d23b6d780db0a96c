//! What is written about meshes and nodes: `mesh.rs` and `node.rs` have what they do.

use super::comparison_definitions::CEILINGS;
use crate::define::{ASKS, Alias, Class, Definition, Family, Field, PLAIN, WAITS};

pub(super) const FAMILY: Family = Family {
    title: "Meshes and nodes",
    text: "Nodes are processes; each lives in a network of its own. What a node can be asked for \
           is \
           a method, what hurts it is a fault.",
    functions: &[&MESH],
    classes: &[
        &MESH_OPTIONS,
        &MESH_CLASS,
        &NODE_OPTIONS,
        &NODE_CLASS,
        &USAGE_OPTIONS,
        &USAGE,
        &SHARE_OPTIONS,
        &VIEW,
        &ORDERED,
        &DELIVERED,
        &RESOLVED,
        &FETCHED,
        &super::profile::PROFILE_OPTIONS,
        &super::profile::CPU_PROFILE,
        &super::profile::HOT,
        &super::profile::HEAP,
        &super::profile::HELD,
    ],
    aliases: &[
        &Alias {
            name: "From",
            summary: "One node, some nodes, or those of a mesh.",
            kind: "Node|Node[]|Mesh",
            texts: &[],
        },
        &Alias {
            name: "State",
            summary: "What a node says of itself, or what others say of it.",
            kind: "",
            texts: STATES,
        },
    ],
};

/// The states of a node; those of `meshlab_wire::State`.
pub(crate) const STATES: &[&str] =
    &["Joining", "Alive", "Degraded", "Updating", "Draining", "Leaving", "Dead"];

const fn env(text: &'static str) -> Field {
    Field::optional("env", "table<string, string>", text)
}

const MESH_OPTIONS: Class = Class::options(
    "MeshOptions",
    "What a mesh is like.",
    &[
        Field::needed(
            "nodes",
            "integer|table<string, integer>",
            "how many, 1 to 250; or by role: `{ gateway = 2, broker = 2 }`",
        ),
        Field::or("name", "string", "\"mesh1\"", "its id; the second mesh of a test needs one"),
        Field::or(
            "digest_every",
            "Duration",
            "\"2s\"",
            "time between two digests, 100 ms at least",
        ),
        Field::or("digest_gated", "boolean", "true", "send on a change only, with a slow refresh"),
        env("environment of each node"),
        Field::or("backbone", "boolean", "false", "take part in the topic that all meshes share"),
        Field::or("operator", "boolean", "false", "take orders that root in the run's operator"),
        Field::or("relay", "boolean", "false", "start a relay for its nodes"),
        Field::or("disk", "Size", "\"64MiB\"", "what fits on the disk of each node, in a lab"),
        Field::optional("binary", "Binary", "the program of its nodes; mesh-node by default"),
        Field::optional("kind", "Kind", "how to run its nodes, for programs without an agent"),
        Field::of("ceilings", &CEILINGS, "in the place of the scenario's, for its nodes"),
    ],
);

const NODE_OPTIONS: Class = Class::options(
    "NodeOptions",
    "What one more node is like.",
    &[
        Field::optional("id", "string", "its id; `node-<n>` where it is not given"),
        Field::optional("role", "string", "its role; that of the mesh's first node by default"),
        env("environment of this node"),
        Field::optional("binary", "Binary", "its program; that of its mesh by default"),
        Field::optional("kind", "Kind", "how to run it; as its mesh says by default"),
        Field::optional(
            "seeds",
            "From",
            "whom it joins by, dead ones too; two live nodes of its mesh by default",
        ),
    ],
);

const USAGE_OPTIONS: Class = Class::options(
    "UsageOptions",
    "Which stretch of time is looked at.",
    &[Field::optional("since", "Since", super::spans::SINCE)],
);

const SHARE_OPTIONS: Class = Class::options(
    "ShareOptions",
    "A directory of made-up files.",
    &[
        Field::or("files", "integer", "4", "how many files"),
        Field::or("each", "Size", "\"1MiB\"", "the size of each"),
    ],
);

pub(crate) const MESH_CLASS: Class = Class::given(
    "Mesh",
    "A mesh of running nodes.",
    &[Field::needed("nodes", "Node[]", "every node, dead ones too, in the order of their start")],
    &[&NODE, &LIVE, &OTHERS, &PICK, &ADD, &MESH_USAGE, &RELAY],
);

pub(crate) const NODE_CLASS: Class = Class::given(
    "Node",
    "A node of a mesh: a process. Two are equal if they are the same node.",
    &[
        Field::needed("id", "string", "its id in the run: `node-3`"),
        Field::needed("role", "string", "its role: `broker`"),
        Field::needed("binary", "Binary", "its program"),
        Field::needed(
            "name",
            "string",
            "its name in spans, which is its public key's; nil for a \
                                         relay",
        ),
        Field::optional("public_key", "string", "its public key, 64 hex digits, once it is known"),
    ],
    &[
        &START,
        &LEAVE,
        &UPDATE,
        &DRAIN,
        &RESUME,
        &SHUTDOWN,
        &SET_STATE,
        &DELIVER,
        &RESOLVE,
        &SHARE,
        &FETCH,
        &VIEW_OF,
        &COUNTERS,
        &GAUGES,
        &super::profile::PROFILE,
        &super::profile::NODE_HEAP,
        &NODE_USAGE,
    ],
);

pub(super) const USAGE: Class = Class::given(
    "Usage",
    "What processes used, from samples of the kernel's figures.",
    &[
        Field::needed("cpu", "number", "share of one core, 1.0 is a whole one"),
        Field::needed(
            "cpu_time",
            "DurationValue",
            "CPU time, user and system; what two programs are compared by",
        ),
        Field::needed("rss", "SizeValue", "resident memory"),
        Field::needed("open_files", "integer", "open files"),
        Field::needed("threads", "integer", "threads"),
    ],
    &[],
);

pub(super) const VIEW: Class = Class::given(
    "View",
    "What a node says of its place in the overlay.",
    &[
        Field::needed("peers", "integer", "peers in its directory"),
        Field::needed("neighbors", "integer", "gossip neighbours"),
        Field::needed("connections", "integer", "live gossip connections"),
    ],
    &[],
);

// What is there only if it went well is typed as there: a scenario claims that it did and goes on,
// which no type checker follows.
const REASON: Field = Field::optional("reason", "string", "why not");

pub(super) const ORDERED: Class = Class::given(
    "Ordered",
    "What came of an order.",
    &[Field::needed("accepted", "boolean", "whether it is carried out"), REASON],
    &[],
);

pub(super) const DELIVERED: Class = Class::given(
    "Delivered",
    "What came of a message.",
    &[
        Field::needed("delivered", "boolean", "whether it arrived"),
        REASON,
        Field::needed("trace", "string", "the id of its trace, if it arrived"),
        Field::needed("via", "\"direct\"|\"relay\"", "its path, if it arrived"),
        Field::needed("took", "DurationValue", "until it was acknowledged, if it arrived"),
    ],
    &[],
);

pub(super) const RESOLVED: Class = Class::given(
    "Resolved",
    "What came of a look-up.",
    &[
        Field::needed("found", "boolean", "whether the node is known"),
        REASON,
        Field::needed("name", "string", "its name, if it was found"),
        Field::needed("addresses", "string[]", "where it can be reached, if it was found"),
    ],
    &[],
);

pub(super) const FETCHED: Class = Class::given(
    "Fetched",
    "What came of a fetch.",
    &[
        Field::needed("whole", "boolean", "whether every byte arrived, by its BLAKE3 hash"),
        REASON,
        Field::needed("files", "integer", "files that arrived, if it did"),
        Field::needed("bytes", "SizeValue", "bytes that arrived, if it did"),
        Field::needed("took", "DurationValue", "how long it took, if it did"),
    ],
    &[],
);

pub(super) const MESH: Definition = Definition {
    name: "mesh",
    summary: "Starts real node processes and waits until every endpoint is bound.",
    text: "They are stopped at the end of the test. That they have found each other is a claim of \
           its own: `expect.formed`.",
    arguments: &[Field::needed("options", "MeshOptions", "")],
    options: Some(&MESH_OPTIONS),
    returns: &[Field::needed("mesh", "Mesh", "")],
    example: "local far = mesh { name = \"mesh2\", nodes = { gateway = 2, broker = 2 } }\n\
              expect.formed(far, { within = \"10s\" })",
    see_also: &["expect.formed", "mesh:add"],
    ..WAITS
};

pub(super) const NODE: Definition = Definition {
    name: "mesh:node",
    summary: "One node, by its place (1 is the first) or its id.",
    text: "There is an error if there is none.",
    arguments: &[Field::needed("which", "integer|string", "its place, or its id")],
    returns: &[Field::needed("node", "Node", "")],
    example: "local first = swarm:node(1)\nprint(first.id, first.role, first.name)",
    see_also: &["mesh:pick", "mesh:others"],
    ..ASKS
};

pub(super) const LIVE: Definition = Definition {
    name: "mesh:live",
    summary: "Nodes whose process runs now.",
    returns: &[Field::needed("nodes", "Node[]", "")],
    example: "for _, node in ipairs(swarm:live()) do\n  print(node.id)\nend",
    see_also: &["mesh:others"],
    ..ASKS
};

pub(super) const OTHERS: Definition = Definition {
    name: "mesh:others",
    summary: "Every live node but these.",
    arguments: &[Field::needed("...", "Node", "whom to leave out")],
    returns: &[Field::needed("nodes", "Node[]", "")],
    example: "local victim = swarm:node(2)\nlocal survivors = swarm:others(victim)\n\
              expect.equal(#survivors, 3, \"the others\")",
    see_also: &["mesh:live"],
    ..ASKS
};

pub(super) const PICK: Definition = Definition {
    name: "mesh:pick",
    summary: "One live node, drawn by the run's seed.",
    text: "The same seed picks the same node on any machine.",
    returns: &[Field::needed("node", "Node", "")],
    example: "local victim = swarm:pick()\nfault.kill_node(victim)",
    see_also: &["mesh:node"],
    ..ASKS
};

pub(super) const ADD: Definition = Definition {
    name: "mesh:add",
    summary: "Starts one more node and waits until its endpoint is bound.",
    arguments: &[Field::optional("options", "NodeOptions", "")],
    options: Some(&NODE_OPTIONS),
    returns: &[Field::needed("node", "Node", "")],
    example: "local late = swarm:add { id = \"late\", role = \"gateway\" }\n\
              expect.state(late, \"Alive\", { within = \"10s\" })",
    see_also: &["mesh"],
    ..WAITS
};

pub(super) const MESH_USAGE: Definition = Definition {
    name: "mesh:usage",
    summary: "What its live nodes use, summed, each averaged over a stretch of time.",
    arguments: &[Field::optional("options", "UsageOptions", "")],
    options: Some(&USAGE_OPTIONS),
    returns: &[Field::needed("usage", "Usage", "")],
    example: "sleep \"5s\"\ncheck.at_most(swarm:usage({ since = \"5s\" }).rss, \"200MiB\", \"RSS \
              of \
              all\")",
    see_also: &["node:usage"],
    ..ASKS
};

pub(super) const RELAY: Definition = Definition {
    name: "mesh:relay",
    summary: "The mesh's relay, as a node that faults can be done to.",
    text: "The mesh needs `relay = true`.",
    returns: &[Field::needed("relay", "Node", "")],
    example: "local relayed = mesh { name = \"relayed\", nodes = 2, relay = true }\n\
              fault.slow_link(relayed:relay(), { delay = \"50ms\", hold = \"2s\" })",
    see_also: &["fault.relay_down"],
    ..ASKS
};

pub(super) const START: Definition = Definition {
    name: "node:start",
    summary: "Starts a node that was stopped or killed again, with the same identity.",
    example: "local node = swarm:node(2)\nnode:leave()\nnode:start()\n\
              expect.state(node, \"Alive\", { within = \"15s\" })",
    see_also: &["fault.restart_node"],
    ..WAITS
};

pub(super) const LEAVE: Definition = Definition {
    name: "node:leave",
    summary: "Asks the node to announce Leaving and to exit by itself.",
    text: "Waits until its process has ended.",
    example: "local node = swarm:node(2)\nnode:leave()\nexpect.state(node, \"Leaving\", { via = \
              \"message\" })",
    see_also: &["node:start", "fault.kill_node"],
    ..WAITS
};

pub(super) const UPDATE: Definition = Definition {
    name: "node:update",
    summary: "Asks the node to announce Updating: it is about to be replaced.",
    example: "swarm:node(2):update()\nexpect.state(swarm:node(2), \"Updating\")",
    see_also: &["node:drain", "node:resume"],
    ..WAITS
};

pub(super) const DRAIN: Definition = Definition {
    name: "node:drain",
    summary: "Asks the node to announce Draining and to take no new work.",
    example: "swarm:node(2):drain()\nexpect.state(swarm:node(2), \"Draining\")",
    see_also: &["node:update", "node:resume", "node:leave"],
    ..WAITS
};

pub(super) const RESUME: Definition = Definition {
    name: "node:resume",
    summary: "Asks the node to announce Alive again.",
    example: "local node = swarm:node(2)\nnode:drain()\nnode:resume()\n\
              expect.states(node, { \"Draining\", \"Alive\" })",
    see_also: &["node:drain", "node:update"],
    ..WAITS
};

const OTHER: Field = Field::needed("other", "Node", "the node that is ordered");
const ORDER: &[Field] = &[Field::needed("order", "Ordered", "")];

pub(super) const SHUTDOWN: Definition = Definition {
    name: "node:shutdown",
    summary: "Lets this node order another one to shut down.",
    text: "It needs a capability that roots in the operator of the other's mesh: `operator.grant`. \
           An order that is refused is no error; it is in what comes back.",
    arguments: &[OTHER],
    returns: ORDER,
    example: "local order = swarm:node(1):shutdown(swarm:node(2))\n\
              print(order.accepted, order.reason)",
    see_also: &["operator.grant", "node:set_state"],
    ..WAITS
};

pub(super) const SET_STATE: Definition = Definition {
    name: "node:set_state",
    summary: "Lets this node order another one into a state.",
    text: "As with `node:shutdown`, it needs a capability.",
    arguments: &[OTHER, Field::needed("state", "State", "the state to enter")],
    returns: ORDER,
    example: "local order = swarm:node(1):set_state(swarm:node(2), \"Draining\")\n\
              print(order.accepted, order.reason)",
    see_also: &["operator.grant", "node:shutdown"],
    ..WAITS
};

pub(super) const DELIVER: Definition = Definition {
    name: "node:deliver",
    summary: "Sends a message to another node, of any mesh, and waits until it was acknowledged.",
    text: "A message that does not arrive is no error; it is in what comes back.",
    arguments: &[
        Field::needed("to", "Node", "whom to"),
        Field::or("text", "string", "\"a message\"", "what it says"),
    ],
    returns: &[Field::needed("result", "Delivered", "")],
    example: "local sent = swarm:node(1):deliver(swarm:node(2), \"hello\")\n\
              expect.equal(sent.delivered, true, \"the message arrives\")",
    see_also: &["traffic.requests", "expect.eventually"],
    ..WAITS
};

pub(super) const RESOLVE: Definition = Definition {
    name: "node:resolve",
    summary: "Asks the node where another one can be reached.",
    arguments: &[Field::needed("node", "Node|string", "the other node, or its name")],
    returns: &[Field::needed("result", "Resolved", "")],
    example: "local found = swarm:node(1):resolve(swarm:node(2))\n\
              expect.equal(found.found, true, \"node-2 is known\")",
    ..WAITS
};

pub(super) const SHARE: Definition = Definition {
    name: "node:share",
    summary: "Lets the node offer a directory of made-up files.",
    arguments: &[Field::optional("options", "ShareOptions", "")],
    options: Some(&SHARE_OPTIONS),
    returns: &[Field::needed("hash", "string", "what another node fetches it by")],
    example: "local from, to = swarm:node(1), swarm:node(2)\n\
              local hash = from:share { files = 2, each = \"64KiB\" }\n\
              expect.equal(to:fetch(from, hash).whole, true, \"the directory arrives\")",
    see_also: &["node:fetch"],
    ..WAITS
};

pub(super) const FETCH: Definition = Definition {
    name: "node:fetch",
    summary: "Lets the node fetch a directory that another one shares.",
    text: "A fetch that fails is no error; it is in what comes back.",
    arguments: &[
        Field::needed("from", "Node", "who shares it"),
        Field::needed("hash", "string", "what `node:share` gave"),
    ],
    returns: &[Field::needed("result", "Fetched", "")],
    example: "local from, to = swarm:node(1), swarm:node(2)\n\
              local fetched = to:fetch(from, from:share())\n\
              print(fetched.whole, fetched.bytes, fetched.took)",
    see_also: &["node:share", "traffic.bulk"],
    ..WAITS
};

pub(super) const VIEW_OF: Definition = Definition {
    name: "node:view",
    summary: "Asks the node for its place in the overlay.",
    returns: &[Field::needed("view", "View", "")],
    example: "local view = swarm:node(1):view()\n\
              check.at_most(view.connections, 2 * view.neighbors + 8, \"live connections\")",
    see_also: &["node:counters"],
    ..WAITS
};

pub(super) const COUNTERS: Definition = Definition {
    name: "node:counters",
    summary: "Asks the node for its counters, by name.",
    text: "Which there are is the node's own word.",
    returns: &[Field::needed("counters", "table<string, integer>", "")],
    example: "local before = swarm:node(1):counters()[\"directory.changes\"]\n\
              print(\"changes so far: \" .. before)",
    see_also: &["node:gauges", "node:view"],
    ..WAITS
};

pub(super) const GAUGES: Definition = Definition {
    name: "node:gauges",
    summary: "Asks the node for its numbers that rise and fall, by name.",
    text: "Sizes of its maps, what is open. Which there are is its own word, so a claim over all \
           of them (`pairs`) holds for one that nobody thought of.",
    returns: &[Field::needed("gauges", "table<string, integer>", "")],
    example: "for name, value in pairs(swarm:node(1):gauges()) do\n\
              \x20 check.at_most(value, 64, name .. \" of node-1\")\nend",
    see_also: &["node:counters", "node:view"],
    ..WAITS
};

pub(super) const NODE_USAGE: Definition = Definition {
    name: "node:usage",
    summary: "What the node uses, averaged over a stretch of time.",
    arguments: &[Field::optional("options", "UsageOptions", "")],
    options: Some(&USAGE_OPTIONS),
    returns: &[Field::needed("usage", "Usage", "")],
    example: "sleep \"5s\"\nlocal usage = swarm:node(1):usage { since = \"5s\" }\n\
              check.at_most(usage.cpu, \"5%\", \"CPU\")\nrecord.metric(\"RSS\", usage.rss)",
    see_also: &["mesh:usage"],
    ..ASKS
};

/// What stands where a field of a mesh is read.
pub(super) const NODES_FIELD: Definition = Definition { name: "mesh:nodes", ..PLAIN };
