//! The only bridge between voxels and tensors.
//!
//! Crops are arrays `[H, W, D]` with H towards the right, W anterior and D up (RAS, 1 mm); the networks of stages 1
//! and 2 take `[B, 1, D, H, W]`, those of stage 3 `[B, 1, H, W, D]`. Forget the permutation and everything still runs, only
//! worse (pitfall B27).
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array3;

/// A crop as a batch of one.
pub fn from_crop(crop: &Array3<f32>, device: &Device) -> Tensor<5> {
    let (h, w, d) = crop.dim();
    let values: Vec<f32> = crop.view().permuted_axes([2, 0, 1]).iter().copied().collect();
    Tensor::from_data(TensorData::new(values, [1, 1, d, h, w]), device)
}

/// A patch as the segmentation networks of stage 3 take it: `[1, 1, x, y, z]`, not permuted (spec/segmentation.md section 4).
pub fn from_patch(patch: &Array3<f32>, device: &Device) -> Tensor<5> {
    let (x, y, z) = patch.dim();
    let values: Vec<f32> = patch.iter().copied().collect();
    Tensor::from_data(TensorData::new(values, [1, 1, x, y, z]), device)
}

/// The first item of `[B, 1, D, H, W]` as a crop.
pub fn to_crop(x: Tensor<5>) -> Array3<f32> {
    let [_, _, d, h, w] = x.dims();
    let x = x.slice([0..1, 0..1, 0..d, 0..h, 0..w]);
    let values = x.into_data().convert::<f32>().try_to_vec::<f32>().expect("a float tensor");
    let dhw = Array3::from_shape_vec((d, h, w), values).expect("as many values as the shape says");
    dhw.permuted_axes([1, 2, 0]).as_standard_layout().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_undoes_the_way_there() {
        let crop = Array3::from_shape_fn((3, 4, 5), |(x, y, z)| (x * 100 + y * 10 + z) as f32);
        let t = from_crop(&crop, &Device::flex());
        assert_eq!(t.dims(), [1, 1, 5, 3, 4]);
        let v = t.to_data().try_to_vec::<f32>().unwrap();
        assert_eq!(v[(2 * 3 + 1) * 4 + 3], 132.0); // [d=2, h=1, w=3]
        assert_eq!(to_crop(t), crop);
    }
}
