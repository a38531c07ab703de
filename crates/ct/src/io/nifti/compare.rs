//! Two images by their stored bytes.
use super::NiftiImage;
use ndarray::Array3;

impl NiftiImage {
    /// Voxels whose stored bytes differ from `other`'s, `[x, y, z]`. `None` when anything else than voxels differs:
    /// header, extensions, or padding.
    pub fn changed_voxels(&self, other: &Self) -> Option<Array3<bool>> {
        if self.bytes.len() != other.bytes.len() || self.frame() != other.frame() {
            return None;
        }
        let ([nx, ny, nz], size) = (self.grid.shape, self.datatype.bytes());
        let mut changed = Array3::from_elem((nx, ny, nz), false);
        let voxels = self.data().chunks_exact(size).zip(other.data().chunks_exact(size));
        for (i, _) in voxels.enumerate().filter(|(_, (a, b))| a != b) {
            changed[[i % nx, i / nx % ny, i / nx / ny]] = true;
        }
        Some(changed)
    }

    /// What comes before and after the voxels.
    fn frame(&self) -> (&[u8], &[u8]) {
        (&self.bytes[..self.vox_offset], &self.bytes[self.vox_offset + self.data_len()..])
    }
}

#[cfg(test)]
mod tests {
    use crate::io::nifti::{Datatype, NiftiImage};
    use crate::volume::{Affine, Volume};
    use ndarray::Array3;

    #[test]
    fn the_changed_voxel_is_found_and_a_changed_header_refused() {
        let data = Array3::from_shape_fn((4, 3, 2), |(x, y, z)| (x + 10 * y + 100 * z) as f32);
        let before = Volume { data, affine: Affine::from_spacing_mm([1.0; 3]) };
        let image = NiftiImage::from_volume(&before, Datatype::I16, "a.nii");
        let mut after = before.clone();
        after.data[[1, 2, 1]] -= 7.0;
        let changed = image.with_changes(&before, &after).changed_voxels(&image).unwrap();
        let found: Vec<_> = changed.indexed_iter().filter(|(_, c)| **c).map(|(at, _)| at).collect();
        assert_eq!(found, [(1, 2, 1)]);
        let shifted = Volume { affine: Affine::from_spacing_mm([1.0, 1.0, 2.0]), ..before.clone() };
        let other = NiftiImage::from_volume(&shifted, Datatype::I16, "b.nii");
        assert!(other.changed_voxels(&image).is_none());
        assert_eq!(image.step_hu(), Some(1.0));
        assert_eq!(NiftiImage::from_volume(&before, Datatype::F32, "c.nii").step_hu(), None);
    }
}
