//! Grain of a tumor against its organ's: how strong it is at each fineness.
use super::site::{LEAST_VOXELS, Site, count};
use super::spectrum::Spectrum;
use crate::filter::gaussian;
use crate::patch::{VoxelBox, bounding_box};
use ndarray::{Array3, Zip, s};
use serde::Serialize;

/// Blurs in the slices whose differences are the bands: finer than 1 mm, 1 to 2 mm, 2 to 4 mm.
const BANDS_MM: [f64; 4] = [0.0, 1.0, 2.0, 4.0];
/// Places of an outline that are needed to compare with it.
const LEAST_PLACES: usize = 3;
/// Part of an outline that must be tissue in another place.
const LEAST_TISSUE: f64 = 0.8;
/// Least distance between an outline's box and its other places.
const APART_MM: f64 = 3.0;
/// Median absolute value of normal numbers to their standard deviation.
const SD_OF_MEDIAN: f64 = 1.4826;

/// Grain of a tumor over that of its organ: 1 where they are alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Texture {
    /// Robust standard deviations of structures in the slices finer than 1 mm, of 1 to 2 and of 2 to 4 mm (differences of Gaussian
    /// blurs). The organ is measured with the tumor's outline beside it (median of the places, at least 3), as a small outline loses
    /// what is coarse; else in the ring around. None for a band that the organ has nothing in.
    pub band_ratio: [Option<f64>; 3],
    /// Noise power in the slices, averaged over directions, for periods above 8 mm, of 4 to 8 mm, and below 4 mm down to two
    /// voxels. None where either has no power.
    pub power_ratio: [Option<f64>; 3],
    /// Distance in the slices at which the noise's autocorrelation is down to 1/e, in the tumor.
    pub correlation_mm: Option<f64>,
    /// That over the organ's.
    pub correlation_ratio: Option<f64>,
}

/// `None` when the tumor or the organ around has fewer than 30 voxels.
pub(super) fn measure(site: &Site) -> Option<Texture> {
    let tumor = Bands::of(&site.hu, &site.core, site.spacing_mm)?;
    let around = Bands::of(&site.hu, &site.around, site.spacing_mm)?;
    let places = elsewhere(site);
    let organ = if places.len() < LEAST_PLACES { around.sd_hu } else { median_of_each(&places) };
    let spectra = [(&tumor, &site.core), (&around, &site.around)]
        .map(|(bands, region)| Spectrum::of(&bands.residual(&site.hu, region), region, site.spacing_mm));
    let [own, ring] = spectra;
    let correlation_mm = own.as_ref().and_then(|s| s.correlation_mm);
    let of_ring = ring.as_ref().and_then(|s| s.correlation_mm);
    let power = |band: usize| {
        let (own, ring) = (own.as_ref()?.power[band]?, ring.as_ref()?.power[band]?);
        ratio(own, ring)
    };
    Some(Texture {
        band_ratio: std::array::from_fn(|band| ratio(tumor.sd_hu[band], organ[band])),
        power_ratio: std::array::from_fn(power),
        correlation_mm,
        correlation_ratio: correlation_mm.zip(of_ring).and_then(|(own, ring)| ratio(own, ring)),
    })
}

/// Robust standard deviation of what is finer than 4 mm in the organ around; none below 30 voxels.
pub(super) fn noise_hu(site: &Site) -> Option<f64> {
    let bands = Bands::of(&site.hu, &site.around, site.spacing_mm)?;
    Some(robust_sd(&bands.residual(&site.hu, &site.around), &site.around))
}

fn ratio(a: f64, b: f64) -> Option<f64> {
    let ratio = a / b;
    ratio.is_finite().then_some(ratio)
}

/// A region's structures.
struct Bands {
    /// Robust standard deviation of each band.
    sd_hu: [f64; 3],
    /// The coarsest blur, of the region alone.
    coarse_hu: Array3<f32>,
}

impl Bands {
    /// `None` below 30 voxels.
    fn of(hu: &Array3<f32>, region: &Array3<bool>, spacing_mm: [f64; 3]) -> Option<Self> {
        if count(region) < LEAST_VOXELS {
            return None;
        }
        let weight = region.mapv(|r| f32::from(u8::from(r)));
        let weighted = hu * &weight;
        let blurred = BANDS_MM.map(|sigma_mm| {
            let sigma_vox = [sigma_mm / spacing_mm[0], sigma_mm / spacing_mm[1], 0.0];
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

/// The organ's bands with the tumor's outline in boxes beside it.
fn elsewhere(site: &Site) -> Vec<[f64; 3]> {
    let Some(own) = bounding_box(&site.core) else { return vec![] };
    let outline =
        site.core.slice(s![own.start[0]..own.end[0], own.start[1]..own.end[1], own.start[2]..own.end[2]]);
    let (extent, scan) = (own.shape(), site.scan_shape());
    let step: [i64; 3] =
        std::array::from_fn(|a| extent[a] as i64 + (APART_MM / site.spacing_mm[a]).ceil() as i64);
    let steps = (0..27).map(|n: i64| [n / 9 - 1, n / 3 % 3 - 1, n % 3 - 1]).filter(|at| *at != [0; 3]);
    let boxes = steps.filter_map(|at| {
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
        enough.then(|| Bands::of(&hu, &here, site.spacing_mm)).flatten()
    });
    measured.map(|bands| bands.sd_hu).collect()
}

/// The upper median of an even number.
fn median_of_each(measured: &[[f64; 3]]) -> [f64; 3] {
    std::array::from_fn(|band| {
        let mut values: Vec<f64> = measured.iter().map(|m| m[band]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    })
}
