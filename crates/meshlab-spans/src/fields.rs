//! Fields of a protobuf message, borrowed from its bytes.

/// The value of a field, as its key announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    /// Text, bytes or a message.
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The next field of a message, its number and its value; `None` if it is broken. Groups count as
/// broken: they are not of this protocol, and no exporter writes them.
pub(crate) fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Raw<'a>)> {
    let key = u32::try_from(varint(bytes)?).ok()?;
    let raw = match key & 7 {
        0 => Raw::Varint(varint(bytes)?),
        1 => Raw::Fixed64(u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?)),
        2 => {
            let length = varint(bytes)?;
            Raw::Bytes(take(bytes, length)?)
        }
        5 => Raw::Fixed32(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?)),
        _ => return None,
    };
    // Zero is the number of no field.
    (key >> 3 > 0).then_some((key >> 3, raw))
}

/// All fields of a message that was found sound; of another one those before the break.
pub(crate) fn all(mut bytes: &[u8]) -> impl Iterator<Item = (u32, Raw<'_>)> {
    std::iter::from_fn(move || if bytes.is_empty() { None } else { next(&mut bytes) })
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << (7 * place);
        if first & 0x80 == 0 {
            // Of the tenth byte one bit is left.
            return (place < 9 || *first < 2).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_or_broken() {
        let one = |mut bytes: &'static [u8]| next(&mut bytes);
        assert_eq!(one(b"\x08\x96\x01"), Some((1, Raw::Varint(150))));
        assert_eq!(one(b"\x12\x02hi!"), Some((2, Raw::Bytes(b"hi"))));
        assert_eq!(one(b"\x09\x01\0\0\0\0\0\0\0"), Some((1, Raw::Fixed64(1))));
        assert_eq!(one(b"\x0d\x01\0\0\0"), Some((1, Raw::Fixed32(1))));
        let most = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(one(most), Some((1, Raw::Varint(u64::MAX))));
        for broken in [
            &b"\x08"[..],
            b"\x12\x03hi",
            b"\x09\x01",
            b"\x0b\x0c",
            b"\x00\x01",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x88\x80\x80\x80\x10\x01",
        ] {
            assert_eq!(one(broken), None, "{broken:x?}");
        }
    }
}
