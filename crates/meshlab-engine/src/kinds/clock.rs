//! Sets the clock of programs that link no agent: finds the library, and has it loaded before the
//! program's own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use meshlab_fleet::{Clock, SpawnSpec, unfit_for_clock};
use meshlab_wire::CLOCK_PAGE;

use super::NodeKind;

/// What cargo makes of the crate `meshlab-clock`.
const LIBRARY: &str = "libmeshlab_clock.so";
/// What the dynamic loader reads.
const PRELOAD: &str = "LD_PRELOAD";

/// The library that sets the clock of programs without an agent: beside this program, or where
/// cargo put it when it built this program.
///
/// # Errors
/// It is not there; where it was looked for and what to do, in a sentence.
pub fn clock_library() -> Result<PathBuf, String> {
    let own =
        std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    let folder = own.parent().unwrap_or(Path::new("/"));
    // What cargo builds for another crate is in `deps` only; what lies beside may be older.
    let places = [folder.join("deps").join(LIBRARY), folder.join(LIBRARY)];
    let found = places.iter().find(|place| place.exists()).cloned();
    let found = found.ok_or_else(|| {
        format!(
            "{LIBRARY} is not in {}: `cargo build -p meshlab-clock` makes it; put it beside \
             meshlab",
            folder.display()
        )
    })?;
    match found.to_str() {
        Some(path) if !path.contains([' ', ':']) => Ok(found),
        _ => Err(format!("the loader takes no path with spaces or colons: {}", found.display())),
    }
}

/// Has the library loaded before a program, if its kind says so; else why it cannot be.
pub(crate) fn preload(
    kind: &NodeKind,
    program: &Path,
    library: &Result<PathBuf, String>,
    spec: &mut SpawnSpec,
) -> Result<(), String> {
    if !kind.preloads_clock {
        return Ok(());
    }
    let cannot = |why: String| format!("the clock of `{}` cannot be set: {why}", kind.name);
    let library = library.as_ref().map_err(|why| cannot(why.clone()))?.display();
    if let Some(why) = unfit_for_clock(program) {
        return Err(cannot(why));
    }
    let clock = Clock::new().map_err(|error| cannot(format!("no memory for it: {error}")))?;
    let own = spec.environment.get(PRELOAD).map(|own| format!(":{own}")).unwrap_or_default();
    spec.environment.insert(PRELOAD.to_owned(), format!("{library}{own}"));
    spec.environment.insert(CLOCK_PAGE.to_owned(), clock.path());
    spec.clock = Some(Arc::new(clock));
    Ok(())
}
