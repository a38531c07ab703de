//! How many voxels of each value a label map holds: what errors list.
use crate::volume::Labels;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fmt;

/// Voxels of each label value other than the background 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census(pub BTreeMap<u16, usize>);

/// Values that a message lists at most; a TotalSegmentator file has up to 117.
const LISTED: usize = 20;

impl Census {
    /// Counts a label map.
    pub fn of(labels: &Labels) -> Self {
        let data = labels.data.as_standard_layout();
        let values = data.as_slice().expect("standard layout is contiguous");
        // Pieces of 4 Mi voxels: each job owns 64 Ki counters.
        let pieces = values.par_chunks(1 << 22).map(|piece| {
            let mut counts = vec![0_usize; 1 << 16];
            piece.iter().for_each(|&value| counts[usize::from(value)] += 1);
            counts
        });
        let zeros = || vec![0; 1 << 16];
        let total = pieces.reduce(zeros, |a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect());
        Self((0..=u16::MAX).zip(total).filter(|&(value, count)| value > 0 && count > 0).collect())
    }

    /// The values that occur, ascending.
    pub fn values(&self) -> impl Iterator<Item = u16> {
        self.0.keys().copied()
    }

    /// Whether any voxel has this value.
    pub fn has(&self, value: u16) -> bool {
        self.0.contains_key(&value)
    }

    /// Those of `values` that occur.
    pub fn present(&self, values: &[u16]) -> Vec<u16> {
        values.iter().copied().filter(|&value| self.has(value)).collect()
    }

    /// `5 (liver): 5000 voxels, 7: 37 voxels`, with the names that are known; or `only background`.
    pub fn list(&self, names: &BTreeMap<u16, String>) -> String {
        if self.0.is_empty() {
            return "only background".into();
        }
        let entry = |(value, count): (&u16, &usize)| match names.get(value) {
            Some(name) => format!("{value} ({name}): {count} voxels"),
            None => format!("{value}: {count} voxels"),
        };
        let listed = self.0.iter().take(LISTED).map(entry).collect::<Vec<_>>().join(", ");
        match self.0.len().saturating_sub(LISTED) {
            0 => listed,
            more => format!("{listed} and {more} more values"),
        }
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list(&BTreeMap::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;
    use ndarray::Array3;

    #[test]
    fn voxels_are_counted_and_listed() {
        let mut data = Array3::<u16>::zeros((3, 2, 2));
        data[[0, 0, 0]] = 7;
        data[[2, 1, 1]] = 7;
        data[[1, 1, 0]] = 65535;
        let affine = Affine::from_spacing_mm([1.0; 3]);
        let census = Census::of(&Labels { data, affine });
        assert_eq!(census.to_string(), "7: 2 voxels, 65535: 1 voxels");
        assert_eq!(census.present(&[1, 7]), [7]);
        assert_eq!(
            Census::of(&Labels { data: Array3::zeros((1, 1, 1)), affine }).to_string(),
            "only background"
        );
        let many = Census((1..=30).map(|value| (value, 1)).collect());
        assert!(many.to_string().ends_with("20: 1 voxels and 10 more values"));
    }
}
