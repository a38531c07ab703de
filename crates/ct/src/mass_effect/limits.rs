//! What bounds the push in each direction: the tumor's own radius, the organ's surface, and what does not move.
use super::directions::{Directions, around, nodes};
use super::frame::{Frame, length, nearest};
use crate::components::{Connectivity, components};
use crate::volume::{Mask, Volume};
use ndarray::{Array3, s};

/// Voxels of the tumor are cut to pieces no longer than this, so that thick slices do not show in its radius.
const PIECE_MM: f64 = 1.0;

/// A way out of the organ is real when it is this long: vessels left out of the organ's label are not its surface.
const GAP_MM: f64 = 6.0;

/// The tumor's radius in each direction, cubed (mm³): three times its volume per solid angle, smoothed. A third of its
/// integral over the sphere is the tumor's volume, for shapes that are not star-shaped too.
pub(super) fn tumor_mm3(frame: &Frame, tumor: &Mask) -> Directions {
    let nodes = nodes();
    let spacing_mm = tumor.affine.spacing_mm();
    let pieces = spacing_mm.map(|s| (s / PIECE_MM).ceil().clamp(1.0, 8.0) as usize);
    let piece_mm3 = tumor.affine.determinant().abs() / pieces.iter().product::<usize>() as f64;
    let mut volume = vec![0.0; nodes.len()];
    for ((x, y, z), _) in tumor.data.indexed_iter().filter(|(_, inside)| **inside) {
        for (i, j, k) in indices(pieces) {
            let at = |v: usize, i: usize, a: usize| v as f64 + (i as f64 + 0.5) / pieces[a] as f64 - 0.5;
            for (node, weight) in around(frame.offset_mm([at(x, i, 0), at(y, j, 1), at(z, k, 2)])) {
                volume[node] += weight * piece_mm3;
            }
        }
    }
    // Nodes on a cube's edge hold a part of their cell's volume on each face: volume over its solid angle is right.
    let raw = Directions(volume.iter().zip(&nodes).map(|(v, (_, angle))| 3.0 * v / angle).collect());
    let smooth = raw.smoothed();
    let integral = |d: &Directions| d.0.iter().zip(&nodes).map(|(v, (_, w))| v * w).sum::<f64>();
    let scale = integral(&raw) / integral(&smooth);
    Directions(smooth.0.iter().map(|v| v * scale).collect())
}

/// All indices below `n`, in C order.
fn indices(n: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..n[0]).flat_map(move |i| (0..n[1]).flat_map(move |j| (0..n[2]).map(move |k| (i, j, k))))
}

/// Distance in mm from the centre to the middle of the scan's outermost voxels, in each direction.
pub(super) fn border_mm(frame: &Frame) -> Directions {
    let centre = frame.voxel_from_world.apply(frame.centre_mm);
    let distance = |d: [f64; 3]| {
        let ahead = frame.voxel(d);
        (0..3)
            .map(|a| {
                let step = ahead[a] - centre[a];
                let room = if step > 0.0 { (frame.shape[a] - 1) as f64 - centre[a] } else { centre[a] };
                if step == 0.0 { f64::INFINITY } else { (room / step.abs()).max(0.0) }
            })
            .fold(f64::INFINITY, f64::min)
    };
    Directions(nodes().iter().map(|(d, _)| distance(*d)).collect())
}

/// Distance in mm from the centre to the nearest voxel that does not move, in each direction; at most `most_mm`.
pub(super) fn fixed_mm(
    frame: &Frame,
    scan: &Volume,
    tumor: &Mask,
    options: &super::Options,
    most_mm: f64,
) -> Directions {
    let mut out = vec![most_mm; nodes().len()];
    let bounds = frame.ball_box(most_mm);
    let [x, y, z]: [_; 3] = std::array::from_fn(|a| bounds.start[a]..bounds.end[a]);
    let hu = scan.data.slice(s![x.clone(), y.clone(), z.clone()]);
    let tumor = tumor.data.slice(s![x, y, z]);
    let voxel_mm3 = scan.affine.determinant().abs();
    let half_mm = 0.5 * scan.affine.spacing_mm().iter().map(|s| s * s).sum::<f64>().sqrt();
    let kinds: [Array3<bool>; 2] =
        [hu.mapv(|v| v > options.bone_above_hu), hu.mapv(|v| v < options.air_below_hu)];
    for kind in kinds {
        let parts = components(&kind, Connectivity::Faces);
        let large = parts.keep(|part| part.voxels as f64 * voxel_mm3 >= options.fixed_above_mm3);
        for ((i, j, k), _) in large.indexed_iter().filter(|(at, fixed)| **fixed && !tumor[*at]) {
            let at = [i + bounds.start[0], j + bounds.start[1], k + bounds.start[2]].map(|v| v as f64);
            let offset_mm = frame.offset_mm(at);
            let distance_mm = (length(offset_mm) - half_mm).max(0.0);
            for (node, _) in around(offset_mm) {
                out[node] = out[node].min(distance_mm);
            }
        }
    }
    Directions(out)
}

/// Distance in mm from the centre to the organ's surface in each direction: at least the tumor's radius, at most `most_mm`.
pub(super) fn surface_mm(frame: &Frame, organ: &Mask, tumor_mm3: &Directions, most_mm: f64) -> Directions {
    let step_mm = 0.5 * organ.affine.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    let exit = |d: [f64; 3], from_mm: f64| {
        let mut last_inside_mm = from_mm;
        let mut r = from_mm;
        while r < most_mm && r - last_inside_mm < GAP_MM {
            if nearest(organ, frame.voxel(d.map(|c| c * r))).is_some_and(|at| organ.data[at]) {
                last_inside_mm = r;
            }
            r += step_mm;
        }
        if r < most_mm { last_inside_mm } else { most_mm }
    };
    Directions(nodes().iter().zip(&tumor_mm3.0).map(|((d, _), r)| exit(*d, r.cbrt())).collect())
}
