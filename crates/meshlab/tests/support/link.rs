//! The link that a program which serves a page prints.

use std::{
    io::{self, BufRead, BufReader},
    process::Child,
    thread,
};

/// Waits for the link; what the program prints after it is not read, and does not hold it up. Its
/// output has to be a pipe.
pub(crate) fn link(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().expect("its output is a pipe"));
    let mut line = String::new();
    while !line.starts_with("page at ") {
        line.clear();
        let read = lines.read_line(&mut line).expect("its output can be read");
        assert!(read > 0, "it printed no link");
    }
    thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
    line.trim().trim_start_matches("page at ").to_owned()
}
