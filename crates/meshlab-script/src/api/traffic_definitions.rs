//! What is written about workloads: `traffic.rs` has what they do.

use crate::define::{ASKS, Class, Definition, Family, Field, WAITS};

pub(super) const FAMILY: Family = Family {
    title: "Workloads",
    text: "One node drives a workload against another and measures it. Limits are claims: they are \
           in the report whether they held or not.",
    functions: &[&BI_STREAMS, &REQUESTS, &BULK],
    classes: &[
        &STREAM_OPTIONS,
        &REQUEST_OPTIONS,
        &BULK_OPTIONS,
        &FLOORS,
        &CEILINGS,
        &RESULT,
        &BULK_RESULT,
        &LATENCY,
    ],
    aliases: &[],
};

const SENDER: Field = Field::needed("from", "Node", "who drives it");
const RECEIVER: Field = Field::needed("to", "Node", "who answers");
const SIZE: Field = Field::or("size", "Size", "\"1KiB\"", "of each message, and of each answer");
const LENGTH: Field = Field::needed("duration", "Duration", "for how long; never scaled");
const RATE: Field =
    Field::optional("rate", "Rate", "send on a clock; else the next follows the answer");
const FLOOR: Field = Field::of("floors", &FLOORS, "what it must reach");
const CEILING: Field = Field::of("ceilings", &CEILINGS, "what it must not exceed");

const FLOORS: Class = Class::options(
    "TrafficFloors",
    "What a workload must reach.",
    &[Field::optional("round_trips", "integer", "round trips, at least")],
);

const fn ceiling(name: &'static str) -> Field {
    Field::optional(name, "Duration", "of the round-trip times, at most")
}

const CEILINGS: Class = Class::options(
    "TrafficCeilings",
    "What a workload must not exceed. A time of no round trips at all is none that held.",
    &[
        Field::optional("errors", "integer", "errors, at most"),
        ceiling("p50"),
        ceiling("p90"),
        ceiling("p99"),
        ceiling("p999"),
        ceiling("max"),
    ],
);

const STREAM_OPTIONS: Class = Class::options(
    "BiStreamOptions",
    "Streams that stay open.",
    &[
        SENDER,
        RECEIVER,
        Field::needed("streams", "integer", "how many at once"),
        SIZE,
        LENGTH,
        RATE,
        FLOOR,
        CEILING,
    ],
);

const REQUEST_OPTIONS: Class = Class::options(
    "RequestOptions",
    "A stream for each request.",
    &[
        SENDER,
        RECEIVER,
        Field::or("concurrency", "integer", "1", "requests at once"),
        SIZE,
        LENGTH,
        RATE,
        FLOOR,
        CEILING,
    ],
);

const BULK_OPTIONS: Class = Class::options(
    "BulkOptions",
    "One large transfer.",
    &[
        SENDER,
        RECEIVER,
        Field::needed("size", "Size", "how much"),
        Field::or("within", "Duration", "\"60s\"", "given up after so long; never scaled"),
    ],
);

const TOOK: Field = Field::needed("took", "DurationValue", "how long it took");
const SENT: Field = Field::needed("bytes", "SizeValue", "bytes that crossed");

pub(super) const RESULT: Class = Class::given(
    "TrafficResult",
    "What a workload measured.",
    &[
        Field::needed("round_trips", "integer", "messages that were answered"),
        Field::needed("errors", "integer", "messages that were not"),
        SENT,
        TOOK,
        Field::needed("per_second", "number", "round trips a second"),
        Field::needed("latency", "Latency", "the round-trip times"),
    ],
    &[],
);

pub(super) const BULK_RESULT: Class = Class::given(
    "BulkResult",
    "What came of a transfer.",
    &[
        Field::needed("whole", "boolean", "whether every byte arrived, by its BLAKE3 hash"),
        Field::optional("reason", "string", "why not"),
        TOOK,
        SENT,
    ],
    &[],
);

const fn quantile(name: &'static str, text: &'static str) -> Field {
    Field::needed(name, "DurationValue", text)
}

pub(super) const LATENCY: Class = Class::given(
    "Latency",
    "A distribution of round-trip times, from an HDR histogram.",
    &[
        quantile("p50", "half of them took at most this"),
        quantile("p90", "9 of 10"),
        quantile("p99", "99 of 100"),
        quantile("p999", "999 of 1000"),
        quantile("max", "the longest"),
        Field::needed("count", "integer", "how many there are"),
    ],
    &[&AT],
);

const RETURNS: &[Field] = &[Field::needed("result", "TrafficResult", "")];

pub(super) const BI_STREAMS: Definition = Definition {
    name: "traffic.bi_streams",
    summary: "Round trips over concurrent bidirectional streams that stay open.",
    arguments: &[Field::needed("options", "BiStreamOptions", "")],
    options: Some(&STREAM_OPTIONS),
    returns: RETURNS,
    example: "local flood = traffic.bi_streams {\n  from = swarm:node(1), to = swarm:node(2),\n  \
              streams = 8, size = \"1KiB\", duration = \"2s\",\n  \
              floors = { round_trips = 100 }, ceilings = { errors = 0, p99 = \"50ms\" },\n}\n\
              record.metric(\"p50\", flood.latency.p50)",
    see_also: &["traffic.requests", "traffic.bulk"],
    ..WAITS
};

pub(super) const REQUESTS: Definition = Definition {
    name: "traffic.requests",
    summary: "Requests with an answer, a new stream for each.",
    arguments: &[Field::needed("options", "RequestOptions", "")],
    options: Some(&REQUEST_OPTIONS),
    returns: RETURNS,
    example: "local asked = traffic.requests {\n  from = swarm:node(1), to = swarm:node(2),\n  \
              concurrency = 4, duration = \"2s\", rate = \"500/s\",\n}\n\
              record.metric(\"requests a second\", asked.per_second)",
    see_also: &["traffic.bi_streams"],
    ..WAITS
};

pub(super) const BULK: Definition = Definition {
    name: "traffic.bulk",
    summary: "One large transfer, checked byte for byte.",
    text: "A transfer that fails is no error; it is in what comes back.",
    arguments: &[Field::needed("options", "BulkOptions", "")],
    options: Some(&BULK_OPTIONS),
    returns: &[Field::needed("result", "BulkResult", "")],
    example: "local sent = traffic.bulk { from = swarm:node(1), to = swarm:node(2), size = \
              \"4MiB\" }\n\
              expect.equal(sent.whole, true, \"it arrives whole: \" .. tostring(sent.reason))",
    see_also: &["node:fetch"],
    ..WAITS
};

pub(super) const AT: Definition = Definition {
    name: "latency:at",
    summary: "The time that so many percent of them took at most.",
    arguments: &[Field::needed("percentile", "number", "0 to 100")],
    returns: &[Field::needed("time", "DurationValue", "")],
    example: "local asked = traffic.requests {\n  from = swarm:node(1), to = swarm:node(2), \
              duration = \"1s\",\n}\nprint(asked.latency:at(75))",
    see_also: &["traffic.requests"],
    ..ASKS
};
