//! `ceilings`, `floors` and `trends`: what nodes may use, need, and grow by.

use std::time::Duration;

use meshlab_model::{
    Bound, ByteSize, Ceilings, CounterName, Percent, Phase, Resource, Trend, Trends,
};
use mlua::Value;

use super::comparison_definitions::TREND;
use crate::call::{Options, Outcome, describe};

const AFTER: Duration = Duration::from_secs(600);
const NEEDS: Duration = Duration::from_secs(3600);

/// `ceilings = { cpu = "25%", rss = "200MiB", threads = 64, counters = { connections = 40 } }`
pub(super) fn ceilings(options: &Options) -> Outcome<Ceilings> {
    amounts(&options.nested("ceilings")?, "ceiling")
}

/// `ceilings = { roles = { broker = { cpu = "40%" } }, phases = { idle = { cpu = "2%" } } }`, and
/// all of `floors`.
pub(super) fn bounds(options: &Options) -> Outcome<Vec<Bound>> {
    let mut bounds = Vec::new();
    for (key, what, least) in [("ceilings", "ceiling", false), ("floors", "floor", true)] {
        let given = options.nested(key)?;
        let mut add = |amounts: Ceilings, role: Option<&str>, phase: Option<Phase>| {
            bounds.extend(amounts.into_iter().map(|(resource, limit)| Bound {
                resource,
                limit,
                least,
                role: role.map(str::to_owned),
                phase,
            }));
        };
        // Ceilings of all nodes all the time are those of a mesh without its own.
        if least {
            add(amounts(&given, what)?, None, None);
        }
        let phases = given.nested("phases")?;
        for phase in Phase::ALL {
            add(amounts(&phases.nested(phase.as_str())?, what)?, None, Some(phase));
        }
        let roles = given.within("roles")?;
        for role in given.names("roles")? {
            let own = roles.within(&role)?;
            let known: Vec<&str> =
                Resource::ALL.map(Resource::as_str).into_iter().chain(["counters"]).collect();
            let wrong = roles.names(&role)?.into_iter().find(|key| !known.contains(&key.as_str()));
            if let Some(wrong) = wrong {
                let message =
                    format!("the {what} `{wrong}` of `{role}` is none of {}", known.join(", "));
                return Err(roles.mistake(&role, message));
            }
            add(amounts(&own, what)?, Some(&role), None);
        }
    }
    Ok(bounds)
}

fn amounts(given: &Options, what: &str) -> Outcome<Ceilings> {
    let mut ceilings = Ceilings::new();
    for resource in Resource::ALL {
        let key = resource.as_str();
        let limit = match resource {
            Resource::Cpu => given.percent(key)?.map(|Percent(share)| share),
            Resource::Rss => given.size(key)?.map(|ByteSize(bytes)| bytes as f64),
            _ => given.count(key)?.map(|count| count as f64),
        };
        if limit.is_some_and(|limit| limit <= 0.0) {
            let message = format!("the {what} `{key}` is more than nothing");
            return Err(given.mistake(key, message));
        }
        ceilings.extend(limit.map(|limit| (resource, limit)));
    }
    let counters = given.within("counters")?;
    for name in given.names("counters")? {
        // Zero is a limit here: of what should never be counted.
        let limit = counters.whole(&name)?.map(|count| count as f64);
        let resource = Resource::Counter(CounterName::new(&name));
        ceilings.extend(limit.map(|limit| (resource, limit)));
    }
    Ok(ceilings)
}

/// `trends = { rss = { max_growth = "256KiB/h", after = "10m", needs = "1h" } }`
pub(super) fn trends(options: &Options) -> Outcome<Trends> {
    let given = options.nested("trends")?;
    let mut trends = Trends::new();
    for resource in Resource::ALL {
        if !given.get(resource.as_str()).is_nil() {
            let own = given.nested(resource.as_str())?;
            trends.insert(resource, trend(&own, resource)?);
        }
    }
    let counters = given.within("counters")?;
    for name in given.names("counters")? {
        let resource = Resource::Counter(CounterName::new(&name));
        let own = counters.of_class(&name, &TREND)?;
        trends.insert(resource, trend(&own, resource)?);
    }
    Ok(trends)
}

fn trend(own: &Options, resource: Resource) -> Outcome<Trend> {
    let needs = own.duration("needs")?.unwrap_or(NEEDS);
    if needs.is_zero() {
        return Err(own.mistake("needs", "`needs` is more than \"0s\"".to_owned()));
    }
    let (max_growth, per_peer) = max_growth(own, resource)?;
    Ok(Trend {
        max_growth,
        per_peer,
        stop_when_certain: own.boolean("stop_when_certain")?.unwrap_or(false),
        after: own.duration("after")?.unwrap_or(AFTER),
        needs,
    })
}

/// An amount per time, in the resource's unit a second; or for each peer that went away, and then
/// true.
fn max_growth(own: &Options, resource: Resource) -> Outcome<(f64, bool)> {
    let example = match resource {
        Resource::Cpu => "1%/h",
        Resource::Rss => "256KiB/h",
        _ => "1/h",
    };
    let value = own.get("max_growth");
    let wrong = |got: String| {
        let message = format!(
            "`max_growth` of `{resource}` is an amount per time such as \"{example}\", or per \
             `/peer` that goes away, got {got}"
        );
        own.mistake("max_growth", message)
    };
    let Value::String(text) = &value else { return Err(wrong(describe(&value))) };
    let text = text.to_string_lossy();
    let growth = text.rsplit_once('/').and_then(|(amount, per)| {
        let amount = match resource {
            Resource::Cpu => Percent::parse(amount).ok()?.0,
            Resource::Rss => ByteSize::parse(amount).ok()?.0 as f64,
            _ => amount.trim().parse().ok()?,
        };
        let seconds = match per {
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "peer" => 1.0,
            _ => return None,
        };
        let growth: f64 = amount / seconds;
        Some((growth, per == "peer")).filter(|_| growth.is_finite() && growth > 0.0)
    });
    growth.ok_or_else(|| wrong(format!("\"{text}\"")))
}
