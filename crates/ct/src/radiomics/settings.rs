//! How features are extracted: the settings of PyRadiomics 3.0.1, with its defaults.
use super::classes::{FeatureClass, Selection};
use super::levels::HIGHEST_LEVEL;
use crate::error::{Error, Result};

/// Settings. The default is PyRadiomics' own: every class, bins of 25 HU, the image as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What to compute, in the order of the output (`featureClass`).
    pub classes: Vec<Selection>,
    /// The region's value in a label map (`label`).
    pub label: u16,
    /// How intensities become grey levels (`binWidth`, `binCount`).
    pub bins: Bins,
    /// Scaling of the whole image's intensities before anything else (`normalize`).
    pub normalization: Option<Normalization>,
    /// New voxel sizes (`resampledPixelSpacing`).
    pub resampling: Option<Resampling>,
    /// Voxels to leave out for their intensity (`resegmentRange`).
    pub resegmentation: Option<Resegmentation>,
    /// Distances of neighbours for GLCM, NGTDM and GLDM (`distances`).
    pub distances_vox: Vec<usize>,
    /// Axis along which no texture is looked for: 0 = x, 1 = y, 2 = z of the voxels (`force2D`, `force2Ddimension`, which count the other
    /// way round).
    pub flat_axis: Option<usize>,
    /// Regions that reach over fewer axes than this are refused (`minimumROIDimensions`). 0 allows a single voxel, which PyRadiomics never
    /// does.
    pub minimum_roi_dimensions: usize,
    /// Regions of this many voxels or fewer are refused (`minimumROISize`).
    pub minimum_roi_size_vox: Option<usize>,
    /// Added to intensities for energies (`voxelArrayShift`).
    pub voxel_array_shift_hu: f64,
    /// Whether pairs count in both directions (`symmetricalGLCM`).
    pub symmetrical_glcm: bool,
    /// Whether directions of GLCM and GLRLM are added with weights instead of averaged (`weightingNorm`).
    pub weighting_norm: Option<WeightingNorm>,
    /// Neighbours this many levels apart still depend on each other (`gldm_a`).
    pub gldm_alpha: u32,
    /// Whether a mask on another grid is brought onto the image's (`correctMask`): nearest voxel. A mask that is cropped needs it.
    pub correct_mask: bool,
    /// How far corners of the grids may lie apart, in voxels (`geometryTolerance`). `None`: [`crate::Grid::require_same`].
    pub geometry_tolerance_vox: Option<f64>,
    /// Whether the image has whole numbers, as most CT files: resampled values are then cut to whole numbers, as ITK does (`integerImage`,
    /// which PyRadiomics sees from the file).
    pub integer_image: bool,
}

/// How intensities become grey levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bins {
    /// Bins of this width, from a multiple of it.
    WidthHu(f64),
    /// So many bins from the lowest to the highest intensity of the region.
    Count(u32),
}

/// Intensities become (value - mean) / standard deviation, over the whole image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Multiplied in the end (`normalizeScale`).
    pub scale: f64,
    /// Values are clipped to this many standard deviations (`removeOutliers`).
    pub outliers_sd: Option<f64>,
}

/// New voxel sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    /// Along x, y, z; 0 keeps the old one. So does an axis along which the region is one voxel thick.
    pub spacing_mm: [f64; 3],
    /// For the image; the mask takes the nearest voxel.
    pub interpolator: Interpolator,
}

/// Interpolation of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interpolator {
    /// Cubic B-spline through all voxels (`sitkBSpline`).
    #[default]
    BSpline,
    /// Trilinear (`sitkLinear`).
    Linear,
    /// Nearest voxel (`sitkNearestNeighbor`).
    Nearest,
}

/// Voxels to keep for their intensity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resegmentation {
    /// Lowest value, in the mode's unit.
    pub low: f64,
    /// Highest value.
    pub high: Option<f64>,
    /// What the two are multiples of (`resegmentMode`).
    pub mode: ResegmentMode,
    /// Whether shape features follow (`resegmentShape`).
    pub shape_too: bool,
}

/// What the bounds of a resegmentation are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResegmentMode {
    /// Intensities.
    #[default]
    Absolute,
    /// Parts of the region's highest intensity.
    Relative,
    /// Standard deviations from the region's mean.
    Sigma,
}

/// How the length of a step is measured for its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightingNorm {
    /// Sum of the parts along the axes.
    Manhattan,
    /// Straight.
    Euclidean,
    /// The longest part.
    Infinity,
    /// Every direction weighs 1.
    NoWeighting,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            classes: FeatureClass::ALL.map(Selection::all).to_vec(),
            label: 1,
            bins: Bins::WidthHu(25.0),
            normalization: None,
            resampling: None,
            resegmentation: None,
            distances_vox: vec![1],
            flat_axis: None,
            minimum_roi_dimensions: 2,
            minimum_roi_size_vox: None,
            voxel_array_shift_hu: 0.0,
            symmetrical_glcm: true,
            weighting_norm: None,
            gldm_alpha: 0,
            correct_mask: false,
            geometry_tolerance_vox: None,
            integer_image: false,
        }
    }
}

impl Settings {
    /// The 91 features of the paper's radiomics: 16 of shape (two of them deprecated in PyRadiomics), 24 of GLCM, 16 of GLRLM, 16 of
    /// GLSZM, 5 of NGTDM and 14 of GLDM.
    pub fn paper() -> Self {
        Self { classes: super::classes::paper(), ..Self::default() }
    }

    /// Checks the values that types do not.
    ///
    /// # Errors
    /// [`Error::Argument`] naming PyRadiomics' setting.
    pub fn validate(&self) -> Result<()> {
        let bins = match self.bins {
            Bins::WidthHu(width) => check("binWidth", positive(width), "a number above 0", width),
            Bins::Count(count) => {
                check("binCount", (1..=HIGHEST_LEVEL).contains(&count), "1 to 65536", count)
            }
        };
        bins?;
        self.validate_image()?;
        let distances = &self.distances_vox;
        let some = !distances.is_empty() && distances.iter().all(|d| *d > 0);
        check("distances", some, "whole numbers above 0", distances)?;
        check("force2Ddimension", self.flat_axis.is_none_or(|a| a < 3), "0, 1 or 2", self.flat_axis)?;
        let shift = self.voxel_array_shift_hu;
        check("voxelArrayShift", shift.is_finite(), "a finite number", shift)?;
        let tolerance = self.geometry_tolerance_vox;
        check("geometryTolerance", tolerance.is_none_or(positive), "a number above 0", tolerance)?;
        self.classes.iter().try_for_each(Selection::validate)
    }

    /// What happens to the image before levels are made of it.
    fn validate_image(&self) -> Result<()> {
        if let Some(by) = self.normalization {
            check("normalizeScale", positive(by.scale), "a number above 0", by.scale)?;
            check("removeOutliers", by.outliers_sd.is_none_or(positive), "a number above 0", by.outliers_sd)?;
        }
        if let Some(Resampling { spacing_mm, .. }) = self.resampling {
            let fits = spacing_mm.iter().all(|s| s.is_finite() && *s >= 0.0);
            check("resampledPixelSpacing", fits, "three numbers of mm, 0 or more", spacing_mm)?;
        }
        if let Some(by) = self.resegmentation {
            let range = [by.low, by.high.unwrap_or(by.low)];
            let fits = range.into_iter().all(f64::is_finite) && range[0] <= range[1];
            check("resegmentRange", fits, "one or two finite numbers, the lower one first", range)?;
        }
        Ok(())
    }
}

fn positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

fn check(what: &str, fits: bool, expected: &str, found: impl std::fmt::Debug) -> Result<()> {
    if fits {
        return Ok(());
    }
    Err(Error::Argument { what: what.into(), expected: expected.into(), found: format!("{found:?}") })
}
