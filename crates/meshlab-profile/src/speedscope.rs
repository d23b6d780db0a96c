//! Profiles for <https://www.speedscope.app>, its file format of 2018, `sampled`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Folded;

/// A profile as speedscope opens it.
pub fn speedscope(name: &str, unit: &str, folded: &Folded) -> Value {
    let mut frames: Vec<Value> = Vec::new();
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    for (stack, count) in folded.stacks() {
        let mut sample = Vec::new();
        for frame in stack.split(';') {
            let place = *known.entry(frame).or_insert_with(|| {
                frames.push(json!({ "name": frame }));
                frames.len() - 1
            });
            sample.push(place);
        }
        samples.push(sample);
        weights.push(count);
    }
    let unit = if unit == "bytes" { "bytes" } else { "none" };
    json!({
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": name,
        "exporter": concat!("meshlab ", env!("CARGO_PKG_VERSION")),
        "activeProfileIndex": 0,
        "shared": { "frames": frames },
        "profiles": [{
            "type": "sampled",
            "name": name,
            "unit": unit,
            "startValue": 0,
            "endValue": folded.samples(),
            "samples": samples,
            "weights": weights,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_finds_its_frames() {
        let folded = Folded::parse("main;f;g 3\nmain;g 2\n").unwrap();
        let file = speedscope("node-1", "samples", &folded);
        let frames: Vec<&str> = file["shared"]["frames"]
            .as_array()
            .unwrap()
            .iter()
            .map(|frame| frame["name"].as_str().unwrap())
            .collect();
        assert_eq!(frames, ["main", "f", "g"]);
        let profile = &file["profiles"][0];
        assert_eq!(profile["samples"], json!([[0, 1, 2], [0, 2]]));
        assert_eq!(profile["weights"], json!([3, 2]));
        assert_eq!((&profile["endValue"], &profile["unit"]), (&json!(5), &json!("none")));
    }
}
