//! What is written about claims: `claims.rs` and `compare.rs` have what they do.

use super::comparison_definitions::{GAIN, MEASURE};
use super::spans::{FROM, SINCE_OPTION, UNDER, WHERE};
use crate::define::{Alias, Class, Definition, Family, Field, WAITS};

pub(super) const FAMILY: Family = Family {
    title: "Claims",
    text: "`expect` stops the test when it fails, `check` goes on; both fail the run. They have \
           the \
           same functions. A claim that was never reached is not one that held.",
    functions: &[
        &SPANS,
        &NO_SPANS,
        &SEQUENCE,
        &FOLLOWS,
        &COUNTS,
        &NEVER,
        &FORMED,
        &AGREED,
        &super::kind_definitions::ANSWERS,
        &super::kind_definitions::FILE,
        &CONSERVED,
        &STATE,
        &STATE_LIST,
        &EVENTUALLY,
        &EQUAL,
        &AT_LEAST,
        &AT_MOST,
        &IMPROVED,
        &NOT_WORSE,
    ],
    classes: &[
        &SPAN_CLAIM,
        &NO_SPAN_CLAIM,
        &SEQUENCE_CLAIM,
        &FOLLOWS_CLAIM,
        &COUNTS_CLAIM,
        &NEVER_CLAIM,
        &STATE_CLAIM,
        &WITHIN_CLAIM,
        &CONSERVED_CLAIM,
        &MET,
    ],
    aliases: &[
        &Alias {
            name: "Via",
            summary: "How an observer came to hold a state: told by the node itself, or worked \
                      out.",
            kind: "",
            texts: &["message", "inference"],
        },
        &Alias {
            name: "Quantity",
            summary: "What can be ordered: a count, a length of time, a size, a share.",
            kind: "number|string|DurationValue|SizeValue",
            texts: &[],
        },
    ],
};

const WITHIN: Field =
    Field::or("within", "Duration", "\"10s\"", "how long to wait for it; never scaled");

const SPAN_CLAIM: Class = Class::options(
    "SpanClaim",
    "Which spans, and how many.",
    &[
        FROM,
        Field::optional("from_each", "From", "senders that must reach the number each by itself"),
        WHERE,
        UNDER,
        SINCE_OPTION,
        Field::or("at_least", "integer", "1", "how many"),
        WITHIN,
    ],
);

const NO_SPAN_CLAIM: Class = Class::options(
    "NoSpanClaim",
    "Which spans there must not be.",
    &[
        FROM,
        WHERE,
        UNDER,
        SINCE_OPTION,
        Field::optional(
            "during",
            "Duration",
            "keep watching for so long; else look once, which misses what is under way",
        ),
        Field::optional("before", "Part", "watch until the first of these, at each node by itself"),
        Field::optional("within", "Duration", "how soon `before` must come; 10 s by default"),
    ],
);

const CONSERVED_CLAIM: Class = Class::options(
    "ConservedClaim",
    "What is counted, and by what it is bounded.",
    &[
        Field::needed("created", "string", "the name of what counts what is made"),
        Field::needed("destroyed", "string", "the name of what counts what has ended"),
        Field::or(
            "counted",
            "string",
            "\"counters\"",
            "where they are counted: the node's own `\"counters\"`, or its `\"spans\"`",
        ),
        Field::or("of", "string", "\"peers\"", "what it sees: its `\"peers\"`, or `\"neighbors\"`"),
        Field::or("per_peer", "integer", "1", "how many for each that it sees"),
        Field::or("plus", "integer", "0", "how many besides"),
        WITHIN,
    ],
);

const BY: Field =
    Field::optional("by", "string", "an attribute that must have one value in all of them");
const EACH: Field = Field::optional("from_each", "From", "each of these must show it by itself");

const SEQUENCE_CLAIM: Class = Class::options(
    "SequenceClaim",
    "Whose spans, and by when.",
    &[
        Field::optional("from", "From", "one of these must show it; else anybody"),
        EACH,
        BY,
        SINCE_OPTION,
        WITHIN,
    ],
);

const FOLLOWS_CLAIM: Class = Class::options(
    "FollowsClaim",
    "What is to be followed, and how soon.",
    &[
        Field::needed("after", "Part", "the span that is to be followed, each of them"),
        FROM,
        WHERE,
        UNDER,
        BY,
        SINCE_OPTION,
        Field::or("within", "Duration", "\"10s\"", "how soon it must follow; never scaled"),
        Field::optional(
            "during",
            "Duration",
            "look for new ones for so long; else those there are",
        ),
    ],
);

const COUNTS_CLAIM: Class = Class::options(
    "CountsClaim",
    "How many, in how long. It needs `at_least` or `at_most`.",
    &[
        Field::needed("window", "Duration", "the length of each stretch"),
        Field::optional("at_least", "integer", "so many in each stretch that is over"),
        Field::optional("at_most", "integer", "no more in any stretch"),
        FROM,
        EACH,
        WHERE,
        UNDER,
        SINCE_OPTION,
        Field::optional(
            "during",
            "Duration",
            "keep watching for so long; else look at what is there",
        ),
    ],
);

const NEVER_CLAIM: Class = Class::options("NeverClaim", "Which spans.", &[FROM, WHERE, UNDER]);

const STATE_CLAIM: Class = Class::options(
    "StateClaim",
    "Who must have seen it, and how.",
    &[
        Field::optional(
            "seen_by",
            "From",
            "the observers; every other live node of its mesh where \
                                            it is not given",
        ),
        Field::optional("via", "Via", "how they must have come to it; else either will do"),
        SINCE_OPTION,
        WITHIN,
    ],
);

const WITHIN_CLAIM: Class = Class::options("WithinClaim", "By when.", &[WITHIN]);

pub(super) const MET: Class = Class::given(
    "Met",
    "How a claim went.",
    &[
        Field::needed("took", "DurationValue", "from `since` until the last part of it was true"),
        Field::needed("passed", "boolean", "whether it held; a `check` goes on either way"),
    ],
    &[],
);

const RETURNS: &[Field] = &[Field::needed("met", "Met", "")];
pub(super) const CLAIM: Definition = Definition { returns: RETURNS, ..WAITS };
const SPAN: Field = Field::needed("name", "SpanName", "the span's name");
const LABEL: Field = Field::or("label", "string", "\"the value\"", "what it is, for the report");

pub(super) const SPANS: Definition = Definition {
    name: "expect.spans",
    summary: "At least so many such spans arrive before a deadline.",
    text: "Spans count from the start of the test, of the fault's body or of the round that it is \
           in: old spans cannot satisfy a new claim. `from` counts all together, `from_each` each \
           by itself; only one of them can be given.",
    arguments: &[SPAN, Field::optional("claim", "SpanClaim", "")],
    options: Some(&SPAN_CLAIM),
    example: "expect.spans(\"gossip.digest_received\", { from_each = swarm, at_least = 3 })",
    see_also: &["expect.no_spans", "spans"],
    ..CLAIM
};

pub(super) const NO_SPANS: Definition = Definition {
    name: "expect.no_spans",
    summary: "There is no such span.",
    arguments: &[SPAN, Field::optional("claim", "NoSpanClaim", "")],
    options: Some(&NO_SPAN_CLAIM),
    example: "expect.no_spans(\"node.state_inferred\", { from = swarm, during = \"3s\" })",
    see_also: &["expect.spans"],
    ..CLAIM
};

pub(super) const SEQUENCE: Definition = Definition {
    name: "expect.sequence",
    summary: "These spans come in this order; others may lie between.",
    text: "It is asked of each node by itself: spans of two nodes have no order.",
    arguments: &[
        Field::needed("spans", "Part[]", "the spans, two at least"),
        Field::optional("claim", "SequenceClaim", ""),
    ],
    options: Some(&SEQUENCE_CLAIM),
    example: "expect.sequence({ \"endpoint_created\", \"node.ready\" }, { from_each = swarm })",
    see_also: &["expect.follows", "expect.states"],
    ..CLAIM
};

pub(super) const FOLLOWS: Definition = Definition {
    name: "expect.follows",
    summary: "Each span of one kind is followed by one of another, at the same node.",
    arguments: &[
        Field::needed("name", "SpanName", "what must follow"),
        Field::needed("claim", "FollowsClaim", ""),
    ],
    options: Some(&FOLLOWS_CLAIM),
    example: "swarm:node(4):leave()\nexpect.follows(\"peer.disconnected\", {\n  \
              after = { \"node.state_heard\", where = { state = \"Leaving\" } },\n  \
              from = swarm:live(), by = \"peer.name\", within = \"5s\",\n})",
    see_also: &["expect.sequence"],
    ..CLAIM
};

pub(super) const COUNTS: Definition = Definition {
    name: "expect.counts",
    summary: "In every stretch of time of that length there are so many such spans.",
    arguments: &[SPAN, Field::needed("claim", "CountsClaim", "")],
    options: Some(&COUNTS_CLAIM),
    example: "expect.counts(\"gossip.digest_sent\", {\n  \
              from_each = swarm, window = \"10s\", at_most = 40, during = \"20s\",\n})",
    see_also: &["expect.spans"],
    ..CLAIM
};

pub(super) const NEVER: Definition = Definition {
    name: "expect.never",
    summary: "There is no such span while the body runs.",
    text: "A failed `expect` ends the body. Where spans of that time were lost, the answer is \
           inconclusive.",
    generic: Some("T"),
    arguments: &[
        SPAN,
        Field::optional("claim", "NeverClaim", ""),
        Field::needed("body", "fun(): T", "what is watched"),
    ],
    options: Some(&NEVER_CLAIM),
    returns: &[
        Field::needed("met", "Met", ""),
        Field::needed("result", "T", "what the body returned"),
    ],
    example: "expect.never(\"node.state_inferred\", { where = { state = \"Dead\" } }, \
              function()\n  \
              sleep \"10s\"\nend)",
    see_also: &["expect.no_spans"],
    ..CLAIM
};

const SWARM: Field = Field::needed("swarm", "Mesh", "the mesh");

pub(super) const FORMED: Definition = Definition {
    name: "expect.formed",
    summary: "Every live node holds every other live node to be there.",
    text: "It does not say that each is connected to each: a gossip view is partial.",
    arguments: &[SWARM, Field::optional("claim", "WithinClaim", "")],
    options: Some(&WITHIN_CLAIM),
    example: "local met = expect.formed(swarm, { within = \"20s\" })\n\
              record.metric(\"until formed\", met.took)",
    see_also: &["expect.agreed", "mesh"],
    ..CLAIM
};

pub(super) const AGREED: Definition = Definition {
    name: "expect.agreed",
    summary: "Every node's own books agree with who is there: nobody missing, nobody too many.",
    text: "It asks each live node for its directory, its neighbours and its connections.",
    arguments: &[SWARM, Field::optional("claim", "WithinClaim", "")],
    options: Some(&WITHIN_CLAIM),
    example: "fault.restart_node(swarm:node(2))\nexpect.agreed(swarm, { within = \"15s\" })",
    see_also: &["expect.formed"],
    ..CLAIM
};

pub(super) const CONSERVED: Definition = Definition {
    name: "expect.conserved",
    summary: "What each node made and did not end is bounded by what it sees.",
    text: "A leak in a count is seen long before its bytes are: 174 tasks spawned, 52 finished, 15 \
           peers in view. Every node is held to it by itself, over its present life, and the one \
           that leaks is named. It is asked again each 250 ms until the deadline: what is under \
           way is no leak. A count that nobody has fails.",
    arguments: &[
        Field::needed("nodes", "Node|Node[]|Mesh", "whose; of a mesh, the live ones"),
        Field::needed("claim", "ConservedClaim", ""),
    ],
    options: Some(&CONSERVED_CLAIM),
    example: "expect.conserved(swarm, {\n  \
              created = \"connections.opened\", destroyed = \"connections.closed\",\n  \
              per_peer = 2, plus = 4, within = \"10s\",\n})\n\
              check.conserved(swarm, {\n  \
              created = \"peer.connected\", destroyed = \"peer.disconnected\", \
              counted = \"spans\",\n})",
    see_also: &["expect.agreed", "expect.spans"],
    ..CLAIM
};

const NODE: Field = Field::needed("node", "Node", "whose state");

pub(super) const STATE: Definition = Definition {
    name: "expect.state",
    summary: "Every observer holds the node to be in this state.",
    arguments: &[
        NODE,
        Field::needed("state", "State", "the state"),
        Field::optional("claim", "StateClaim", ""),
    ],
    options: Some(&STATE_CLAIM),
    example: "local victim = swarm:node(2)\nlocal hit = fault.kill_node(victim)\n\
              expect.state(victim, \"Dead\", { via = \"inference\", since = hit, within = \"8s\" \
                                     })",
    see_also: &["expect.states"],
    ..CLAIM
};

pub(super) const STATE_LIST: Definition = Definition {
    name: "expect.states",
    summary: "Every observer saw exactly these states of the node, in this order.",
    arguments: &[
        NODE,
        Field::needed("states", "State[]", "the states; none of them twice in a row"),
        Field::optional("claim", "StateClaim", ""),
    ],
    options: Some(&STATE_CLAIM),
    example: "local node = swarm:node(2)\nnode:drain()\nnode:resume()\n\
              expect.states(node, { \"Draining\", \"Alive\" }, { via = \"message\" })",
    see_also: &["expect.state"],
    ..CLAIM
};

pub(super) const EVENTUALLY: Definition = Definition {
    name: "expect.eventually",
    summary: "A condition of your own becomes true before the deadline.",
    text: "It is asked again each 100 ms, and once more at the end.",
    arguments: &[
        Field::needed("within", "Duration", "how long to wait; never scaled"),
        Field::needed("label", "string", "what becomes true, for the report"),
        Field::needed("condition", "fun(): boolean", "true or false, nothing else"),
    ],
    example: "local a, b = swarm:node(1), swarm:node(2)\n\
              expect.eventually(\"10s\", \"messages go direct\", function()\n  \
              return a:deliver(b).via == \"direct\"\nend)",
    see_also: &["expect.spans"],
    ..CLAIM
};

pub(super) const EQUAL: Definition = Definition {
    name: "expect.equal",
    summary: "Two values are the same.",
    arguments: &[
        Field::needed("actual", "any", "what is"),
        Field::needed("wanted", "any", "what should be"),
        LABEL,
    ],
    example: "expect.equal(#swarm:live(), 4, \"live nodes\")",
    see_also: &["expect.at_least", "expect.at_most"],
    ..CLAIM
};

const ACTUAL: Field = Field::needed("actual", "Quantity", "what is");

pub(super) const AT_LEAST: Definition = Definition {
    name: "expect.at_least",
    summary: "A quantity is not below its bound.",
    text: "Both are of one kind: numbers, lengths of time, sizes or shares. A plain number beside \
           text is a share: 0.5 is `\"50%\"`.",
    arguments: &[ACTUAL, Field::needed("bound", "Quantity", "the least that will do"), LABEL],
    example: "expect.at_least(spans(\"peer.connected\"):count(), 0, \"meetings so far\")",
    see_also: &["expect.at_most"],
    ..CLAIM
};

pub(super) const AT_MOST: Definition = Definition {
    name: "expect.at_most",
    summary: "A quantity is not above its bound.",
    text: "As with `expect.at_least`, both are of one kind.",
    arguments: &[ACTUAL, Field::needed("bound", "Quantity", "the most that will do"), LABEL],
    example: "expect.at_most(swarm:node(1):usage().rss, \"32MiB\", \"RSS of node-1\")",
    see_also: &["expect.at_least"],
    ..CLAIM
};

/// What a claim about a comparison takes.
const COMPARED: &[Field] = &[
    Field::needed("comparison", "Comparison", "what `compare` returned"),
    MEASURE,
    Field::needed("gain", "Gain", ""),
];

pub(super) const IMPROVED: Definition = Definition {
    name: "expect.improved",
    summary: "A measure is less after than before, by so much at least.",
    text: "What the rounds cannot decide is inconclusive, never passed, and is told with how many \
           rounds might.",
    arguments: COMPARED,
    options: Some(&GAIN),
    example: "local run = scenario { binaries = { \"before\", \"after\" } }\n\n\
              test(\"a mesh forms as soon\", function()\n  local result = compare {\n    \
              before = run.binaries.before,\n    after = run.binaries.after,\n    \
              rounds = 10,\n    round = function(binary)\n      \
              local swarm = mesh { nodes = 4, binary = binary }\n      \
              return { formed = expect.formed(swarm).took }\n    end,\n  }\n  \
              expect.improved(result, \"formed\", { by = \"20%\" })\nend)",
    top_level: true,
    see_also: &["compare", "expect.not_worse"],
    ..CLAIM
};

pub(super) const NOT_WORSE: Definition = Definition {
    name: "expect.not_worse",
    summary: "A measure is not more after than before by so much.",
    text: "As with `expect.improved`, what cannot be decided is inconclusive.",
    arguments: COMPARED,
    options: Some(&GAIN),
    example: "local run = scenario { binaries = { \"before\", \"after\" } }\n\n\
              test(\"a mesh forms as soon\", function()\n  local result = compare {\n    \
              before = run.binaries.before,\n    after = run.binaries.after,\n    \
              rounds = 10,\n    round = function(binary)\n      \
              local swarm = mesh { nodes = 4, binary = binary }\n      \
              return { formed = expect.formed(swarm).took }\n    end,\n  }\n  \
              expect.not_worse(result, \"formed\", { by = \"5%\" })\nend)",
    top_level: true,
    see_also: &["compare", "expect.improved"],
    ..CLAIM
};
