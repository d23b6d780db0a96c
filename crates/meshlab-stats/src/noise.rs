//! Made-up measurements, for tests of the methods and for tables of what they can see.

use crate::{MinuteMedians, Stream};

/// Noise whose values depend on those before them: an autoregressive process of the first order.
#[derive(Debug, Clone)]
pub struct Noise {
    keep: f64,
    fresh: f64,
    value: f64,
}

impl Noise {
    /// Noise of this standard deviation that forgets itself over `tau` seconds, taken each `every`
    /// seconds. It begins as if it had gone on for ever.
    pub fn new(deviation: f64, tau: f64, every: f64, stream: &mut Stream) -> Self {
        let keep = (-every / tau).exp();
        let fresh = deviation * (1.0 - keep * keep).sqrt();
        Self { keep, fresh, value: deviation * stream.normal() }
    }

    /// The next value.
    pub fn draw(&mut self, stream: &mut Stream) -> f64 {
        self.value = self.keep * self.value + self.fresh * stream.normal();
        self.value
    }
}

/// Resident memory of a node, in bytes by seconds, once a minute for `minutes`: a level, noise that
/// forgets itself within a minute (500 KB) and within ten (300 KB), a growth in bytes a second, and
/// a warm-up of that many bytes that ends by itself within some ten minutes.
pub fn memory(stream: &mut Stream, minutes: u32, growth: f64, warmup: f64) -> Vec<(f64, f64)> {
    let mut fast = Noise::new(500e3, 60.0, 60.0, stream);
    let mut slow = Noise::new(300e3, 600.0, 60.0, stream);
    (0..minutes)
        .map(|minute| {
            let at = f64::from(minute) * 60.0;
            let warm = warmup * (1.0 - (-at / 300.0).exp());
            let level = 20e6 + growth * at + warm;
            (at, level + fast.draw(stream) + slow.draw(stream))
        })
        .collect()
}

/// The same as a harness takes it: a sample a second, kept as the median of each minute.
pub fn sampled(stream: &mut Stream, minutes: u32, growth: f64, warmup: f64) -> Vec<(f64, f64)> {
    let mut fast = Noise::new(500e3, 60.0, 1.0, stream);
    let mut slow = Noise::new(300e3, 600.0, 1.0, stream);
    let mut medians = MinuteMedians::default();
    for second in 0..minutes * 60 {
        let at = f64::from(second);
        let warm = warmup * (1.0 - (-at / 300.0).exp());
        let noise = fast.draw(stream) + slow.draw(stream);
        medians.add(at, 20e6 + growth * at + warm + noise);
    }
    medians.points()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_its_width_and_its_memory() {
        let mut stream = Stream::new(5, "noise");
        let mut noise = Noise::new(2.0, 600.0, 60.0, &mut stream);
        let drawn: Vec<f64> = (0..200_000).map(|_| noise.draw(&mut stream)).collect();
        let variance = drawn.iter().map(|x| x * x).sum::<f64>() / 200_000.0;
        let lagged = drawn.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / 200_000.0;
        assert!((variance - 4.0).abs() < 0.3, "{variance}");
        assert!((lagged / variance - (-0.1_f64).exp()).abs() < 0.01, "{}", lagged / variance);
    }
}
