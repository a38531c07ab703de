//! Time of all figures of surfaces of a mask against itself, moved: `cargo bench -p difftumor-ct --bench surface -- MASK.nii.gz`.
//! `reference/bench_surface.py` runs it in turns with google-deepmind/surface-distance.
//!
//! Prints a line of JSON: the best of three runs in seconds (distances, NSD at 2 mm, HD95, ASSD), and the figures.
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::metrics::surface::SurfaceDistances;
use ndarray::{Array3, s};
use std::time::Instant;

/// By which the mask is moved along each axis.
const SHIFT_VOX: [usize; 3] = [4, 3, 2];

fn main() {
    let path = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let Some(path) = path else {
        eprintln!("name a mask: cargo bench -p difftumor-ct --bench surface -- MASK.nii.gz");
        return;
    };
    let labels = NiftiImage::read(path).and_then(|image| image.to_labels()).expect("a mask");
    let truth = labels.data.mapv(|v| v > 0);
    let (x, y, z) = truth.dim();
    let [a, b, c] = SHIFT_VOX;
    let mut moved = Array3::from_elem(truth.dim(), false);
    moved.slice_mut(s![a.., b.., c..]).assign(&truth.slice(s![..x - a, ..y - b, ..z - c]));
    let mut best = f64::INFINITY;
    let mut figures = [0.0; 3];
    for _ in 0..3 {
        let start = Instant::now();
        let surfaces = SurfaceDistances::of(&truth, &moved, labels.affine.spacing_mm());
        figures = [surfaces.nsd(2.0), surfaces.hd95_mm(), surfaces.assd_mm()].map(|f| f.unwrap_or(f64::NAN));
        best = best.min(start.elapsed().as_secs_f64());
    }
    let [nsd, hd95_mm, assd_mm] = figures;
    println!(
        r#"{{"seconds": {best:.4}, "nsd": {nsd:.9}, "hd95_mm": {hd95_mm:.6}, "assd_mm": {assd_mm:.6}}}"#
    );
}
