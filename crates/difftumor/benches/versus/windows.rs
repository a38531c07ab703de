//! A segmentation network's logits on a whole scan.
use super::{Run, device, segmentation};
use burn::tensor::Device;
use difftumor::segmentation::sliding_window::SlidingWindow;
use difftumor_ct::patch::VoxelBox;
use ndarray::Array3;
use std::hint::black_box;

/// A scan of `side`³ voxels in the published windows: 96³, three quarters of a side shared.
pub fn windows(name: &str, side: usize) -> Option<Run> {
    let device: Device = device();
    let network = segmentation(name)?.init(&device);
    let image =
        Array3::from_shape_fn([side; 3], |(x, y, z)| ((7 * x + 13 * y + 29 * z) % 101) as f32 / 100.0);
    let whole = VoxelBox { start: [0; 3], end: [side; 3] };
    Some(Box::new(move || {
        let logits = SlidingWindow::default().run(&image, whole, &device, |x| network.forward(x), &|_, _| ());
        drop(black_box(logits));
    }))
}
