//! A manifest and events, of any schema.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshlab_results::{file, read_run};

fuzz_target!(|input: (&[u8], &[u8])| {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    for (name, bytes) in [(file::MANIFEST, input.0), (file::EVENTS, input.1)] {
        std::fs::write(folder.path().join(name), bytes).expect("a file");
    }
    if let Ok(record) = read_run(folder.path()) {
        let whole = record.events.iter().zip(1..).all(|(event, seq)| event.seq == seq);
        assert!(whole || !record.damage.is_empty(), "what is missing is told");
    }
});
