//! What could give real and synthetic tumors away and is not hidden by cutting and rounding.
use super::survey::Tumor;
use super::{MakeOptions, Source};
use crate::format::Kind;

/// Axes of a scan turned to RAS.
const AXES: [&str; 3] = ["from left to right", "from back to front", "along the body"];

/// Warnings for a visual Turing test: voxel sizes by which all synthetic tumors can be told from all real ones. Organ recognition resamples.
pub(super) fn tells(
    sources: &[Source],
    tumors: &[Tumor],
    chosen: &[Vec<usize>],
    options: &MakeOptions,
) -> Vec<String> {
    if options.kind != Kind::VisualTuring {
        return Vec::new();
    }
    let range = |axis: usize, synthetic: bool| {
        let shown =
            chosen.iter().flatten().map(|i| &tumors[*i]).filter(|t| sources[t.source].synthetic == synthetic);
        shown
            .map(|tumor| tumor.spacing_mm[axis])
            .fold([f64::INFINITY, 0.0], |[low, high], s| [s.min(low), s.max(high)])
    };
    let tell = |axis: usize| {
        let (real, synthetic) = (range(axis, false), range(axis, true));
        // A micrometre is what the files keep.
        let apart = real[1] + 0.001 < synthetic[0] || synthetic[1] + 0.001 < real[0];
        apart.then(|| {
            format!(
                "voxels {} tell synthetic from real tumors: {:.3} to {:.3} mm against {:.3} to {:.3} mm; take scans of the same kind",
                AXES[axis], synthetic[0], synthetic[1], real[0], real[1]
            )
        })
    };
    (0..3).filter_map(tell).collect()
}
