//! The mappings of a NAT: which inside port has which outside port, and who is let in there.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use meshlab_stats::Stream;

use super::{NatBehaviour, NatSettings};
use crate::{
    clock::{Nanos, SECOND, nanos},
    counters::{DropReason, NatCounters},
    fading::{Fading, Kept},
    packet::TCP,
};

/// Mappings of one NAT: as many as a small router's.
const MAPPINGS_MAX: usize = 16_384;
/// Others that one mapping lets in.
const FILTER_MAX: usize = 4096;
/// The first port that is given out, and how many there are: all but the well-known.
const PORT_FIRST: u16 = 1024;
const PORTS: u16 = u16::MAX - PORT_FIRST + 1;

/// What makes two packets share a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    protocol: u8,
    inside: SocketAddr,
    far: Option<(IpAddr, u16)>,
}

/// A port outside: each version and protocol has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Outside {
    protocol: u8,
    six: bool,
    port: u16,
}

#[derive(Debug)]
struct Mapping {
    key: Key,
    until: Nanos,
    /// Who is let in; empty where everybody is.
    filter: Fading<(IpAddr, u16)>,
}

#[derive(Debug)]
pub(super) struct Mappings {
    settings: NatSettings,
    by_key: HashMap<Key, Outside>,
    by_outside: HashMap<Outside, Mapping>,
    /// Counts ports, beginning anywhere.
    next: u16,
    swept: Nanos,
}

/// What a behaviour sees of the other side; `None` if nothing.
fn seen(behaviour: NatBehaviour, far: SocketAddr) -> Option<(IpAddr, u16)> {
    match behaviour {
        NatBehaviour::EndpointIndependent => None,
        NatBehaviour::AddressDependent => Some((far.ip(), 0)),
        NatBehaviour::AddressAndPortDependent => Some((far.ip(), far.port())),
    }
}

impl Mappings {
    pub(super) fn new(settings: NatSettings, root: u64) -> Self {
        // The remainder fits.
        let next = Stream::numbered(root, 64).draw() % u64::from(PORTS);
        Self {
            settings,
            by_key: HashMap::new(),
            by_outside: HashMap::new(),
            next: u16::try_from(next).unwrap_or(0),
            swept: 0,
        }
    }

    pub(super) fn settings(&self) -> NatSettings {
        self.settings
    }

    pub(super) fn len(&self) -> usize {
        self.by_outside.len()
    }

    /// Forgets everything; ports go on from where they were.
    pub(super) fn clear(&mut self) {
        self.by_key.clear();
        self.by_outside.clear();
    }

    /// The outside port for a packet that goes out, mapped now if it was not.
    pub(super) fn outbound(
        &mut self,
        protocol: u8,
        inside: SocketAddr,
        far: SocketAddr,
        now: Nanos,
        counters: &mut NatCounters,
    ) -> Result<u16, DropReason> {
        let key = Key { protocol, inside, far: seen(self.settings.mapping, far) };
        let until = now.saturating_add(nanos(match protocol {
            TCP => self.settings.tcp_timeout,
            _ => self.settings.udp_timeout,
        }));
        let known = self.by_key.get(&key).copied();
        let fresh = known.filter(|outside| {
            self.by_outside.get(outside).is_some_and(|mapping| mapping.until > now)
        });
        let outside = match fresh {
            Some(outside) => outside,
            None => {
                if let Some(old) = known {
                    self.by_key.remove(&key);
                    self.by_outside.remove(&old);
                    counters.expired += 1;
                }
                self.make(key, now, counters)?
            }
        };
        let mapping = self.by_outside.get_mut(&outside).ok_or(DropReason::NatFull)?;
        mapping.until = until;
        if let Some(far) = seen(self.settings.filtering, far)
            && mapping.filter.keep(far, now, until) == Kept::Refused
        {
            return Err(DropReason::NatFull);
        }
        Ok(outside.port)
    }

    fn make(
        &mut self,
        key: Key,
        now: Nanos,
        counters: &mut NatCounters,
    ) -> Result<Outside, DropReason> {
        // Often enough that what has timed out does not pile up, seldom enough to be cheap.
        if now >= self.swept.saturating_add(SECOND) {
            self.swept = now;
            self.sweep(now, counters);
        }
        if self.by_outside.len() >= MAPPINGS_MAX {
            return Err(DropReason::NatFull);
        }
        // There are more ports than mappings, so one is free.
        for _ in 0..PORTS {
            self.next = (self.next + 1) % PORTS;
            let port = PORT_FIRST + self.next;
            let outside = Outside { protocol: key.protocol, six: key.inside.is_ipv6(), port };
            if !self.by_outside.contains_key(&outside) {
                self.by_key.insert(key, outside);
                let filter = Fading::new(FILTER_MAX);
                self.by_outside.insert(outside, Mapping { key, until: now, filter });
                counters.made += 1;
                return Ok(outside);
            }
        }
        Err(DropReason::NatFull)
    }

    fn sweep(&mut self, now: Nanos, counters: &mut NatCounters) {
        let before = self.by_outside.len();
        let by_key = &mut self.by_key;
        self.by_outside.retain(|_, mapping| {
            let stays = mapping.until > now;
            if !stays {
                by_key.remove(&mapping.key);
            }
            stays
        });
        counters.expired += (before - self.by_outside.len()) as u64;
    }

    /// Whom a packet to an outside port is for, if the filter lets it in.
    pub(super) fn inbound(
        &self,
        protocol: u8,
        port: u16,
        far: SocketAddr,
        now: Nanos,
    ) -> Result<SocketAddr, DropReason> {
        let mapping = self.mapping(protocol, far.is_ipv6(), port, now)?;
        match seen(self.settings.filtering, far) {
            Some(far) if !mapping.filter.holds(&far, now) => Err(DropReason::NatFiltered),
            _ => Ok(mapping.key.inside),
        }
    }

    /// Whom an outside port is mapped to.
    pub(super) fn inside_of(
        &self,
        protocol: u8,
        six: bool,
        port: u16,
        now: Nanos,
    ) -> Result<SocketAddr, DropReason> {
        Ok(self.mapping(protocol, six, port, now)?.key.inside)
    }

    /// What an inside port is mapped to for this other side, if it is.
    pub(super) fn outside_of(
        &self,
        protocol: u8,
        inside: SocketAddr,
        far: SocketAddr,
        now: Nanos,
    ) -> Result<u16, DropReason> {
        let key = Key { protocol, inside, far: seen(self.settings.mapping, far) };
        let outside = self.by_key.get(&key).ok_or(DropReason::NatUnmapped)?;
        self.mapping(protocol, outside.six, outside.port, now)?;
        Ok(outside.port)
    }

    fn mapping(
        &self,
        protocol: u8,
        six: bool,
        port: u16,
        now: Nanos,
    ) -> Result<&Mapping, DropReason> {
        let mapping = self.by_outside.get(&Outside { protocol, six, port });
        mapping.filter(|mapping| mapping.until > now).ok_or(DropReason::NatUnmapped)
    }
}
