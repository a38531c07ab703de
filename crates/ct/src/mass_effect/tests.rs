//! Shapes and measurements that the tests share.
use super::frame::length;
use super::{Displacement, Input, Options};
use crate::draws::{Draws, Stream};
use crate::volume::{Affine, Image, Mask, Volume};
use ndarray::Array3;

mod images;
mod map;
mod values;

const CUBIC: [[f64; 4]; 4] =
    [[1.5, 0.0, 0.0, -60.0], [0.0, 1.5, 0.0, 30.0], [0.0, 0.0, 1.5, 7.0], [0.0, 0.0, 0.0, 1.0]];

/// Axes turned by 20 degrees about z, flipped x, slices of 3 mm, tilted.
const OBLIQUE: [[f64; 4]; 4] =
    [[-1.1, -0.4, 0.0, 40.0], [-0.4, 1.1, 0.3, -9.0], [0.0, 0.0, 3.0, 100.0], [0.0, 0.0, 0.0, 1.0]];

/// Voxels whose distance in mm from the middle of the grid `inside` holds for, given the offset in mm.
fn shape(grid: [usize; 3], affine: Affine, inside: impl Fn([f64; 3]) -> bool) -> Mask {
    let middle = affine.apply(grid.map(|n| (n / 2) as f64));
    let data = Array3::from_shape_fn(grid, |(x, y, z)| {
        let p = affine.apply([x, y, z].map(|v| v as f64));
        inside(std::array::from_fn(|a| p[a] - middle[a]))
    });
    Image { data, affine }
}

fn ball(grid: [usize; 3], affine: Affine, radius_mm: f64) -> Mask {
    shape(grid, affine, |d| length(d) < radius_mm)
}

fn tissue(grid: [usize; 3], affine: Affine) -> Volume {
    Image { data: Array3::from_elem(grid, 60.0), affine }
}

fn push(scan: &Volume, tumor: &Mask, organ: Option<&Mask>, options: &Options) -> Displacement {
    Displacement::of(&Input { scan, tumor, organ }, options).unwrap()
}

/// Determinant of the map's derivatives, by central differences of 1e-5 mm: few of them lie across a node's line, where slopes jump.
fn determinant(d: &Displacement, p: [f64; 3]) -> f64 {
    let mut m = [[0.0; 4]; 4];
    for c in 0..3 {
        let at = |h: f64| {
            let mut q = p;
            q[c] += h;
            d.forward_mm(q)
        };
        let (low, high) = (at(-1e-5), at(1e-5));
        (0..3).for_each(|r| m[r][c] = (high[r] - low[r]) / 2e-5);
    }
    Affine(m).determinant()
}

/// Points around the centre, 2 mm to `most_mm` away, in directions that do not line up with voxels.
fn points(d: &Displacement, most_mm: f64) -> Vec<[f64; 3]> {
    let mut draws = Stream::new(7, 0, "points", 0);
    (0..600)
        .map(|_| {
            let mut n = [0.0; 3];
            draws.normals(&mut n);
            let r = draws.uniform(2.0, most_mm) / length(n);
            std::array::from_fn(|a| d.record.centre_mm[a] + r * n[a])
        })
        .collect()
}
