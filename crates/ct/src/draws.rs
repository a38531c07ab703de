//! Randomness that depends on nothing but names: seed, epoch, case and tumor.
//!
//! Everything random in this crate asks a [`Draws`] for it, so that a generator can be replayed from a log of draws
//! (the golden tests do). [`Stream`] is the real source: ChaCha with 8 rounds, counter based, keyed by
//! (seed, epoch, case id, tumor index), so neither the number of threads nor the order of shards can change a draw.
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A source of random numbers with the few kinds of draws that the generators need.
pub trait Draws {
    /// A uniform integer of the closed range `low..=high`.
    ///
    /// # Panics
    /// When `low > high`.
    fn integer(&mut self, low: i64, high: i64) -> i64;

    /// A uniform real of `[low, high)`.
    fn uniform(&mut self, low: f64, high: f64) -> f64;

    /// Fills `out` with independent standard normals.
    fn normals(&mut self, out: &mut [f64]);

    /// A uniform index of `0..n`.
    ///
    /// # Panics
    /// When `n` is 0.
    fn index(&mut self, n: usize) -> usize;
}

/// The random numbers of one tumor of one case in one epoch.
#[derive(Debug, Clone)]
pub struct Stream {
    generator: ChaCha8Rng,
}

impl Stream {
    /// The stream of tumor `tumor_index` of case `case_id` in `epoch`, of the run with this `seed`.
    ///
    /// The 32 bytes of the key are four outputs of SplitMix64 (Steele et al. 2014). Its state starts at the seed and
    /// takes in, one after the other, the epoch, FNV-1a of the case id's UTF-8 bytes, the id's length and the tumor
    /// index; each is mixed before the next comes, so (1, 2) and (2, 1) differ.
    pub fn new(seed: u64, epoch: u64, case_id: &str, tumor_index: u64) -> Self {
        let words = [epoch, fnv1a(case_id.as_bytes()), case_id.len() as u64, tumor_index];
        let mut state = words.into_iter().fold(mix(seed.wrapping_add(GAMMA)), |state, word| {
            mix(state.wrapping_add(GAMMA) ^ mix(word.wrapping_add(GAMMA)))
        });
        let mut key = [0; 32];
        for bytes in key.chunks_exact_mut(8) {
            state = state.wrapping_add(GAMMA);
            bytes.copy_from_slice(&mix(state).to_le_bytes());
        }
        Self { generator: ChaCha8Rng::from_seed(key) }
    }

    /// A real of `[0, 1)` with 53 random bits.
    fn unit(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl Draws for Stream {
    fn integer(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "integer: expected low <= high, found {low}..={high}");
        low + self.index((high - low) as usize + 1) as i64
    }

    fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Marsaglia's polar method. Its only transcendental function is `libm::log`, written in Rust, so the bits are the
    /// same on every platform (the logarithm of the system's C library is not).
    fn normals(&mut self, out: &mut [f64]) {
        for pair in out.chunks_mut(2) {
            let (u, v, s) = loop {
                let (u, v) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
                let s = u * u + v * v;
                if s > 0.0 && s < 1.0 {
                    break (u, v, s);
                }
            };
            let factor = (-2.0 * libm::log(s) / s).sqrt();
            pair[0] = u * factor;
            if let Some(second) = pair.get_mut(1) {
                *second = v * factor;
            }
        }
    }

    /// The high half of a 64 x 64 bit product: biased by less than n / 2^64, which no sample can show.
    fn index(&mut self, n: usize) -> usize {
        assert!(n > 0, "index: expected at least one thing to choose from");
        ((u128::from(self.generator.next_u64()) * n as u128) >> 64) as usize
    }
}

/// The golden gamma of SplitMix64.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's finaliser.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// FNV-1a, 64 bit: stable across releases and platforms, which the standard library's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_pinned_and_every_part_of_the_key_matters() {
        let first = |seed, epoch, case, tumor| Stream::new(seed, epoch, case, tumor).generator.next_u64();
        // Pinned: a change of the key derivation would change every published picture.
        assert_eq!(first(42, 0, "case_001", 0), PINNED);
        let others = [
            first(43, 0, "case_001", 0),
            first(42, 1, "case_001", 0),
            first(42, 0, "case_002", 0),
            first(42, 0, "case_001", 1),
            first(0, 42, "case_001", 0),
        ];
        assert!(others.iter().all(|&o| o != PINNED));
        assert_ne!(first(7, 1, "a", 2), first(7, 2, "a", 1));
    }
    const PINNED: u64 = 9_842_661_951_060_134_309;

    #[test]
    fn draws_have_their_distributions() {
        let mut draws = Stream::new(1, 0, "distributions", 0);
        const N: usize = 200_000;
        let mut normals = vec![0.0; N + 1];
        draws.normals(&mut normals);
        let n = normals.len() as f64;
        let mean = normals.iter().sum::<f64>() / n;
        let variance = normals.iter().map(|v| v * v).sum::<f64>() / n;
        let tail = normals.iter().filter(|v| v.abs() > 1.959964).count() as f64 / n;
        // Five standard errors: sqrt(1/n), sqrt(2/n), sqrt(.05*.95/n).
        assert!(mean.abs() < 0.011 && (variance - 1.0).abs() < 0.016 && (tail - 0.05).abs() < 0.0025);
        let mut counts = [0usize; 3];
        for _ in 0..30_000 {
            counts[(draws.integer(-1, 1) + 1) as usize] += 1;
        }
        // Expected 10,000 with a standard deviation of 82.
        assert!(counts.iter().all(|&c| c.abs_diff(10_000) < 410), "{counts:?}");
        assert!((0..1000).all(|_| (0.3..0.7).contains(&draws.uniform(0.3, 0.7))));
        assert_eq!(draws.index(1), 0);
    }
}
