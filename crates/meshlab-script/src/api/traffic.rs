//! `traffic.*`: workloads between two nodes, with limits that are judged and recorded.

use std::{sync::Arc, time::Duration};

use meshlab_engine::{Claim, NodeAct, TrafficCall};
use meshlab_model::{ByteSize, NodeId, Severity, format_duration};
use meshlab_stats::Latency;
use meshlab_wire::{Outcome as Done, TrafficKind, TrafficResult};
use mlua::{
    Lua, MetaMethod, MultiValue, Result, Table, UserData, UserDataFields, UserDataMethods, Value,
};

use super::traffic_definitions as define;
use crate::{
    call::{Call, Options, Outcome, waiting},
    context::Context,
    sandbox,
    values::{DurationValue, SizeValue, micros},
};

const PERCENTILES: &[(&str, f64)] = &[("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 99.9)];
const SIZE: ByteSize = ByteSize(1024);
const BULK_WITHIN: Duration = Duration::from_secs(60);

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    let entries = vec![
        ("bi_streams", waiting(lua, context, &define::BI_STREAMS, bi_streams)?),
        ("requests", waiting(lua, context, &define::REQUESTS, requests)?),
        ("bulk", waiting(lua, context, &define::BULK, bulk)?),
    ];
    globals.raw_set("traffic", sandbox::module(lua, context, "traffic", entries)?)
}

/// Round-trip times.
struct Times(Latency);

impl UserData for Times {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        for (name, percentile) in PERCENTILES {
            let at = *percentile;
            fields.add_field_method_get(*name, move |_, this| Ok(DurationValue(this.0.at(at))));
        }
        fields.add_field_method_get("max", |_, this| Ok(DurationValue(this.0.max())));
        fields.add_field_method_get("count", |_, this| Ok(this.0.count()));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method(define::AT.short(), |_, this, percentile: f64| {
            if (0.0..=100.0).contains(&percentile) {
                Ok(DurationValue(this.0.at(percentile)))
            } else {
                Err(mlua::Error::runtime(format!("{percentile} is no percentile, 0 to 100")))
            }
        });
        methods.add_meta_method(MetaMethod::Index, |_, _, key: Value| {
            let key = key.to_string().unwrap_or_default();
            Err::<MultiValue, _>(mlua::Error::runtime(format!(
                "a latency has no `{key}`; it has {}",
                define::LATENCY.members().collect::<Vec<_>>().join(", ")
            )))
        });
    }
}

async fn bi_streams(call: Call) -> Outcome<Table> {
    let options = call.options(0)?;
    let streams = needed_count(&options, "streams")?;
    messages(&call, &options, "traffic.bi_streams", TrafficKind::Echo, streams).await
}

async fn requests(call: Call) -> Outcome<Table> {
    let options = call.options(0)?;
    let streams = options.count("concurrency")?.unwrap_or(1);
    messages(&call, &options, "traffic.requests", TrafficKind::Request, streams).await
}

async fn messages(
    call: &Call,
    options: &Options,
    name: &'static str,
    kind: TrafficKind,
    streams: u64,
) -> Outcome<Table> {
    let limits = Limits::read(options)?;
    let length = options.duration("duration")?;
    let length = length.ok_or_else(|| options.missing("duration", "a length of time"))?;
    let wanted = TrafficCall {
        to: one_node(options, "to")?,
        kind,
        streams: u32::try_from(streams).unwrap_or(u32::MAX),
        size: options.size("size")?.unwrap_or(SIZE),
        length,
        rate: options.rate("rate")?,
    };
    let from = one_node(options, "from")?;
    let (result, latency) = drive(call, &from, wanted).await?;
    limits.judge(call, name, &result, &latency).await?;
    let lua = call.lua.clone();
    call.table(&define::RESULT, |table| {
        table.raw_set("round_trips", result.round_trips)?;
        table.raw_set("errors", result.errors)?;
        let bytes = SizeValue(ByteSize(result.bytes));
        table.raw_set("bytes", lua.create_userdata(bytes)?)?;
        let took = DurationValue(micros(result.took_micros));
        table.raw_set("took", lua.create_userdata(took)?)?;
        table.raw_set("per_second", per_second(&result))?;
        table.raw_set("latency", lua.create_userdata(Times(latency))?)
    })
}

async fn bulk(call: Call) -> Outcome<Table> {
    let options = call.options(0)?;
    let size = options.size("size")?;
    let wanted = TrafficCall {
        to: one_node(&options, "to")?,
        kind: TrafficKind::Bulk,
        streams: 1,
        size: size.ok_or_else(|| options.missing("size", "a size"))?,
        length: options.duration("within")?.unwrap_or(BULK_WITHIN),
        rate: None,
    };
    let from = one_node(&options, "from")?;
    let (result, _) = drive(&call, &from, wanted).await?;
    let lua = call.lua.clone();
    call.table(&define::BULK_RESULT, |table| {
        table.raw_set("whole", result.errors == 0 && result.round_trips == 1)?;
        table.raw_set("reason", result.reasons.first().cloned())?;
        let took = DurationValue(micros(result.took_micros));
        table.raw_set("took", lua.create_userdata(took)?)?;
        let bytes = SizeValue(ByteSize(result.bytes));
        table.raw_set("bytes", lua.create_userdata(bytes)?)
    })
}

async fn drive(
    call: &Call,
    from: &NodeId,
    wanted: TrafficCall,
) -> Outcome<(TrafficResult, Latency)> {
    let host = Arc::clone(call.host()?);
    let acting = host.act(from, NodeAct::Traffic(wanted), call.at());
    let result = match call.or_cancelled(acting).await? {
        Ok(Done::Traffic(result)) => result,
        Ok(other) => return Err(call.mistake(format!("{from} answered {other:?}"))),
        Err(why) => return Err(call.mistake(format!("{from} refused: {why}"))),
    };
    let latency = Latency::decode(&result.histogram);
    let latency = latency.map_err(|why| call.mistake(format!("{from} sent {why}")))?;
    Ok((result, latency))
}

fn per_second(result: &TrafficResult) -> f64 {
    let seconds = micros(result.took_micros).as_secs_f64();
    if seconds > 0.0 { result.round_trips as f64 / seconds } else { 0.0 }
}

fn one_node(options: &Options, key: &str) -> Outcome<NodeId> {
    let nodes = options.nodes(key, false)?.unwrap_or_default();
    match <[NodeId; 1]>::try_from(nodes) {
        Ok([node]) => Ok(node),
        Err(_) => Err(options.missing(key, "a node")),
    }
}

fn needed_count(options: &Options, key: &str) -> Outcome<u64> {
    options.count(key)?.ok_or_else(|| options.missing(key, "a whole number of at least 1"))
}

/// What a workload must reach and must not exceed.
struct Limits {
    round_trips: Option<u64>,
    errors: Option<u64>,
    /// Name, percentile (none for the longest), longest time.
    times: Vec<(&'static str, Option<f64>, Duration)>,
}

impl Limits {
    fn read(options: &Options) -> Outcome<Self> {
        let floors = options.nested("floors")?;
        let ceilings = options.nested("ceilings")?;
        let mut times = Vec::new();
        let named = PERCENTILES.iter().map(|(name, at)| (*name, Some(*at)));
        for (name, at) in named.chain([("max", None)]) {
            if let Some(limit) = ceilings.duration(name)? {
                times.push((name, at, limit));
            }
        }
        Ok(Self {
            round_trips: floors.count("round_trips")?,
            errors: ceilings.whole("errors")?,
            times,
        })
    }

    /// Each limit is a claim of its own, in the record whether it held or not.
    async fn judge(
        &self,
        call: &Call,
        name: &'static str,
        result: &TrafficResult,
        latency: &Latency,
    ) -> Outcome<()> {
        let mut claims = Vec::new();
        let mut claim = |holds, text: String, found: String| {
            claims.push(Claim::Compared { call: name, holds, text, found });
        };
        let done = result.round_trips;
        if let Some(floor) = self.round_trips {
            let text = format!("at least {floor} round trips");
            claim(done >= floor, text, format!("{done} round trips, the floor is {floor}"));
        }
        if let Some(ceiling) = self.errors {
            let why = result.reasons.first().map(|why| format!(" ({why})")).unwrap_or_default();
            let found = format!("{} errors{why}, the limit is {ceiling}", result.errors);
            claim(result.errors <= ceiling, format!("at most {ceiling} errors"), found);
        }
        for (quantile, at, limit) in &self.times {
            let found = at.map_or_else(|| latency.max(), |at| latency.at(at));
            let text = format!("{quantile} at most {}", format_duration(*limit));
            // Nothing measured is nothing that held.
            let holds = latency.count() > 0 && found <= *limit;
            let of = latency.count();
            let (found, limit) = (format_duration(found), format_duration(*limit));
            let found = format!("{quantile} {found} of {of} round trips, the limit is {limit}");
            claim(holds, text, found);
        }
        let host = Arc::clone(call.host()?);
        for claim in claims {
            let judged = host.claim(claim, Severity::Check, call.at()).await;
            call.answer(judged)?;
        }
        Ok(())
    }
}
