//! The default preset's tumor shape: an ellipsoid with a lumpy, smooth surface and exactly the axes asked for.
//!
//! The published shape ([`super::shape`]) deforms three times by whole voxels, which roughens small tumors and leaves
//! the final diameter to chance. Here the surface in direction `d` has radius `1 + f(d)`, where `f` is a Gaussian
//! random field on the sphere with covariance `sum over n of s_n² (d·d')^n`. Such a field is a polynomial of `d`
//! whose monomials of degree `n` have independent normal coefficients of variance `s_n² n!/(a! b! c!)`. The moments of
//! this body are integrals over the sphere, so the linear map that gives it the wanted principal axes is known
//! before anything is rasterised.
use super::place::bounds;
use super::sizes_mm::EllipsoidMm;
use crate::draws::Draws;
use crate::error::{Error, Result};
use ndarray::{Array3, s};
use rayon::prelude::*;

/// Degrees of the field: 3 is a broad lobe, 6 a bump of about a quarter of the tumor's diameter.
const DEGREES: [usize; 4] = [3, 4, 5, 6];
/// Standard deviation of the relative radius that each degree adds, chosen so that volume / volume of the
/// moment-equivalent ellipsoid has KiTS19's median (0.94, see [`super::sizes_mm`]).
const SD_PER_DEGREE: f64 = 0.076;
/// Limits of the relative radius: no body that is turned inside out, or hangs by a thread.
const RADIUS: [f64; 2] = [0.4, 1.6];
/// Between the directions of the quadrature the radius goes beyond theirs by less than this part, or is cut there.
const BETWEEN_DIRECTIONS: f64 = 0.03;
/// Directions of the quadrature over the sphere.
const DIRECTIONS: usize = 800;
/// Largest longest axis in voxels: its box has at most 640³ voxels (0.26 GB).
const LARGEST_VOX: f64 = 400.0;

/// A drawn lumpy surface: relative radius by direction.
struct Lumps {
    /// Exponents of x, y, z and the coefficient of a monomial.
    terms: Vec<([usize; 3], f64)>,
    /// Smallest and largest radius: voxels below and beyond need no look at the field.
    limits: [f64; 2],
}

impl Lumps {
    fn draw(draws: &mut impl Draws) -> Self {
        let mut terms = Vec::new();
        for n in DEGREES {
            for a in 0..=n {
                for b in 0..=n - a {
                    let c = n - a - b;
                    let multinomial = factorial(n) / (factorial(a) * factorial(b) * factorial(c));
                    terms.push(([a, b, c], SD_PER_DEGREE * multinomial.sqrt()));
                }
            }
        }
        let mut normals = vec![0.0; terms.len()];
        draws.normals(&mut normals);
        terms.iter_mut().zip(normals).for_each(|((_, c), normal)| *c *= normal);
        let mut lumps = Self { terms, limits: RADIUS };
        let (low, high) = (sphere_directions().map(|d| lumps.radius(d)))
            .fold((f64::INFINITY, 0.0f64), |(l, h), r| (l.min(r), h.max(r)));
        lumps.limits = [low * (1.0 - BETWEEN_DIRECTIONS), high * (1.0 + BETWEEN_DIRECTIONS)];
        lumps
    }

    /// Relative radius in the direction of a unit vector.
    fn radius(&self, direction: [f64; 3]) -> f64 {
        let mut powers = [[1.0; 7]; 3];
        for (p, d) in powers.iter_mut().zip(direction) {
            for n in 1..7 {
                p[n] = p[n - 1] * d;
            }
        }
        let field: f64 =
            self.terms.iter().map(|([a, b, c], k)| k * powers[0][*a] * powers[1][*b] * powers[2][*c]).sum();
        (1.0 + field).clamp(self.limits[0], self.limits[1])
    }

    /// Centroid and covariance of the body.
    fn moments(&self) -> ([f64; 3], [[f64; 3]; 3]) {
        let (mut volume, mut mean, mut second) = (0.0, [0.0; 3], [[0.0; 3]; 3]);
        for d in sphere_directions() {
            let r = self.radius(d);
            volume += r.powi(3) / 3.0;
            for a in 0..3 {
                mean[a] += r.powi(4) / 4.0 * d[a];
                for b in 0..3 {
                    second[a][b] += r.powi(5) / 5.0 * d[a] * d[b];
                }
            }
        }
        let mean = mean.map(|m| m / volume);
        let covariance =
            std::array::from_fn(|a| std::array::from_fn(|b| second[a][b] / volume - mean[a] * mean[b]));
        (mean, covariance)
    }
}

fn factorial(n: usize) -> f64 {
    (1..=n).map(|k| k as f64).product()
}

/// Evenly spread directions (a Fibonacci lattice).
fn sphere_directions() -> impl Iterator<Item = [f64; 3]> {
    // Golden angle.
    const TURN: f64 = 2.399_963_229_728_653;
    (0..DIRECTIONS).map(|i| {
        let z = 1.0 - (2.0 * i as f64 + 1.0) / DIRECTIONS as f64;
        let r = (1.0 - z * z).sqrt();
        let angle = TURN * i as f64;
        [r * libm::cos(angle), r * libm::sin(angle), z]
    })
}

/// Lower triangular `l` with `l lᵀ = m`, for a symmetric positive definite `m`.
fn cholesky(m: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let mut l = [[0.0; 3]; 3];
    for r in 0..3 {
        for c in 0..=r {
            let rest = m[r][c] - (0..c).map(|k| l[r][k] * l[c][k]).sum::<f64>();
            l[r][c] = if r == c { rest.sqrt() } else { rest / l[c][c] };
        }
    }
    l
}

/// A tumor's voxels, cut to its bounding box.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The box, `[x, y, z]`.
    pub mask: Array3<bool>,
    /// The voxel of the box in whose middle the tumor's centre lies. Tumors of equal draws and proportions are the same body,
    /// larger or smaller around that point.
    pub centre_vox: [i64; 3],
}

/// Draws a lumpy tumor whose moment-equivalent ellipsoid is `ellipsoid`, on a grid of isotropic voxels.
///
/// # Errors
/// [`Error::Argument`] when the longest axis is not between 0 and 400 voxels.
pub fn draw_shape(ellipsoid: &EllipsoidMm, voxel_mm: f64, draws: &mut impl Draws) -> Result<Shape> {
    let longest_vox = ellipsoid.axes_mm[0] / voxel_mm;
    if !(longest_vox > 0.0 && longest_vox <= LARGEST_VOX) {
        return Err(Error::Argument {
            what: "longest axis of a tumor in voxels".into(),
            expected: format!("more than 0 and at most {LARGEST_VOX}"),
            found: format!("{longest_vox} ({} mm with voxels of {voxel_mm} mm)", ellipsoid.axes_mm[0]),
        });
    }
    let lumps = Lumps::draw(draws);
    let (mean, covariance) = lumps.moments();
    let l = cholesky(covariance);
    // Voxel p relative to the centre has body coordinates w = mean + L diag(2 sqrt(5) / axes) directions p:
    // whitening, then the wanted standard deviation axis / (2 sqrt 5) along each direction.
    let scale = ellipsoid.axes_mm.map(|a| 20f64.sqrt() * voxel_mm / a);
    let body_from_voxel: [[f64; 3]; 3] = std::array::from_fn(|r| {
        std::array::from_fn(|c| (0..3).map(|k| l[r][k] * scale[k] * ellipsoid.directions[k][c]).sum())
    });
    let half = half_extent_vox(ellipsoid, voxel_mm, &l, lumps.limits[1] + norm(mean));
    let [nx, ny, nz] = half.map(|h| 2 * h + 1);
    let mut mask = Array3::from_elem((nx, ny, nz), false);
    let voxels = mask.as_slice_mut().expect("a new array is contiguous");
    voxels.par_chunks_mut(ny * nz).enumerate().for_each(|(x, plane)| {
        let p0 = x as f64 - half[0] as f64;
        for (i, voxel) in plane.iter_mut().enumerate() {
            let p = [p0, (i / nz) as f64 - half[1] as f64, (i % nz) as f64 - half[2] as f64];
            let w: [f64; 3] = std::array::from_fn(|r| {
                let m = body_from_voxel[r];
                mean[r] + m[0] * p[0] + m[1] * p[1] + m[2] * p[2]
            });
            let r = norm(w);
            *voxel = r < lumps.limits[0] || (r < lumps.limits[1] && r < lumps.radius(w.map(|v| v / r)));
        }
    });
    // A tumor far below one voxel can miss every voxel centre; it then is the one voxel in which it lies.
    let Some(b) = bounds(&mask) else {
        return Ok(Shape { mask: Array3::from_elem((1, 1, 1), true), centre_vox: [0; 3] });
    };
    let [(x0, x1), (y0, y1), (z0, z1)] = b;
    Ok(Shape {
        mask: mask.slice(s![x0..=x1, y0..=y1, z0..=z1]).to_owned(),
        centre_vox: std::array::from_fn(|a| half[a] as i64 - b[a].0 as i64),
    })
}

fn norm(v: [f64; 3]) -> f64 {
    (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt()
}

/// Half the side of a box around the centre that holds the whole body, in voxels per axis. The body lies within
/// `radius` of its centroid in body coordinates, so along a voxel axis it reaches `radius` times the length of that
/// row of voxel-from-body.
fn half_extent_vox(ellipsoid: &EllipsoidMm, voxel_mm: f64, l: &[[f64; 3]; 3], radius: f64) -> [usize; 3] {
    let inverse = lower_triangular_inverse(l);
    std::array::from_fn(|a| {
        let row: [f64; 3] = std::array::from_fn(|c| {
            (0..3).map(|k| ellipsoid.directions[k][a] * ellipsoid.axes_mm[k] * inverse[k][c]).sum()
        });
        (radius * norm(row) / (20f64.sqrt() * voxel_mm)).ceil() as usize
    })
}

fn lower_triangular_inverse(l: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let [i0, i1, i2] = [1.0 / l[0][0], 1.0 / l[1][1], 1.0 / l[2][2]];
    let i20 = (l[1][0] * l[2][1] - l[1][1] * l[2][0]) * i0 * i1 * i2;
    [[i0, 0.0, 0.0], [-l[1][0] * i0 * i1, i1, 0.0], [i20, -l[2][1] * i1 * i2, i2]]
}

#[cfg(test)]
mod tests {
    use super::super::sizes_mm::{FILL, KitsShape};
    use super::*;
    use crate::draws::Stream;
    use crate::measure::measure;

    /// Bodies of equal draws lie inside of each other when their centres are put together.
    #[test]
    fn equal_draws_give_the_same_body_at_every_size() {
        for seed in 0..10 {
            let mut draws = Stream::new(seed, 0, "growth", 0);
            let largest = KitsShape::with_longest_axis(24.0, &mut draws);
            let of = |longest_mm: f64| {
                let axes_mm = largest.axes_mm.map(|axis| axis * longest_mm / 24.0);
                draw_shape(&EllipsoidMm { axes_mm, ..largest }, 1.0, &mut draws.clone()).unwrap()
            };
            let (small, large) = (of(12.0), of(24.0));
            let mut outside = 0;
            for (at, _) in small.mask.indexed_iter().filter(|(_, v)| **v) {
                let at = <[usize; 3]>::from(at);
                let p: [i64; 3] =
                    std::array::from_fn(|a| at[a] as i64 - small.centre_vox[a] + large.centre_vox[a]);
                outside += usize::from(large.mask.get(p.map(|i| i as usize)) != Some(&true));
            }
            assert_eq!(outside, 0, "seed {seed}");
            // Half as long, an eighth of the volume, up to what rounding to voxels does to 12 mm.
            let voxels = |shape: &Shape| shape.mask.iter().filter(|v| **v).count() as f64;
            assert!((voxels(&large) / voxels(&small) - 8.0).abs() < 0.6, "seed {seed}");
        }
    }

    #[test]
    fn the_rasterised_tumor_has_the_axes_asked_for() {
        // Longest axis within 15 % down to 5 mm; a few voxels across leave that much to rounding, more leave less. The
        // short axes of the smallest are off by up to half a voxel, that of a large tumor by its own share.
        for (longest_mm, tolerance) in [(5.0, 0.15), (10.0, 0.06), (30.0, 0.03), (90.0, 0.03)] {
            for tumor in 0..if longest_mm > 50.0 { 3 } else { 25 } {
                let mut draws = Stream::new(9, 0, "axes", tumor);
                let asked = KitsShape::with_longest_axis(longest_mm, &mut draws);
                let mask = draw_shape(&asked, 1.0, &mut draws).unwrap().mask;
                let found = measure(&mask, [1.0; 3]).unwrap().axes_mm;
                let off = |a: usize| (found[a] - asked.axes_mm[a]).abs();
                let fits =
                    off(0) < tolerance * longest_mm && (1..3).all(|a| off(a) < 0.5 + 0.02 * longest_mm);
                assert!(fits, "asked {:?}, found {found:?}", asked.axes_mm);
            }
        }
    }

    #[test]
    fn triangular_inverse_inverts() {
        let l = [[2.0, 0.0, 0.0], [-1.0, 0.5, 0.0], [3.0, 0.7, 4.0]];
        let i = lower_triangular_inverse(&l);
        for r in 0..3 {
            for c in 0..3 {
                let product: f64 = (0..3).map(|k| l[r][k] * i[k][c]).sum();
                assert!((product - f64::from(u8::from(r == c))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn other_voxel_sizes_give_the_same_millimetres() {
        for voxel_mm in [0.7, 2.0] {
            let mut draws = Stream::new(10, 0, "voxels", 0);
            let asked = KitsShape::with_longest_axis(25.0, &mut draws);
            let mask = draw_shape(&asked, voxel_mm, &mut draws).unwrap().mask;
            let found = measure(&mask, [voxel_mm; 3]).unwrap().axes_mm[0];
            assert!((found / 25.0 - 1.0).abs() < 0.04, "{found}");
        }
    }

    #[test]
    fn tumors_fill_their_ellipsoid_as_real_ones_do() {
        let mut fills: Vec<f64> = (0..200)
            .map(|tumor| {
                let mut draws = Stream::new(11, 0, "fill", tumor);
                let asked = KitsShape::with_longest_axis(30.0, &mut draws);
                let m = measure(&draw_shape(&asked, 1.0, &mut draws).unwrap().mask, [1.0; 3]).unwrap();
                m.equivalent_diameter_mm.powi(3) / m.axes_mm.iter().product::<f64>()
            })
            .collect();
        fills.sort_by(f64::total_cmp);
        println!("fill 5 % {:.3}, median {:.3}, 95 % {:.3}", fills[10], fills[100], fills[190]);
        // KiTS19, 20-50 mm: 0.852, 0.937, 0.975. Real tumors scatter more: they include bad segmentations.
        assert!((fills[100] - FILL).abs() < 0.01, "{}", fills[100]);
        assert!(fills[10] > 0.84 && fills[190] < 0.99);
    }

    #[test]
    fn absurd_sizes_are_refused_and_tiny_ones_are_one_voxel() {
        let mut draws = Stream::new(12, 0, "absurd", 0);
        let mut e = KitsShape::with_longest_axis(100.0, &mut draws);
        assert!(draw_shape(&e, 0.01, &mut draws).unwrap_err().to_string().contains("100 mm"));
        assert!(draw_shape(&e, f64::NAN, &mut draws).is_err());
        e = KitsShape::with_longest_axis(0.01, &mut draws);
        assert_eq!(draw_shape(&e, 1.0, &mut draws).unwrap().mask.iter().filter(|v| **v).count(), 1);
    }
}
