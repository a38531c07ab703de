//! Anatomical axis codes ("RAS", "LPS", ..) and exact changes between them by permuting and flipping axes.
//!
//! The codes are nibabel's: a letter per voxel axis, naming the direction in which its index increases, found for
//! oblique affines through the nearest rotation (`nibabel.orientations.io_orientation`). The paper's pipeline
//! brings every scan to RAS first (MONAI `Orientation`).
use crate::error::{Error, Result};
use crate::volume::{Affine, Grid, Image};
use ndarray::{Array3, ArrayView2, ArrayView3, ArrayViewMut2, Axis};
use rayon::prelude::*;
use std::fmt;
use std::str::FromStr;

/// Letters of the world axes: `[world axis][towards minus, towards plus]`.
const LETTERS: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['I', 'S']];

/// For each voxel axis, the world axis it follows and whether it runs against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AxisCodes {
    /// World axis (0 right-left, 1 front-back, 2 up-down) of each voxel axis: a permutation.
    world_axis: [usize; 3],
    /// Whether the index increases towards L, P or I.
    negative: [bool; 3],
}

impl AxisCodes {
    /// Right, anterior, superior: world axes unflipped. The orientation of the paper's networks.
    pub const RAS: Self = Self { world_axis: [0, 1, 2], negative: [false; 3] };

    /// The codes nearest to an affine.
    ///
    /// # Errors
    /// [`Error::Argument`] when the affine is singular: then some axis has no direction.
    pub fn of(affine: &Affine) -> Result<Self> {
        let mut rotation = nearest_rotation(affine).ok_or_else(|| Error::Argument {
            what: "affine".into(),
            expected: "an invertible matrix".into(),
            found: format!("{:?}", affine.0),
        })?;
        // The clearest axis chooses first; ties go to the lower index (nibabel sorts stably).
        let clearness = |axis: usize| rotation.iter().map(|row| row[axis].abs()).fold(0.0, f64::max);
        let mut order = [0, 1, 2].map(|axis| (axis, clearness(axis)));
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut codes = Self::RAS;
        for (axis, _) in order {
            // The first of equal maxima wins, as with numpy's argmax.
            let world =
                (1..3).fold(
                    0,
                    |best, r| {
                        if rotation[r][axis].abs() > rotation[best][axis].abs() { r } else { best }
                    },
                );
            codes.world_axis[axis] = world;
            codes.negative[axis] = rotation[world][axis] < 0.0;
            rotation[world] = [0.0; 3]; // each world axis is taken once
        }
        Ok(codes)
    }
}

impl fmt::Display for AxisCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..3).try_for_each(|a| write!(f, "{}", LETTERS[self.world_axis[a]][usize::from(!self.negative[a])]))
    }
}

impl FromStr for AxisCodes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Argument {
            what: "axis codes".into(),
            expected: "three letters, one each of L/R, P/A and I/S, such as RAS".into(),
            found: format!("'{text}'"),
        };
        let mut codes = Self::RAS;
        let mut seen = [false; 3];
        if text.chars().count() != 3 {
            return Err(wrong());
        }
        for (axis, letter) in text.chars().enumerate() {
            let letter = letter.to_ascii_uppercase();
            let world = LETTERS.iter().position(|pair| pair.contains(&letter)).ok_or_else(wrong)?;
            if std::mem::replace(&mut seen[world], true) {
                return Err(wrong());
            }
            codes.world_axis[axis] = world;
            codes.negative[axis] = LETTERS[world][0] == letter;
        }
        Ok(codes)
    }
}

/// A change of axis codes and its way back. Both only move voxels, and every voxel keeps its world position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reorientation {
    source: Grid,
    target: Grid,
    /// Source axis of each target axis.
    source_axis: [usize; 3],
    /// Whether a target axis runs against its source axis.
    flip: [bool; 3],
}

impl Reorientation {
    /// How images on `grid` come to have the axis codes `to`.
    ///
    /// # Errors
    /// [`Error::Argument`] when the grid's affine is singular.
    pub fn new(grid: &Grid, to: AxisCodes) -> Result<Self> {
        let from = AxisCodes::of(&grid.affine)?;
        let source_axis = to
            .world_axis
            .map(|world| from.world_axis.iter().position(|w| *w == world).expect("codes are a permutation"));
        let flip: [bool; 3] = std::array::from_fn(|a| to.negative[a] != from.negative[source_axis[a]]);
        let mut first = [0.0; 3]; // the source voxel that becomes voxel 0
        let mut affine = grid.affine;
        for a in 0..3 {
            let s = source_axis[a];
            if flip[a] {
                first[s] = grid.shape[s].saturating_sub(1) as f64;
            }
            for r in 0..3 {
                affine.0[r][a] = if flip[a] { -grid.affine.0[r][s] } else { grid.affine.0[r][s] };
            }
        }
        let origin = grid.affine.apply(first);
        for r in 0..3 {
            affine.0[r][3] = origin[r];
        }
        let target = Grid { shape: source_axis.map(|s| grid.shape[s]), affine };
        Ok(Self { source: *grid, target, source_axis, flip })
    }

    /// The grid that [`Self::forward`] gives.
    pub fn target(&self) -> Grid {
        self.target
    }

    /// An image on the source grid, with the target axis codes.
    ///
    /// # Panics
    /// When the image does not have the source grid's shape.
    pub fn forward<T: Copy + Send + Sync>(&self, image: &Image<T>) -> Image<T> {
        assert_eq!(image.grid().shape, self.source.shape, "image is not on the source grid");
        let mut view = image.data.view().permuted_axes(self.source_axis);
        for a in (0..3).filter(|a| self.flip[*a]) {
            view.invert_axis(Axis(a));
        }
        Image { data: copy_in_c_order(view), affine: self.target.affine }
    }

    /// An image on the target grid, back on the source grid: the affine is the source's, bit for bit.
    ///
    /// # Panics
    /// When the image does not have the target grid's shape.
    pub fn back<T: Copy + Send + Sync>(&self, image: &Image<T>) -> Image<T> {
        assert_eq!(image.grid().shape, self.target.shape, "image is not on the target grid");
        let mut view = image.data.view();
        for a in (0..3).filter(|a| self.flip[*a]) {
            view.invert_axis(Axis(a));
        }
        let mut target_axis = [0; 3];
        for a in 0..3 {
            target_axis[self.source_axis[a]] = a;
        }
        Image { data: copy_in_c_order(view.permuted_axes(target_axis)), affine: self.source.affine }
    }
}

/// Brings an image to the given axis codes; see [`Reorientation`] for the way back.
///
/// # Errors
/// [`Error::Argument`] when the image's affine is singular.
pub fn reorient<T: Copy + Send + Sync>(image: &Image<T>, to: AxisCodes) -> Result<Image<T>> {
    Ok(Reorientation::new(&image.grid(), to)?.forward(image))
}

/// A copy of a view of any strides in C order.
pub(crate) fn copy_in_c_order<T: Copy + Send + Sync>(view: ArrayView3<'_, T>) -> Array3<T> {
    let Some(&any) = view.first() else {
        return view.to_owned();
    };
    let mut out = Array3::from_elem(view.dim(), any);
    // The axis along which the source lies in order.
    let fastest = (0..3).min_by_key(|a| view.stride_of(Axis(*a)).abs()).expect("three axes");
    // Slabs of a cache line of the source when that is the first axis.
    let thickness = if fastest == 0 { LINE } else { 1 };
    let slabs = out.axis_chunks_iter_mut(Axis(0), thickness).into_par_iter();
    slabs.zip(view.axis_chunks_iter(Axis(0), thickness).into_par_iter()).for_each(|(mut to, from)| {
        match fastest {
            0 => to
                .axis_iter_mut(Axis(1))
                .zip(from.axis_iter(Axis(1)))
                .for_each(|(to, from)| transpose_tile(to, from)),
            1 => {
                let (to, from) = (to.index_axis_mut(Axis(0), 0), from.index_axis(Axis(0), 0));
                transpose_strips(to, from);
            }
            _ => to.assign(&from),
        }
    });
    out
}

/// Voxels of f32 in a cache line: tiles this wide use whole lines of the source.
const LINE: usize = 16;

fn transpose_strips<T: Copy>(mut to: ArrayViewMut2<'_, T>, from: ArrayView2<'_, T>) {
    let strips = to.axis_chunks_iter_mut(Axis(0), LINE).zip(from.axis_chunks_iter(Axis(0), LINE));
    strips.for_each(|(to, from)| transpose_tile(to, from));
}

/// Copies with the first axis, along which the source lies in order, innermost.
fn transpose_tile<T: Copy>(mut to: ArrayViewMut2<'_, T>, from: ArrayView2<'_, T>) {
    for (mut to, from) in to.axis_iter_mut(Axis(1)).zip(from.axis_iter(Axis(1))) {
        to.iter_mut().zip(from).for_each(|(t, f)| *t = *f);
    }
}

/// The orthogonal matrix nearest to the affine's directions (each column scaled to length 1): the `P Qs` of the
/// singular value decomposition in nibabel, here by Newton's iteration `R <- (R + R^-T) / 2` (Higham 1986).
fn nearest_rotation(affine: &Affine) -> Option<[[f64; 3]; 3]> {
    affine.inverse()?;
    let spacing_mm = affine.spacing_mm();
    let mut m = *affine;
    for r in 0..3 {
        for c in 0..3 {
            m.0[r][c] /= spacing_mm[c];
        }
        m.0[r][3] = 0.0;
    }
    // Converges quadratically once near; a condition number of 1e12 needs about 40 halvings before that.
    for _ in 0..64 {
        let inverse = m.inverse()?;
        for r in 0..3 {
            for c in 0..3 {
                m.0[r][c] = 0.5 * (m.0[r][c] + inverse.0[c][r]);
            }
        }
    }
    Some(std::array::from_fn(|r| std::array::from_fn(|c| m.0[r][c])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All 48 axis codes.
    fn all_codes() -> Vec<AxisCodes> {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let flips = (0..8).map(|bits| std::array::from_fn(|a| bits >> a & 1 == 1));
        let each = |negative| orders.map(|world_axis| AxisCodes { world_axis, negative });
        flips.flat_map(each).collect()
    }

    #[test]
    fn codes_are_written_and_read_alike() {
        for codes in all_codes() {
            assert_eq!(codes.to_string().parse::<AxisCodes>().unwrap(), codes);
        }
        assert_eq!("lps".parse::<AxisCodes>().unwrap().to_string(), "LPS");
        for wrong in ["", "RA", "RRS", "RLS", "RAX", "RASI"] {
            assert!(wrong.parse::<AxisCodes>().unwrap_err().to_string().contains("such as RAS"), "{wrong}");
        }
        assert!(AxisCodes::of(&Affine::from_spacing_mm([1.0, 0.0, 1.0])).is_err());
    }

    #[test]
    fn every_voxel_keeps_its_place_under_all_codes() {
        let affine = Affine([
            [-0.7, 0.1, 0.0, 20.0],
            [0.1, -0.7, 0.2, 30.0],
            [0.0, 0.3, 2.5, -40.0],
            [0.0, 0.0, 0.0, 1.0],
        ]);
        assert_eq!(AxisCodes::of(&affine).unwrap().to_string(), "LPS");
        let image =
            Image { data: Array3::from_shape_fn((3, 4, 5), |(x, y, z)| x * 100 + y * 10 + z), affine };
        for codes in all_codes() {
            let turned = reorient(&image, codes).unwrap();
            assert_eq!(AxisCodes::of(&turned.affine).unwrap(), codes);
            let to_source = affine.inverse().unwrap().compose(&turned.affine);
            for ((x, y, z), v) in turned.data.indexed_iter() {
                let at = to_source.apply([x as f64, y as f64, z as f64]).map(|c| c.round() as usize);
                assert_eq!(image.data[at], *v);
            }
        }
    }

    proptest! {
        #[test]
        fn reorienting_and_back_is_the_identity_bit_for_bit(
            entries in prop::array::uniform12(-3.0_f64..3.0),
            shape in (1_usize..6, 1_usize..6, 1_usize..6),
            code in 0_usize..48,
        ) {
            let mut affine = Affine::from_spacing_mm([1.0; 3]);
            for (i, v) in entries.into_iter().enumerate() {
                affine.0[i / 4][i % 4] = v;
            }
            prop_assume!(affine.determinant().abs() > 1e-3);
            let image = Image { data: Array3::from_shape_fn(shape, |(x, y, z)| x * 100 + y * 10 + z), affine };
            let way = Reorientation::new(&image.grid(), all_codes()[code]).unwrap();
            let turned = way.forward(&image);
            prop_assert_eq!(turned.grid(), way.target());
            prop_assert_eq!(way.back(&turned), image);
        }
    }
}
