//! Corruption: one bit of a packet's payload is flipped.

use super::{Checksum, Flip};
use crate::packet::{Transport, checksum};

/// Flips one bit of the payload, if there is any; whether there was.
pub(crate) fn flip(packet: &mut [u8], flip: Flip) -> bool {
    let Some(transport) = Transport::of(packet) else { return false };
    let Some(payload) = packet.get_mut(transport.payload..transport.end) else { return false };
    let bits = payload.len() as u64 * 8;
    if bits == 0 {
        return false;
    }
    let bit = flip.bit % bits;
    let at = usize::try_from(bit / 8).unwrap_or(0);
    if let Some(byte) = payload.get_mut(at) {
        *byte ^= 1 << (bit % 8);
    }
    if flip.checksum == Checksum::Fixed {
        checksum::fix(packet, &transport);
    }
    true
}
