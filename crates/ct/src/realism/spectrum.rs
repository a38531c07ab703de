//! Noise power spectrum in the slices, of a region of any outline: the Fourier transform of its autocovariance
//! (Wiener & Khinchin), which unlike a transform of squares needs no rectangle of tissue.
use super::site::LEAST_VOXELS;
use ndarray::{Array3, s};
use std::f64::consts::PI;

/// Longest lag along an axis.
const REACH_MM: f64 = 8.0;
/// The same in voxels at most.
const REACH_VOX: usize = 10;
/// Shortest periods of the first two bands; the third goes down to two voxels.
const PERIODS_MM: [f64; 2] = [8.0, 4.0];
/// Frequencies and directions that a band is averaged over.
const FREQUENCIES: usize = 6;
const DIRECTIONS: usize = 8;

/// Second-order statistics of noise in the slices.
pub(super) struct Spectrum {
    /// Mean power of each band in HU² mm²: of periods above 8 mm, 4 to 8 mm, below 4 mm. None when not above 0.
    pub power: [Option<f64>; 3],
    /// Lag at which the autocorrelation is down to 1/e.
    pub correlation_mm: Option<f64>,
}

/// Mean product at a lag.
struct Lag {
    offset_mm: [f64; 2],
    covariance: f64,
}

impl Spectrum {
    /// Of noise of mean 0. `None` without variance, or below 30 voxels.
    pub(super) fn of(noise: &Array3<f32>, region: &Array3<bool>, spacing_mm: [f64; 3]) -> Option<Self> {
        let lags = lags(noise, region, spacing_mm);
        let variance = lags.first().filter(|l| l.offset_mm == [0.0; 2] && l.covariance > 0.0)?.covariance;
        let pixel_mm = spacing_mm[0].max(spacing_mm[1]);
        let [coarse, middle] = PERIODS_MM.map(|p| 1.0 / p);
        let ends = [(0.5 * coarse, coarse), (coarse, middle), (middle, 0.5 / pixel_mm)];
        let area_mm2 = spacing_mm[0] * spacing_mm[1];
        Some(Self {
            power: ends.map(|(low, high)| {
                (low < high).then(|| area_mm2 * band_power(&lags, low, high)).filter(|power| *power > 0.0)
            }),
            correlation_mm: correlation_mm(&lags, variance, pixel_mm),
        })
    }
}

/// Lags of a half plane, the lag 0 first. Those of fewer than 30 pairs are left out.
fn lags(noise: &Array3<f32>, region: &Array3<bool>, spacing_mm: [f64; 3]) -> Vec<Lag> {
    let reach: [usize; 2] =
        std::array::from_fn(|a| ((REACH_MM / spacing_mm[a]) as usize).clamp(1, REACH_VOX));
    let weight = region.mapv(|r| f32::from(u8::from(r)));
    let noise = noise * &weight;
    let (nx, ny, _) = noise.dim();
    let mut lags = vec![];
    for dx in 0..=reach[0].min(nx - 1) {
        let least = if dx == 0 { 0 } else { -(reach[1] as i64) };
        for dy in least..=reach[1] as i64 {
            let shift = dy.unsigned_abs() as usize;
            if shift >= ny {
                continue;
            }
            let (ahead, behind) = if dy >= 0 { (shift, 0) } else { (0, shift) };
            let (a, b) = (s![dx.., ahead..ny - behind, ..], s![..nx - dx, behind..ny - ahead, ..]);
            let sum = |data: &Array3<f32>| -> f64 {
                let pairs = data.slice(a).into_iter().zip(data.slice(b));
                pairs.map(|(p, q)| f64::from(p * q)).sum()
            };
            let pairs = sum(&weight);
            if pairs >= LEAST_VOXELS as f64 {
                let offset_mm = [dx as f64 * spacing_mm[0], dy as f64 * spacing_mm[1]];
                lags.push(Lag { offset_mm, covariance: sum(&noise) / pairs });
            }
        }
    }
    lags
}

/// Mean over frequencies (per mm) and directions. Lags count less towards the reach (Hann), so that the cut leaves no ripples.
fn band_power(lags: &[Lag], low: f64, high: f64) -> f64 {
    let mut sum = 0.0;
    for f in 0..FREQUENCIES {
        let frequency = low + (high - low) * (f as f64 + 0.5) / FREQUENCIES as f64;
        for d in 0..DIRECTIONS {
            let (sin, cos) = libm::sincos(PI * d as f64 / DIRECTIONS as f64);
            let term = |lag: &Lag| {
                let [x, y] = lag.offset_mm;
                let window = 0.5 + 0.5 * libm::cos(PI * (x.hypot(y) / REACH_MM).min(1.0));
                // A lag stands for its opposite too.
                let times = if lag.offset_mm == [0.0; 2] { 1.0 } else { 2.0 };
                times * window * lag.covariance * libm::cos(2.0 * PI * frequency * (x * cos + y * sin))
            };
            sum += lags.iter().map(term).sum::<f64>();
        }
    }
    sum / (FREQUENCIES * DIRECTIONS) as f64
}

/// From the mean over all directions at each distance, linear between.
fn correlation_mm(lags: &[Lag], variance: f64, pixel_mm: f64) -> Option<f64> {
    let mut rings = vec![(0.0, 0.0, 0_usize); (2.0 * REACH_MM / pixel_mm) as usize + 2];
    for lag in lags {
        let distance_mm = lag.offset_mm[0].hypot(lag.offset_mm[1]);
        if let Some((distance, covariance, n)) = rings.get_mut((distance_mm / pixel_mm).round() as usize) {
            *distance += distance_mm;
            *covariance += lag.covariance;
            *n += 1;
        }
    }
    let means = rings.iter().filter(|(.., n)| *n > 0);
    let curve: Vec<(f64, f64)> = means.map(|(d, c, n)| (d / *n as f64, c / (*n as f64 * variance))).collect();
    let level = (-1.0_f64).exp();
    let (a, b) = curve.windows(2).map(|w| (w[0], w[1])).find(|(_, b)| b.1 < level)?;
    Some(a.0 + (a.1 - level) / (a.1 - b.1) * (b.0 - a.0))
}
