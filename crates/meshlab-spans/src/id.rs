//! Ids of traces and spans.

/// An id: its bytes where it is text in lower hex digits, as it always should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Id {
    None,
    Short([u8; 8]),
    Long([u8; 16]),
    Text(Box<str>),
}

impl Id {
    /// That of OTLP.
    pub(crate) fn of_bytes(id: &[u8]) -> Self {
        if id.is_empty() {
            Self::None
        } else if let Ok(bytes) = id.try_into() {
            Self::Short(bytes)
        } else if let Ok(bytes) = id.try_into() {
            Self::Long(bytes)
        } else {
            Self::Text(hex(id).into())
        }
    }

    pub(crate) fn of(text: &str) -> Self {
        let other = || Self::Text(text.into());
        match text.len() {
            0 => Self::None,
            16 => bytes(text).map_or_else(other, Self::Short),
            32 => bytes(text).map_or_else(other, Self::Long),
            _ => other(),
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Short(bytes) => hex(bytes),
            Self::Long(bytes) => hex(bytes),
            Self::Text(text) => text.to_string(),
        }
    }
}

/// Two lower hex digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
    text
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |c: &u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let [high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_from_bytes_and_from_text() {
        for length in [0, 1, 7, 8, 15, 16, 17, 64] {
            let bytes: Vec<u8> = (0xa0..).take(length).collect();
            let id = Id::of_bytes(&bytes);
            assert_eq!(id, Id::of(&hex(&bytes)), "{length}");
            assert_eq!(id.text(), hex(&bytes));
        }
    }
}
