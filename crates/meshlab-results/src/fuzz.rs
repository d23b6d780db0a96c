//! The way of a segment's bytes to records, for fuzzing.

use std::{fs, path::Path};

use meshlab_model::SpanRecord;

use crate::{Recorded, file};

/// Writes `segment` and its `index` to a folder and reads them; how many records came.
pub fn fuzz_segment(folder: &Path, segment: &[u8], index: &[u8]) -> u64 {
    let spans = folder.join(file::SPANS);
    let written = fs::create_dir_all(&spans)
        .and_then(|()| fs::write(spans.join("000001.jsonl.zst"), segment))
        .and_then(|()| fs::write(spans.join("000001.index.json"), index));
    if written.is_err() {
        return 0;
    }
    let recorded = Recorded::<SpanRecord>::in_segments(folder, &mut Vec::new());
    let _ = (recorded.counts(), recorded.len());
    recorded.iter().count() as u64
}
