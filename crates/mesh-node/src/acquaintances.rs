//! Former neighbours on disk, so that a node which nobody was told to join by finds its mesh again
//! after a restart. The file is a hint: a damaged or missing one costs the memory and nothing else.

use std::{
    io,
    path::{Path, PathBuf},
};

use iroh::EndpointAddr;

use crate::{cli::parse_seed, small_file};

/// The file in the data directory: a seed a line, as on the command line.
const FILE: &str = "peers";

/// Peers that are written and read.
const PEERS_MAX: usize = 16;

/// Longest file that is looked at, in bytes.
const BYTES_MAX: u64 = 16 * 1024;

/// Where former neighbours are kept.
#[derive(Debug)]
pub(crate) struct Acquaintances {
    path: PathBuf,
    written: Vec<EndpointAddr>,
    failed: bool,
}

impl Acquaintances {
    pub(crate) fn new(data: &Path) -> Self {
        Self { path: data.join(FILE), written: Vec::new(), failed: false }
    }

    /// Those of the last life; lines that are no peers are passed over.
    pub(crate) fn load(&self) -> Vec<EndpointAddr> {
        let bytes = small_file::read(&self.path, BYTES_MAX).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().filter_map(|line| parse_seed(line.trim()).ok()).take(PEERS_MAX).collect()
    }

    /// Writes those of this life, if they are others than were written last. A disk that refuses
    /// is told of once.
    pub(crate) fn store(&mut self, peers: Vec<EndpointAddr>) {
        if peers.is_empty() || peers == self.written {
            return;
        }
        match self.write(&peers) {
            Ok(()) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true;
                let path = self.path.display();
                tracing::warn!(%error, %path, "could not keep the neighbours for a next start");
            }
            Err(_) => {}
        }
        self.written = peers;
    }

    fn write(&self, peers: &[EndpointAddr]) -> io::Result<()> {
        let mut text = String::new();
        for peer in peers.iter().take(PEERS_MAX) {
            let addresses: Vec<String> = peer.ip_addrs().map(ToString::to_string).collect();
            let key = crate::identity::hex(&peer.id);
            text.push_str(&format!("{key}@{}\n", addresses.join(",")));
        }
        small_file::replace(&self.path, &text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use iroh::{SecretKey, TransportAddr};

    use super::*;

    fn peer(seed: u8) -> EndpointAddr {
        let address = TransportAddr::Ip(([127, 0, 0, 1], 4000 + u16::from(seed)).into());
        EndpointAddr::from_parts(SecretKey::from_bytes(&[seed; 32]).public(), [address])
    }

    #[test]
    fn neighbours_are_found_again_and_rubbish_is_passed_over() {
        let data = tempfile::tempdir().unwrap();
        let mut kept = Acquaintances::new(data.path());
        assert_eq!(kept.load(), []);
        kept.store(vec![peer(1), peer(2)]);
        assert_eq!(kept.load(), [peer(1), peer(2)]);
        let mut text = fs::read(&kept.path).unwrap();
        text.extend_from_slice(b"\xff\xfe rubbish\nabc@127.0.0.1:1\n");
        fs::write(&kept.path, &text).unwrap();
        assert_eq!(kept.load(), [peer(1), peer(2)]);
        fs::write(&kept.path, vec![b'\n'; 20_000]).unwrap();
        assert_eq!(kept.load(), []);
    }

    #[test]
    fn a_disk_that_refuses_costs_the_memory_only() {
        let mut kept = Acquaintances::new(Path::new("/proc/self"));
        kept.store(vec![peer(1)]);
        assert!(kept.failed);
        assert_eq!(kept.load(), []);
    }
}
