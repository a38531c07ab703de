//! Where target voxels lie in the source, and which of those positions count as inside.
use crate::volume::Affine;

/// Positions this close to a voxel centre are that centre: far above the rounding of f64 affines (1e-12), and worth
/// less than 1e-5 HU at any edge of a CT.
const SNAP_VOX: f64 = 1e-9;
/// A turn that displaces no voxel by more than this many voxels is rounding in the header (f32 direction cosines
/// over 512 voxels), not an oblique image.
const PARALLEL_VOX: f64 = 1e-5;
/// How exactly nearest-neighbour positions are taken, so that header rounding does not decide ties.
const TIE_STEPS_PER_VOX: f64 = 1e5;

/// How the axes of the two grids lie to one another.
pub(super) enum Mapping {
    /// Each source axis follows one target axis.
    Parallel {
        /// Target axis that moves along each source axis: a permutation.
        target_axis: [usize; 3],
    },
    /// Anything else.
    Oblique,
}

impl Mapping {
    /// Classifies `source_from_target` for a target of the given shape.
    pub(super) fn new(to_source: &Affine, shape: [usize; 3]) -> Self {
        let m = &to_source.0;
        let target_axis: [usize; 3] = std::array::from_fn(|s| {
            (1..3).fold(0, |best, d| if m[s][d].abs() > m[s][best].abs() { d } else { best })
        });
        let permutation = (0..3).all(|d| target_axis.contains(&d));
        let astray = |s: usize| -> f64 {
            (0..3)
                .filter(|d| *d != target_axis[s])
                .map(|d| m[s][d].abs() * shape[d].saturating_sub(1) as f64)
                .sum()
        };
        if !permutation || (0..3).any(|s| astray(s) > PARALLEL_VOX) {
            return Self::Oblique;
        }
        Self::Parallel { target_axis }
    }
}

/// A position with rounding noise around whole numbers removed.
pub(super) fn snap(position: f64) -> f64 {
    let whole = position.round();
    if (position - whole).abs() < SNAP_VOX { whole } else { position }
}

/// Whether a position lies on the line of `n` voxels, each reaching half a voxel around its centre.
pub(super) fn in_field(position: f64, n: usize) -> bool {
    (-0.5 - SNAP_VOX..=n as f64 - 0.5 + SNAP_VOX).contains(&position)
}

/// Index of the voxel nearest to a position; outside of the line the edge voxel, or `None` unless `edge`.
pub(super) fn field_index(position: f64, n: usize, edge: bool) -> Option<usize> {
    let index = ((position * TIE_STEPS_PER_VOX).round() / TIE_STEPS_PER_VOX + 0.5).floor();
    let clamped = index.clamp(0.0, (n - 1) as f64);
    (edge || index == clamped).then_some(clamped as usize)
}
