//! What the language costs: a Lua state with all its functions, a call of the host, a rehearsal of
//! four days and of all scenarios that lie in `scenarios/`.
//!
//! A bench for regressions, run by hand: `cargo bench -p meshlab-script --bench language`.
//! The aims: below 5 ms, below 2 us a call, well below a second, below a second.
#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "criterion's macros make public functions; a bench may fail where it stands"
)]

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use meshlab_script::Script;

/// Calls of the host in one iteration: enough that starting the test is nothing beside them.
const CALLS: u32 = 10_000;

const FOUR_DAYS: &str = "scenario { duration = \"4d\" }
test(\"nothing grows for four days\", function()
  local swarm = mesh { nodes = 8 }
  expect.formed(swarm, { within = \"60s\" })
  chaos({ on = swarm, every = \"10m\", faults = { restart_node = 3 } }, function()
    for hour = 1, 96 do
      sleep \"1h\"
      step(\"hour \" .. hour, function()
        check.spans(\"gossip.digest_received\", { from_each = swarm:live(), since = \"1m\" })
        record.metric(\"rss\", swarm:usage().rss)
      end)
    end
  end)
end)
";

fn load(path: &Path) -> Script {
    Script::load(path).expect("a scenario that loads")
}

fn rehearse(script: Script) {
    let rehearsed = black_box(script.rehearse());
    assert!(rehearsed.errors.is_empty(), "{:?}", rehearsed.errors);
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "lua") {
            files.push(path);
        }
    }
}

fn language(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let empty = scenario("empty.lua", "test(\"t\", function() end)\n");
    criterion.bench_function("a Lua state and an empty scenario", |bench| {
        bench.iter(|| black_box(load(&empty)));
    });

    let looped = |name: &str, call: &str| {
        let text = format!(
            "test(\"t\", function()\n  local swarm = mesh {{ nodes = 4 }}\n  \
             for i = 1, {CALLS} do {call} end\nend)\n"
        );
        scenario(name, &text)
    };
    // What the second and third take more than the first is the calls'.
    for (name, call) in [("nothing", ""), ("notes", "print(i)"), ("waits", "sleep \"1ms\"")] {
        let path = looped(&format!("{name}.lua"), call);
        let what = format!("{CALLS} times {name}");
        criterion.bench_function(&what, |bench| {
            bench.iter_batched(|| load(&path), rehearse, BatchSize::PerIteration);
        });
    }

    let soak = scenario("soak.lua", FOUR_DAYS);
    criterion.bench_function("four days rehearsed", |bench| {
        bench.iter_batched(|| load(&soak), rehearse, BatchSize::PerIteration);
    });

    let mut all = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios"), &mut all);
    criterion.bench_function("all shipped scenarios loaded and rehearsed", |bench| {
        bench.iter(|| all.iter().for_each(|path| rehearse(load(path))));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = language
}
criterion_main!(benches);
