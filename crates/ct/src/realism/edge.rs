//! How sharp a tumor's edge is.
use super::site::Site;
use crate::measure::HuStatistics;
use ndarray::Zip;

/// Reach of the edge's profile, and its bins.
const PROFILE_MM: f32 = 12.0;
const BIN_MM: f32 = 0.5;
/// Voxels that a bin needs.
const LEAST_IN_BIN: usize = 10;
/// An edge cannot be measured when the two sides differ by less.
const LEAST_CONTRAST_HU: f64 = 15.0;

/// See [`super::Figures::edge_mm`].
pub(super) fn measure(site: &Site) -> Option<f64> {
    let inside = HuStatistics::of(&site.hu, &site.core)?;
    let around = HuStatistics::of(&site.hu, &site.around)?;
    let clear = (inside.mean_hu - around.mean_hu).abs() >= LEAST_CONTRAST_HU;
    clear.then(|| width_mm(&profile(site))).flatten()
}

/// Mean HU at each distance from the border, in mm; negative inside.
fn profile(site: &Site) -> Vec<(f64, f64)> {
    let bins = (2.0 * PROFILE_MM / BIN_MM) as usize;
    let mut sums = vec![(0.0_f64, 0_usize); bins];
    Zip::from(&site.hu).and(&site.signed_mm).and(&site.inside).and(&site.tissue).for_each(|v, d, i, t| {
        let bin = ((d + PROFILE_MM) / BIN_MM).floor();
        if (*i || *t) && bin >= 0.0 && (bin as usize) < bins {
            let (sum, n) = &mut sums[bin as usize];
            *sum += f64::from(*v);
            *n += 1;
        }
    });
    let filled = sums.iter().enumerate().filter(|(_, (_, n))| *n >= LEAST_IN_BIN);
    let middle_mm = |bin: usize| (bin as f64 + 0.5) * f64::from(BIN_MM) - f64::from(PROFILE_MM);
    filled.map(|(bin, (sum, n))| (middle_mm(bin), sum / *n as f64)).collect()
}

/// How far apart 10 and 90 % of the difference lie.
fn width_mm(profile: &[(f64, f64)]) -> Option<f64> {
    let plateau = |low: f64, high: f64| {
        let part: Vec<f64> =
            profile.iter().filter(|(d, _)| (low..high).contains(d)).map(|(_, v)| *v).collect();
        (!part.is_empty()).then(|| part.iter().sum::<f64>() / part.len() as f64)
    };
    let deepest = profile.first()?.0;
    let inner = plateau(deepest, (deepest + 3.0).min(-1.0))?;
    let outer = plateau(4.0, 9.0)?;
    let share = |v: f64| (v - inner) / (outer - inner);
    // From the border outwards on both sides, so that structure far away does not count.
    let border = profile.iter().position(|(d, _)| *d > 0.0)?;
    let crossing = |i: usize, level: f64| {
        let (a, b) = (profile[i - 1], profile[i]);
        let (from, to) = (share(a.1), share(b.1));
        a.0 + (level - from) / (to - from) * (b.0 - a.0)
    };
    let low = (1..=border).rev().find(|&i| share(profile[i - 1].1) <= 0.1 && share(profile[i].1) > 0.1)?;
    let high = (low..profile.len()).find(|&i| share(profile[i - 1].1) < 0.9 && share(profile[i].1) >= 0.9)?;
    Some(crossing(high, 0.9) - crossing(low, 0.1)).filter(|width| width.is_finite())
}
