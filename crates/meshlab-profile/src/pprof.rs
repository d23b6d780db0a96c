//! Profiles in pprof's format, gzipped: what `go tool pprof`, Grafana and others read.
//!
//! The few messages that it takes are written by hand: a number is seven bits a byte, a text is its
//! length and its bytes.

use std::{collections::HashMap, io::Write};

use flate2::{Compression, write::GzEncoder};

use crate::Folded;

/// Writes stacks as a pprof profile. `unit` is what is counted: `samples`, `bytes`.
///
/// # Errors
/// None but those of memory: the bytes are made in it.
pub fn pprof(unit: &str, folded: &Folded) -> std::io::Result<Vec<u8>> {
    let mut names = Names::default();
    let mut out = Vec::new();
    // Fields of `Profile`: 1 sample types, 2 samples, 4 locations, 5 functions, 6 strings.
    let (kind, unit) = (names.text("retained"), names.text(unit));
    let mut value_type = Vec::new();
    number(&mut value_type, 1, kind);
    number(&mut value_type, 2, unit);
    bytes(&mut out, 1, &value_type);
    for (stack, count) in folded.stacks() {
        let mut sample = Vec::new();
        // The innermost first.
        let places: Vec<u64> = stack.rsplit(';').map(|frame| names.function(frame)).collect();
        bytes(&mut sample, 1, &packed(&places));
        bytes(&mut sample, 2, &packed(&[count]));
        bytes(&mut out, 2, &sample);
    }
    // A location for each function, with the same number.
    for place in 1..=names.functions.len() as u64 {
        let (mut line, mut location) = (Vec::new(), Vec::new());
        number(&mut line, 1, place);
        number(&mut location, 1, place);
        bytes(&mut location, 4, &line);
        bytes(&mut out, 4, &location);
    }
    for (place, name) in (1..).zip(&names.functions) {
        let mut function = Vec::new();
        number(&mut function, 1, place);
        number(&mut function, 2, *name);
        bytes(&mut out, 5, &function);
    }
    for text in &names.texts {
        bytes(&mut out, 6, text.as_bytes());
    }
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(&out)?;
    zipped.finish()
}

/// The table of texts, which begins with an empty one, and the functions by their names in it.
struct Names {
    texts: Vec<String>,
    known: HashMap<String, u64>,
    functions: Vec<u64>,
    by_name: HashMap<u64, u64>,
}

impl Default for Names {
    fn default() -> Self {
        let known = HashMap::from([(String::new(), 0)]);
        let (functions, by_name) = (Vec::new(), HashMap::new());
        Self { texts: vec![String::new()], known, functions, by_name }
    }
}

impl Names {
    fn text(&mut self, text: &str) -> u64 {
        if let Some(place) = self.known.get(text) {
            return *place;
        }
        let place = self.texts.len() as u64;
        self.texts.push(text.to_owned());
        self.known.insert(text.to_owned(), place);
        place
    }

    fn function(&mut self, name: &str) -> u64 {
        let name = self.text(name);
        *self.by_name.entry(name).or_insert_with(|| {
            self.functions.push(name);
            self.functions.len() as u64
        })
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn packed(values: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().for_each(|value| varint(&mut out, *value));
    out
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_profile_has_the_bytes_that_the_format_says() {
        let folded = Folded::parse("main;f 300\n").unwrap();
        let mut plain = Vec::new();
        let zipped = pprof("samples", &folded).unwrap();
        flate2::read::GzDecoder::new(zipped.as_slice()).read_to_end(&mut plain).unwrap();
        let wanted: &[&[u8]] = &[
            &[0x0a, 4, 0x08, 1, 0x10, 2],
            // Locations 1 (f) and 2 (main), and 300 as two bytes.
            &[0x12, 8, 0x0a, 2, 1, 2, 0x12, 2, 0xac, 0x02],
            &[0x22, 6, 0x08, 1, 0x22, 2, 0x08, 1],
            &[0x22, 6, 0x08, 2, 0x22, 2, 0x08, 2],
            &[0x2a, 4, 0x08, 1, 0x10, 3],
            &[0x2a, 4, 0x08, 2, 0x10, 4],
            &[0x32, 0],
            b"\x32\x08retained",
            b"\x32\x07samples",
            b"\x32\x01f",
            b"\x32\x04main",
        ];
        assert_eq!(plain, wanted.concat());
    }
}
