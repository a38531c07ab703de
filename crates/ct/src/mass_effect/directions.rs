//! Smooth functions of a direction: values at the nodes of a cube's six faces, linear between them.
//!
//! Nodes on a cube's edge are the same direction from both faces, so a function is continuous; there are no poles.
use rayon::prelude::*;

/// Cells along a cube's side: nodes are at most 5 degrees apart.
const CELLS: usize = 18;
const SIDE: usize = CELLS + 1;

/// Half angle of the cone that is averaged over, as a cosine: 15 degrees, three nodes.
const CONE: f64 = 0.966;

/// A function of the direction.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Directions(pub Vec<f64>);

/// The four nodes around a direction, with weights that sum to 1.
pub(super) fn around(d: [f64; 3]) -> [(usize, f64); 4] {
    let axis = (1..3).fold(0, |best, a| if d[a].abs() > d[best].abs() { a } else { best });
    let face = 2 * axis + usize::from(d[axis] < 0.0);
    let cell = |a: usize| {
        let t = if d[axis] == 0.0 { 0.0 } else { d[a] / d[axis].abs() };
        let at = (t + 1.0) / 2.0 * CELLS as f64;
        let low = (at.floor() as usize).min(CELLS - 1);
        (low, at - low as f64)
    };
    let ((i, u), (j, v)) = (cell((axis + 1) % 3), cell((axis + 2) % 3));
    let node = |i: usize, j: usize| (face * SIDE + i) * SIDE + j;
    [
        (node(i, j), (1.0 - u) * (1.0 - v)),
        (node(i + 1, j), u * (1.0 - v)),
        (node(i, j + 1), (1.0 - u) * v),
        (node(i + 1, j + 1), u * v),
    ]
}

/// Direction of each node (length 1) and its solid angle (they sum to 4π).
pub(super) fn nodes() -> Vec<([f64; 3], f64)> {
    let coordinate = |i: usize| 2.0 * i as f64 / CELLS as f64 - 1.0;
    // A node at a face's edge has half a cell on each face.
    let edge = |i: usize| if i == 0 || i == CELLS { 0.5 } else { 1.0 };
    let mut out = Vec::with_capacity(6 * SIDE * SIDE);
    for face in 0..6 {
        for (i, j) in (0..SIDE).flat_map(|i| (0..SIDE).map(move |j| (i, j))) {
            let axis = face / 2;
            let mut d = [0.0; 3];
            d[axis] = if face % 2 == 0 { 1.0 } else { -1.0 };
            (d[(axis + 1) % 3], d[(axis + 2) % 3]) = (coordinate(i), coordinate(j));
            let length = d.iter().map(|c| c * c).sum::<f64>().sqrt();
            out.push((d.map(|c| c / length), edge(i) * edge(j) / length.powi(3)));
        }
    }
    let total: f64 = out.iter().map(|n| n.1).sum();
    out.iter_mut().for_each(|n| n.1 *= 4.0 * std::f64::consts::PI / total);
    out
}

impl Directions {
    /// The value in direction `d` (any length).
    pub(super) fn at(&self, d: [f64; 3]) -> f64 {
        around(d).iter().map(|(node, weight)| self.0[*node] * weight).sum()
    }

    /// The mean over a cone around each node, weighted by solid angle and falling to 0 at the cone's rim.
    pub(super) fn smoothed(&self) -> Self {
        self.over_cones(|cone| {
            let (sum, total) =
                cone.iter().fold((0.0, 0.0), |(s, t), (value, weight)| (s + value * weight, t + weight));
            sum / total
        })
    }

    /// The smallest value in a cone around each node. Its [`Self::smoothed`] is nowhere above the values that it came from.
    pub(super) fn lowered(&self) -> Self {
        self.over_cones(|cone| cone.iter().map(|c| c.0).fold(f64::INFINITY, f64::min))
    }

    fn over_cones(&self, of: impl Fn(&[(f64, f64)]) -> f64 + Sync) -> Self {
        let nodes = nodes();
        let value = |(d, _): &([f64; 3], f64)| {
            let cone: Vec<_> = nodes
                .iter()
                .zip(&self.0)
                .filter_map(|((e, solid_angle), value)| {
                    let cosine = d[0] * e[0] + d[1] * e[1] + d[2] * e[2];
                    let rim = (cosine - CONE) / (1.0 - CONE);
                    (rim > 0.0).then(|| (*value, rim * rim * solid_angle))
                })
                .collect();
            of(&cone)
        };
        Self(nodes.par_iter().map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_again_and_solid_angles_fit() {
        let nodes = nodes();
        let x2 = Directions(nodes.iter().map(|(d, _)| d[0] * d[0]).collect());
        // The integral of x² over the sphere is 4π/3; the trapezoid rule over 5 degrees is off by about 1e-3.
        let integral: f64 = nodes.iter().zip(&x2.0).map(|((_, w), v)| w * v).sum();
        assert!((integral / (4.0 * std::f64::consts::PI / 3.0) - 1.0).abs() < 3e-3, "{integral}");
        for (d, _) in &nodes {
            assert!((x2.at(d.map(|c| 7.0 * c)) - d[0] * d[0]).abs() < 1e-12);
        }
        // Continuous across an edge of the cube.
        let (a, b) = (x2.at([1.0, 1.0 - 1e-9, 0.3]), x2.at([1.0 - 1e-9, 1.0, 0.3]));
        assert!((a - b).abs() < 1e-8);
    }

    #[test]
    fn lowered_and_smoothed_stays_below() {
        let raw = Directions(nodes().iter().map(|(d, _)| if d[2] > 0.9 { 1.0 } else { 5.0 }).collect());
        let low = raw.lowered().smoothed();
        assert!(low.0.iter().zip(&raw.0).all(|(l, r)| *l <= r + 1e-12));
        assert!((low.at([0.0, 0.0, -1.0]) - 5.0).abs() < 1e-12);
    }
}
