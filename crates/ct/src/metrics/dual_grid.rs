//! The surface of a mask on its dual grid, and exact distances from one surface to another.
//!
//! A position of the dual grid is a corner at which 8 voxels meet; the surface passes where they do not agree. Dual
//! position `p` of a box lies between its voxels `p - 1` and `p` along each axis; what is beyond the box is empty, so
//! surfaces are closed, also at an image's border.
//!
//! Distances are the shortest over all positions of the other surface. They are needed only on a surface, so the last
//! of the three passes of a distance transform is replaced by a search outwards, and the second is done for those
//! lines only that a search comes to. Sums are taken in the order (x² + y²) + z² of scipy, on which google-deepmind/
//! surface-distance builds: a distance that lies exactly at a tolerance is rounded alike.
use crate::distance::Envelope;
use crate::patch::VoxelBox;
use ndarray::{Array3, ArrayView2, ArrayView3, ArrayViewMut1, ArrayViewMut3, Axis, s};
use rayon::prelude::*;

/// No surface along the line.
const FAR: u16 = u16::MAX;
/// The longest side of a box whose distances along x can be counted.
pub(super) const LONGEST_SIDE_VOX: usize = FAR as usize - 2;
/// Rows of a slab that one task counts through: enough to fill a vector, few enough for every core to have some.
const SLAB: usize = 8;
/// Steps along y or z up to which a surface is looked for by trying all, the shortest first.
const NEAR: isize = 8;

/// A surface element: how far the other surface is, and how much area it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Element {
    pub distance_mm: f64,
    pub area_mm2: f64,
}

/// Whether a surface passes through a neighbourhood: its voxels are neither all outside nor all inside.
fn is_surface(code: u8) -> bool {
    code != 0 && code != 255
}

/// The neighbourhood code of every dual position of a box, one more along each axis than voxels: bit
/// `128 >> (4 a + 2 b + c)` for the voxel at `p - 1 + (a, b, c)`.
pub(super) fn codes(mask: &Array3<bool>, bounds: &VoxelBox) -> Array3<u8> {
    let [x, y, z]: [_; 3] = std::array::from_fn(|a| bounds.start[a]..bounds.end[a]);
    let mask = mask.slice(s![x, y, z]);
    let (nx, ny, nz) = mask.dim();
    let mut codes = Array3::zeros((nx + 1, ny + 1, nz + 1));
    codes.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(x, mut plane)| {
        for (y, mut row) in plane.outer_iter_mut().enumerate() {
            let code = row.as_slice_mut().expect("a new array is in C order");
            for corner in 0..4 {
                let (a, b) = (corner >> 1, corner & 1);
                // Position p sees the voxels p - 1 and p.
                if (1..=nx).contains(&(x + a)) && (1..=ny).contains(&(y + b)) {
                    let voxels = mask.slice(s![x + a - 1, y + b - 1, ..]);
                    let bit = 128 >> (2 * corner);
                    match voxels.as_slice() {
                        Some(voxels) => set_bits(code, voxels, bit),
                        None => set_bits(code, &voxels.to_vec(), bit),
                    }
                }
            }
        }
    });
    codes
}

/// Sets the bits of one row of voxels: `bit` at the position behind a voxel, the next lower one at the position before
/// it. By masks, as a product of bytes is not a vector instruction.
fn set_bits(codes: &mut [u8], voxels: &[bool], bit: u8) {
    for (code, inside) in codes[1..].iter_mut().zip(voxels) {
        *code |= u8::from(*inside).wrapping_neg() & bit;
    }
    for (code, inside) in codes.iter_mut().zip(voxels) {
        *code |= u8::from(*inside).wrapping_neg() & (bit >> 1);
    }
}

/// The elements of the surface in `from`, with their distances to the surface in `to`; in scan order. Distances are
/// infinite when there is no surface in `to`.
pub(super) fn elements(
    from: &Array3<u8>,
    to: &Array3<u8>,
    spacing_mm: [f64; 3],
    areas_mm2: &[f64; 256],
) -> Vec<Element> {
    let steps = steps_along_x(to);
    let reach = Reach::new(to.dim(), spacing_mm);
    let planes = from.axis_iter(Axis(0)).into_par_iter().zip(steps.axis_iter(Axis(0)).into_par_iter());
    let per_plane: Vec<Vec<Element>> = planes
        .map_init(PlaneSearch::default, |search, (codes, steps)| {
            search.begin(steps.dim());
            let mut found = Vec::new();
            for (y, row) in codes.outer_iter().enumerate() {
                let row = row.as_slice().expect("a row of an array in C order");
                for_each_surface(row, |z, code| {
                    found.push(Element {
                        distance_mm: search.squared_mm2(&reach, steps, y, z).sqrt(),
                        area_mm2: areas_mm2[usize::from(code)],
                    });
                });
            }
            found
        })
        .collect();
    per_plane.concat()
}

/// Calls `each` with the index and code of every surface in a row. Most of a row is not: it is passed by in pieces of
/// one vector.
fn for_each_surface(row: &[u8], mut each: impl FnMut(usize, u8)) {
    for (piece, codes) in row.chunks(16).enumerate() {
        if codes.iter().fold(false, |any, code| any | is_surface(*code)) {
            for (i, code) in codes.iter().enumerate().filter(|(_, code)| is_surface(**code)) {
                each(16 * piece + i, *code);
            }
        }
    }
}

/// Steps along x from every position to the nearest surface of its line, [`FAR`] where there is none.
fn steps_along_x(codes: &Array3<u8>) -> Array3<u16> {
    let mut steps = Array3::zeros(codes.dim());
    let slabs = steps.axis_chunks_iter_mut(Axis(1), SLAB).into_par_iter();
    slabs.zip(codes.axis_chunks_iter(Axis(1), SLAB).into_par_iter()).for_each(|(steps, codes)| {
        sweep_slab(steps, codes);
    });
    steps
}

/// Two sweeps through whole planes, so that memory is walked along z.
fn sweep_slab(mut steps: ArrayViewMut3<'_, u16>, codes: ArrayView3<'_, u8>) {
    let (nx, ny, nz) = codes.dim();
    let mut since = vec![FAR; ny * nz];
    for x in 0..nx {
        let mut plane = steps.index_axis_mut(Axis(0), x);
        let plane = plane.as_slice_mut().expect("whole rows of an array in C order");
        let codes = codes.index_axis_move(Axis(0), x);
        let codes = codes.as_slice().expect("whole rows of an array in C order");
        for ((out, since), code) in plane.iter_mut().zip(&mut since).zip(codes) {
            *since = if is_surface(*code) { 0 } else { since.saturating_add(1) };
            *out = *since;
        }
    }
    since.fill(FAR);
    for x in (0..nx).rev() {
        let mut plane = steps.index_axis_mut(Axis(0), x);
        let plane = plane.as_slice_mut().expect("whole rows of an array in C order");
        for (out, since) in plane.iter_mut().zip(&mut since) {
            *since = since.saturating_add(1).min(*out);
            *out = *since;
        }
    }
}

/// A step within a plane of constant x, with the squares of its sides in mm.
struct Step {
    y: isize,
    z: isize,
    y_mm2: f64,
    z_mm2: f64,
}

/// What searches in all planes share.
struct Reach {
    spacing_mm: [f64; 3],
    /// Squared length in mm² of every number of steps along x.
    x_mm2: Vec<f64>,
    /// The shortest steps, shortest first.
    nearest: Vec<Step>,
}

impl Reach {
    fn new((nx, _, _): (usize, usize, usize), spacing_mm: [f64; 3]) -> Self {
        let square_mm2 = |steps: isize, axis: usize| {
            let mm = steps as f64 * spacing_mm[axis];
            mm * mm
        };
        let near = |y: isize| {
            (-NEAR..=NEAR).map(move |z| Step { y, z, y_mm2: square_mm2(y, 1), z_mm2: square_mm2(z, 2) })
        };
        let mut nearest: Vec<Step> = (-NEAR..=NEAR).flat_map(near).collect();
        nearest.sort_by(|a, b| (a.y_mm2 + a.z_mm2).total_cmp(&(b.y_mm2 + b.z_mm2)));
        // Beyond this the square is not whole: shorter steps would be missing.
        let end_mm2 = square_mm2(NEAR + 1, 1).min(square_mm2(NEAR + 1, 2));
        nearest.truncate(nearest.partition_point(|step| step.y_mm2 + step.z_mm2 < end_mm2));
        Self { spacing_mm, x_mm2: (0..nx).map(|steps| square_mm2(steps as isize, 0)).collect(), nearest }
    }

    /// Squared distance in mm² of a number of steps along x; infinite for [`FAR`].
    fn x_mm2(&self, steps: u16) -> f64 {
        self.x_mm2.get(usize::from(steps)).copied().unwrap_or(f64::INFINITY)
    }
}

/// Searches in one plane of constant x. A near surface is found by trying the shortest steps; for others, whole lines
/// along y are worked out, once each.
#[derive(Default)]
struct PlaneSearch {
    envelope: Envelope,
    /// Squared distances in mm² within x and y, `[z, y]`.
    lines_mm2: Vec<f64>,
    /// Which z have their line.
    ready: Vec<bool>,
    ny: usize,
}

impl PlaneSearch {
    /// Forgets the plane before.
    fn begin(&mut self, (ny, nz): (usize, usize)) {
        self.lines_mm2.resize(ny * nz, 0.0);
        self.ready.clear();
        self.ready.resize(nz, false);
        self.ny = ny;
    }

    /// Squared distance in mm² from a position of the plane to the nearest surface.
    fn squared_mm2(&mut self, reach: &Reach, steps: ArrayView2<'_, u16>, y: usize, z: usize) -> f64 {
        let mut best_mm2 = reach.x_mm2(steps[[y, z]]);
        // Where a line is there already, searches close by went beyond the nearest steps: so will this one.
        if !self.ready[z] {
            for step in &reach.nearest {
                if step.y_mm2 + step.z_mm2 >= best_mm2 {
                    return best_mm2;
                }
                let at = [y.wrapping_add_signed(step.y), z.wrapping_add_signed(step.z)];
                if let Some(steps) = steps.get(at) {
                    best_mm2 = best_mm2.min(reach.x_mm2(*steps) + step.y_mm2 + step.z_mm2);
                }
            }
        }
        self.far_mm2(reach, steps, [y, z], best_mm2)
    }

    /// The same for surfaces beyond the nearest steps: from line to line along z. `best_mm2` is known already.
    fn far_mm2(
        &mut self,
        reach: &Reach,
        steps: ArrayView2<'_, u16>,
        [y, z]: [usize; 2],
        mut best_mm2: f64,
    ) -> f64 {
        let nz = self.ready.len();
        for step in 0..nz {
            let step_mm = step as f64 * reach.spacing_mm[2];
            let step_mm2 = step_mm * step_mm;
            if step_mm2 >= best_mm2 {
                break;
            }
            let sides = [z.checked_sub(step), Some(z + step).filter(|z| *z < nz)];
            for z in sides.into_iter().flatten() {
                best_mm2 = best_mm2.min(self.line_mm2(reach, steps, z)[y] + step_mm2);
            }
        }
        best_mm2
    }

    /// Squared distances in mm², for every y, to the nearest surface with this z.
    fn line_mm2(&mut self, reach: &Reach, steps: ArrayView2<'_, u16>, z: usize) -> &[f64] {
        let line = &mut self.lines_mm2[z * self.ny..(z + 1) * self.ny];
        if !std::mem::replace(&mut self.ready[z], true) {
            for (out, steps) in line.iter_mut().zip(steps.column(z)) {
                *out = reach.x_mm2(*steps);
            }
            self.envelope.lower(ArrayViewMut1::from(&mut *line), reach.spacing_mm[1]);
        }
        line
    }
}
