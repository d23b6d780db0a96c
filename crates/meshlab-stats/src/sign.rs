//! The sign test: what changed in pairs of which each can only be the same, better or worse.

/// The two-sided p-value of so many pairs that changed for the better and so many for the worse,
/// where either is as likely (McNemar's exact test; "Note on the sampling error of the difference
/// between correlated proportions or percentages", 1947). Pairs that did not change say nothing. 1
/// where none did.
pub fn sign_test(better: usize, worse: usize) -> f64 {
    let (count, most) = (better + worse, better.max(worse));
    // The chance of exactly `changed`, from that of all: C(n, k - 1) = C(n, k) k / (n - k + 1).
    let mut chance = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut tail = 0.0;
    for changed in (most..=count).rev() {
        tail += chance;
        chance *= changed as f64 / (count - changed + 1) as f64;
    }
    (2.0 * tail).min(1.0)
}

/// The fewest pairs of which the test can be this sure, if all of them changed for the better.
pub fn signs_min(confidence: f64) -> usize {
    (1..).find(|pairs| sign_test(*pairs, 0) <= 1.0 - confidence).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worked_example() {
        // Binomial table, n = 10: P(X >= 9) = 11 / 1024, P(X >= 6) = 386 / 1024.
        assert!((sign_test(9, 1) - 22.0 / 1024.0).abs() < 1e-12);
        assert!((sign_test(4, 6) - 772.0 / 1024.0).abs() < 1e-12);
        assert_eq!((sign_test(5, 5), sign_test(0, 0), sign_test(0, 1)), (1.0, 1.0, 1.0));
        assert!((sign_test(0, 8) - 2.0 / 256.0).abs() < 1e-12);
        assert!(sign_test(5_000, 5_000) <= 1.0 && sign_test(2_000, 0) < 1e-12);
        assert_eq!((signs_min(0.99), signs_min(0.95)), (8, 6));
    }
}
