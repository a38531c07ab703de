//! The longest distances between corners of a mask's mesh: anywhere, and within planes of voxels.
//!
//! A longest distance has its ends on the convex hull, so only corners on the hull of their slice along every axis are compared, the far
//! ones first. The result is that of comparing all.
use ndarray::Array3;
use std::collections::HashSet;

/// A corner of the mesh in half voxels.
type Corner = [i32; 3];

/// Longest distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Diameters {
    /// Anywhere.
    pub all_mm: f64,
    /// Between corners of the same x, y or z.
    pub across_mm: [f64; 3],
}

/// Measures a mask `[x, y, z]`. All 0 when it is empty.
pub(super) fn diameters(mask: &Array3<bool>, spacing_mm: [f64; 3]) -> Diameters {
    let mut extremes = [0, 1, 2].map(|axis| Extremes::new(mask, axis));
    each_corner(mask, |corner| extremes.iter_mut().for_each(|e| e.add(corner)));
    let hulls = extremes.map(|e| e.hulls());
    let across_mm = [0, 1, 2].map(|axis| {
        let squared = hulls[axis].iter().map(|plane| longest_squared_mm2(plane, spacing_mm));
        squared.fold(0.0, f64::max).sqrt()
    });
    let [x, y, z] = hulls.map(|planes| planes.into_iter().flatten());
    let (x, y): (HashSet<Corner>, HashSet<Corner>) = (x.collect(), y.collect());
    let candidates: Vec<Corner> = z.filter(|corner| x.contains(corner) && y.contains(corner)).collect();
    Diameters { all_mm: longest_mm(&candidates, spacing_mm), across_mm }
}

/// Corners lie halfway between a voxel inside and its neighbour outside.
fn each_corner(mask: &Array3<bool>, mut each: impl FnMut(Corner)) {
    let shape = [mask.dim().0, mask.dim().1, mask.dim().2];
    for ((x, y, z), _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
        let at = [x, y, z];
        for axis in 0..3 {
            let mut beside = at;
            beside[axis] = at[axis].wrapping_sub(1);
            let below = at[axis] > 0 && mask[beside];
            beside[axis] = at[axis] + 1;
            let above = beside[axis] < shape[axis] && mask[beside];
            for (covered, step) in [(below, -1), (above, 1)] {
                if !covered {
                    let mut corner = at.map(|v| 2 * v as i32);
                    corner[axis] += step;
                    each(corner);
                }
            }
        }
    }
}

/// First and last corner of every line of every plane across one axis.
struct Extremes {
    axis: usize,
    /// Lines in a plane.
    width: usize,
    /// `[plane * width + line]`, both counted in half voxels from -1.
    ends: Vec<(i32, i32)>,
}

impl Extremes {
    fn new(mask: &Array3<bool>, axis: usize) -> Self {
        let shape = [mask.dim().0, mask.dim().1, mask.dim().2];
        let [planes, width] = [axis, (axis + 1) % 3].map(|a| 2 * shape[a] + 1);
        Self { axis, width, ends: vec![(i32::MAX, i32::MIN); planes * width] }
    }

    fn add(&mut self, corner: Corner) {
        let [plane, line] = [self.axis, (self.axis + 1) % 3].map(|a| (corner[a] + 1) as usize);
        let (first, last) = &mut self.ends[plane * self.width + line];
        let along = corner[(self.axis + 2) % 3];
        (*first, *last) = ((*first).min(along), (*last).max(along));
    }

    /// The convex hull of every plane.
    fn hulls(&self) -> Vec<Vec<Corner>> {
        let planes = self.ends.chunks(self.width).enumerate();
        planes
            .map(|(plane, lines)| {
                let found = || lines.iter().enumerate().filter(|(_, (first, last))| first <= last);
                let lower = chain(found().map(|(line, (first, _))| [line as i32 - 1, *first]));
                let upper = chain(found().map(|(line, (_, last))| [line as i32 - 1, -*last]));
                let mut points = lower;
                points.extend(upper.into_iter().map(|[line, last]| [line, -last]));
                points.sort_unstable();
                points.dedup();
                points.into_iter().map(|point| self.corner(plane as i32 - 1, point)).collect()
            })
            .collect()
    }

    fn corner(&self, plane: i32, [line, along]: [i32; 2]) -> Corner {
        let mut corner = [0; 3];
        corner[self.axis] = plane;
        corner[(self.axis + 1) % 3] = line;
        corner[(self.axis + 2) % 3] = along;
        corner
    }
}

/// The lower convex chain of points in order of their first part (Andrew 1979).
fn chain(points: impl Iterator<Item = [i32; 2]>) -> Vec<[i32; 2]> {
    let mut kept: Vec<[i32; 2]> = Vec::new();
    for point in points {
        while let [.., a, b] = kept[..] {
            let [u, v] = [b, point].map(|p| [i64::from(p[0] - a[0]), i64::from(p[1] - a[1])]);
            if u[0] * v[1] - u[1] * v[0] > 0 {
                break;
            }
            kept.pop();
        }
        kept.push(point);
    }
    kept
}

fn longest_squared_mm2(corners: &[Corner], spacing_mm: [f64; 3]) -> f64 {
    let pairs = corners.iter().enumerate().flat_map(|(i, a)| corners[i + 1..].iter().map(move |b| (a, b)));
    pairs.map(|(a, b)| squared_mm2(*a, *b, spacing_mm)).fold(0.0, f64::max)
}

fn squared_mm2(a: Corner, b: Corner, spacing_mm: [f64; 3]) -> f64 {
    (0..3).map(|axis| (f64::from(a[axis] - b[axis]) / 2.0 * spacing_mm[axis]).powi(2)).sum()
}

/// The longest distance between any two corners.
fn longest_mm(corners: &[Corner], spacing_mm: [f64; 3]) -> f64 {
    let centre: Corner = std::array::from_fn(|axis| {
        let side = || corners.iter().map(|corner| corner[axis]);
        (side().min().unwrap_or(0) + side().max().unwrap_or(0)) / 2
    });
    let mut by_radius: Vec<(f64, Corner)> =
        corners.iter().map(|corner| (squared_mm2(*corner, centre, spacing_mm).sqrt(), *corner)).collect();
    by_radius.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let (mut longest_mm2, mut longest_mm) = (0.0_f64, 0.0_f64);
    for (i, (radius_mm, a)) in by_radius.iter().enumerate() {
        for (other_mm, b) in &by_radius[i + 1..] {
            // No pair further down this list is longer: the way over the centre is the longest there can be.
            if (radius_mm + other_mm) * (1.0 + 1e-12) < longest_mm {
                break;
            }
            let squared = squared_mm2(*a, *b, spacing_mm);
            if squared > longest_mm2 {
                (longest_mm2, longest_mm) = (squared, squared.sqrt());
            }
        }
    }
    longest_mm
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn brute(mask: &Array3<bool>, spacing_mm: [f64; 3]) -> Diameters {
        let mut corners = Vec::new();
        each_corner(mask, |corner| corners.push(corner));
        let mut found = Diameters { all_mm: 0.0, across_mm: [0.0; 3] };
        for a in &corners {
            for b in &corners {
                let length = squared_mm2(*a, *b, spacing_mm).sqrt();
                found.all_mm = found.all_mm.max(length);
                for axis in (0..3).filter(|axis| a[*axis] == b[*axis]) {
                    found.across_mm[axis] = found.across_mm[axis].max(length);
                }
            }
        }
        found
    }

    proptest! {
        #[test]
        fn equals_all_pairs(inside in prop::collection::vec(prop::bool::weighted(0.3), 7 * 6 * 5), sx in 0.3..3.0) {
            let mask = Array3::from_shape_vec((7, 6, 5), inside).unwrap();
            let spacing_mm = [sx, 0.7, 2.5];
            prop_assert_eq!(diameters(&mask, spacing_mm), brute(&mask, spacing_mm));
        }
    }

    #[test]
    fn one_voxel_reaches_from_face_to_face() {
        let found = diameters(&Array3::from_elem((1, 1, 1), true), [2.0, 4.0, 6.0]);
        assert_eq!(found, Diameters { all_mm: 6.0, across_mm: [6.0, 6.0, 4.0] });
    }
}
