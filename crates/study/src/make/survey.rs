//! Which tumors there are: each source read once, its tumors measured, and what cannot be shown left out with a reason.
use super::{MakeOptions, Skipped, Source, alone, context};
use crate::error::Result;
use crate::format::Kind;
use difftumor_ct::Mask;
use difftumor_ct::components::{Connectivity, components};
use difftumor_ct::hu_check::hu_warning;
use difftumor_ct::io::read_scan;
use difftumor_ct::label::LabelFile;
use difftumor_ct::measure::measure;
use difftumor_ct::orient::{AxisCodes, reorient};
use ndarray::Array3;
use std::collections::BTreeMap;

/// Fewer voxels are taken for specks of a mask, not for tumors.
const FEWEST_VOXELS: usize = 8;

/// One tumor, on the grid of its scan turned to RAS.
#[derive(Debug, Clone)]
pub(super) struct Tumor {
    /// Index of its source.
    pub source: usize,
    /// Its number among the source's connected parts, from 0, in the order of a scan through the voxels.
    pub number: usize,
    /// Its voxels, cut to their box.
    pub mask: Array3<bool>,
    /// Where the box begins in the scan.
    pub start_vox: [usize; 3],
    /// The scan's voxel size.
    pub spacing_mm: [f64; 3],
    /// The scan's shape.
    pub scan_shape: [usize; 3],
    /// Diameter of the ball of its volume.
    pub equivalent_diameter_mm: f64,
}

impl Tumor {
    /// Sides of its box in mm.
    pub fn extent_mm(&self) -> [f64; 3] {
        let (nx, ny, nz) = self.mask.dim();
        std::array::from_fn(|a| [nx, ny, nz][a] as f64 * self.spacing_mm[a])
    }
}

/// What all sources hold.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub tumors: Vec<Tumor>,
    pub skipped: Vec<Skipped>,
    pub warnings: Vec<String>,
}

/// Reads all sources. One that cannot be read is skipped, so that a damaged file among hundreds does not cost the hours of the others.
pub(super) fn survey(sources: &[Source], options: &MakeOptions) -> Found {
    let mut found = Found::default();
    for (index, source) in sources.iter().enumerate() {
        let skip = |reason: String| Skipped { case: source.case.clone(), reason };
        match tumors_of(index, source, &mut found.warnings) {
            Err(error) => found.skipped.push(skip(error.to_string())),
            Ok(tumors) if tumors.is_empty() => {
                let values = match source.tumor_values.as_slice() {
                    [] => "above 0".into(),
                    values => format!("{values:?}"),
                };
                found.skipped.push(skip(format!(
                    "{} has no part of {FEWEST_VOXELS} voxels or more with values {values}",
                    source.tumors.display()
                )));
            }
            Ok(tumors) => {
                let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
                for tumor in tumors {
                    match why_not(&tumor, options) {
                        Some(reason) => *reasons.entry(reason).or_default() += 1,
                        None => found.tumors.push(tumor),
                    }
                }
                let tell =
                    |(reason, count)| skip(format!("{count} of its {} tumors: {reason}", source.organ));
                found.skipped.extend(reasons.into_iter().map(tell));
            }
        }
    }
    found
}

/// Why a tumor cannot be shown. `None`: it can.
fn why_not(tumor: &Tumor, options: &MakeOptions) -> Option<String> {
    let too_large = |limit_mm: &f64| tumor.equivalent_diameter_mm > *limit_mm;
    if let Some(limit_mm) = options.max_diameter_mm.filter(too_large) {
        return Some(format!("larger than {limit_mm} mm"));
    }
    match options.kind {
        Kind::VisualTuring => context::why_not(tumor, options.field_mm),
        Kind::OrganRecognition => alone::why_not(tumor, options.rim_mm),
    }
}

fn tumors_of(index: usize, source: &Source, warnings: &mut Vec<String>) -> Result<Vec<Tumor>> {
    let scan = read_scan(&source.ct)?;
    // Refuses values that are no numbers, as reading it again would.
    if let Some(warning) = hu_warning(&scan.to_volume()?) {
        warnings.push(format!("{}: {warning}", source.case));
    }
    let labels = LabelFile::read(&source.tumors)?.labels;
    let (ct_name, labels_name) = (source.ct.display().to_string(), source.tumors.display().to_string());
    scan.grid().require_same(&ct_name, &labels.grid(), &labels_name)?;
    let wanted = |value: u16| match source.tumor_values.as_slice() {
        [] => value > 0,
        values => values.contains(&value),
    };
    let mask = Mask { data: labels.data.mapv(wanted), affine: scan.grid().affine };
    let mask = reorient(&mask, AxisCodes::RAS)?;
    let (spacing_mm, scan_shape) = (mask.affine.spacing_mm(), mask.grid().shape);
    let parts = components(&mask.data, Connectivity::Corners);
    let tumors = parts.map_masks(
        |part| part.voxels >= FEWEST_VOXELS,
        |part, mask| {
            let size = measure(&mask, spacing_mm).expect("a component has voxels");
            Tumor {
                source: index,
                number: part.label as usize - 1,
                mask,
                start_vox: part.bounds.start,
                spacing_mm,
                scan_shape,
                equivalent_diameter_mm: size.equivalent_diameter_mm,
            }
        },
    );
    Ok(tumors)
}
