//! Hounsfield units inside of a tumor and around it, and shares of what is no tumor's tissue.
use super::site::{LEAST_VOXELS, Site};
use crate::measure::HuStatistics;
use serde::Serialize;

/// HU of fat.
const FAT_HU: (f32, f32) = (-150.0, -30.0);
/// Above this is bone, calcification or metal.
const BONE_HU: f32 = 300.0;
/// Below this is air or lung.
const AIR_HU: f32 = -300.0;
/// Mean HU of water, bile, urine and the content of cysts.
pub(super) const FLUID_HU: (f64, f64) = (-10.0, 15.0);
/// Fluid has no structure: its standard deviation is below the scan's noise times this.
pub(super) const FLUID_NOISE: f64 = 1.2;

/// HU of a tumor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Density {
    /// Mean, 2 mm inside of the border (everywhere inside of tumors too small for that).
    pub inside_hu: f64,
    /// Standard deviation there.
    pub inside_sd_hu: f64,
    /// Mean of the organ 3 to 8 mm outside of the border; none without 30 such voxels.
    pub around_hu: Option<f64>,
    /// Inside less around.
    pub contrast_hu: Option<f64>,
    /// Noise of the organ around: robust standard deviation of what is finer than 4 mm in the slices.
    pub noise_hu: Option<f64>,
    /// Share of the tumor's voxels from -150 to -30 HU.
    pub fat_share: f64,
    /// Share above 300 HU.
    pub bone_share: f64,
    /// Share below -300 HU.
    pub air_share: f64,
    /// Whether it looks like fluid: a mean of -10 to 15 HU, and a standard deviation below 1.2 times the noise. None without noise.
    pub fluid: Option<bool>,
}

/// `None` when the tumor has no voxel.
pub(super) fn measure(site: &Site, noise_hu: Option<f64>) -> Option<Density> {
    let core = HuStatistics::of(&site.hu, &site.core)?;
    let around = HuStatistics::of(&site.hu, &site.around).filter(|s| s.voxels >= LEAST_VOXELS);
    let voxels: Vec<f32> = site.hu.iter().zip(&site.inside).filter(|(_, i)| **i).map(|(v, _)| *v).collect();
    let share =
        |of: &dyn Fn(f32) -> bool| voxels.iter().filter(|v| of(**v)).count() as f64 / voxels.len() as f64;
    let as_fluid = (FLUID_HU.0..=FLUID_HU.1).contains(&core.mean_hu);
    Some(Density {
        inside_hu: core.mean_hu,
        inside_sd_hu: core.sd_hu,
        around_hu: around.map(|s| s.mean_hu),
        contrast_hu: around.map(|s| core.mean_hu - s.mean_hu),
        noise_hu,
        fat_share: share(&|v| (FAT_HU.0..=FAT_HU.1).contains(&v)),
        bone_share: share(&|v| v > BONE_HU),
        air_share: share(&|v| v < AIR_HU),
        fluid: noise_hu.map(|noise| as_fluid && core.sd_hu < FLUID_NOISE * noise),
    })
}
