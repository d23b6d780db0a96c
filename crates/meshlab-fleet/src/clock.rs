//! The wall clock of a program that links no agent: a library loaded before its own, and a page of
//! memory that both sides map.

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::{Path, PathBuf},
    ptr::NonNull,
};

use meshlab_wire::ClockPage;

/// The clock of one life of a program. It is in no file system: the program finds it by a
/// descriptor of this process, and cannot make it shorter under this process's feet.
#[derive(Debug)]
pub struct Clock {
    page: NonNull<ClockPage>,
    file: OwnedFd,
}

// SAFETY: the mapping belongs to this value alone, stays where it is, and all of it is atomic.
unsafe impl Send for Clock {}
// SAFETY: the same.
unsafe impl Sync for Clock {}

impl Clock {
    /// A clock that is right.
    ///
    /// # Errors
    /// The kernel gives no memory for it.
    pub fn new() -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name ends in zero; a descriptor that is not negative is nobody else's.
        let file = unsafe {
            let fd = libc::memfd_create(c"meshlab-clock".as_ptr(), flags);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let file = File::from(file);
        file.set_len(ClockPage::BYTES as u64)?;
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: plain numbers on a descriptor of our own; then a new mapping of it, as long as
        // the file, which stays that long.
        let page = unsafe {
            if libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) != 0 {
                return Err(io::Error::last_os_error());
            }
            let (all, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            let fd = file.as_raw_fd();
            let at = libc::mmap(std::ptr::null_mut(), ClockPage::BYTES, all, shared, fd, 0);
            if at == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            NonNull::new(at.cast()).ok_or_else(io::Error::last_os_error)?
        };
        let clock = Self { page, file: file.into() };
        clock.page().lay_out();
        Ok(clock)
    }

    /// What both sides read and write.
    pub fn page(&self) -> &ClockPage {
        // SAFETY: mapped until this value is dropped.
        unsafe { self.page.as_ref() }
    }

    /// Where a program of this host finds the page, as long as this value lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, with that length, and not used any more.
        unsafe { libc::munmap(self.page.as_ptr().cast(), ClockPage::BYTES) };
    }
}

/// Why the library cannot answer for the clock of a program; `None` if it can. Of a script it is
/// its interpreter that counts.
pub fn unfit_for_clock(program: &Path) -> Option<String> {
    unfit(program, 4)
}

fn unfit(program: &Path, scripts_left: u32) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let told = |why: String| Some(format!("{} {why}", program.display()));
    let (meta, head) = match std::fs::metadata(program).and_then(|meta| Ok((meta, head(program)?)))
    {
        Ok(read) => read,
        Err(error) => return told(format!("cannot be read: {error}")),
    };
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let Some(interpreter) = line.split_whitespace().next() else {
            return told("is a script without an interpreter".to_owned());
        };
        return match scripts_left {
            0 => told("is a script of a script of a script".to_owned()),
            left => unfit(&PathBuf::from(interpreter), left - 1),
        };
    }
    if meta.mode() & (libc::S_ISUID | libc::S_ISGID) != 0 {
        return told("is set-user-id: nothing can be loaded before it".to_owned());
    }
    match loader(&head, program) {
        Err(why) => told(why.to_owned()),
        Ok(None) => told("is statically linked: nothing can be loaded before it".to_owned()),
        Ok(Some(loader)) if !loader.contains("ld-linux") => {
            told(format!("is loaded by {loader}: the library is made for glibc"))
        }
        Ok(Some(_)) => None,
    }
}

fn head(program: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut head = Vec::new();
    File::open(program)?.take(4096).read_to_end(&mut head)?;
    Ok(head)
}

/// The loader that an ELF file names (its `PT_INTERP`); `None` if it names none, and so loads no
/// library.
fn loader(head: &[u8], program: &Path) -> Result<Option<String>, &'static str> {
    const NO_ELF: &str = "is no ELF program";
    const PT_INTERP: u32 = 3;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = head.get(at..at + bytes)?;
        Some(field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    if !head.starts_with(b"\x7fELF") {
        return Err(NO_ELF);
    }
    // Class 2 is 64 bit, data 1 is little endian. The machine is at 18, see elf(5).
    let own = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    if head.get(4..6) != Some(&[2, 1]) || number(18, 2) != Some(own) {
        return Err("is of another kind of machine than the library");
    }
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let (Some(table), Some(size), Some(count)) = (table, size, count) else { return Err(NO_ELF) };
    for place in 0..count {
        let at = usize::try_from(table + place * size).map_err(|_| NO_ELF)?;
        if number(at, 4) != Some(u64::from(PT_INTERP)) {
            continue;
        }
        let (Some(from), Some(bytes)) = (number(at + 8, 8), number(at + 32, 8)) else {
            return Err(NO_ELF);
        };
        let name = read_at(program, from, bytes.min(4096)).map_err(|_| NO_ELF)?;
        let name = CStr::from_bytes_until_nul(&name).map_err(|_| NO_ELF)?;
        return Ok(Some(name.to_string_lossy().into_owned()));
    }
    Ok(None)
}

fn read_at(program: &Path, from: u64, bytes: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut read = vec![0; bytes as usize];
    File::open(program)?.read_exact_at(&mut read, from)?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use meshlab_wire::ClockShift;

    use super::*;

    #[test]
    fn a_clock_is_found_by_its_path_and_cannot_be_made_shorter() {
        let clock = Clock::new().unwrap();
        let change = clock.page().set(ClockShift { offset_micros: 5, drift_ppm: 0 }, 0);
        assert_eq!(clock.page().ahead(0), Some((change, 5_000)));
        let again = fs::OpenOptions::new().write(true).open(clock.path()).unwrap();
        assert!(again.set_len(0).is_err(), "reading it would end this process");
        assert_eq!(again.metadata().unwrap().len(), ClockPage::BYTES as u64);
    }

    #[test]
    fn what_loads_no_library_is_told_by_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8], mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            unfit_for_clock(&path).map(|why| why.rsplit('/').next().unwrap_or_default().to_owned())
        };
        let sleep = fs::read("/bin/sleep").unwrap();
        assert_eq!(file("plain", &sleep, 0o755), None);
        assert_eq!(file("script", b"#!/bin/bash\necho\n", 0o755), None);
        let mut nothing = sleep.clone();
        // Its program headers are gone.
        nothing[56..58].copy_from_slice(&[0, 0]);
        let mut foreign = sleep.clone();
        foreign[18] = 8;
        let mut musl = sleep.clone();
        let at = musl.windows(8).position(|part| part == b"ld-linux").unwrap();
        musl[at..at + 8].copy_from_slice(b"ld-musl-");
        let said = [
            file("static", &nothing, 0o755),
            file("setuid", &sleep, 0o4755),
            file("foreign", &foreign, 0o755),
            file("musl", &musl, 0o755),
            file("text", b"hello", 0o755),
            file("short", b"\x7fELF\x02\x01", 0o755),
            file("wrapped", b"#!/nowhere/sh\n", 0o755),
        ];
        let said: Vec<String> = said.into_iter().map(Option::unwrap_or_default).collect();
        let told = |place: usize, why: &str| assert!(said[place].contains(why), "{said:?}");
        told(0, "static is statically linked");
        told(1, "setuid is set-user-id");
        told(2, "foreign is of another kind of machine");
        told(3, "the library is made for glibc");
        told(4, "text is no ELF program");
        told(5, "another kind of machine");
        told(6, "cannot be read");
    }
}
