//! Random crops of scans for the autoencoder (paper E.2; spec/autoencoder.md section 7).
use super::cache::Cache;
use super::scans::PreparedScan;
use crate::error::Result;
use difftumor_ct::draws::{Draws, Stream};
use ndarray::{Array3, s};
use serde::{Deserialize, Serialize};

/// How crops are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CropSettings {
    /// Side: 96 (paper E.2). A multiple of what the autoencoder divides by.
    pub side_vox: usize,
    /// Scans in each batch: 2, authors' code.
    pub scans: usize,
    /// Crops of each scan: 2, authors' code. With 2 scans that is the paper's batch of 4.
    pub per_scan: usize,
    /// Share of crops centred on a labelled voxel, in scans with labels: 20/21, authors' code.
    pub labelled_share: f64,
    /// Share of crops turned by 90, 180 or 270 degrees in the axial plane: 0.1, authors' code.
    pub rotated_share: f64,
}

impl Default for CropSettings {
    fn default() -> Self {
        Self { side_vox: 96, scans: 2, per_scan: 2, labelled_share: 20.0 / 21.0, rotated_share: 0.1 }
    }
}

/// A batch and where it comes from.
pub struct CropBatch {
    /// −1 to 1, `[x, y, z]` each.
    pub crops: Vec<Array3<f32>>,
    /// Scan and first voxel (1 mm RAS) of each, for messages.
    pub origins: Vec<String>,
}

/// Voxels tried to find one that is not at the window's lower end (air).
const TRIES: usize = 1000;

/// The batch of `step` (from 1). It depends on the seed, the step and the files alone: each pass over the scans has an
/// order of its own.
///
/// # Errors
/// When no scan can be used.
pub fn batch(
    cache: &Cache<PreparedScan>,
    settings: &CropSettings,
    seed: u64,
    step: u64,
) -> Result<CropBatch> {
    let mut batch = CropBatch { crops: vec![], origins: vec![] };
    for place in 0..settings.scans as u64 {
        let count = (step - 1) * settings.scans as u64 + place;
        let scan = cache.first_usable(turn(cache.len(), seed, count))?;
        for item in 0..settings.per_scan as u64 {
            let mut draws = Stream::new(seed, step, "crop", place * settings.per_scan as u64 + item);
            let (crop, start) = draw(&scan, settings, &mut draws);
            batch.crops.push(crop);
            batch.origins.push(format!("{} at {start:?}", scan.id));
        }
    }
    Ok(batch)
}

/// The scans to try for draw number `count`: its own one first. Each pass over all `n` has an order of its own.
pub fn turn(n: usize, seed: u64, count: u64) -> impl Iterator<Item = usize> {
    let order = permutation(n, seed, count / n.max(1) as u64);
    let at = (count % n.max(1) as u64) as usize;
    (0..n).map(move |k| order[(at + k) % n])
}

fn permutation(n: usize, seed: u64, pass: u64) -> Vec<usize> {
    let mut draws = Stream::new(seed, pass, "order of scans", 0);
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, draws.index(i + 1));
    }
    order
}

fn draw(scan: &PreparedScan, settings: &CropSettings, draws: &mut impl Draws) -> (Array3<f32>, [usize; 3]) {
    let (image, labelled) = (scan.image(), scan.labelled());
    let shape = <[usize; 3]>::from(image.dim());
    let flat = |i: usize| [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]];
    let on_label = draws.uniform(0.0, 1.0) < settings.labelled_share && !labelled.is_empty();
    let centre = if on_label {
        flat(labelled[draws.index(labelled.len())] as usize)
    } else {
        let mut centre = flat(draws.index(image.len()));
        for _ in 0..TRIES {
            if image[centre] > -1.0 {
                break;
            }
            centre = flat(draws.index(image.len()));
        }
        centre
    };
    let side = settings.side_vox;
    let start: [usize; 3] = std::array::from_fn(|a| centre[a].saturating_sub(side / 2).min(shape[a] - side));
    let [x, y, z] = start.map(|v| v..v + side);
    let crop = image.slice(s![x, y, z]).to_owned();
    let turns = match draws.uniform(0.0, 1.0) < settings.rotated_share {
        true => 1 + draws.index(3),
        false => 0,
    };
    (rotated(crop, turns), start)
}

/// Turned by `quarter_turns` from the first axis towards the second.
pub fn rotated<T: Clone>(crop: Array3<T>, quarter_turns: usize) -> Array3<T> {
    let view = match quarter_turns % 4 {
        0 => return crop,
        1 => crop.slice_move(s![.., ..;-1, ..]).permuted_axes([1, 0, 2]),
        2 => crop.slice_move(s![..;-1, ..;-1, ..]),
        _ => crop.slice_move(s![..;-1, .., ..]).permuted_axes([1, 0, 2]),
    };
    view.as_standard_layout().into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::prepared::Arrays;
    use super::*;

    #[test]
    fn four_quarter_turns_are_none() {
        let crop = Array3::from_shape_fn((3, 3, 2), |(x, y, z)| 100 * x + 10 * y + z);
        let once = rotated(crop.clone(), 1);
        assert_ne!(once, crop);
        assert_eq!(rotated(once.clone(), 1), rotated(crop.clone(), 2));
        assert_eq!(rotated(once.clone(), 2), rotated(crop.clone(), 3));
        assert_eq!(rotated(once, 3), crop);
    }

    #[test]
    fn labelled_voxels_are_in_the_middle_and_air_is_avoided() {
        let image = Array3::from_shape_fn((40, 30, 30), |(x, ..)| if x < 20 { -1.0 } else { 0.5 });
        let settings = CropSettings { side_vox: 8, rotated_share: 0.0, ..CropSettings::default() };
        let label = (10 * 30 + 11) * 30 + 12;
        let scan = |labelled| PreparedScan {
            id: "a".into(),
            prepared: Arrays { image: image.clone(), labels: None, lists: [labelled, vec![]] }.into(),
        };
        let (bare, with) = (scan(vec![]), scan(vec![label]));
        let mut on_label = 0;
        for i in 0..200 {
            let (crop, start) = draw(&bare, &settings, &mut Stream::new(1, i, "x", 0));
            assert_eq!(crop.dim(), (8, 8, 8));
            assert!(start[0] + 4 >= 20, "{start:?}");
            on_label += usize::from(draw(&with, &settings, &mut Stream::new(1, i, "x", 0)).1 == [6, 7, 8]);
        }
        // 190.5 expected of 200, standard deviation 3.
        assert!((178..200).contains(&on_label), "{on_label}");
    }

    #[test]
    fn each_pass_takes_every_scan_once() {
        for pass in 0..3 {
            let mut order = permutation(7, 5, pass);
            assert_ne!(order, permutation(7, 5, pass + 1));
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4, 5, 6]);
        }
    }
}
