//! Grain of a tumor against its organ's: how strong it is at each fineness.
use super::site::{APART_MM, LEAST_VOXELS, PLACES_ASIDE, Site, count};
use super::spectrum::Spectrum;
use crate::Affine;
use crate::filter::gaussian;
use crate::patch::{VoxelBox, bounding_box};
use ndarray::{Array3, Zip, s};
use serde::Serialize;

/// Blurs in the slices whose differences are the bands: finer than 1 mm, 1 to 2 mm, 2 to 4 mm.
pub const BANDS_MM: [f64; 4] = [0.0, 1.0, 2.0, 4.0];
/// Places of an outline that are needed to compare with it.
const LEAST_PLACES: usize = 3;
/// Places that are enough: more change the median little and cost time.
const MOST_PLACES: usize = 40;
/// Voxels of a tumor that can be compared with the ring around it, whose outline is another one: with fewer, what is coarse gets lost.
const LEAST_WITHOUT_PLACES: usize = 1000;
/// Part of an outline that must be tissue in another place.
const LEAST_TISSUE: f64 = 0.8;
/// Median absolute value of normal numbers to their standard deviation.
const SD_OF_MEDIAN: f64 = 1.4826;

/// Grain of a tumor over that of its organ: 1 where they are alike.
///
/// The organ is measured with the tumor's outline beside it (median of the places), as a small outline loses what is coarse; where it has no
/// room for that, in the ring around, and then tumors of fewer than 1000 voxels have no texture: it could not be compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Texture {
    /// Robust standard deviations of structures in the slices finer than 1 mm, of 1 to 2 and of 2 to 4 mm (differences of Gaussian
    /// blurs). None for a band that the organ has nothing in.
    pub band_ratio: [Option<Ratio>; 3],
    /// Noise power in the slices, averaged over directions, for periods above 8 mm, of 4 to 8 mm, and below 4 mm down to two
    /// voxels. None where either has no power.
    pub power_ratio: [Option<Ratio>; 3],
    /// Distance in the slices at which the noise's autocorrelation is down to 1/e.
    pub correlation_ratio: Option<Ratio>,
    /// Places of the organ that were measured; 0 for the ring.
    pub places: usize,
}

/// A tumor's figure over its organ's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// The ratio.
    pub ratio: f64,
    /// How far the organ differs from itself, from place to place, with an outline as small: robust standard deviation over the median. 0 for
    /// the ring.
    pub spread: f64,
}

/// What is measured of one region.
#[derive(Clone, Copy)]
struct Grain {
    band_sd_hu: [Option<f64>; 3],
    power: [Option<f64>; 3],
    correlation_mm: Option<f64>,
}

impl Grain {
    /// `None` below 30 voxels.
    fn of(hu: &Array3<f32>, region: &Array3<bool>, spacing_mm: [f64; 3]) -> Option<Self> {
        let bands = Bands::of(hu, region, spacing_mm)?;
        let spectrum = Spectrum::of(&bands.residual(hu, region), region, spacing_mm);
        Some(Self {
            band_sd_hu: bands.sd_hu.map(Some),
            power: spectrum.as_ref().map_or([None; 3], |s| s.power),
            correlation_mm: spectrum.and_then(|s| s.correlation_mm),
        })
    }
}

/// `None` when the tumor or the organ has too few voxels.
pub(super) fn measure(site: &Site) -> Option<Texture> {
    let tumor = Grain::of(&site.hu, &site.core, site.spacing_mm)?;
    let mut organ = elsewhere(site);
    let places = if organ.len() < LEAST_PLACES { 0 } else { organ.len() };
    if places == 0 {
        if count(&site.core) < LEAST_WITHOUT_PLACES {
            return None;
        }
        organ = vec![Grain::of(&site.hu, &site.around, site.spacing_mm)?];
    }
    let of = |figure: &dyn Fn(&Grain) -> Option<f64>| ratio(figure(&tumor)?, &organ, figure);
    Some(Texture {
        band_ratio: std::array::from_fn(|band| of(&|g| g.band_sd_hu[band])),
        power_ratio: std::array::from_fn(|band| of(&|g| g.power[band])),
        correlation_ratio: of(&|g| g.correlation_mm),
        places,
    })
}

/// Over the median of the organ's.
fn ratio(own: f64, organ: &[Grain], figure: &dyn Fn(&Grain) -> Option<f64>) -> Option<Ratio> {
    let values: Vec<f64> = organ.iter().filter_map(figure).collect();
    // Where it can be measured in few of the places, these are not like the others.
    if 2 * values.len() < organ.len() {
        return None;
    }
    let middle = median(values.clone())?;
    let away = median(values.iter().map(|v| (v - middle).abs()).collect())?;
    let (ratio, spread) = (own / middle, SD_OF_MEDIAN * away / middle);
    (ratio.is_finite() && spread.is_finite()).then_some(Ratio { ratio, spread })
}

/// The upper one of an even number.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Robust standard deviation of what is finer than 4 mm in the organ around; none below 30 voxels.
pub(super) fn noise_hu(site: &Site) -> Option<f64> {
    let bands = Bands::of(&site.hu, &site.around, site.spacing_mm)?;
    Some(robust_sd(&bands.residual(&site.hu, &site.around), &site.around))
}

/// A region's structures.
struct Bands {
    /// Robust standard deviation of each band.
    sd_hu: [f64; 3],
    /// The coarsest blur, of the region alone.
    coarse_hu: Array3<f32>,
}

impl Bands {
    /// Of a region whose slices lie across the third axis. `None` below 30 voxels.
    fn of(hu: &Array3<f32>, region: &Array3<bool>, spacing_mm: [f64; 3]) -> Option<Self> {
        Self::blurred(hu, region, |sigma_mm| [sigma_mm / spacing_mm[0], sigma_mm / spacing_mm[1], 0.0])
    }

    fn blurred(hu: &Array3<f32>, region: &Array3<bool>, sigma_vox: impl Fn(f64) -> [f64; 3]) -> Option<Self> {
        if count(region) < LEAST_VOXELS {
            return None;
        }
        let weight = region.mapv(|r| f32::from(u8::from(r)));
        let weighted = hu * &weight;
        let blurred = BANDS_MM.map(|sigma_mm| {
            let sigma_vox = sigma_vox(sigma_mm);
            let (sum, norm) = (gaussian(&weighted, sigma_vox), gaussian(&weight, sigma_vox));
            Zip::from(&sum).and(&norm).map_collect(|s, n| s / n.max(1e-6))
        });
        let sd_hu = std::array::from_fn(|i| robust_sd(&(&blurred[i] - &blurred[i + 1]), region));
        let [.., coarse_hu] = blurred;
        Some(Self { sd_hu, coarse_hu })
    }

    /// What is finer than 4 mm, cut at three standard deviations so that a vessel or a calcification does not stand for noise.
    fn residual(&self, hu: &Array3<f32>, region: &Array3<bool>) -> Array3<f32> {
        let fine = hu - &self.coarse_hu;
        let limit = 3.0 * robust_sd(&fine, region) as f32;
        fine.mapv_into(|v| v.clamp(-limit, limit))
    }
}

/// From the median absolute value; 0 in an empty region.
fn robust_sd(values: &Array3<f32>, region: &Array3<bool>) -> f64 {
    let mut chosen: Vec<f32> = values.iter().zip(region).filter(|(_, r)| **r).map(|(v, _)| v.abs()).collect();
    if chosen.is_empty() {
        return 0.0;
    }
    let middle = chosen.len() / 2;
    SD_OF_MEDIAN * f64::from(*chosen.select_nth_unstable_by(middle, f32::total_cmp).1)
}

/// Robust standard deviation of structures in the slices finer than 1 mm, of 1 to 2 and of 2 to 4 mm in a region of an image. Blurs see
/// the region alone. `None` below 30 voxels.
pub fn band_sd_hu(image: &Array3<f32>, region: &Array3<bool>, affine: &Affine) -> Option<[f64; 3]> {
    Bands::blurred(image, region, |sigma_mm| affine.blur_in_slices_vox(sigma_mm)).map(|bands| bands.sd_hu)
}

/// The organ's grain with the tumor's outline in boxes beside it, the nearest first.
fn elsewhere(site: &Site) -> Vec<Grain> {
    let Some(own) = bounding_box(&site.core) else { return vec![] };
    let outline =
        site.core.slice(s![own.start[0]..own.end[0], own.start[1]..own.end[1], own.start[2]..own.end[2]]);
    let (extent, scan) = (own.shape(), site.scan_shape());
    let step: [i64; 3] =
        std::array::from_fn(|a| extent[a] as i64 + (APART_MM / site.spacing_mm[a]).ceil() as i64);
    let boxes = steps().into_iter().filter_map(|at| {
        let first: [i64; 3] =
            std::array::from_fn(|a| (site.start[a] + own.start[a]) as i64 + at[a] * step[a]);
        let within = (0..3).all(|a| first[a] >= 0 && first[a] as usize + extent[a] <= scan[a]);
        let start = first.map(|f| f as usize);
        within.then(|| VoxelBox { start, end: std::array::from_fn(|a| start[a] + extent[a]) })
    });
    let measured = boxes.filter_map(|bounds| {
        let (hu, tissue) = site.elsewhere(&bounds);
        let here = Zip::from(&tissue).and(&outline).map_collect(|t, o| *t && *o);
        let enough = count(&here) as f64 >= LEAST_TISSUE * count(&site.core) as f64;
        enough.then(|| Grain::of(&hu, &here, site.spacing_mm)).flatten()
    });
    measured.take(MOST_PLACES).collect()
}

/// Steps from the tumor's box to those beside it, the shortest first.
fn steps() -> Vec<[i64; 3]> {
    let (most, side) = (PLACES_ASIDE as i64, 2 * PLACES_ASIDE as i64 + 1);
    let all = (0..side.pow(3)).map(|n| [n / side.pow(2), n / side % side, n % side].map(|v| v - most));
    let mut steps: Vec<[i64; 3]> = all.filter(|at| *at != [0; 3]).collect();
    steps.sort_by_key(|at| at.iter().map(|v| v * v).sum::<i64>());
    steps
}
