//! PyRadiomics' parameter files, as YAML or JSON: `setting`, `featureClass`, `imageType`.
use super::classes::{FeatureClass, Selection};
use super::settings::{
    Bins, Interpolator, Normalization, Resampling, ResegmentMode, Resegmentation, Settings, WeightingNorm,
};
use crate::error::{Error, Result};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;
use std::path::Path;

/// Reads a parameter file. What it does not set has PyRadiomics' default; without `featureClass` all classes are computed.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Format`], naming the key, when a key is unknown or its value not what PyRadiomics takes
/// there, and for filters (an `imageType` other than `Original`), `shape2D` and `voxelSetting`, which are not supported.
pub fn read(path: &Path) -> Result<Settings> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
    parse(&text).map_err(|found| Error::Format {
        path: path.to_path_buf(),
        what: "radiomics parameters".into(),
        expected: "the keys of PyRadiomics 3.0.1 that are supported".into(),
        found,
        hint: "see pyradiomics.readthedocs.io, Customizing the Extraction".into(),
    })
}

/// What is wrong, in words.
fn parse(text: &str) -> Result<Settings, String> {
    // JSON is YAML too, but for tabs.
    let file: File = match serde_json::from_str(text) {
        Ok(file) => file,
        Err(json) if text.trim_start().starts_with('{') => return Err(json.to_string()),
        Err(_) => serde_norway::from_str(text).map_err(|yaml| yaml.to_string())?,
    };
    if let Some((name, _)) = file.image_type.0.iter().find(|(name, _)| name != "Original") {
        return Err(format!("imageType {name}: filters are not supported, only Original"));
    }
    let mut settings = file.setting.resolved()?;
    let classes = file.feature_class.0.into_iter().map(selection).collect::<Result<Vec<_>, _>>()?;
    if !classes.is_empty() {
        // PyRadiomics computes shape first, wherever it stands.
        let (shape, others): (Vec<_>, Vec<_>) =
            classes.into_iter().partition(|selection| selection.class == FeatureClass::Shape);
        settings.classes = shape.into_iter().chain(others).collect();
    }
    settings.validate().map_err(|error| error.to_string())?;
    Ok(settings)
}

fn selection((name, features): (String, Option<Vec<Name>>)) -> Result<Selection, String> {
    let class = FeatureClass::of_name(&name).ok_or_else(|| {
        let known = FeatureClass::ALL.map(FeatureClass::name).join(", ");
        format!("featureClass {name}: expected one of {known}")
    })?;
    Ok(Selection { class, features: features.unwrap_or_default().into_iter().map(|n| n.0).collect() })
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct File {
    #[serde(deserialize_with = "or_default")]
    setting: Keys,
    #[serde(deserialize_with = "or_default")]
    feature_class: Ordered<Option<Vec<Name>>>,
    #[serde(deserialize_with = "or_default")]
    image_type: Ordered<IgnoredAny>,
}

/// A section without content is `null`.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// A key that is there with `null` is not one that is missing.
fn told<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// A map in the order of the file.
struct Ordered<T>(Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names with what belongs to them")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}

/// A feature's name.
#[derive(Deserialize)]
struct Name(String);

/// PyRadiomics' settings as they stand in a file. Those that change no feature here are known and not looked at.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Keys {
    bin_width: Option<f64>,
    bin_count: Option<u32>,
    label: Option<u16>,
    normalize: Option<bool>,
    normalize_scale: Option<f64>,
    remove_outliers: Option<f64>,
    resampled_pixel_spacing: Option<Vec<f64>>,
    /// `null` turns resampling off, as PyRadiomics does.
    #[serde(deserialize_with = "told")]
    interpolator: Option<Option<Named>>,
    distances: Option<Vec<usize>>,
    #[serde(rename = "force2D")]
    force_2d: Option<bool>,
    #[serde(rename = "force2Ddimension")]
    force_2d_dimension: Option<usize>,
    resegment_range: Option<Vec<f64>>,
    resegment_mode: Option<ResegmentMode>,
    resegment_shape: Option<bool>,
    voxel_array_shift: Option<f64>,
    #[serde(rename = "symmetricalGLCM")]
    symmetrical_glcm: Option<bool>,
    weighting_norm: Option<WeightingNorm>,
    #[serde(rename = "gldm_a")]
    gldm_alpha: Option<u32>,
    #[serde(rename = "minimumROIDimensions")]
    minimum_roi_dimensions: Option<usize>,
    #[serde(rename = "minimumROISize")]
    minimum_roi_size: Option<usize>,
    correct_mask: Option<bool>,
    geometry_tolerance: Option<f64>,
    integer_image: Option<bool>,
    #[serde(rename = "padDistance")]
    _pad_distance: Option<u32>,
    #[serde(rename = "preCrop")]
    _pre_crop: Option<bool>,
    #[serde(rename = "additionalInfo")]
    _additional_info: Option<bool>,
}

/// SimpleITK's interpolators have names and numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Name(String),
    Number(u32),
}

const INTERPOLATORS: [(&str, u32, Interpolator); 3] = [
    ("sitkNearestNeighbor", 1, Interpolator::Nearest),
    ("sitkLinear", 2, Interpolator::Linear),
    ("sitkBSpline", 3, Interpolator::BSpline),
];

impl Named {
    fn interpolator(&self) -> Result<Interpolator, String> {
        let fits = |known: &&(&str, u32, Interpolator)| match self {
            Self::Name(name) => known.0 == name,
            Self::Number(number) => known.1 == *number,
        };
        let found = INTERPOLATORS.iter().find(fits).map(|known| known.2);
        found.ok_or_else(|| {
            let given = match self {
                Self::Name(name) => name.clone(),
                Self::Number(number) => number.to_string(),
            };
            format!("interpolator {given}: expected sitkBSpline, sitkLinear or sitkNearestNeighbor")
        })
    }
}

impl Keys {
    fn resolved(self) -> Result<Settings, String> {
        let default = Settings::default();
        let width = self.bin_width.map_or(default.bins, Bins::WidthHu);
        let normalization =
            Normalization { scale: self.normalize_scale.unwrap_or(1.0), outliers_sd: self.remove_outliers };
        let flat_axis = match self.force_2d_dimension.unwrap_or(0) {
            dimension @ 0..=2 => 2 - dimension,
            dimension => return Err(format!("force2Ddimension {dimension}: expected 0, 1 or 2")),
        };
        Ok(Settings {
            resampling: self.resampling()?,
            resegmentation: self.resegmentation()?,
            label: self.label.unwrap_or(default.label),
            bins: self.bin_count.map_or(width, Bins::Count),
            normalization: self.normalize.unwrap_or(false).then_some(normalization),
            distances_vox: self.distances.unwrap_or(default.distances_vox),
            flat_axis: self.force_2d.unwrap_or(false).then_some(flat_axis),
            minimum_roi_dimensions: self.minimum_roi_dimensions.unwrap_or(default.minimum_roi_dimensions),
            minimum_roi_size_vox: self.minimum_roi_size,
            voxel_array_shift_hu: self.voxel_array_shift.unwrap_or(default.voxel_array_shift_hu),
            symmetrical_glcm: self.symmetrical_glcm.unwrap_or(default.symmetrical_glcm),
            weighting_norm: self.weighting_norm,
            gldm_alpha: self.gldm_alpha.unwrap_or(default.gldm_alpha),
            correct_mask: self.correct_mask.unwrap_or(default.correct_mask),
            geometry_tolerance_vox: self.geometry_tolerance,
            integer_image: self.integer_image.unwrap_or(default.integer_image),
            classes: default.classes,
        })
    }

    fn resampling(&self) -> Result<Option<Resampling>, String> {
        let interpolator = match &self.interpolator {
            None => Interpolator::default(),
            Some(None) => return Ok(None),
            Some(Some(named)) => named.interpolator()?,
        };
        let Some(spacing) = &self.resampled_pixel_spacing else { return Ok(None) };
        let spacing_mm = spacing.as_slice().try_into().map_err(|_| {
            format!("resampledPixelSpacing has {} numbers: expected 3, along x, y and z", spacing.len())
        })?;
        Ok(Some(Resampling { spacing_mm, interpolator }))
    }

    fn resegmentation(&self) -> Result<Option<Resegmentation>, String> {
        let Some(range) = &self.resegment_range else { return Ok(None) };
        let mut range = range.clone();
        range.sort_by(f64::total_cmp);
        let (low, high) = match range[..] {
            [low] => (low, None),
            [low, high] => (low, Some(high)),
            _ => return Err(format!("resegmentRange has {} numbers: expected 1 or 2", range.len())),
        };
        let (mode, shape_too) =
            (self.resegment_mode.unwrap_or_default(), self.resegment_shape.unwrap_or(false));
        Ok(Some(Resegmentation { low, high, mode, shape_too }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "
# As PyRadiomics' examples.
imageType:
  Original: {}
featureClass:
  firstorder:
  shape:
    - 'Compactness1'
    - MeshVolume
  glcm: []
setting:
  binWidth: 12.5
  normalize: true
  normalizeScale: 100
  removeOutliers: 3
  resampledPixelSpacing: [2, 0, 2]
  interpolator: 'sitkLinear'
  force2D: true
  force2Ddimension: 0
  resegmentRange: [400, -500]
  resegmentMode: absolute
  weightingNorm: no_weighting
  minimumROIDimensions: 1
  distances: [1, 2]
  symmetricalGLCM: false
  voxelArrayShift: 2000
  gldm_a: 1
  label: 7
  padDistance: 10
  preCrop: true
  additionalInfo: false
";

    #[test]
    fn a_file_is_read() {
        let found = parse(EXAMPLE).unwrap();
        let names = found.classes.iter().map(|s| (s.class.name(), s.features.len()));
        assert_eq!(names.collect::<Vec<_>>(), [("shape", 2), ("firstorder", 0), ("glcm", 0)]);
        assert_eq!((found.bins, found.label, found.flat_axis), (Bins::WidthHu(12.5), 7, Some(2)));
        let normal = Normalization { scale: 100.0, outliers_sd: Some(3.0) };
        assert_eq!(found.normalization, Some(normal));
        let resampling = Resampling { spacing_mm: [2.0, 0.0, 2.0], interpolator: Interpolator::Linear };
        assert_eq!(found.resampling, Some(resampling));
        let kept = found.resegmentation.unwrap();
        assert_eq!((kept.low, kept.high, kept.mode), (-500.0, Some(400.0), ResegmentMode::Absolute));
        assert_eq!((found.weighting_norm, found.gldm_alpha), (Some(WeightingNorm::NoWeighting), 1));
        assert_eq!((found.distances_vox.as_slice(), found.symmetrical_glcm), (&[1, 2][..], false));
    }

    #[test]
    fn json_is_read_and_defaults_are_pyradiomics() {
        let found =
            parse(r#"{"setting": {"binCount": 32, "interpolator": 3}, "imageType": {"Original": null}}"#);
        assert_eq!(found.unwrap(), Settings { bins: Bins::Count(32), ..Settings::default() });
        let off = parse("setting: {resampledPixelSpacing: [1, 1, 1], interpolator: null}");
        assert_eq!(off.unwrap(), Settings::default());
        for empty in ["{}", "setting:\nfeatureClass:\n", "setting: {}"] {
            assert_eq!(parse(empty).unwrap(), Settings::default(), "{empty}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("setting:\n  binwidth: 25", &["binwidth", "binWidth"][..]),
            ("settings: {}", &["settings", "featureClass"]),
            ("imageType:\n  Wavelet: {}", &["Wavelet", "not supported"]),
            ("featureClass:\n  shape2D:", &["shape2D", "glszm"]),
            ("featureClass:\n  glcm: [Contrst]", &["Contrst", "Contrast"]),
            ("setting:\n  binWidth: 0", &["binWidth", "above 0"]),
            ("setting:\n  binWidth: wide", &["wide"]),
            ("setting:\n  interpolator: sitkGaussian", &["sitkGaussian", "sitkBSpline"]),
            ("setting:\n  resampledPixelSpacing: [1, 1]", &["resampledPixelSpacing", "3"]),
            ("setting:\n  weightingNorm: chessboard", &["chessboard", "manhattan"]),
            ("setting:\n  resegmentRange: []", &["resegmentRange", "1 or 2"]),
            ("setting:\n  force2Ddimension: 3", &["force2Ddimension", "0, 1 or 2"]),
            ("setting:\n  distances: [0]", &["distances"]),
            ("setting: [1", &[]),
            (r#"{"setting": {"binWidth": }}"#, &["line 1"]),
        ] {
            let error = parse(text).expect_err(text);
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
        let missing = read(Path::new("no/such.yaml")).unwrap_err().to_string();
        assert!(missing.contains("no/such.yaml"), "{missing}");
    }
}
