//! What a run may use beside the lab: control groups, perf, the disk. Each thing is tried.

use std::{
    ffi::CString,
    fs, io,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use meshlab_lab::{Capability, CapabilityState};
use meshlab_model::ByteSize;

/// Below this, a long run may fill the disk: a minute of chaos on 8 nodes leaves 1.5 MiB, a node's
/// log may have 16 MiB and a capture 32.
const FREE_MIN: ByteSize = ByteSize(1 << 30);

pub(super) fn probe() -> Vec<Capability> {
    vec![
        cgroup("cgroup cpu", "cpu", ["cpu.max", "cpu.cfs_quota_us"]),
        cgroup("cgroup memory", "memory", ["memory.max", "memory.limit_in_bytes"]),
        perf(),
        disk(Path::new("results")),
    ]
}

/// Makes a group and opens its limit, in the unified form or the older one.
fn cgroup(name: &'static str, controller: &str, [unified, older]: [&str; 2]) -> Capability {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (mounts, own) = (read("/proc/mounts"), read("/proc/self/cgroup"));
    let mut why = "no hierarchy with this controller is mounted".to_owned();
    for (place, is_unified) in places(&mounts, &own, controller) {
        let file = if is_unified { unified } else { older };
        match try_group(&place, file) {
            Ok(()) => {
                let detail = format!("a group with a limit can be made in {}", place.display());
                return available(name, detail, LIMITS);
            }
            Err(error) => why = format!("none in {}: {error}", place.display()),
        }
    }
    Capability {
        name,
        state: CapabilityState::Missing,
        detail: why,
        cure: Some(
            "run as root, or in a scope of its own: `systemd-run --user --scope -p Delegate=yes`"
                .to_owned(),
        ),
        needed_for: LIMITS,
    }
}

const LIMITS: &str = "faults that limit a node's CPU and memory";

fn available(name: &'static str, detail: String, needed_for: &'static str) -> Capability {
    Capability { name, state: CapabilityState::Available, detail, cure: None, needed_for }
}

/// Groups in which one may be made, by what `/proc/mounts` and `/proc/self/cgroup` say: the own one
/// and those above it; whether each is of the unified hierarchy.
fn places(mounts: &str, own: &str, controller: &str) -> Vec<(PathBuf, bool)> {
    let mut places = Vec::new();
    for mount in mounts.lines() {
        let mut fields = mount.split(' ');
        let (Some(point), Some(kind), Some(options)) =
            (fields.nth(1), fields.next(), fields.next())
        else {
            continue;
        };
        let unified = kind == "cgroup2";
        if !unified && (kind != "cgroup" || !options.split(',').any(|one| one == controller)) {
            continue;
        }
        let is_own = |line: &&str| {
            let named = line.split(':').nth(1).unwrap_or_default();
            if unified { named.is_empty() } else { named.split(',').any(|one| one == controller) }
        };
        let group = own.lines().find(is_own).and_then(|line| line.splitn(3, ':').nth(2));
        let group = Path::new(group.unwrap_or("/"));
        let above = group.ancestors().filter_map(|path| path.strip_prefix("/").ok());
        places.extend(above.map(|path| (Path::new(point).join(path), unified)));
    }
    places
}

fn try_group(place: &Path, limit: &str) -> io::Result<()> {
    let group = place.join(format!("meshlab-doctor-{}", std::process::id()));
    fs::create_dir(&group)?;
    let opened = fs::File::options().write(true).open(group.join(limit)).map(drop);
    fs::remove_dir(&group)?;
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "this controller is not handed on"),
        _ => error,
    })
}

fn perf() -> Capability {
    let (name, needed_for) = ("perf", "flame graphs, and instructions as a measure of work");
    let mut command = Command::new("perf");
    command.args(["stat", "-x,", "-e", "instructions:u", "--", "true"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let (state, detail, cure) = match command.output() {
        Err(error) => {
            let cure = "install it: `apt-get install linux-perf`, or your system's package";
            (CapabilityState::Missing, format!("it cannot be run: {error}"), cure)
        }
        Ok(output) => match counted(&String::from_utf8_lossy(&output.stderr)) {
            Some(count) => {
                return available(name, format!("it counts instructions ({count})"), needed_for);
            }
            None => (
                CapabilityState::Degraded,
                "it is there and counts no instructions".to_owned(),
                "a machine with hardware counters, and \
                 `sysctl kernel.perf_event_paranoid=2` or less",
            ),
        },
    };
    Capability { name, state, detail, cure: Some(cure.to_owned()), needed_for }
}

/// The first number of a line about instructions in what `perf stat -x,` prints.
fn counted(printed: &str) -> Option<u64> {
    let line = printed.lines().find(|line| line.contains("instructions"))?;
    line.split(',').next()?.parse().ok().filter(|count| *count > 0)
}

/// How much is free where `folder` is, or will be.
fn disk(folder: &Path) -> Capability {
    let (name, needed_for) = ("disk", "the records of runs");
    let there = if folder.exists() { folder } else { Path::new(".") };
    match free(there) {
        Ok(free) => of_free(name, free, needed_for),
        Err(error) => Capability {
            name,
            state: CapabilityState::Missing,
            detail: format!("what is free under {} cannot be told: {error}", there.display()),
            cure: Some("go to a folder that can be written, or give `--output DIR`".to_owned()),
            needed_for,
        },
    }
}

fn of_free(name: &'static str, free: ByteSize, needed_for: &'static str) -> Capability {
    let detail = format!("{free} free under results/");
    if free >= FREE_MIN {
        return available(name, detail, needed_for);
    }
    let cure = Some("make room, or give `--output DIR` on another disk".to_owned());
    Capability { name, state: CapabilityState::Degraded, detail, cure, needed_for }
}

fn free(folder: &Path) -> io::Result<ByteSize> {
    let path = CString::new(folder.as_os_str().as_bytes())?;
    let mut found = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends in a zero, and the kernel fills the structure if it returns 0.
    let found = unsafe {
        if libc::statvfs(path.as_ptr(), found.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        found.assume_init()
    };
    Ok(ByteSize((found.f_bavail as u64).saturating_mul(found.f_frsize as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        proc /proc proc rw 0 0\n\
        cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";

    #[test]
    fn groups_are_looked_for_where_the_controller_is() {
        let own = "4:memory:/a\n1:cpu,cpuacct:/b/c\n0::/d\n";
        let found = |controller| {
            let places = places(MOUNTS, own, controller).into_iter();
            places.map(|(path, unified)| (path.display().to_string(), unified)).collect::<Vec<_>>()
        };
        let unified = ["/sys/fs/cgroup/unified/d", "/sys/fs/cgroup/unified/"];
        let unified = unified.map(|path| (path.to_owned(), true));
        let cpu = ["b/c", "b", ""].map(|end| (format!("/sys/fs/cgroup/cpu,cpuacct/{end}"), false));
        assert_eq!(found("cpu"), [cpu.to_vec(), unified.to_vec()].concat());
        assert_eq!(found("memory"), unified);
        assert_eq!(places("", own, "cpu"), []);
    }

    #[test]
    fn a_folder_that_is_no_group_is_not_taken_for_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = try_group(folder.path(), "cpu.max").expect_err("no limit is there");
        assert_eq!(error.to_string(), "this controller is not handed on");
        assert_eq!(fs::read_dir(folder.path()).expect("a list").count(), 0, "it is removed again");
    }

    #[test]
    fn counters_that_count_nothing_are_told() {
        assert_eq!(counted("123456,,instructions:u,1000,100.00,,\n"), Some(123_456));
        assert_eq!(counted("<not supported>,,instructions:u,0,100.00,,\n"), None);
        assert_eq!(counted("0,,instructions:u,1,100.00,,\n"), None);
        assert_eq!(counted("event syntax error"), None);
    }

    #[test]
    fn little_room_is_told_with_its_cure() {
        let full = of_free("disk", ByteSize(FREE_MIN.0 - 1), "x");
        assert_eq!(full.state, CapabilityState::Degraded);
        assert!(full.cure.is_some());
        assert_eq!(of_free("disk", FREE_MIN, "x").state, CapabilityState::Available);
        assert!(free(Path::new("/nowhere/at/all")).is_err());
    }
}
