//! The Internet checksum (RFC 1071), whole and by the difference (RFC 1624).

use super::{Transport, UDP};

/// The checksum of these bytes. Over bytes that hold their own right checksum it is zero.
pub(crate) fn of(bytes: &[u8]) -> u16 {
    !fold(add(0, bytes))
}

fn add(sum: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let words: u64 = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
    // An odd byte counts as if a zero followed it.
    sum + words + rest.first().map_or(0, |odd| u64::from(*odd) << 8)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// A checksum after `old` became `new` in what it covers, both of the same even length: equation 3
/// of RFC 1624.
pub(crate) fn replace(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    let (old, _) = old.as_chunks::<2>();
    let without: u64 = old.iter().map(|word| u64::from(!u16::from_be_bytes(*word))).sum();
    !fold(add(u64::from(!checksum) + without, new))
}

/// Makes the checksum of a UDP, TCP or ICMP packet right, by computing it from nothing. A UDP
/// packet over IPv4 that has none is left without.
pub(crate) fn fix(packet: &mut [u8], transport: &Transport) {
    let Some(at) = transport.checksum_at() else { return };
    if transport.fragment || at + 2 > transport.end {
        return;
    }
    let Some(field) = packet.get_mut(at..at + 2) else { return };
    if transport.protocol == UDP && !transport.six && *field == [0, 0] {
        return;
    }
    field.fill(0);
    let Some(covered) = packet.get(transport.at..transport.end) else { return };
    let mut sum = add(0, covered);
    if transport.protocol != super::ICMP {
        // The pseudo-header: addresses, length, protocol (RFC 768, RFC 8200).
        let addresses = if transport.six { 8..40 } else { 12..20 };
        sum = add(sum, packet.get(addresses).unwrap_or_default());
        sum += covered.len() as u64 + u64::from(transport.protocol);
    }
    let sum = never_none(!fold(sum), transport);
    if let Some(field) = packet.get_mut(at..at + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

/// A UDP checksum that comes out as zero is sent as its other zero: zero means that there is none.
pub(crate) fn never_none(checksum: u16, transport: &Transport) -> u16 {
    if checksum == 0 && transport.protocol == UDP { 0xffff } else { checksum }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 1071, section 3.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(of(&bytes), !0xddf2);
        // RFC 1624, section 4: 0x5555 becomes 0x3285, and equation 3 does not give 0xffff.
        assert_eq!(replace(0xdd2f, &[0x55, 0x55], &[0x32, 0x85]), 0x0000);
    }

    proptest! {
        #[test]
        fn the_difference_is_the_whole(
            mut bytes in proptest::collection::vec(any::<u8>(), 20..200),
            at in 0..8_usize,
            new: [u8; 4],
        ) {
            // Bytes that are all zero have a checksum that differs in sign only.
            bytes[19] |= 1;
            let before = of(&bytes);
            let old = bytes[2 * at..2 * at + 4].to_vec();
            bytes[2 * at..2 * at + 4].copy_from_slice(&new);
            prop_assert_eq!(replace(before, &old, &new), of(&bytes));
        }
    }
}
