//! What the heap holds, by allocation site: `recorder.rs` is the allocator that keeps book,
//! `table.rs` the book, `stacks.rs` says who called; this file writes it down.

mod recorder;
mod stacks;
mod table;

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

pub use self::recorder::HeapRecorder;
use self::{
    recorder::Inside,
    table::{Amount, Site},
};

/// What a dump says in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dumped {
    pub(crate) bytes: u64,
    pub(crate) blocks: u64,
}

/// The state of a book, to be written.
struct Snapshot {
    sites: Vec<Site>,
    live: Amount,
    peak_at: u64,
    now: u64,
    interval: u64,
}

/// Whether this program keeps book of its heap.
pub(crate) fn is_recorded() -> bool {
    recorder::interval().is_some()
}

/// Writes what is allocated and not freed to `path`. Blocks the calling thread; the others are held
/// up only while the book is copied.
///
/// # Errors
/// This program keeps no book, or the file cannot be written.
pub(crate) fn dump(path: &Path) -> Result<Dumped, String> {
    let Some(interval) = recorder::interval() else {
        return Err("this program does not record its heap: its global allocator has to be \
            meshlab_agent::HeapRecorder"
            .to_owned());
    };
    let _inside = Inside::enter();
    let snapshot = {
        let mut table = recorder::table();
        let now = recorder::now();
        table.note_peak(now);
        Snapshot {
            sites: table.sites.clone(),
            live: table.live,
            peak_at: table.peak_at,
            now,
            interval,
        }
    };
    let beside = path.with_extension("part");
    let written = File::create(&beside).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out, &snapshot, load_base()).and_then(|()| out.flush())
    });
    written.and_then(|()| fs::rename(&beside, path)).map_err(|error| {
        let _ = fs::remove_file(&beside);
        format!("{}: {error}", path.display())
    })?;
    Ok(Dumped { bytes: whole(snapshot.live.bytes), blocks: whole(snapshot.live.blocks) })
}

/// As in DHAT's format, version 2. Frames are addresses as the program's file has them: names cost
/// the node a second and a hundred megabytes, and whoever reads this can find them. `meshlab` is
/// our own addition, which the viewer does not look at.
fn write(out: &mut impl Write, of: &Snapshot, base: usize) -> io::Result<()> {
    let mut frames: HashMap<usize, usize> = HashMap::new();
    let mut names = Vec::new();
    let command: Vec<String> = std::env::args().take(1).collect();
    let program = std::env::current_exe().unwrap_or_default();
    let spent = recorder::spent().as_micros();
    let cpu = recorder::clock(libc::CLOCK_PROCESS_CPUTIME_ID) / 1000;
    write!(
        out,
        "{{\"dhatFileVersion\":2,\"mode\":\"rust-heap\",\"verb\":\"Allocated\",\"bklt\":true,\
         \"bkacc\":false,\"tu\":\"µs\",\"Mtu\":\"s\",\"tuth\":10,\"cmd\":{},\"pid\":{},\"tg\":{},\
         \"te\":{},\"meshlab\":{{\"program\":{},\"sample_bytes\":{},\"spent_micros\":{spent},\
         \"cpu_micros\":{cpu}}},\n\"pps\":[",
        serde_json::Value::from(command.join(" ")),
        std::process::id(),
        of.peak_at,
        of.now,
        serde_json::Value::from(program.display().to_string()),
        of.interval,
    )?;
    for (place, site) in of.sites.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let (total, most, peak) =
            (whole_of(site.total), whole_of(site.most), whole_of(site.at_peak));
        let live = whole_of(site.live);
        write!(
            out,
            "{comma}\n{{\"tb\":{},\"tbk\":{},\"tl\":{},\"mb\":{},\"mbk\":{},\"gb\":{},\"gbk\":{},\
             \"eb\":{},\"ebk\":{},\"fs\":[",
            total.0,
            total.1,
            whole(site.lifetimes),
            most.0,
            most.1,
            peak.0,
            peak.1,
            live.0,
            live.1,
        )?;
        for (place, frame) in site.frames.iter().enumerate() {
            let known = frames.len() + 1;
            let number = *frames.entry(*frame).or_insert_with(|| {
                names.push(frame.wrapping_sub(base));
                known
            });
            write!(out, "{}{number}", if place == 0 { "" } else { "," })?;
        }
        write!(out, "]}}")?;
    }
    write!(out, "],\n\"ftbl\":[\"[root]\"")?;
    names.iter().try_for_each(|name| write!(out, ",\n\"0x{name:x}\""))?;
    writeln!(out, "]}}")
}

fn whole(amount: f64) -> u64 {
    amount.round().max(0.0) as u64
}

fn whole_of(amount: Amount) -> (u64, u64) {
    (whole(amount.bytes), whole(amount.blocks))
}

/// Where the program's file was loaded: addresses in it count from there.
pub(crate) fn load_base() -> usize {
    unsafe extern "C" fn first(
        info: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        base: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader hands over a valid object, and `base` is the place given below.
        unsafe { *base.cast::<usize>() = (*info).dlpi_addr as usize };
        // The program itself is the first: no further one is wanted.
        1
    }
    let mut base = 0_usize;
    // SAFETY: the callback writes to `base` only, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut base).cast()) };
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_is_written_as_the_viewer_reads_it() {
        let amount = |bytes, blocks| Amount { bytes, blocks };
        let site = |frames: &[usize], bytes| Site {
            frames: frames.into(),
            total: amount(bytes * 2.0, 2.0),
            live: amount(bytes, 1.0),
            most: amount(bytes, 1.0),
            at_peak: amount(bytes, 1.0),
            lifetimes: 7.0,
        };
        let snapshot = Snapshot {
            sites: vec![site(&[0x1010, 0x1020], 100.0), site(&[0x1030, 0x1020], 5.4)],
            live: amount(105.4, 2.0),
            peak_at: 3,
            now: 9,
            interval: 1,
        };
        let mut bytes = Vec::new();
        write(&mut bytes, &snapshot, 0x1000).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["ftbl"], serde_json::json!(["[root]", "0x10", "0x20", "0x30"]));
        assert_eq!(json["pps"][1]["fs"], serde_json::json!([3, 2]));
        assert_eq!(json["pps"][0]["eb"], 100);
        assert_eq!(json["pps"][1]["eb"], 5, "whole bytes");
        assert_eq!((&json["te"], &json["dhatFileVersion"]), (&9.into(), &2.into()));
        assert_eq!(json["meshlab"]["sample_bytes"], 1);
    }

    #[test]
    fn a_program_without_the_recorder_says_so() {
        let error = dump(Path::new("/nowhere/x.json")).unwrap_err();
        assert!(error.contains("does not record its heap"), "{error}");
    }
}
