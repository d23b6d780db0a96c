//! Flags and environment of the node, parsed and checked.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Parser, ValueEnum};
use iroh::{EndpointAddr, PublicKey, TransportAddr};

/// Shortest cadence that is accepted: below it the mesh talks of nothing else.
const DIGEST_EVERY_MIN: Duration = Duration::from_millis(100);

/// Longest cadence that is accepted.
const DIGEST_EVERY_MAX: Duration = Duration::from_secs(3600);

/// Longest name of a mesh or a role, in bytes.
const WORD_BYTES_MAX: usize = 32;

/// A node of an iroh mesh: joins a gossip topic, says how it is, and knows who else is there.
#[derive(Debug, Clone, Parser)]
#[command(name = "mesh-node", version, about)]
pub(crate) struct Cli {
    /// Mesh to take part in; nodes of different meshes do not hear each other
    #[arg(long, env = "MESH_NODE_MESH", value_name = "NAME", value_parser = word)]
    pub(crate) mesh: String,

    /// What the node is for, for example broker; only a name to this program
    #[arg(long, env = "MESH_NODE_ROLE", value_name = "ROLE", value_parser = word)]
    pub(crate) role: String,

    /// Directory of the node's identity; created when absent
    #[arg(long, env = "MESH_NODE_DATA", value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// Address to bind; repeat for one IPv4 and one IPv6 address (environment: comma separates)
    #[arg(
        long,
        env = "MESH_NODE_BIND",
        value_name = "ADDR",
        value_delimiter = ',',
        default_value = "127.0.0.1:0"
    )]
    pub(crate) bind: Vec<SocketAddr>,

    /// Node to join by, as PUBKEYHEX@ADDR[,ADDR...]; repeatable (environment: space or semicolon
    /// separates seeds). A node without seeds is the first of its mesh
    #[arg(long = "seed", env = "MESH_NODE_SEEDS", value_name = "SEED", value_parser =
        SeedList::from_str)]
    seed_lists: Vec<SeedList>,

    /// How often the node says how it is, for example 500ms or 2s; at least 100ms
    #[arg(long, env = "MESH_NODE_DIGEST_EVERY", value_name = "DURATION", default_value = "2s",
          value_parser = digest_every)]
    pub(crate) digest_every: Duration,

    /// Say it only on a change, and each 4 x digest-every all the same
    #[arg(long, env = "MESH_NODE_DIGEST_GATED", value_name = "BOOL", default_value_t = false,
          action = clap::ArgAction::Set)]
    pub(crate) digest_gated: bool,

    /// `off` joins the topic but neither sends digests nor hears them: a subject for tests
    #[arg(long, env = "MESH_NODE_GOSSIP", value_enum, default_value_t = Gossip::On)]
    pub(crate) gossip: Gossip,

    /// Path of a control socket to listen on, besides an inherited one
    #[arg(long, env = "MESH_NODE_CONTROL", value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
}

/// Whether the node takes part in the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Gossip {
    /// Sends and hears digests.
    On,
    /// Joins the topic only.
    Off,
}

impl Cli {
    /// Every seed that was named.
    pub(crate) fn seeds(&self) -> Vec<EndpointAddr> {
        self.seed_lists.iter().flat_map(|list| list.0.iter().cloned()).collect()
    }
}

/// The seeds of one flag or of the whole environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SeedList(Vec<EndpointAddr>);

impl FromStr for SeedList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seeds = text.split([' ', ';', '\n']).filter(|seed| !seed.is_empty());
        seeds.map(seed).collect::<Result<_, _>>().map(Self)
    }
}

fn seed(text: &str) -> Result<EndpointAddr, String> {
    let (key, addresses) =
        text.split_once('@').ok_or_else(|| format!("`{text}` has no `@`; write PUBKEYHEX@ADDR"))?;
    if key.len() != 64 || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("`{key}` is no public key of 64 hex digits"));
    }
    let key: PublicKey =
        key.parse().map_err(|error| format!("`{key}` is no public key: {error}"))?;
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

fn word(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if text.is_empty() || text.len() > WORD_BYTES_MAX || !text.bytes().all(allowed) {
        return Err(format!(
            "it must have 1 to {WORD_BYTES_MAX} letters, digits, `-` or `_`, because it becomes \
             part of the node's name"
        ));
    }
    Ok(text.to_owned())
}

fn digest_every(text: &str) -> Result<Duration, String> {
    let (number, unit_ms) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1000),
        (None, None) => return Err("it needs a unit: write 500ms or 2s".to_owned()),
    };
    let number: u64 =
        number.parse().map_err(|_| format!("`{number}` is no whole number of units"))?;
    let every = Duration::from_millis(number.saturating_mul(unit_ms));
    if (DIGEST_EVERY_MIN..=DIGEST_EVERY_MAX).contains(&every) {
        Ok(every)
    } else {
        Err("it must be from 100ms to 3600s".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";

    fn parse(arguments: &[&str]) -> Result<Cli, String> {
        let fixed = ["mesh-node", "--mesh", "m", "--role", "r", "--data", "/d"];
        let arguments = fixed.iter().chain(arguments);
        Cli::try_parse_from(arguments).map_err(|error| error.to_string())
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
    fn no_mesh_no_start() {
        let result = Cli::try_parse_from(["mesh-node", "--role", "r", "--data", "/d"]);
        let error = result.expect_err("no mesh");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--mesh"), "{error}");
    }
}
