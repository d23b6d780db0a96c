//! What the kernel tells of any process.

use std::fs;

/// When a process was started, in clock ticks since the boot of the host: with the process id, the
/// name of one process for good. `None` if there is none.
pub fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses; what follows its last `)` is well-formed. The
    // state is field 3, the start is field 22.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_start_that_stays() {
        let me = std::process::id();
        let started = started_at(me).unwrap();
        assert_eq!(started_at(me), Some(started));
        assert!(started_at(1).unwrap() <= started);
        assert_eq!(started_at(u32::MAX), None);
    }
}
