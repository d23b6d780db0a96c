//! `compare`: the same round with two programs, in turn; and what must come of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use meshlab_engine::{Changed, Claim, ComparisonOptions, Gain, Host};
use meshlab_model::{ByteSize, ComparisonId, Measure, Percent, Round, Severity, Verdict};
use meshlab_stats::{Paired, Summary};
use mlua::{
    Function, IntoLua, Lua, MetaMethod, MultiValue, Result, Table, UserData, UserDataFields,
    UserDataMethods, Value,
};

use super::{binaries::BinaryRef, comparison_definitions as define, mesh::missing};
use crate::{
    call::{Bound, Call, Options, Outcome, as_data, describe, method, waiting},
    context::Context,
    error::{ErrorKind, ScriptError, nearest},
    unwind::unwind,
    values::{DurationValue, SizeValue},
};

/// Rounds with each program: more tell nothing that a person waits for.
const ROUNDS_MAX: u64 = 200;
const WARMUP: u64 = 1;
const CONFIDENCE: Percent = Percent(0.95);

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    globals.raw_set("compare", waiting(lua, context, &define::COMPARE, compare)?)
}

/// What rounds with two programs measured.
#[derive(Clone)]
pub(crate) struct ComparisonRef {
    id: ComparisonId,
    rounds: u32,
    measures: Arc<BTreeMap<String, Measured>>,
    context: Arc<Context>,
}

/// One measure, by round.
#[derive(Default)]
struct Measured {
    unit: String,
    before: Vec<f64>,
    after: Vec<f64>,
}

/// A comparison that is going on.
struct Running<'a> {
    call: &'a Call,
    host: Arc<dyn Host>,
    id: ComparisonId,
    before: BinaryRef,
    after: BinaryRef,
    body: Function,
    measures: BTreeMap<String, Measured>,
    /// The first round: all others measure what it did.
    first: Option<(Round, BTreeMap<String, Measure>)>,
}

async fn compare(call: Call) -> Outcome<ComparisonRef> {
    let options = call.options(0)?;
    let host = Arc::clone(call.host()?);
    if !call.place()?.task.path.is_empty() {
        let help = "what runs beside it would be measured too; call it in the body of the test";
        return Err(call.mistake_with("`compare` does not run beside anything else", help));
    }
    let (before, after) = (binary(&options, "before")?, binary(&options, "after")?);
    if before.name == after.name {
        let message = format!(
            "`before` and `after` are both `{}`; to compare a program with itself, declare two \
             names and give both the same path",
            after.name
        );
        return Err(options.mistake("after", message));
    }
    let rounds = options.count("rounds")?;
    let rounds = rounds.ok_or_else(|| options.missing("rounds", "how many with each binary"))?;
    let warmup = options.whole("warmup")?.unwrap_or(WARMUP);
    for (key, count) in [("rounds", rounds), ("warmup", warmup)] {
        if count > ROUNDS_MAX {
            let message = format!("`{key}` of `compare` is at most {ROUNDS_MAX}, got {count}");
            return Err(options.mistake(key, message));
        }
    }
    let Value::Function(body) = options.get("round") else {
        return Err(options.missing("round", "a function that takes a binary and measures"));
    };
    let (rounds, warmup) = (rounds as u32, warmup as u32);
    let wanted = ComparisonOptions {
        before: before.name.clone(),
        after: after.name.clone(),
        rounds,
        warmup,
    };
    let schedule = match host.rehearses() {
        // All rounds are alike: one with each is enough to find what is wrong with them.
        true => schedule(&before.name, &after.name, 1, 0),
        false => schedule(&before.name, &after.name, rounds, warmup),
    };
    let (one, other) = (&before.name, &after.name);
    let text = format!("each of {rounds} rounds with `{one}` and with `{other}` measures");
    let opened = host.open_claim("compare", text, Duration::ZERO, Severity::Expect, call.at());
    let claim = call.answer(opened)?;
    let (id, measures) = {
        let began = host.now();
        let id = host.begin_comparison(wanted, call.at());
        let made = match call.answer(id) {
            Ok(id) => {
                let (first, measures) = (None, BTreeMap::new());
                let host = Arc::clone(&host);
                let mut running =
                    Running { call: &call, host, id, before, after, body, measures, first };
                let made = running.rounds(&schedule).await;
                running.host.end_comparison(id);
                made.map(|()| (id, running.measures))
            }
            Err(error) => Err(error),
        };
        let verdict = made.as_ref().err().map_or(Verdict::Passed, |error| verdict(error));
        let took = host.now().since(began);
        let closed = host.close_claim(claim, verdict, Severity::Expect, took);
        // What went wrong in a round is the error that is told.
        let made = made?;
        call.answer(closed)?;
        made
    };
    Ok(ComparisonRef {
        id,
        rounds,
        measures: Arc::new(measures),
        context: Arc::clone(&call.context),
    })
}

fn verdict(error: &ScriptError) -> Verdict {
    let why = error.message.clone();
    match error.kind {
        ErrorKind::ClaimFailed | ErrorKind::Node => Verdict::Failed(why),
        _ => Verdict::Inconclusive(why),
    }
}

fn binary(options: &Options, key: &str) -> Outcome<BinaryRef> {
    let value = options.get(key);
    as_data::<BinaryRef>(&value).ok_or_else(|| {
        let message = format!(
            "`{key}` of `compare` takes a binary of the scenario, such as `run.binaries.{key}`, \
             got {}",
            describe(&value)
        );
        options.mistake(key, message)
    })
}

/// Before, after, after, before, and so on: what drifts on the host meets both alike.
fn schedule(before: &str, after: &str, rounds: u32, warmup: u32) -> Vec<Round> {
    let both = |round: u32, warmup: bool| {
        let of = |binary: &str| Round { round, warmup, binary: binary.to_owned() };
        let turn = if round % 2 == 1 { [before, after] } else { [after, before] };
        turn.map(of)
    };
    let warm = (1..=warmup).flat_map(|round| both(round, true));
    warm.chain((1..=rounds).flat_map(|round| both(round, false))).collect()
}

impl Running<'_> {
    async fn rounds(&mut self, schedule: &[Round]) -> Outcome<()> {
        for round in schedule {
            self.call.go_on()?;
            self.call.answer(self.host.begin_round(self.id, round))?;
            let measured = self.round(round).await;
            let told = measured.clone().map_err(|error| error.message);
            let ended = self.host.end_round(self.id, round, told).await;
            let measured = measured?;
            self.call.answer(ended)?;
            if round.warmup {
                continue;
            }
            for (name, Measure { value, unit }) in measured {
                let measure = self.measures.entry(name).or_default();
                measure.unit = unit;
                match round.binary == self.before.name {
                    true => measure.before.push(value),
                    false => measure.after.push(value),
                }
            }
        }
        Ok(())
    }

    /// One round, from its body to what it measured; an error says in which it was.
    async fn round(&mut self, round: &Round) -> Outcome<BTreeMap<String, Measure>> {
        let binary = if round.binary == self.before.name { &self.before } else { &self.after };
        let place = self.call.place()?.since(self.host.now());
        let ran = place.run(self.body.call_async::<MultiValue>(binary.clone())).await;
        let ran = ran.map_err(|error| Box::new(unwind(&self.call.context, &error)));
        let measured = ran.and_then(|returned| self.measured(round, returned));
        measured.map_err(|mut error| {
            error.message = format!("in {round}: {}", error.message);
            error
        })
    }

    fn measured(
        &mut self,
        round: &Round,
        returned: MultiValue,
    ) -> Outcome<BTreeMap<String, Measure>> {
        if self.call.context.tasks.any_runs() {
            let help = "`task:join()` waits for it, `task:cancel()` ends it";
            return Err(self.call.mistake_with("a task still runs at the end of the round", help));
        }
        let measured = self.read(returned.front().cloned().unwrap_or(Value::Nil))?;
        match &self.first {
            None => self.first = Some((round.clone(), measured.clone())),
            Some((first, wanted)) => alike(self.call, first, wanted, &measured)?,
        }
        Ok(measured)
    }

    fn read(&self, returned: Value) -> Outcome<BTreeMap<String, Measure>> {
        let example = "a round returns its measures, for example `return { rejoin = back.took }`";
        let wrong = |got: String| self.call.mistake_with(got, example);
        let Value::Table(table) = &returned else {
            return Err(wrong(format!("the round returned {}", describe(&returned))));
        };
        let mut measures = BTreeMap::new();
        for pair in table.pairs::<Value, Value>() {
            let (name, value) = pair.map_err(|error| self.call.mistake(error.to_string()))?;
            let Value::String(name) = name else {
                return Err(wrong("a measure has no name".to_owned()));
            };
            let name = name.to_string_lossy();
            let measure = measure(&value)
                .ok_or_else(|| wrong(format!("the measure `{name}` is {}", describe(&value))))?;
            // Of zero there is no ratio. What a rehearsal makes up means nothing.
            if measure.value <= 0.0 && !self.host.rehearses() {
                let message = format!("the measure `{name}` is {measure}");
                let help = "programs are compared by ratio, so each measure is above zero";
                return Err(self.call.mistake_with(message, help));
            }
            measures.insert(name, measure);
        }
        if measures.is_empty() {
            return Err(wrong("the round measured nothing".to_owned()));
        }
        Ok(measures)
    }
}

fn measure(value: &Value) -> Option<Measure> {
    let length = as_data::<DurationValue>(value).map(|length| (length.0.as_secs_f64(), "s"));
    let size = as_data::<SizeValue>(value).map(|SizeValue(ByteSize(bytes))| (bytes as f64, "B"));
    let number = match value {
        Value::Integer(number) => Some((*number as f64, "")),
        Value::Number(number) if number.is_finite() => Some((*number, "")),
        _ => None,
    };
    let (value, unit) = length.or(size).or(number)?;
    Some(Measure { value, unit: unit.to_owned() })
}

/// Every round measures what the first one did.
fn alike(
    call: &Call,
    first: &Round,
    wanted: &BTreeMap<String, Measure>,
    measured: &BTreeMap<String, Measure>,
) -> Outcome<()> {
    for (name, measure) in wanted {
        match measured.get(name) {
            None => {
                return Err(call.mistake(format!("it has no `{name}`, which {first} has")));
            }
            Some(other) if other.unit != measure.unit => {
                return Err(call.mistake(format!("`{name}` is {other}, {measure} in {first}")));
            }
            Some(_) => {}
        }
    }
    match measured.keys().find(|name| !wanted.contains_key(*name)) {
        Some(name) => Err(call.mistake(format!("it has `{name}`, which {first} has not"))),
        None => Ok(()),
    }
}

impl ComparisonRef {
    fn measure(&self, call: &Call, place: usize) -> Outcome<(String, &Measured)> {
        let name = call.text(place, "a measure's name")?;
        match self.measures.get(&name) {
            Some(measure) => Ok((name, measure)),
            None => {
                let known = || self.measures.keys().map(String::as_str);
                let mut error = call.mistake(format!("the rounds measured no `{name}`"));
                error.label =
                    nearest(&name, known()).map(|meant| format!("did you mean `{meant}`?"));
                error.help = Some(format!("measures: {}", known().collect::<Vec<_>>().join(", ")));
                Err(error)
            }
        }
    }

    /// The median of one side, as the kind of value that the rounds returned.
    fn median(&self, call: &Call, side: fn(&Measured) -> &[f64]) -> Outcome<Value> {
        let (_, measure) = self.measure(call, 0)?;
        let median = Summary::of(side(measure)).map_or(f64::NAN, |summary| summary.median);
        let value = match measure.unit.as_str() {
            "s" => Duration::try_from_secs_f64(median)
                .map_or(Ok(Value::Nil), |length| DurationValue(length).into_lua(&call.lua)),
            "B" => SizeValue(ByteSize(median.round() as u64)).into_lua(&call.lua),
            _ => median.into_lua(&call.lua),
        };
        value.map_err(|error| call.mistake(error.to_string()))
    }

    /// The ratio of after to before.
    fn effect(&self, call: &Call) -> Outcome<f64> {
        let (_, measure) = self.measure(call, 0)?;
        Ok(Paired::new(&measure.before, &measure.after).map_or(1.0, |paired| paired.effect()))
    }
}

impl Bound for ComparisonRef {
    fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

impl UserData for ComparisonRef {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("rounds", |_, this| Ok(this.rounds));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        method(methods, &define::BEFORE, |this: &Self, call| {
            this.median(&call, |measure| &measure.before)
        });
        method(methods, &define::AFTER, |this: &Self, call| {
            this.median(&call, |measure| &measure.after)
        });
        method(methods, &define::EFFECT, |this: &Self, call| this.effect(&call));
        methods.add_meta_method(MetaMethod::Index, |lua, this, key: Value| {
            Err::<Value, _>(missing(&this.context, lua, "a comparison", &key, &define::COMPARISON))
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("the comparison of {} rounds", this.rounds))
        });
    }
}

/// `improved(comparison, measure, { by })`
pub(super) fn improved(call: &Call) -> Outcome<Claim> {
    changed(call, Gain::Improved)
}

/// `not_worse(comparison, measure, { by })`
pub(super) fn not_worse(call: &Call) -> Outcome<Claim> {
    changed(call, Gain::NotWorse)
}

fn changed(call: &Call, gain: Gain) -> Outcome<Claim> {
    let comparison = as_data::<ComparisonRef>(&call.argument(0)).ok_or_else(|| {
        let got = describe(&call.argument(0));
        call.mistake(format!("`{}` takes what `compare` returned first, got {got}", call.name))
    })?;
    let (measure, _) = comparison.measure(call, 1)?;
    let options = call.options(2)?;
    let by = options.percent("by")?;
    let by = by.ok_or_else(|| options.missing("by", "a share, for example `by = \"20%\"`"))?;
    if by.0 >= 1.0 && gain == Gain::Improved {
        let message = "nothing improves by 100% or more: smaller is better".to_owned();
        return Err(options.mistake("by", message));
    }
    let confidence = options.percent("confidence")?.unwrap_or(CONFIDENCE);
    if !(0.5..=0.9999).contains(&confidence.0) {
        let message = format!("`confidence` is \"50%\" to \"99.99%\", got {confidence}");
        return Err(options.mistake("confidence", message));
    }
    Ok(Claim::Changed(Changed { comparison: comparison.id, measure, gain, by, confidence }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_in_turn_and_warm_ups_come_first() {
        let said: Vec<String> = schedule("b", "a", 3, 1)
            .iter()
            .map(|round| {
                let what = if round.warmup { "w" } else { "" };
                format!("{what}{}{}", round.round, round.binary)
            })
            .collect();
        assert_eq!(said.join(" "), "w1b w1a 1b 1a 2a 2b 3b 3a");
    }
}
