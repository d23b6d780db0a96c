//! Starts a program once in a lab of its own and looks at what it does: for a first kind of node.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant as StdInstant, SystemTime, UNIX_EPOCH},
};

use meshlab_fleet::{Fleet, Process, Rest, SpawnSpec, end_rest};
use meshlab_lab::{DiskSettings, Lab, NodeNet};
use meshlab_model::{NodeExit, NodeId};
use meshlab_sampler::{ProcessReading, read_process};
use meshlab_spans::{Receiver, RunClock, Selector, SpanStore};
use meshlab_wire::env;
use tokio::{runtime::Handle, time::Instant};

use crate::{Template, Transport, kinds::KeyPair, nodes::LOGGED_WITHIN};

/// How often sockets are looked at: what a program dials and leaves within that is missed, but for
/// packets that it sends out of the lab, which the switch counts.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Spans that are kept to be counted.
const SPANS_KEPT: usize = 100_000;
/// Bytes of its log that are looked at.
const LOG_BYTES_MAX: usize = 64 * 1024;
/// From the signal to the end.
const GRACE: Duration = Duration::from_secs(4);
/// Where telemetry goes, which is no business of the program's.
const OTLP_PORTS: [u16; 2] = [4317, 4318];
/// The port that `{port}` stands for.
pub const PROBE_PORT: u16 = 7777;

/// What is started, and how long it is looked at.
#[derive(Debug, Clone)]
pub struct ProbeSettings {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, with the placeholders of a kind.
    pub arguments: Vec<Template>,
    /// What it finds in its environment beside its home and where spans go.
    pub env: BTreeMap<String, String>,
    /// How long it is looked at.
    pub length: Duration,
    /// A folder for its data and its log, which is there.
    pub folder: PathBuf,
}

/// What was seen of a program.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Probed {
    /// Ports that it bound, by protocol.
    pub bound: BTreeSet<(&'static str, SocketAddr)>,
    /// Addresses that its sockets were connected to, or tried to.
    pub dialled: BTreeSet<(&'static str, SocketAddr)>,
    /// Packets that it sent out of the lab, none of which went anywhere.
    pub outside_packets: u64,
    /// The first few addresses that these were for, with how often.
    pub outside: BTreeMap<IpAddr, u64>,
    /// Spans by the code that they come from, where they say it, and by name.
    pub spans: BTreeMap<(String, String), u64>,
    /// Requests with telemetry that could not be understood.
    pub malformed: u64,
    /// Its log, lines of both streams, with when each was first seen; at most 64 KiB.
    pub log: Vec<String>,
    /// Share of one core over the second half of the time.
    pub idle_cpu: Option<f64>,
    /// Resident memory at the end, in bytes.
    pub rss_bytes: Option<u64>,
    /// How it ended before it was asked to; `None` if it ran to the end.
    pub exit: Option<NodeExit>,
    /// Why it shared `/tmp` with this host; `None` if it had its own.
    pub not_own_tmp: Option<String>,
    /// What it started beside itself, which was ended.
    pub left: Vec<Rest>,
    /// Whether it ended when it was asked to by SIGTERM.
    pub ended_when_asked: bool,
}

/// Whether an address is outside the lab and not the program's own.
pub fn is_outside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [a, b, ..] = four.octets();
            !four.is_loopback() && !four.is_unspecified() && !(a == 198 && (b == 18 || b == 19))
        }
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => is_outside(IpAddr::V4(four)),
            None => {
                let lab = six.segments()[..2] == [0x2001, 0x0db8];
                !six.is_loopback() && !six.is_unspecified() && !lab
            }
        },
    }
}

/// Starts a program and looks at it. It gets a network, a disk and a home of its own; nothing of it
/// is left when this returns.
///
/// # Errors
/// The lab cannot be made here, or the program cannot be started. One that ends is no error.
pub async fn probe_program(settings: &ProbeSettings) -> Result<Probed, String> {
    let node = NodeId::from("node-1");
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let lab = Lab::new(1).map_err(|error| told(&error))?;
    let data = settings.folder.join("data");
    fs::create_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
    let disk = DiskSettings { directory: data.clone(), bytes: 64 * 1024 * 1024, own_tmp: true };
    let net = lab.add_node_with_disk(&node, &disk).map_err(|error| told(&error))?;
    let store = store();
    let runtime = Handle::current();
    let NodeNet { ipv4, net_ns, mount_ns, otlp_http, otlp_grpc, disk, .. } = net;
    if let Some(disk) = &disk {
        fs::create_dir_all(disk.path().join("tmp")).map_err(|error| told(&error))?;
    }
    let receiver = Receiver::spawn(&runtime, node.clone(), otlp_http, otlp_grpc, store.clone());
    let _receiver = receiver.map_err(|error| told(&error))?;
    let fleet = Fleet::new(runtime).map_err(|error| told(&error))?;
    let network = Arc::new(net_ns);
    let namespaces = vec![Arc::clone(&network), Arc::new(mount_ns)];
    let spec = spec(settings, &node, ipv4, &data, namespaces);
    let log = spec.log.clone();
    let process = fleet.spawn(spec).await.map_err(|error| format!("failed to {error}"))?;
    let not_own_tmp = disk.as_ref().and_then(|disk| disk.not_own_tmp()).map(str::to_owned);
    let mut probed = Probed { not_own_tmp, ..Probed::default() };
    watch(&process, settings.length, &mut probed).await;
    probed.exit = process.exit();
    end(&process, &fleet, &node, network, &mut probed).await;
    let names = store.names().into_keys();
    for span in names.flat_map(|name| store.find(&Selector::named(&name), SPANS_KEPT)) {
        let text = |name: &str| Some(span.attributes.get(name)?.as_str()?.to_owned());
        let of =
            ["target", "code.module.name", "code.namespace"].iter().find_map(|name| text(name));
        *probed.spans.entry((of.unwrap_or_default(), span.name)).or_default() += 1;
    }
    probed.malformed = store.problems(&node).malformed;
    lab.drain(&node);
    if let Some(stray) = lab.stray().get(&node) {
        probed.outside_packets = stray.outside;
        probed.outside.clone_from(&stray.destinations);
    }
    probed.log = lines(&log);
    Ok(probed)
}

fn store() -> SpanStore {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started_unix_nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    SpanStore::new(RunClock { started: StdInstant::now(), started_unix_nanos }, SPANS_KEPT)
}

fn spec(
    settings: &ProbeSettings,
    node: &NodeId,
    ipv4: Ipv4Addr,
    data: &Path,
    namespaces: Vec<Arc<OwnedFd>>,
) -> SpawnSpec {
    let (otlp, keys) = ("http://127.0.0.1:4318".to_owned(), KeyPair::of(1, node));
    let (tmp, home) = (data.join("tmp").display().to_string(), data.display().to_string());
    let values = BTreeMap::from([
        ("name", node.to_string()),
        ("index", "1".to_owned()),
        ("mesh", "mesh1".to_owned()),
        ("role", "broker".to_owned()),
        ("data", home.clone()),
        ("tmp", tmp.clone()),
        ("ip", ipv4.to_string()),
        ("port", PROBE_PORT.to_string()),
        ("bind", format!("{ipv4}:{PROBE_PORT}")),
        ("otlp_http", otlp.clone()),
        ("otlp_grpc", "http://127.0.0.1:4317".to_owned()),
        ("public_key", keys.public_hex()),
        ("public_key_base64", keys.public_base64()),
        ("secret_key", keys.secret_hex()),
        ("secret_key_base64", keys.secret_base64()),
    ]);
    let mut environment = BTreeMap::from([
        (env::OTLP_ENDPOINT.to_owned(), otlp),
        ("OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(), "http/protobuf".to_owned()),
        ("RES_OPTIONS".to_owned(), "timeout:1 attempts:1".to_owned()),
        ("HOME".to_owned(), home),
        ("TMPDIR".to_owned(), tmp),
    ]);
    environment.extend(settings.env.clone());
    SpawnSpec {
        node: node.clone(),
        program: settings.program.clone(),
        arguments: settings.arguments.iter().filter_map(|one| one.fill(&values)).collect(),
        environment,
        log: settings.folder.join("log"),
        namespaces,
        stranger: Some(data.to_owned()),
        clock: None,
    }
}

/// Looks at its sockets until the time is up or it has ended.
async fn watch(process: &Process, length: Duration, probed: &mut Probed) {
    let began = Instant::now();
    let mut half: Option<(Instant, ProcessReading)> = None;
    let mut last = None;
    loop {
        sockets(process.pid(), probed);
        if let Ok(reading) = read_process(process.pid()) {
            let now = Instant::now();
            if half.is_none() && now - began >= length / 2 {
                half = Some((now, reading));
            }
            last = Some((now, reading));
        }
        if began.elapsed() >= length || process.exited_within(LOOK_EVERY).await.is_some() {
            break;
        }
    }
    probed.rss_bytes = last.map(|(_, reading)| reading.rss_bytes);
    probed.idle_cpu = half.zip(last).and_then(|((from, first), (to, last))| {
        let spent = last.cpu_micros_total.saturating_sub(first.cpu_micros_total) as f64;
        let length = (to - from).as_micros() as f64;
        (length > 0.0).then(|| spent / length)
    });
}

async fn end(
    process: &Process,
    fleet: &Fleet,
    node: &NodeId,
    network: Arc<OwnedFd>,
    probed: &mut Probed,
) {
    let _ = process.signal(libc::SIGTERM);
    probed.ended_when_asked = process.exited_within(GRACE).await.is_some();
    if !probed.ended_when_asked {
        let _ = process.signal(libc::SIGKILL);
        process.exited().await;
    }
    let (node, mark) = (node.clone(), fleet.mark());
    let left = tokio::task::spawn_blocking(move || end_rest(&node, mark, Some(&network)));
    probed.left = left.await.unwrap_or_default();
    process.logged_within(LOGGED_WITHIN).await;
}

fn lines(log: &Path) -> Vec<String> {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LOG_BYTES_MAX)]).into_owned();
    text.lines().map(str::to_owned).collect()
}

/// Takes in the sockets of its network that are not the harness's.
fn sockets(pid: u32, probed: &mut Probed) {
    for (table, transport) in [
        ("tcp", Transport::Tcp),
        ("tcp6", Transport::Tcp),
        ("udp", Transport::Udp),
        ("udp6", Transport::Udp),
    ] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let mut fields = line.split_whitespace().skip(1);
            let (Some(local), Some(remote)) = (fields.next(), fields.next()) else { continue };
            let (Ok(local), Ok(remote)) = (address(local), address(remote)) else { continue };
            let state = fields.next().unwrap_or_default();
            let telemetry = [local.port(), remote.port()].iter().any(|p| OTLP_PORTS.contains(p));
            if telemetry && local.ip().is_loopback() {
                continue;
            }
            let word = transport.word();
            let listens = if transport == Transport::Tcp { state == "0A" } else { state == "07" };
            if listens && local.port() > 0 {
                probed.bound.insert((word, local));
            } else if remote.port() > 0 {
                probed.dialled.insert((word, remote));
            }
        }
    }
}

/// An address as the kernel writes it: `0100007F:1F90`, each word of it in the host's order.
fn address(text: &str) -> io::Result<SocketAddr> {
    let wrong = || io::Error::other(format!("{text:?} is no address"));
    let (ip, port) = text.split_once(':').ok_or_else(wrong)?;
    let port = u16::from_str_radix(port, 16).map_err(|_| wrong())?;
    let word = |place: usize| {
        let digits = ip.get(place * 8..place * 8 + 8).ok_or_else(wrong)?;
        u32::from_str_radix(digits, 16).map(u32::to_ne_bytes).map_err(|_| wrong())
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for place in 0..4 {
                bytes[place * 4..place * 4 + 4].copy_from_slice(&word(place)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return Err(wrong()),
    };
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path, script: &str, length: Duration) -> ProbeSettings {
        ProbeSettings {
            program: "/bin/bash".into(),
            arguments: vec![Template::parse("-c").unwrap(), Template::parse(script).unwrap()],
            env: BTreeMap::new(),
            length,
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        assert_eq!(address("0100007F:1F90").unwrap(), "127.0.0.1:8080".parse().unwrap());
        let six = "00000000000000000000000001000000:0050";
        assert_eq!(address(six).unwrap(), "[::1]:80".parse().unwrap());
        assert!(address("xyz:1").is_err() && address("01:1").is_err());
    }

    #[test]
    fn outside_is_what_is_neither_the_lab_nor_the_program_itself() {
        let outside = |text: &str| is_outside(text.parse().unwrap());
        assert!(outside("8.8.8.8") && outside("2606:4700::1") && outside("::ffff:1.1.1.1"));
        assert!(!outside("127.0.0.1") && !outside("198.18.0.4") && !outside("2001:db8::4"));
    }

    #[tokio::test]
    async fn what_a_program_does_is_seen_and_nothing_of_it_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo serving on {port}; echo x > /dev/udp/192.0.2.7/9; \
                      exec 3<>/dev/tcp/192.0.2.8/443 & exec /usr/bin/perl -MIO::Socket::INET -e \
                      '$s = IO::Socket::INET->new(LocalPort => {port}, Listen => 1) or die; \
                      sleep 600'";
        // Two programs start in it and act, on a host that may be busy.
        let length = Duration::from_secs(10);
        let probed = probe_program(&settings(folder.path(), script, length)).await.unwrap();
        let bound: Vec<u16> = probed.bound.iter().map(|(_, address)| address.port()).collect();
        assert_eq!(bound, [PROBE_PORT], "{probed:?}");
        assert!(probed.dialled.contains(&("TCP", "192.0.2.8:443".parse().unwrap())), "{probed:?}");
        let outside: Vec<String> = probed.outside.keys().map(ToString::to_string).collect();
        assert_eq!(outside, ["192.0.2.7", "192.0.2.8"]);
        assert_eq!(probed.log[0], format!("serving on {PROBE_PORT}"));
        assert!(probed.exit.is_none() && probed.ended_when_asked);
        assert!(probed.rss_bytes > Some(0) && probed.idle_cpu < Some(0.5), "{probed:?}");
        assert_eq!(probed.left.len(), 1, "{probed:?}");
    }

    #[tokio::test]
    async fn a_program_that_ends_says_how() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), "echo no; exit 3", Duration::from_secs(60));
        let probed = probe_program(&settings).await.unwrap();
        assert_eq!(probed.exit.and_then(|exit| exit.code), Some(3));
        assert_eq!(probed.log, ["no"]);
    }
}
