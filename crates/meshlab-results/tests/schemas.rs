//! The schemas in `docs/schema/` are those of the types that are written.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, path::Path};

use meshlab_model::{
    Baseline, CounterMinute, CounterSample, Manifest, RunEvent, Sample, SampleMinute, SpanRecord,
};
use schemars::{Schema, schema_for};

#[test]
fn the_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema");
    let schemas: [(&str, Schema); 8] = [
        ("manifest", schema_for!(Manifest)),
        ("event", schema_for!(RunEvent)),
        ("span", schema_for!(SpanRecord)),
        ("sample", schema_for!(Sample)),
        ("sample-minute", schema_for!(SampleMinute)),
        ("counter", schema_for!(CounterSample)),
        ("counter-minute", schema_for!(CounterMinute)),
        ("baseline", schema_for!(Baseline)),
    ];
    for (name, schema) in schemas {
        let path = folder.join(format!("{name}.schema.json"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "docs/schema/{name}.schema.json is not that of its type any more; write it again with \
             `UPDATE_SCHEMAS=1 cargo test -p meshlab-results --test schemas`. Where a reader of \
             older runs would fail on what changed, MANIFEST_SCHEMA has to go up as well"
        );
    }
}
