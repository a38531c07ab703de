//! Steps where none should be: at the border of what was changed, and from slice to slice.
use super::change::CHANGED_HU;
use super::site::{LEAST_VOXELS, Site};
use ndarray::{Array3, Axis};
use serde::Serialize;

/// Jumps that are needed to tell an unusual one.
const LEAST_JUMPS: usize = 4;
/// A usual jump is taken for at least this.
const LEAST_JUMP_HU: f64 = 1.0;
/// From the tumor's border on a step of the change is no edge of the tumor.
const CLEAR_MM: f32 = 1.0;

/// Steps that a synthesis may leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Seams {
    /// Largest mean step at the border of the changed zone, over the six directions, in noise standard deviations. The step is that
    /// of the change itself, so anatomy has no part in it; more than 1 mm outside of the tumor. None without the scan before,
    /// without noise, or where no direction has 30 such voxels.
    pub border_step: Option<f64>,
    /// Largest jump of the tumor's mean (less the organ's) from a slice to the next over the usual one: the larger of the median
    /// jumps (times 1.48) of tumor and organ and 1 HU. First and last slice are left out; none of fewer than 5 jumps.
    pub slice_jump: Option<f64>,
}

/// Measures both.
pub(super) fn measure(site: &Site, noise_hu: Option<f64>) -> Seams {
    let step = site.change_hu.as_ref().and_then(|change| border_step_hu(site, change));
    let noise_hu = noise_hu.filter(|noise| *noise > 0.0);
    Seams { border_step: step.zip(noise_hu).map(|(step, noise)| step / noise), slice_jump: slice_jump(site) }
}

fn border_step_hu(site: &Site, change: &Array3<f32>) -> Option<f64> {
    let shape = <[usize; 3]>::from(change.dim());
    let mut sums = [(0.0_f64, 0_usize); 6];
    for ((x, y, z), c) in change.indexed_iter() {
        if c.abs() <= CHANGED_HU || site.signed_mm[[x, y, z]] <= CLEAR_MM {
            continue;
        }
        for (direction, (sum, n)) in sums.iter_mut().enumerate() {
            let mut at = [x, y, z];
            let axis = direction / 2;
            at[axis] = if direction % 2 == 0 { at[axis].wrapping_sub(1) } else { at[axis] + 1 };
            if at[axis] < shape[axis] && change[at].abs() <= CHANGED_HU {
                *sum += f64::from(c - change[at]);
                *n += 1;
            }
        }
    }
    let steps = sums.iter().filter(|(_, n)| *n >= LEAST_VOXELS).map(|(sum, n)| (sum / *n as f64).abs());
    steps.reduce(f64::max)
}

fn slice_jump(site: &Site) -> Option<f64> {
    let tumor = slice_means(&site.hu, &site.core);
    let organ = slice_means(&site.hu, &site.around);
    let first = tumor.iter().position(Option::is_some)?;
    let last = tumor.iter().rposition(Option::is_some)?;
    let mut jumps = [vec![], vec![]];
    for k in first + 1..last.saturating_sub(1) {
        let (Some(a), Some(b)) = (tumor[k], tumor[k + 1]) else { continue };
        let of_organ = organ[k].zip(organ[k + 1]).map(|(a, b)| b - a);
        jumps[0].push((b - a - of_organ.unwrap_or(0.0)).abs());
        jumps[1].extend(of_organ.map(f64::abs));
    }
    let [of_tumor, of_organ] = jumps;
    if of_tumor.len() <= LEAST_JUMPS {
        return None;
    }
    let largest = of_tumor.iter().copied().fold(0.0, f64::max);
    Some(largest / usual(of_tumor).max(usual(of_organ)).max(LEAST_JUMP_HU))
}

/// Median, as the standard deviation of normal numbers that have it.
fn usual(mut jumps: Vec<f64>) -> f64 {
    jumps.sort_by(f64::total_cmp);
    jumps.get(jumps.len() / 2).map_or(0.0, |median| 1.4826 * median)
}

/// Mean in each slice; none below 30 voxels.
fn slice_means(hu: &Array3<f32>, region: &Array3<bool>) -> Vec<Option<f64>> {
    let slices = hu.axis_iter(Axis(2)).zip(region.axis_iter(Axis(2)));
    slices
        .map(|(hu, region)| {
            let chosen = || hu.into_iter().zip(region).filter(|(_, r)| **r).map(|(v, _)| f64::from(*v));
            let n = chosen().count();
            (n >= LEAST_VOXELS).then(|| chosen().sum::<f64>() / n as f64)
        })
        .collect()
}
