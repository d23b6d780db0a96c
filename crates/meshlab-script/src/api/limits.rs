//! `ceilings = { ... }` and `trends = { ... }`: what nodes may use, and grow by.

use std::time::Duration;

use meshlab_model::{ByteSize, Ceilings, Percent, Resource, Trend, Trends};
use mlua::Value;

use crate::call::{Options, Outcome, describe};

const AFTER: Duration = Duration::from_secs(600);
const NEEDS: Duration = Duration::from_secs(3600);

/// `ceilings = { cpu = "25%", rss = "200MiB", open_files = 512, threads = 64 }`
pub(super) fn ceilings(options: &Options) -> Outcome<Ceilings> {
    let given = options.nested("ceilings")?;
    let mut ceilings = Ceilings::new();
    for resource in Resource::ALL {
        let key = resource.as_str();
        let limit = match resource {
            Resource::Cpu => given.percent(key)?.map(|Percent(share)| share),
            Resource::Rss => given.size(key)?.map(|ByteSize(bytes)| bytes as f64),
            Resource::OpenFiles | Resource::Threads => given.count(key)?.map(|count| count as f64),
        };
        if limit.is_some_and(|limit| limit <= 0.0) {
            let message = format!("the ceiling `{key}` is more than nothing");
            return Err(given.mistake(key, message));
        }
        ceilings.extend(limit.map(|limit| (resource, limit)));
    }
    Ok(ceilings)
}

/// `trends = { rss = { max_growth = "256KiB/h", after = "10m", needs = "1h" } }`
pub(super) fn trends(options: &Options) -> Outcome<Trends> {
    let given = options.nested("trends")?;
    let mut trends = Trends::new();
    for resource in Resource::ALL {
        let key = resource.as_str();
        if given.get(key).is_nil() {
            continue;
        }
        let own = given.nested(key)?;
        let needs = own.duration("needs")?.unwrap_or(NEEDS);
        if needs.is_zero() {
            return Err(own.mistake("needs", "`needs` is more than \"0s\"".to_owned()));
        }
        let trend = Trend {
            max_growth: max_growth(&own, resource)?,
            after: own.duration("after")?.unwrap_or(AFTER),
            needs,
        };
        trends.insert(resource, trend);
    }
    Ok(trends)
}

/// An amount per time, in the resource's unit a second.
fn max_growth(own: &Options, resource: Resource) -> Outcome<f64> {
    let example = match resource {
        Resource::Cpu => "1%/h",
        Resource::Rss => "256KiB/h",
        Resource::OpenFiles | Resource::Threads => "1/h",
    };
    let value = own.get("max_growth");
    let wrong = |got: String| {
        let message = format!(
            "`max_growth` of `{resource}` is an amount per time such as \"{example}\", got {got}"
        );
        own.mistake("max_growth", message)
    };
    let Value::String(text) = &value else { return Err(wrong(describe(&value))) };
    let text = text.to_string_lossy();
    let growth = text.rsplit_once('/').and_then(|(amount, per)| {
        let amount = match resource {
            Resource::Cpu => Percent::parse(amount).ok()?.0,
            Resource::Rss => ByteSize::parse(amount).ok()?.0 as f64,
            Resource::OpenFiles | Resource::Threads => amount.trim().parse().ok()?,
        };
        let seconds = match per {
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        Some(amount / seconds).filter(|growth: &f64| growth.is_finite() && *growth > 0.0)
    });
    growth.ok_or_else(|| wrong(format!("\"{text}\"")))
}
