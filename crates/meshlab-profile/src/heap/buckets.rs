//! Which subsystem an allocation belongs to: the rule, as docs/profiles.md words it.
//!
//! A stack belongs to the bucket of its innermost frame whose crate has one; a crate is known by
//! the path of the source. Crates that allocate for whoever calls them (the standard library,
//! `bytes`, `tokio`, `hashbrown`, serialisers) have no bucket, so their caller decides. Names of
//! functions decide only where the path is missing or cut: a generic function has the name of its
//! type's crate, and would take the memory of others.

use super::super::symbols::Frame;

/// Version of the rule. It moves megabytes from one bucket to another, so tables of two versions
/// are not compared.
pub const RULE: u32 = 1;

/// All buckets, in the order of tables.
pub const BUCKETS: [&str; 7] =
    ["quic", "iroh", "gossip", "otel/tracing", "sysinfo", "app", "other"];

/// Crates, or the beginnings of their names where they end with `*`, and their buckets. The first
/// that fits decides.
const CRATES: &[(&str, &str)] = &[
    ("noq", "quic"),
    ("noq-*", "quic"),
    ("quinn", "quic"),
    ("quinn-*", "quic"),
    ("iroh-quinn*", "quic"),
    ("rustls", "quic"),
    ("rustls-*", "quic"),
    ("ring", "quic"),
    ("webpki*", "quic"),
    ("iroh-gossip", "gossip"),
    ("iroh", "iroh"),
    ("iroh-*", "iroh"),
    ("n0-*", "iroh"),
    ("netwatch", "iroh"),
    ("netdev", "iroh"),
    ("netlink-*", "iroh"),
    ("rtnetlink", "iroh"),
    ("portmapper", "iroh"),
    ("hickory-*", "iroh"),
    ("pkarr", "iroh"),
    ("irpc", "iroh"),
    ("bao-tree", "iroh"),
    ("redb", "iroh"),
    ("opentelemetry*", "otel/tracing"),
    ("tracing-*", "otel/tracing"),
    // Spans on their way out, and the control channel.
    ("meshlab-agent", "otel/tracing"),
    ("meshlab-wire", "otel/tracing"),
    ("sysinfo", "sysinfo"),
];

/// Crates that fit an entry of [`CRATES`] and allocate for whoever calls them all the same.
const PLUMBING: &[&str] = &["tracing-core", "n0-future", "n0-error", "n0-watcher"];

/// Where a stack belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// One of [`BUCKETS`].
    pub bucket: &'static str,
    /// The frame that decided; absent for `other`.
    pub frame: Option<&'a Frame>,
}

/// Decides for a stack, its innermost frame first.
pub fn decide<'a>(stack: impl IntoIterator<Item = &'a Frame>) -> Decision<'a> {
    for frame in stack {
        if let Some(bucket) = bucket(frame) {
            return Decision { bucket, frame: Some(frame) };
        }
    }
    Decision { bucket: "other", frame: None }
}

/// Sources of the book itself: it stands at the top of each stack, and allocates none of it.
const BOOK: &str = "meshlab-agent/src/heap/";

/// What the compiler puts between a caller and the program's allocator, at the line that names it.
const ALLOCATOR: &[&str] = &["__rust_alloc", "__rust_realloc", "__rg_", "__rdl_"];

fn bucket(frame: &Frame) -> Option<&'static str> {
    let by_book = frame.file.as_deref().is_some_and(|file| file.contains(BOOK));
    if by_book || ALLOCATOR.iter().any(|name| frame.function.contains(name)) {
        return None;
    }
    let by_path = frame.file.as_deref().and_then(of_path);
    match by_path.or_else(|| of_function(&frame.function))? {
        Source::Other(name) => in_table(&name),
        // What is nobody else's is the program's own.
        Source::Own(name) => in_table(&name).or(Some("app")),
    }
}

fn in_table(name: &str) -> Option<&'static str> {
    if PLUMBING.contains(&name) {
        return None;
    }
    let fits = |entry: &&(&str, &str)| match entry.0.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == entry.0,
    };
    CRATES.iter().find(fits).map(|entry| entry.1)
}

/// Whose source it is.
enum Source {
    /// A crate that the program depends on.
    Other(String),
    /// A crate of the program itself.
    Own(String),
}

/// Places that sources of others come from.
const FOREIGN: &[&str] = &["/registry/src/", "/git/checkouts/", "/rustc/", "/rust/deps/"];

fn of_path(path: &str) -> Option<Source> {
    if !path.starts_with('/') {
        return of_cut_path(path);
    }
    if path.starts_with("/usr/") || path.contains("/toolchains/") {
        return Some(Source::Other("std".to_owned()));
    }
    let foreign = FOREIGN.iter().find_map(|place| path.split_once(place));
    let own = foreign.is_none();
    let rest = foreign.map_or(path, |(_, rest)| rest);
    if path.contains("/rustc/") {
        return Some(Source::Other("std".to_owned()));
    }
    let parts: Vec<&str> = rest.split('/').collect();
    let folders = ["src", "examples", "tests", "benches"];
    let name = parts
        .iter()
        .rposition(|part| folders.contains(part))
        .and_then(|place| parts.get(place.checked_sub(1)?))
        // A crate of the registry may keep its sources elsewhere; its folder comes second.
        .or_else(|| parts.get(1).filter(|_| !own))?;
    let name = without_version(name).to_owned();
    Some(if own { Source::Own(name) } else { Source::Other(name) })
}

/// The `dhat` crate keeps three parts of a path: where a version stands there, it is a crate.
fn of_cut_path(path: &str) -> Option<Source> {
    let first = path.split('/').next()?;
    let name = without_version(first);
    (name != first).then(|| Source::Other(name.to_owned()))
}

/// `noq-proto-1.4.0` is `noq-proto`.
fn without_version(name: &str) -> &str {
    let versioned = |place: &usize| {
        let rest = name.get(place + 1..).unwrap_or_default();
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains('.')
    };
    let place = name.match_indices('-').map(|(place, _)| place).find(versioned);
    place.and_then(|place| name.get(..place)).unwrap_or(name)
}

/// The crate that a function's name begins with: `<noq_proto::X as Y>::f` is of `noq-proto`.
fn of_function(function: &str) -> Option<Source> {
    let name = function.trim_start_matches(['<', '&', '*', ' ']).trim_start_matches("mut ");
    let (name, _) = name.split_once("::")?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(word) {
        return None;
    }
    let name = name.replace('_', "-");
    Some(match name.as_str() {
        "mesh-node" => Source::Own(name),
        _ => Source::Other(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: Option<&str>) -> Frame {
        Frame { function: function.to_owned(), file: file.map(str::to_owned), line: Some(1) }
    }

    const REGISTRY: &str = "/home/u/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f";

    fn at(path: &str) -> Frame {
        frame("f", Some(&format!("{REGISTRY}/{path}")))
    }

    #[test]
    fn the_innermost_frame_whose_crate_has_a_bucket_decides() {
        let std = frame("alloc::alloc::alloc", Some("/rustc/59807616e/library/alloc/src/alloc.rs"));
        let bytes = at("bytes-1.11.0/src/bytes_mut.rs");
        let quic = at("noq-proto-1.4.0/src/connection/mod.rs");
        let tokio = at("tokio-1.54.0/src/runtime/task/core.rs");
        let gossip = at("iroh-gossip-0.101.0/src/net.rs");
        let own = frame("mesh_node::boot::boot", Some("/src/meshlab/crates/mesh-node/src/boot.rs"));
        let of = |stack: &[&Frame]| decide(stack.iter().copied()).bucket;
        assert_eq!(of(&[&std, &bytes, &quic, &tokio, &gossip, &own]), "quic");
        assert_eq!(of(&[&std, &bytes, &tokio, &gossip, &own]), "gossip");
        assert_eq!(of(&[&std, &tokio, &own]), "app");
        assert_eq!(of(&[&std, &bytes, &tokio]), "other");
        assert_eq!(of(&[]), "other");
        assert_eq!(decide([&std, &quic, &own]).frame, Some(&quic));
        let book = frame("gave", Some("/w/crates/meshlab-agent/src/heap/recorder.rs"));
        let shim = frame("__rustc::__rust_alloc", Some("/w/mesh-node/src/bin/mesh-node-heap.rs"));
        assert_eq!(of(&[&book, &shim, &std, &quic]), "quic");
        assert_eq!(
            of(&[&book, &shim, &std, &own]),
            "app",
            "the recorder is no part of what it records"
        );
    }

    #[test]
    fn crates_are_known_by_the_paths_of_their_sources() {
        for (path, bucket) in [
            ("noq-1.4.0/src/endpoint.rs", Some("quic")),
            ("rustls-0.23.31/src/client/hs.rs", Some("quic")),
            ("iroh-1.4.1/src/socket/mapped_addrs.rs", Some("iroh")),
            ("iroh-quinn-proto-0.13.0/src/lib.rs", Some("quic")),
            ("tracing-subscriber-0.3.20/src/registry/sharded.rs", Some("otel/tracing")),
            ("tracing-core-0.1.34/src/dispatcher.rs", None),
            ("opentelemetry_sdk-0.33.1/src/trace/tracer.rs", Some("otel/tracing")),
            ("sysinfo-0.40.0/src/unix/linux/process.rs", Some("sysinfo")),
            ("smallvec-1.16.5/src/lib.rs", None),
        ] {
            assert_eq!(bucket_of(&at(path)), bucket, "{path}");
        }
        let vendored = frame("f", Some("/rust/deps/hashbrown-0.16.1/src/raw/mod.rs"));
        assert_eq!(bucket_of(&vendored), None);
        let agent = frame("f", Some("/w/crates/meshlab-agent/src/processor.rs"));
        assert_eq!(bucket_of(&agent), Some("otel/tracing"));
        assert_eq!(bucket_of(&frame("f", Some("/home/u/other-node/src/main.rs"))), Some("app"));
        assert_eq!(bucket_of(&frame("f", Some("/usr/src/glibc/malloc.c"))), None);
    }

    fn bucket_of(frame: &Frame) -> Option<&'static str> {
        bucket(frame)
    }

    #[test]
    fn where_the_path_is_cut_or_missing_the_name_decides() {
        for (function, file, bucket) in [
            ("noq_proto::connection::Connection::new", Some("src/connection/mod.rs"), Some("quic")),
            ("<iroh_gossip::net::Gossip as X>::f", None, Some("gossip")),
            ("f", Some("noq-proto-1.4.0/src/lib.rs"), Some("quic")),
            ("mesh_node::main", None, Some("app")),
            ("malloc", None, None),
            ("<alloc::vec::Vec<noq::X> as Y>::f", None, None),
        ] {
            assert_eq!(bucket_of(&frame(function, file)), bucket, "{function} {file:?}");
        }
    }
}
