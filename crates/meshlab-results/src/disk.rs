//! How much the disk has left, and whether a run fits.

use std::{io, path::Path, time::Duration};

use meshlab_model::{ByteSize, format_duration};
use nix::sys::statvfs::statvfs;

/// Below this a run is stopped, in order, while its record can still be closed: room for the
/// events and the report of a long run, and for a segment and its index twice over.
pub const FLOOR: ByteSize = ByteSize(256 << 20);

/// Bytes a second that a run is taken to write before it has been measured: 500 spans of 51 bytes
/// and 19 samples of 36, heads included, as 18 nodes send them.
const ASSUMED_BYTES_PER_SECOND: u64 = 500 * 51 + 19 * 36;

/// What is left for this user on the disk that `path` lies on.
///
/// # Errors
/// The system cannot say.
pub fn free(path: &Path) -> io::Result<ByteSize> {
    let facts = statvfs(path)?;
    Ok(ByteSize(facts.blocks_available().saturating_mul(facts.fragment_size())))
}

/// Why no run should begin, or go on, with so much left; `None` if it may.
pub fn too_little(free: ByteSize) -> Option<String> {
    (free < FLOOR).then(|| {
        format!(
            "only {free} are free on its disk, and a run is stopped below {FLOOR} so that its \
            record can be closed"
        )
    })
}

/// Why a run of that length is not likely to fit; `None` if it is. `so_far` is what it wrote, and
/// in which time; without it a rate is assumed.
pub fn forecast(
    free: ByteSize,
    remaining: Duration,
    so_far: Option<(ByteSize, Duration)>,
) -> Option<String> {
    let (rate, how) = match so_far {
        Some((written, elapsed)) => (written.0 as f64 / elapsed.as_secs_f64().max(1.0), "measured"),
        None => (ASSUMED_BYTES_PER_SECOND as f64, "assumed for 18 nodes"),
    };
    let needed = rate * remaining.as_secs_f64();
    let room = free.0.saturating_sub(FLOOR.0) as f64;
    (needed > room).then(|| {
        let fits = Duration::from_secs_f64((room / rate).min(1e9));
        format!(
            "the disk may fill: up to {} are needed for the {} that the run may still take, at {} \
             a second ({how}), and {free} are free; it is stopped below {FLOOR}, after {} or so",
            ByteSize(needed as u64),
            format_duration(Duration::from_secs(remaining.as_secs())),
            ByteSize(rate as u64),
            format_duration(Duration::from_secs(fits.as_secs())),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const GIB: u64 = 1 << 30;

    #[test]
    fn a_run_that_does_not_fit_is_told_with_figures() {
        assert_eq!(forecast(ByteSize(20 * GIB), 4 * DAY, None), None);
        let told = forecast(ByteSize(5 * GIB), 4 * DAY, None).unwrap();
        assert_eq!(
            told,
            "the disk may fill: up to 8.43 GiB are needed for the 4d 0h that the run may still \
             take, at 25.6 KiB a second (assumed for 18 nodes), and 5.00 GiB are free; it is \
             stopped below 256.0 MiB, after 2d 6h or so"
        );
        let measured = Some((ByteSize(10 << 20), Duration::from_secs(10)));
        assert_eq!(forecast(ByteSize(GIB), Duration::from_secs(600), measured), None);
        let told = forecast(ByteSize(GIB), Duration::from_secs(6000), measured).unwrap();
        assert!(told.contains("1.0 MiB a second (measured)"), "{told}");
        assert!(told.contains("it is stopped below 256.0 MiB, after 12m 48s or so"), "{told}");
    }

    #[test]
    fn below_the_floor_no_run_goes_on() {
        assert_eq!(too_little(FLOOR), None);
        let told = too_little(ByteSize(FLOOR.0 - 1)).unwrap();
        assert!(told.starts_with("only 256.0 MiB are free"), "{told}");
        assert!(free(Path::new("/")).is_ok() && free(Path::new("/no/where")).is_err());
    }
}
