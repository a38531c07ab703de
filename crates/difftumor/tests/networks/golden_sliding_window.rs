//! Sliding-window inference against tensors recorded from MONAI 0.9.0 (spec/goldens.md, `seg_losses`).

use crate::common::golden::{Golden, goldens};
use burn::tensor::{Device, Tensor, TensorData};
use difftumor::segmentation::sliding_window::{SlidingWindow, importance_map};
use difftumor_ct::patch::VoxelBox;
use ndarray::Array3;

/// MONAI takes differences of f32 error functions near 1, which are off by 6e-8 each: in units of the largest, 1 / 0.033 times
/// as much for a window of 96.
const WEIGHTS: f32 = 4e-6;
/// Logits are up to 3, and weights of the windows' edges are off by 1e-4 of themselves for the same reason, in MONAI as well
/// (an f64 run of its formulas differs from its f32 results by as much).
const JOINED: f32 = 2e-5;

#[test]
fn golden_seg_importance_maps() {
    for g in goldens("seg_losses", &[]) {
        for side in [[16; 3], [16, 12, 20]] {
            let name = if side == [16; 3] { "importance_roi16" } else { "importance_roi16_12_20" };
            let map = importance_map(side);
            g.compare(name, map.as_slice().unwrap(), WEIGHTS);
        }
        let map = importance_map([96; 3]);
        let line: Vec<f32> = (0..96).map(|z| map[[48, 48, z]]).collect();
        g.compare("importance_96_line", &line, WEIGHTS);
        g.compare("importance_96_corner", &[map[[0, 0, 0]]], 1e-13);
        g.done();
    }
}

fn array(g: &Golden, name: &str) -> Array3<f32> {
    let (shape, values) = g.get(name);
    Array3::from_shape_vec((shape[2], shape[3], shape[4]), values.to_vec()).unwrap()
}

#[test]
fn golden_seg_sliding_window() {
    for g in goldens("seg_losses", &[]) {
        let device = Device::flex();
        let (shape, ramp) = g.get("sw_ramp");
        let side: [usize; 5] = shape.try_into().unwrap();
        let ramp = Tensor::<5>::from_data(TensorData::new(ramp.to_vec(), side), &device);
        // Two classes: the window times a ramp, and plus it.
        let network = |x: Tensor<5>| Tensor::cat(vec![x.clone() * ramp.clone(), x + ramp.clone()], 1);
        let image = array(&g, "sw_in");
        let whole = VoxelBox { start: [0; 3], end: image.dim().into() };
        for (overlap, name) in [(0.5, "sw_out_50"), (0.75, "sw_out_75")] {
            let window = SlidingWindow { roi_vox: [side[2], side[3], side[4]], overlap, mirror: false };
            let out = window.run(&image, whole, &device, network, &|_, _| ());
            let values: Vec<f32> = out.classes.iter().flatten().copied().collect();
            g.compare(name, &values, JOINED);
        }
        g.done();
    }
}
