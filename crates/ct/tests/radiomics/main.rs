//! Radiomics against PyRadiomics' baselines and IBSI's reference values, and what it does with bad input.
mod bad;
mod baseline;
mod ibsi;
mod threads;

use difftumor_ct::io::nrrd;
use difftumor_ct::{Affine, Labels, Mask, Volume};
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// A committed file.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/radiomics").join(name)
}

/// Data that may not be committed.
fn shared(name: &str) -> PathBuf {
    let folder =
        std::env::var("DIFFTUMOR_SHARED_DATA").expect("set DIFFTUMOR_SHARED_DATA to the folder of test data");
    Path::new(&folder).join(name)
}

fn read_image(path: &Path) -> Volume {
    nrrd::read(path).and_then(|image| image.to_volume()).expect("an image")
}

fn read_labels(path: &Path) -> Labels {
    nrrd::read_labels(path).expect("labels").labels
}

/// Noise in a ball, of a few dozen levels of 25 HU.
fn ball(side: usize) -> (Volume, Mask) {
    let affine = Affine::from_spacing_mm([0.8, 0.9, 2.5]);
    let mut state = 7_u32;
    let data = Array3::from_shape_fn([side; 3], |(x, y, _)| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 23) as f32 - 200.0 + (10 * x + 5 * y) as f32
    });
    let centre = (side as f64 - 1.0) / 2.0;
    let mask = Array3::from_shape_fn([side; 3], |(x, y, z)| {
        [x, y, z].iter().map(|v| (*v as f64 - centre).powi(2)).sum::<f64>() < (0.4 * side as f64).powi(2)
    });
    (Volume { data, affine }, Mask { data: mask, affine })
}
