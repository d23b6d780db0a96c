//! What is written about kinds of nodes: `kinds.rs` has what it does.

use crate::define::{Class, Definition, Family, Field, PLAIN, WAITS};

pub(super) const FAMILY: Family = Family {
    title: "Programs of somebody else's",
    text: "A kind says how to run a program that has no agent: docs/kinds.md. What needs no agent \
           works on its nodes: faults, limits, logs, spans, profiles. What it has no word for is \
           not available, and claims on it are inconclusive.",
    functions: &[&KIND],
    classes: &[
        &KIND_OPTIONS,
        &KIND_READY,
        &KIND_STOP,
        &KIND_ANSWERS,
        &SPAN_WORD,
        &ANSWERS_CLAIM,
        &FILE_CLAIM,
        &KIND_CLASS,
    ],
    aliases: &[],
};

const KIND_OPTIONS: Class = Class::options(
    "KindOptions",
    "How to run a program. Texts have placeholders: {name}, {index}, {mesh}, {role}, {data}, \
     {tmp}, {program}, {captured}, \
     {ip}, {port}, {bind}, {seed}, {seeds}, {otlp_http}, {otlp_grpc}, {public_key}, {secret_key}, \
     and both keys with _base64.",
    &[
        Field::needed("name", "string", "a word for it; `--binary NAME=PATH` replaces its program"),
        Field::needed(
            "program",
            "string|Binary",
            "its path, or its name on PATH; \"mesh-node\" is our own, as a stranger",
        ),
        Field::optional(
            "arguments",
            "(string|string[])[]",
            "a list in it is left out where a placeholder in it is empty",
        ),
        Field::optional(
            "shell",
            "string",
            "in the place of `arguments`: a line for /bin/sh, with pipes and files, in which \
             {program} is its program",
        ),
        Field::optional(
            "install",
            "string",
            "how to get the program, for whoever has not: `cargo install dumbpipe --locked`",
        ),
        Field::optional(
            "env",
            "table<string, string>",
            "beside PATH, HOME, TMPDIR and where spans go; left out where a placeholder is empty",
        ),
        Field::optional(
            "files",
            "table<string, string>",
            "written before each start, by their path below its data directory",
        ),
        Field::or("port", "integer", "7777", "that it binds; each node has its own network"),
        Field::or("seed", "string", "\"{bind}\"", "how others write it as a seed"),
        Field::or("seed_separator", "string", "\",\"", "between two seeds"),
        Field::of("ready", &KIND_READY, "what shows that it is ready; one thing is needed"),
        Field::optional(
            "capture",
            "string",
            "a part of a line of its log with one `*`: what that stands for is {captured}; others \
             are given it by `seed = \"{captured}\"`",
        ),
        Field::or("ends", "boolean", "false", "it ends when it is done; with code 0 that is fine"),
        Field::of("stop", &KIND_STOP, "how it is asked to end"),
        Field::of("answers", &KIND_ANSWERS, "what it answers to anybody, for `expect.answers`"),
        Field::optional(
            "spans",
            "\"standard\"|table<string, string|SpanWord>",
            "what its spans are in the standard names; without it nothing is taken from them",
        ),
        Field::or("dead_after", "Duration", "\"10s\"", "silence until it infers a peer's death"),
        Field::optional(
            "clock",
            "\"preload\"",
            "loads a library before it that answers for the time, so that `clock_skew` works",
        ),
    ],
);

const KIND_READY: Class = Class::options(
    "KindReady",
    "What shows that a program is ready: one of these, and how long it may take.",
    &[
        Field::optional("log", "string", "a part of a line of its log; `*` is anything between"),
        Field::optional("span", "string", "a span of that name"),
        Field::optional("port", "\"tcp\"|\"udp\"", "something has bound its port"),
        Field::optional("command", "string[]", "a command in its place ends with code 0"),
        Field::optional("answers", "boolean", "it answers, as `answers` says"),
        Field::or("within", "Duration", "\"20s\"", "how long that may take"),
    ],
);

const KIND_STOP: Class = Class::options(
    "KindStop",
    "How a program is asked to end.",
    &[
        Field::or("signal", "string", "\"SIGTERM\"", "what is sent"),
        Field::or("grace", "Duration", "\"4s\"", "until it is killed"),
    ],
);

const KIND_ANSWERS: Class = Class::options(
    "KindAnswers",
    "A question that a program answers to anybody.",
    &[
        Field::optional("tcp", "string", "what is sent over a connection; may be empty"),
        Field::optional("udp", "string", "what is sent as a packet"),
        Field::optional("contains", "string", "a part of the answer"),
    ],
);

pub(super) const SPAN_WORD: Class = Class::options(
    "SpanWord",
    "What a span of a program is in the standard names.",
    &[
        Field::needed("is", "string", "the standard name: `peer.connected`"),
        Field::optional(
            "attributes",
            "table<string, string>",
            "from its own names to the standard ones: `{ [\"remote\"] = \"peer.id\" }`",
        ),
        Field::optional(
            "with",
            "table<string, string>",
            "attributes that go without saying: `{ state = \"Dead\" }`",
        ),
    ],
);

const ANSWERS_CLAIM: Class = Class::options(
    "AnswersClaim",
    "Who asks, and until when.",
    &[
        Field::optional("from", "From", "from whose network; one other of its mesh by default"),
        Field::or("within", "Duration", "\"10s\"", "how long to wait"),
    ],
);

const FILE_CLAIM: Class = Class::options(
    "FileClaim",
    "Which file, what it holds, and until when.",
    &[
        Field::needed("path", "string", "below the node's data directory"),
        Field::needed("holds", "string", "all of its bytes"),
        Field::or("within", "Duration", "\"10s\"", "how long to wait"),
    ],
);

pub(super) const KIND_CLASS: Class =
    Class::given("Kind", "A kind of node.", &[Field::needed("name", "string", "its name")], &[]);

pub(super) const KIND: Definition = Definition {
    name: "kind",
    summary: "Says how to run a program that has no agent.",
    text: "It stands at the top of a file or in a library. `mesh { kind = ... }` makes nodes of \
           it. The harness makes an Ed25519 key for each node: `{secret_key}` in a file or an \
           argument, `node.public_key` in a scenario.",
    arguments: &[Field::needed("options", "KindOptions", "")],
    options: Some(&KIND_OPTIONS),
    returns: &[Field::needed("kind", "Kind", "")],
    example: "local web = kind {\n  name = \"web\", program = \"/usr/bin/python3\",\n  \
              arguments = { \"-m\", \"http.server\", \"{port}\", \"--bind\", \"{ip}\" },\n  \
              port = 8000, ready = { port = \"tcp\" },\n  \
              answers = { tcp = \"GET / HTTP/1.0\\r\\n\\r\\n\", contains = \"200 OK\" },\n}\n\n\
              test(\"it serves\", function()\n  \
              local servers = mesh { nodes = 2, kind = web }\n  \
              expect.answers(servers, { within = \"5s\" })\nend)",
    top_level: true,
    see_also: &["mesh", "expect.answers"],
    ..PLAIN
};

pub(super) const ANSWERS: Definition = Definition {
    name: "expect.answers",
    summary: "Each node answers what its kind says, asked over the network.",
    text: "The harness asks, from the network of another node: what faults do to links is done to \
           the question too. It is asked again each 100 ms until the deadline.",
    arguments: &[
        Field::needed("nodes", "From", "who is asked; of a mesh, the live ones"),
        Field::optional("claim", "AnswersClaim", ""),
    ],
    options: Some(&ANSWERS_CLAIM),
    returns: super::claim_definitions::CLAIM.returns,
    example: "local echo = kind {\n  name = \"echo\", program = \"/usr/local/bin/udp-echo\",\n  \
              arguments = { \"{bind}\" }, ready = { port = \"udp\" },\n  \
              answers = { udp = \"hello\", contains = \"hello\" },\n  spans = {\n    \
              up = { is = \"peer.connected\", attributes = { remote = \"peer.id\" } },\n  \
              },\n}\n\n\
              test(\"it comes back\", function()\n  \
              local echoes = mesh { nodes = 2, kind = echo }\n  \
              fault.restart_node(echoes:node(1))\n  \
              expect.answers(echoes:node(1), { from = echoes:node(2) })\nend)",
    top_level: true,
    see_also: &["kind"],
    ..WAITS
};

pub(super) const FILE: Definition = Definition {
    name: "expect.file",
    summary: "A file that each node wrote holds these bytes and nothing else.",
    text: "The harness reads it on the node's own disk, whether or not the node runs. What is \
           missing, or differs, is told by its place.",
    arguments: &[
        Field::needed("nodes", "From", "whose; of a mesh, the live ones"),
        Field::needed("claim", "FileClaim", ""),
    ],
    options: Some(&FILE_CLAIM),
    returns: super::claim_definitions::CLAIM.returns,
    example: "local copy = kind {\n  name = \"copy\", program = \"cat\",\n  \
              files = { from = \"hello\" },\n  \
              shell = \"echo it copies; {program} from > to; sleep 600\",\n  \
              ready = { log = \"it copies\" },\n}\n\n\
              test(\"it copies\", function()\n  \
              local copies = mesh { nodes = 1, kind = copy }\n  \
              expect.file(copies, { path = \"to\", holds = \"hello\" })\nend)",
    top_level: true,
    see_also: &["kind"],
    ..WAITS
};
