//! Names of addresses, from the symbols and line tables of a program's file.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
};

use addr2line::Loader;

use crate::Folded;

/// A function and where it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Its name, demangled; `???` if it is not known.
    pub function: String,
    /// The source, as the compiler wrote it down.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
}

/// Why a program's addresses have no names.
#[derive(Debug, thiserror::Error)]
#[error(
    "the symbols of {} cannot be read: {why}; build it with `debug = \"line-tables-only\"` and \
     `strip = false`", .program.display()
)]
pub struct SymbolsError {
    /// The program.
    pub program: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// Names of a program's addresses; those that were asked for are kept.
#[derive(Debug, Default)]
pub struct Names {
    known: HashMap<u64, Vec<Frame>>,
}

impl Names {
    /// Looks up addresses that are not known yet. `back` says that they are return addresses, which
    /// lie behind the call.
    ///
    /// # Errors
    /// The file cannot be read, or it is stripped: none of its addresses has a name.
    pub fn learn(
        &mut self,
        program: &Path,
        addresses: impl IntoIterator<Item = u64>,
        back: bool,
    ) -> Result<(), SymbolsError> {
        let mut wanted: Vec<u64> = addresses.into_iter().collect();
        wanted.retain(|address| !self.known.contains_key(address));
        if wanted.is_empty() {
            return Ok(());
        }
        let failed = |why: String| SymbolsError { program: program.to_owned(), why };
        let loader = Loader::new(program).map_err(|error| failed(error.to_string()))?;
        for address in &wanted {
            let frames = look_up(&loader, address.wrapping_sub(u64::from(back)));
            self.known.insert(*address, frames);
        }
        let named = |address: &&u64| self.known.get(*address).is_some_and(|all| !all.is_empty());
        if wanted.iter().find(named).is_none() {
            return Err(failed("none of its addresses has a name: it is stripped".to_owned()));
        }
        Ok(())
    }

    /// The frames of an address, the innermost of inlined functions first; empty if nothing is
    /// known of it.
    pub fn frames(&self, address: u64) -> &[Frame] {
        self.known.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    /// Folded stacks of addresses with names in their place.
    ///
    /// # Errors
    /// As [`Names::learn`].
    pub fn name(&mut self, program: &Path, stacks: &Folded) -> Result<Folded, SymbolsError> {
        let addresses = stacks.stacks().flat_map(|(stack, _)| stack.split(';').filter_map(hex));
        self.learn(program, addresses.collect::<Vec<u64>>(), false)?;
        let mut named = Folded::default();
        for (stack, count) in stacks.stacks() {
            let mut names: Vec<&str> = Vec::new();
            for part in stack.split(';') {
                match hex(part).map(|address| self.frames(address)) {
                    Some([]) => names.push("[unknown]"),
                    Some(frames) => {
                        names.extend(frames.iter().rev().map(|frame| frame.function.as_str()));
                    }
                    None => names.push(part),
                }
            }
            named.add(&names.join(";"), count);
        }
        Ok(named)
    }
}

/// `0x1f` as a number.
pub(crate) fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn look_up(loader: &Loader, address: u64) -> Vec<Frame> {
    let mut found = Vec::new();
    // Line tables also tell of functions that the linker left out, as if they were at address 0; no
    // symbol is there.
    if loader.find_symbol(address).is_none() {
        return found;
    }
    if let Ok(mut frames) = loader.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.as_ref().and_then(|name| name.demangle().ok());
            let file = frame.location.as_ref().and_then(|place| place.file).map(str::to_owned);
            let line = frame.location.as_ref().and_then(|place| place.line);
            // With line tables only, a function that was not inlined has a place and no name: the
            // name is that of the symbol.
            let symbol = || loader.find_symbol(address).map(demangled);
            if let Some(function) = name.map(Cow::into_owned).or_else(symbol) {
                found.push(Frame { function, file, line });
            }
        }
    }
    if found.is_empty()
        && let Some(symbol) = loader.find_symbol(address)
    {
        found.push(Frame { function: demangled(symbol), file: None, line: None });
    }
    found
}

fn demangled(symbol: &str) -> String {
    addr2line::demangle_auto(symbol.into(), None).into_owned()
}

impl Frame {
    /// A frame as DHAT writes it: `0x1f: f (a/b.rs:3:0)`, or without what is not known.
    pub(crate) fn parse(text: &str) -> Self {
        let (_, rest) = text.split_once(": ").unwrap_or(("", text));
        let unknown = || Self { function: rest.to_owned(), file: None, line: None };
        let Some((function, place)) = rest.strip_suffix(')').and_then(|r| r.rsplit_once(" ("))
        else {
            return unknown();
        };
        let mut parts = place.rsplitn(3, ':');
        let (last, middle, first) = (parts.next(), parts.next(), parts.next());
        // With a column there are three parts, without one two, and without a place none.
        let (file, line) = match (first, middle, last) {
            (Some(file), Some(line), Some(_)) if line.parse::<u32>().is_ok() => (file, line),
            (None, Some(file), Some(line)) => (file, line),
            _ => return Self { function: function.to_owned(), file: None, line: None },
        };
        let file = Some(file.to_owned()).filter(|file| file != "???" && !file.is_empty());
        Self { function: function.to_owned(), file, line: line.parse().ok() }
    }
}

impl fmt::Display for Frame {
    /// The function and where it is, from its crate on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        let (Some(file), Some(line)) = (&self.file, self.line) else { return Ok(()) };
        let short = file.rfind("/src/").map_or(file.as_str(), |place| {
            let start = file[..place].rfind('/').map_or(0, |slash| slash + 1);
            &file[start..]
        });
        write!(f, " ({short}:{line})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn a_function_to_be_found() -> u64 {
        let pointer = a_function_to_be_found as *const () as u64;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let first = maps.lines().next().unwrap().split('-').next().unwrap();
        pointer - u64::from_str_radix(first, 16).unwrap()
    }

    #[test]
    fn a_function_has_its_name_and_place() {
        let program = std::env::current_exe().unwrap();
        let address = a_function_to_be_found();
        let stacks = Folded::parse(&format!("0x{address:x};0x1 3\nmain 1\n")).unwrap();
        let named = Names::default().name(&program, &stacks).unwrap().to_string();
        assert!(named.contains("a_function_to_be_found;[unknown] 3"), "{named}");
        assert!(named.contains("main 1"), "{named}");
        let mut names = Names::default();
        names.learn(&program, [address], false).unwrap();
        let frame = &names.frames(address)[0];
        assert!(frame.to_string().contains("(meshlab-profile/src/symbols.rs:"), "{frame}");
    }

    #[test]
    fn a_program_without_names_says_how_to_build_it() {
        let error = Names::default().learn(Path::new("/none"), [1], false).unwrap_err();
        assert!(error.to_string().contains("/none cannot be read"), "{error}");
        let program = std::env::current_exe().unwrap();
        let error = Names::default().learn(&program, [1, 2], false).unwrap_err().to_string();
        assert!(error.contains("stripped") && error.contains("line-tables-only"), "{error}");
    }

    #[test]
    fn frames_are_read_as_dhat_writes_them() {
        let read = |text| {
            let Frame { function, file, line } = Frame::parse(text);
            (function, file.unwrap_or_default(), line)
        };
        let wanted = |f: &str, file: &str, line| (f.to_owned(), file.to_owned(), line);
        assert_eq!(read("0x1: a::b (src/x.rs:3:9)"), wanted("a::b", "src/x.rs", Some(3)));
        assert_eq!(read("0x1: a (b.c:7)"), wanted("a", "b.c", Some(7)), "as valgrind writes it");
        assert_eq!(read("0x1: ??? (???:0:0)"), wanted("???", "", Some(0)));
        assert_eq!(read("0x1: f(a) (in /lib/x.so)"), wanted("f(a)", "", None));
        assert_eq!(read("[root]"), wanted("[root]", "", None));
    }
}
