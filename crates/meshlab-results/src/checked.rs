//! A line of JSON that says itself whether it is whole: its last member is a CRC-32.

/// `,"crc32":"89abcdef"}` after an object's other members.
const MARK: &[u8] = b",\"crc32\":\"";
/// Eight hex digits, a quote and a brace follow the mark.
const TAIL: usize = MARK.len() + 10;

/// Adds the checksum to the text of an object that has a member.
pub(crate) fn seal(mut object: Vec<u8>) -> Vec<u8> {
    object.pop();
    let sum = crc32fast::hash(&object);
    object.extend_from_slice(MARK);
    object.extend_from_slice(format!("{sum:08x}\"}}").as_bytes());
    object
}

/// Whether the text says that it has a checksum; before there was one, nothing did.
pub(crate) fn is_sealed(text: &[u8]) -> bool {
    text.len().checked_sub(TAIL).and_then(|at| text.get(at..)).is_some_and(|t| t.starts_with(MARK))
}

/// The same text, if its checksum holds. The member stays in it, and readers pass it by.
pub(crate) fn open(sealed: &[u8]) -> Option<&[u8]> {
    let (body, tail) = sealed.split_at(sealed.len().checked_sub(TAIL)?);
    let sum = format!("{:08x}\"}}", crc32fast::hash(body));
    (tail.strip_prefix(MARK)? == sum.as_bytes()).then_some(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let sealed = seal(br#"{"seq":1,"text":"x"}"#.to_vec());
        let text = r#"{"seq":1,"text":"x","crc32":"#;
        assert!(std::str::from_utf8(&sealed).unwrap().starts_with(text));
        assert!(serde_json::from_slice::<serde_json::Value>(&sealed).is_ok());
        assert_eq!(open(&sealed), Some(sealed.as_slice()));
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&flipped), None, "bit {bit}");
        }
        for cut in 0..sealed.len() {
            assert_eq!(open(&sealed[..cut]), None, "cut at {cut}");
        }
    }
}
