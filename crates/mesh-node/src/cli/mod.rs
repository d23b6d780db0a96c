//! Flags and environment of the node, and its two tools for operators. `parse.rs` reads the values.

mod parse;
mod tools;

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use iroh::{EndpointAddr, PublicKey, RelayUrl};

use self::parse::SeedList;
pub(crate) use self::parse::seed as parse_seed;
use crate::{load::Budget, strangers::Strangers};

/// A node of an iroh mesh: joins a gossip topic, says how it is, and knows who else is there.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "mesh-node",
    version,
    about,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Cli {
    /// Tools of an operator; without one of them the program is a node.
    #[command(subcommand)]
    pub(crate) tool: Option<Tool>,
    /// How the node is.
    #[command(flatten)]
    pub(crate) node: Option<NodeArguments>,
}

/// What an operator does without a node.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Tool {
    /// Print the operator's public key; the secret key is minted if the file is not there
    Operator {
        /// File of the secret key: 64 hex digits
        file: PathBuf,
    },
    /// Print a capability: what its holder may order other nodes to do
    Grant {
        /// File of the operator's secret key
        #[arg(long, value_name = "FILE")]
        operator: PathBuf,
        /// Public key of the holder, 64 hex digits
        #[arg(long, value_name = "KEY", value_parser = parse::key)]
        to: PublicKey,
        /// Mesh whose nodes it may order; without it, every mesh of this operator
        #[arg(long, value_name = "NAME", value_parser = parse::word)]
        mesh: Option<String>,
        /// What it may order: shutdown, set-state, or both with a comma
        #[arg(long, value_name = "ACTS")]
        may: String,
        /// How long, for example 90s or 3600s; without it, for ever
        #[arg(long = "for", value_name = "DURATION", value_parser = parse::length)]
        valid_for: Option<Duration>,
    },
}

/// How a node is.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArguments {
    /// Mesh to take part in; nodes of different meshes do not hear each other
    #[arg(long, env = "MESH_NODE_MESH", value_name = "NAME", value_parser = parse::word)]
    pub(crate) mesh: String,

    /// What the node is for: broker, gateway, compute, registry, console or a word of your own
    #[arg(long, env = "MESH_NODE_ROLE", value_name = "ROLE", value_parser = parse::word)]
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
    #[arg(long = "seed", env = "MESH_NODE_SEEDS", value_name = "SEED")]
    seed_lists: Vec<SeedList>,

    /// What the node is good for, as a word or key=value; repeatable, at most 8 (environment: comma
    /// separates)
    #[arg(long = "tag", env = "MESH_NODE_TAGS", value_name = "TAG", value_delimiter = ',',
          value_parser = parse::tag)]
    pub(crate) tags: Vec<String>,

    /// How often the node says how it is, for example 500ms or 2s; at least 100ms
    #[arg(long, env = "MESH_NODE_DIGEST_EVERY", value_name = "DURATION", default_value = "2s",
          value_parser = parse::digest_every)]
    pub(crate) digest_every: Duration,

    /// Say it only on a change, and each 4 x digest-every all the same
    #[arg(long, env = "MESH_NODE_DIGEST_GATED", value_name = "BOOL", default_value_t = true,
          action = clap::ArgAction::Set)]
    pub(crate) digest_gated: bool,

    /// Share of one core above which the node says that it is Degraded, for example 0.5
    #[arg(long, env = "MESH_NODE_BUDGET_CPU", value_name = "CORES", value_parser = parse::cores)]
    budget_cpu: Option<f64>,

    /// Resident memory in MiB above which the node says that it is Degraded
    #[arg(long, env = "MESH_NODE_BUDGET_RSS", value_name = "MIB")]
    budget_rss: Option<u32>,

    /// Public key of the operator, 64 hex digits; without it nobody can order this node
    #[arg(long, env = "MESH_NODE_OPERATOR", value_name = "KEY", value_parser = parse::key)]
    pub(crate) operator: Option<PublicKey>,

    /// Relay for peers that cannot be reached directly, for example http://10.0.0.1:3340
    #[arg(long, env = "MESH_NODE_RELAY", value_name = "URL")]
    pub(crate) relay: Option<RelayUrl>,

    /// Take part in the topic that all meshes share, to be found by their nodes and to find them
    #[arg(long, env = "MESH_NODE_BACKBONE", value_name = "BOOL", default_value_t = false,
          action = clap::ArgAction::Set)]
    pub(crate) backbone: bool,

    /// Node of any mesh to join the backbone by; written as a seed
    #[arg(long = "backbone-seed", env = "MESH_NODE_BACKBONE_SEEDS", value_name = "SEED")]
    backbone_seed_lists: Vec<SeedList>,

    /// How often the overlay swaps random acquaintances; at least 100ms
    #[arg(long, env = "MESH_NODE_SHUFFLE_EVERY", value_name = "DURATION", default_value = "60s",
          value_parser = parse::digest_every)]
    pub(crate) shuffle_every: Duration,

    /// Peers that are gone and whose addresses are kept, to find them again; the latest so many
    #[arg(long, env = "MESH_NODE_ADDRESSES_KEPT", value_name = "N", default_value_t = 128)]
    pub(crate) addresses_kept: u16,

    /// `off` joins the topic but neither sends digests nor hears them: a subject for tests
    #[arg(long, env = "MESH_NODE_GOSSIP", value_enum, default_value_t = Gossip::On)]
    pub(crate) gossip: Gossip,

    /// Close gossip connections that nobody needs; `false` leaves them to iroh-gossip, however many
    /// they become: to see what that does by itself
    #[arg(long, env = "MESH_NODE_GUARD_CONNECTIONS", value_name = "BOOL", default_value_t = true,
          action = clap::ArgAction::Set)]
    pub(crate) guard_connections: bool,

    /// Dial ids that nobody has, so many a second, for example 50/s: to see what the endpoint keeps
    /// of each. At most 1000/s; without it, none
    #[arg(long, env = "MESH_NODE_STRANGE_DIALS", value_name = "RATE", value_parser = parse::rate)]
    strange_dials: Option<NonZeroU32>,

    /// Dial so many of them in turn; 0 is another one with each dial
    #[arg(long, env = "MESH_NODE_STRANGE_IDS", value_name = "N", default_value_t = 0)]
    strange_ids: u32,

    /// Dial so many of them, then rest for 90s, and again; 0 is without rest
    #[arg(long, env = "MESH_NODE_STRANGE_BURST", value_name = "N", default_value_t = 0)]
    strange_burst: u32,

    /// Dial them at this address, and drop each dial after 250ms; repeatable (environment: comma
    /// separates). Without it, a dial ends as soon as nobody knows an address
    #[arg(long, env = "MESH_NODE_STRANGE_AT", value_name = "ADDR", value_delimiter = ',')]
    strange_at: Vec<SocketAddr>,

    /// How long the node waits for its endpoint to close when it ends, for example 500ms; at least
    /// 100ms
    #[arg(long, env = "MESH_NODE_CLOSE_WITHIN", value_name = "DURATION", default_value = "500ms",
          value_parser = parse::digest_every)]
    pub(crate) close_within: Duration,

    /// Path of a control socket to listen on, besides an inherited one
    #[arg(long, env = "MESH_NODE_CONTROL", value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,

    /// Mistake to make, for tests of those who look for it; repeatable (environment: comma
    /// separates)
    // Not a struct of its own: one that is flattened within another leaves that one's group empty,
    // and then these arguments are taken for absent.
    #[cfg(feature = "defects")]
    #[arg(
        long = "defect",
        env = "MESH_NODE_DEFECT",
        value_name = "NAME",
        value_enum,
        value_delimiter = ','
    )]
    pub(crate) defects: Vec<crate::defects::Defect>,
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
    /// Uses a tool; prints what it made.
    ///
    /// # Errors
    /// A key file that cannot be read or written, an act that does not exist.
    pub(crate) fn use_tool(tool: &Tool) -> anyhow::Result<String> {
        tools::run(tool)
    }
}

impl NodeArguments {
    /// Every seed that was named.
    pub(crate) fn seeds(&self) -> Vec<EndpointAddr> {
        self.seed_lists.iter().flat_map(|list| list.0.iter().cloned()).collect()
    }

    /// Every seed of the backbone that was named.
    pub(crate) fn backbone_seeds(&self) -> Vec<EndpointAddr> {
        self.backbone_seed_lists.iter().flat_map(|list| list.0.iter().cloned()).collect()
    }

    /// Which ids that nobody has are to be dialled.
    pub(crate) fn strangers(&self) -> Option<Strangers> {
        let (ids, burst, at) = (self.strange_ids, self.strange_burst, self.strange_at.clone());
        self.strange_dials.map(|rate| Strangers { rate, ids, burst, at })
    }

    /// What the node may use.
    pub(crate) fn budget(&self) -> Budget {
        Budget { cpu_cores: self.budget_cpu, rss_mib: self.budget_rss }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_needs_makes_it_one() {
        let line = ["mesh-node", "--mesh", "m", "--role", "broker", "--data", "d"];
        let node = Cli::parse_from(line).node.expect("a node");
        assert_eq!((node.mesh.as_str(), node.role.as_str()), ("m", "broker"));
    }

    #[cfg(feature = "defects")]
    #[test]
    fn a_node_takes_several_mistakes() {
        let line = ["mesh-node", "--mesh", "m", "--role", "broker", "--data", "d"];
        let planted = ["--defect", "join-storm,address-cache", "--defect", "span-forever"];
        let node = Cli::parse_from([&line[..], &planted].concat()).node.expect("a node");
        let names: Vec<String> = node.defects.iter().map(|one| format!("{one:?}")).collect();
        assert_eq!(names, ["JoinStorm", "AddressCache", "SpanForever"]);
    }
}
