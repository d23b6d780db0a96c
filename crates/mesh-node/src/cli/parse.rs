//! Values of flags and environment variables.

use std::{num::NonZeroU32, str::FromStr, time::Duration};

use iroh::{EndpointAddr, PublicKey, TransportAddr};

use crate::digest::TAG_BYTES_MAX;

/// Shortest cadence that is accepted: below it the mesh talks of nothing else.
const DIGEST_EVERY_MIN: Duration = Duration::from_millis(100);

/// Longest cadence that is accepted.
const DIGEST_EVERY_MAX: Duration = Duration::from_secs(3600);

/// Longest name of a mesh or a role, in bytes.
const WORD_BYTES_MAX: usize = 32;

/// The seeds of one flag or of the whole environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeedList(pub(super) Vec<EndpointAddr>);

impl FromStr for SeedList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seeds = text.split([' ', ';', '\n']).filter(|seed| !seed.is_empty());
        seeds.map(seed).collect::<Result<_, _>>().map(Self)
    }
}

pub(crate) fn seed(text: &str) -> Result<EndpointAddr, String> {
    let (key, addresses) =
        text.split_once('@').ok_or_else(|| format!("`{text}` has no `@`; write PUBKEYHEX@ADDR"))?;
    let key = self::key(key)?;
    let addresses = addresses
        .split(',')
        .map(|address| {
            address.parse().map(TransportAddr::Ip).map_err(|_| {
                format!("`{address}` is no socket address such as 127.0.0.1:4000 or [::1]:4000")
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(EndpointAddr::from_parts(key, addresses))
}

pub(super) fn word(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if text.is_empty() || text.len() > WORD_BYTES_MAX || !text.bytes().all(allowed) {
        return Err(format!(
            "it must have 1 to {WORD_BYTES_MAX} letters, digits, `-` or `_`, because it becomes \
             part of the node's name"
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn key(text: &str) -> Result<PublicKey, String> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("`{text}` is no public key of 64 hex digits"));
    }
    text.parse().map_err(|error| format!("`{text}` is no public key: {error}"))
}

pub(super) fn tag(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
    if text.is_empty() || text.len() > TAG_BYTES_MAX || !text.chars().all(allowed) {
        return Err(format!(
            "a tag has 1 to {TAG_BYTES_MAX} letters, digits, `-`, `_`, `.` or `=`, for example \
             model=small"
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn cores(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(cores) if cores > 0.0 && cores <= 1024.0 => Ok(cores),
        _ => Err("it must be a number of cores above 0, for example 0.5".to_owned()),
    }
}

/// Most dials a second that are asked for.
const RATE_MAX: u32 = 1000;

pub(super) fn rate(text: &str) -> Result<NonZeroU32, String> {
    let number = text.strip_suffix("/s").and_then(|number| number.parse::<NonZeroU32>().ok());
    number.filter(|number| number.get() <= RATE_MAX).ok_or_else(|| {
        format!("it must be a whole number a second from 1/s to {RATE_MAX}/s, got `{text}`")
    })
}

pub(super) fn length(text: &str) -> Result<Duration, String> {
    let (number, unit_ms) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1000),
        (None, None) => return Err("it needs a unit: write 500ms or 2s".to_owned()),
    };
    let number: u64 =
        number.parse().map_err(|_| format!("`{number}` is no whole number of units"))?;
    Ok(Duration::from_millis(number.saturating_mul(unit_ms)))
}

pub(super) fn digest_every(text: &str) -> Result<Duration, String> {
    let every = length(text)?;
    if (DIGEST_EVERY_MIN..=DIGEST_EVERY_MAX).contains(&every) {
        Ok(every)
    } else {
        Err("it must be from 100ms to 3600s".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, NodeArguments};

    const KEY: &str = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";

    fn parse(arguments: &[&str]) -> Result<NodeArguments, String> {
        let fixed = ["mesh-node", "--mesh", "m", "--role", "r", "--data", "/d"];
        let arguments = fixed.iter().chain(arguments);
        let cli = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?;
        cli.node.ok_or_else(|| "no node".to_owned())
    }

    #[test]
    fn durations_have_a_unit_and_a_range() {
        assert_eq!(digest_every("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(digest_every("2s"), Ok(Duration::from_secs(2)));
        for bad in ["", "2", "s", "ms", "-1s", "1.5s", "99ms", "0s", "2m", "99999999999999999s"] {
            assert!(digest_every(bad).is_err(), "{bad}");
        }
        let error = parse(&["--digest-every", "2"]).unwrap_err();
        assert!(error.contains("write 500ms or 2s"), "{error}");
    }

    #[test]
    fn seeds_have_a_key_and_addresses() {
        let two = format!("{KEY}@127.0.0.1:1,[::1]:2;{KEY}@10.0.0.1:3");
        let seeds = parse(&["--seed", &two]).unwrap().seeds();
        assert_eq!(seeds.len(), 2);
        assert_eq!(seeds[0].ip_addrs().count(), 2);
        for bad in
            [KEY.to_owned(), format!("{KEY}@"), format!("{KEY}@host:1"), "ab@1.1.1.1:1".into()]
        {
            let error = parse(&["--seed", &bad]).unwrap_err();
            assert!(error.contains("invalid value"), "{error}");
        }
    }

    #[test]
    fn a_name_must_fit_into_a_node_name() {
        assert!(word("mesh-1").is_ok());
        for bad in ["", "a.b", "a b", "é", &"x".repeat(33)] {
            assert!(word(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_and_budgets_are_checked() {
        let node = parse(&["--tag", "gpu", "--tag", "model=small", "--budget-cpu", "0.5"]).unwrap();
        assert_eq!(node.tags, ["gpu", "model=small"]);
        assert_eq!(node.budget().cpu_cores, Some(0.5));
        for bad in [["--tag", "a b"], ["--tag", ""], ["--budget-cpu", "0"], ["--budget-rss", "-1"]]
        {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn strangers_are_dialled_only_where_that_is_asked_for() {
        assert!(parse(&[]).unwrap().strangers().is_none());
        let asked = ["--strange-dials", "50/s", "--strange-at", "10.0.0.9:9,[::1]:9"];
        let strangers = parse(&asked).unwrap().strangers().unwrap();
        assert_eq!((strangers.rate.get(), strangers.ids, strangers.at.len()), (50, 0, 2));
        for bad in ["", "50", "0/s", "1001/s", "-1/s", "1.5/s", "5/min"] {
            let error = rate(bad).unwrap_err();
            assert!(error.contains("from 1/s to 1000/s"), "{error}");
        }
    }

    #[test]
    fn no_mesh_no_start() {
        let result = Cli::try_parse_from(["mesh-node", "--role", "r", "--data", "/d"]);
        let error = result.expect_err("no mesh");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--mesh"), "{error}");
    }
}
