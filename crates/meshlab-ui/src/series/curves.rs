//! The least and the greatest value of each part of a stretch, and how they are sent.

use std::collections::HashMap;

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq, SerializeStruct},
};

use super::Stretch;

/// Of the values of a part: least, greatest and last. No value is told by NaN.
type Part = [f64; 3];

const NONE: Part = [f64::NAN; 3];

/// Least, greatest and last value of each part of the stretch that has one, by whose they are.
///
/// Sent are a row of numbers for each of them: place of the part, least and greatest, and where a
/// value holds until the next one the last too.
#[derive(Debug)]
pub(super) struct Curves {
    stretch: Stretch,
    by: Vec<(String, Vec<Part>)>,
    /// Where in `by` each of them is.
    places: HashMap<String, usize>,
    /// Where the last value went: the next one is mostly of the same.
    current: usize,
    holds: bool,
}

impl Curves {
    pub(super) fn new(stretch: Stretch, holds: bool) -> Self {
        Self { stretch, by: Vec::new(), places: HashMap::new(), current: 0, holds }
    }

    pub(super) fn add(&mut self, whose: &str, at: f64, (least, most): (f64, f64)) {
        let (stretch, step) = (self.stretch, self.stretch.step());
        if at < stretch.from - step || at > stretch.to + step {
            return;
        }
        let place = ((at - stretch.from) / step).floor().max(0.0) as usize;
        let part = &mut self.of(whose)[place.min(stretch.parts)];
        // The least of a number and none is the number.
        *part = [part[0].min(least), part[1].max(most), most];
    }

    fn of(&mut self, whose: &str) -> &mut [Part] {
        if self.by.get(self.current).is_none_or(|(name, _)| name != whose) {
            self.current = match self.places.get(whose) {
                Some(place) => *place,
                None => {
                    self.places.insert(whose.to_owned(), self.by.len());
                    self.by.push((whose.to_owned(), vec![NONE; self.stretch.parts + 1]));
                    self.by.len() - 1
                }
            };
        }
        &mut self.by[self.current].1
    }
}

impl Serialize for Curves {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut all = to.serialize_struct("Curves", 5)?;
        all.serialize_field("from", &self.stretch.from)?;
        all.serialize_field("to", &self.stretch.to)?;
        all.serialize_field("step", &self.stretch.step())?;
        all.serialize_field("each", &if self.holds { 4 } else { 3 })?;
        all.serialize_field("curves", &Rows(self))?;
        all.end()
    }
}

struct Rows<'a>(&'a Curves);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut rows = to.serialize_map(Some(self.0.by.len()))?;
        for (whose, parts) in &self.0.by {
            rows.serialize_entry(whose, &Row { parts, holds: self.0.holds })?;
        }
        rows.end()
    }
}

struct Row<'a> {
    parts: &'a [Part],
    holds: bool,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_seq(None)?;
        for (place, [least, most, last]) in self.parts.iter().enumerate() {
            if least.is_nan() {
                continue;
            }
            row.serialize_element(&place)?;
            row.serialize_element(&Short(*least))?;
            row.serialize_element(&Short(*most))?;
            if self.holds {
                row.serialize_element(&Short(*last))?;
            }
        }
        row.end()
    }
}

/// A number in as few digits as a chart can show.
struct Short(f64);

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let value = self.0;
        let rounded =
            if value.abs() >= 1000.0 { value.round() } else { (value * 1e4).round() / 1e4 };
        // Whole numbers up to there are exact, and shorter without their `.0`.
        if rounded.fract() == 0.0 && rounded.abs() < 9e15 {
            to.serialize_i64(rounded as i64)
        } else {
            to.serialize_f64(rounded)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_peak_of_one_moment_stays() {
        let stretch = Stretch { from: 100.0, to: 200.0, parts: 10 };
        let mut curves = Curves::new(stretch, false);
        for tenth in 0..3000 {
            let at = f64::from(tenth) / 10.0;
            let value = if tenth == 1537 { 9.25 } else { 1.0 };
            curves.add("node-1", at, (value, value));
        }
        let told = serde_json::to_value(&curves).unwrap();
        let row = told["curves"]["node-1"].as_array().unwrap();
        assert_eq!((&told["each"], row.len()), (&json!(3), 3 * 11), "{row:?}");
        assert_eq!(row[12..18], [json!(4), json!(1), json!(1), json!(5), json!(1), json!(9.25)]);
    }

    #[test]
    fn a_part_without_a_value_is_left_out() {
        let stretch = Stretch { from: 0.0, to: 10.0, parts: 10 };
        let mut curves = Curves::new(stretch, true);
        for (whose, at, value) in [("b", 7.5, 2.0), ("a", 1.5, 12345.6), ("b", 7.9, -0.5)] {
            curves.add(whose, at, (value, value));
        }
        let told = serde_json::to_value(&curves).unwrap();
        assert_eq!(
            told["curves"],
            json!({ "a": [1, 12346, 12346, 12346], "b": [7, -0.5, 2, -0.5] })
        );
    }
}
