//! Steps from a voxel to its neighbours.
use super::settings::WeightingNorm;

/// Steps whose longest part is one of `distances_vox`, one of each pair of opposite ones, shorter than the box along every axis; none along
/// `flat_axis`. For a distance of 1 in three dimensions 13, in two 4.
pub fn one_way(shape: [usize; 3], distances_vox: &[usize], flat_axis: Option<usize>) -> Vec<[i32; 3]> {
    let mut offsets = all(shape, distances_vox, flat_axis);
    // The half that PyRadiomics takes, which matters where pairs are not counted both ways.
    offsets.retain(|[x, y, z]| [*z, *y, *x] > [0; 3]);
    offsets
}

/// Both of each pair of [`one_way`].
pub fn all(shape: [usize; 3], distances_vox: &[usize], flat_axis: Option<usize>) -> Vec<[i32; 3]> {
    let furthest = distances_vox.iter().copied().max().unwrap_or(0);
    let reach: [i32; 3] = std::array::from_fn(|a| {
        let longest = furthest.min(shape[a].saturating_sub(1)).min(i32::MAX as usize);
        if flat_axis == Some(a) { 0 } else { longest as i32 }
    });
    let mut offsets = Vec::new();
    for x in -reach[0]..=reach[0] {
        for y in -reach[1]..=reach[1] {
            for z in -reach[2]..=reach[2] {
                let distance = x.abs().max(y.abs()).max(z.abs());
                if distance > 0 && distances_vox.contains(&(distance as usize)) {
                    offsets.push([x, y, z]);
                }
            }
        }
    }
    offsets
}

impl WeightingNorm {
    /// Length of a step in mm, in this norm. 1 when steps are not weighed.
    pub fn length_mm(self, offset: [i32; 3], spacing_mm: [f64; 3]) -> f64 {
        let part_mm: [f64; 3] = std::array::from_fn(|a| f64::from(offset[a].abs()) * spacing_mm[a]);
        match self {
            Self::Infinity => part_mm.into_iter().fold(0.0, f64::max),
            Self::Euclidean => part_mm.iter().map(|p| p * p).sum::<f64>().sqrt(),
            Self::Manhattan => part_mm.iter().sum(),
            Self::NoWeighting => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted() {
        let big = [9; 3];
        assert_eq!(one_way(big, &[1], None).len(), 13);
        assert_eq!(one_way(big, &[1], Some(2)).len(), 4);
        assert_eq!(all(big, &[1, 2], None).len(), 124);
        assert_eq!(one_way(big, &[2], None).len(), 49);
        // Only one step fits along x: 3 * 5 * 5 - 3 * 3 * 3 of both ways.
        assert_eq!(all([2, 9, 9], &[2], None).len(), 48);
        assert!(one_way([1; 3], &[1], None).is_empty());
        assert!(one_way(big, &[1], None).iter().all(|o| o.iter().rfind(|v| **v != 0) == Some(&1)));
    }

    #[test]
    fn steps_have_lengths() {
        let length = |norm: WeightingNorm| norm.length_mm([1, -1, 0], [3.0, 4.0, 9.0]);
        assert_eq!(
            [WeightingNorm::Infinity, WeightingNorm::Euclidean, WeightingNorm::Manhattan].map(length),
            [4.0, 5.0, 7.0]
        );
    }
}
