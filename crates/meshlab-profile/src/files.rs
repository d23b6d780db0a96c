//! The files of a profile: `<name>.folded`, `.svg`, `.speedscope.json`, `.pb.gz`, side by side.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{FlameError, Folded, FoldedError, Title, flamegraph, pprof, speedscope};

/// Ending of the file that the others are drawn from.
pub const FOLDED: &str = "folded";
/// Ending of the flamegraph.
pub const SVG: &str = "svg";

/// The folded stacks of the first and the last steady window of a node's recording, beside its
/// profile of the whole run.
pub fn ends_of(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let windows = folder.join("windows");
    let of = |which: &str| windows.join(format!("{name}-{which}.{FOLDED}"));
    (of("first"), of("last"))
}

/// Writes those.
///
/// # Errors
/// A file cannot be written.
pub fn write_ends(
    folder: &Path,
    name: &str,
    first: &Folded,
    last: &Folded,
) -> Result<(), FilesError> {
    let (of_first, of_last) = ends_of(folder, name);
    of_first.parent().map_or(Ok(()), make)?;
    put(&of_first, &first.to_string())?;
    put(&of_last, &last.to_string())
}

/// Why the files of a profile cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It holds no folded stacks.
    #[error("{}: {error}", .path.display())]
    Folded {
        /// Which.
        path: PathBuf,
        /// The line.
        error: FoldedError,
    },
    /// There is nothing to draw, or it failed.
    #[error(transparent)]
    Flame(#[from] FlameError),
}

/// Writes a profile under `folder` in all its forms; makes the folder. Returns the flamegraph.
///
/// # Errors
/// A file cannot be written, or the profile is empty.
pub fn write(
    folder: &Path,
    name: &str,
    folded: &Folded,
    title: &Title,
) -> Result<PathBuf, FilesError> {
    let svg = flamegraph(folded, title)?;
    let scope = speedscope(&title.title, &title.unit, folded).to_string();
    make(folder)?;
    put(&folder.join(format!("{name}.{FOLDED}")), &folded.to_string())?;
    put(&folder.join(format!("{name}.speedscope.json")), &scope)?;
    let packed = folder.join(format!("{name}.pb.gz"));
    let pprof = pprof(&title.unit, folded).and_then(|bytes| fs::write(&packed, bytes));
    pprof.map_err(|error| io_error(&packed, error))?;
    let path = folder.join(format!("{name}.{SVG}"));
    put(&path, &svg)?;
    Ok(path)
}

/// Reads folded stacks from a file.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn read(path: &Path) -> Result<Folded, FilesError> {
    let file = fs::File::open(path).map_err(|error| io_error(path, error))?;
    Folded::read(io::BufReader::new(file))
        .map_err(|error| io_error(path, error))?
        .map_err(|error| FilesError::Folded { path: path.to_owned(), error })
}

fn io_error(path: &Path, error: io::Error) -> FilesError {
    FilesError::Io { path: path.to_owned(), error }
}

fn make(folder: &Path) -> Result<(), FilesError> {
    fs::create_dir_all(folder).map_err(|error| io_error(folder, error))
}

fn put(path: &Path, text: &str) -> Result<(), FilesError> {
    fs::write(path, text).map_err(|error| io_error(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_line_by_line_and_a_line_has_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.folded");
        // A gigabyte would be the same: only the distinct stacks stay in memory.
        fs::write(&path, "main;f;g 1\n".repeat(100_000)).unwrap();
        let folded = read(&path).unwrap();
        assert_eq!((folded.samples(), folded.stacks().count()), (100_000, 1));
        fs::write(&path, "x".repeat(3 << 20)).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("line 1 is no folded stack"), "{error}");
        assert!(error.len() < 400, "what was read is not told whole");
        fs::write(&path, b"main 1\nm\xff 2\n").unwrap();
        assert_eq!(read(&path).unwrap().samples(), 3, "a name that is no UTF-8 is still a name");
    }

    #[test]
    fn a_profile_is_written_in_all_forms_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("a/b");
        let folded = Folded::parse("main;f 3\n").unwrap();
        let title = Title {
            title: "n".to_owned(),
            rests_on: "3 samples".to_owned(),
            unit: "samples".to_owned(),
        };
        let svg = write(&folder, "node-1", &folded, &title).unwrap();
        assert_eq!(svg, folder.join("node-1.svg"));
        assert_eq!(read(&folder.join("node-1.folded")).unwrap(), folded);
        assert!(folder.join("node-1.speedscope.json").exists());
        assert!(folder.join("node-1.pb.gz").exists());
        assert!(write(&folder, "x", &Folded::default(), &title).is_err());
        let error = read(&svg).unwrap_err().to_string();
        assert!(error.contains("node-1.svg: line 1 is no folded stack"), "{error}");
    }
}
