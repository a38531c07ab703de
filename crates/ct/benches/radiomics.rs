//! Time of the radiomics features of a mask: `cargo bench -p difftumor-ct --bench radiomics -- IMAGE.nii.gz MASK.nii.gz`.
//! `reference/bench_radiomics.py` runs it in turns with PyRadiomics.
//!
//! Prints a line of JSON: the best of ten runs in seconds, all classes but first order together and each on its own.
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::radiomics::{Selection, Settings, extract_label};
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let [image, mask] = paths.as_slice() else {
        eprintln!("name an image and a mask: cargo bench -p difftumor-ct --bench radiomics -- IMAGE MASK");
        return;
    };
    let image = NiftiImage::read(image).and_then(|image| image.to_volume()).expect("an image");
    let labels = NiftiImage::read(mask).and_then(|mask| mask.to_labels()).expect("a mask");
    let best_of_ten = |settings: &Settings| {
        let once = || {
            let start = Instant::now();
            black_box(extract_label(&image, &labels, settings).expect("features"));
            start.elapsed().as_secs_f64()
        };
        (0..10).map(|_| once()).fold(f64::INFINITY, f64::min)
    };
    let paper = Settings::paper();
    let each: Vec<String> = (paper.classes.iter())
        .map(|selection: &Selection| {
            let alone = Settings { classes: vec![selection.clone()], ..Settings::default() };
            format!(r#""{}": {:.5}"#, selection.class.name(), best_of_ten(&alone))
        })
        .collect();
    println!(r#"{{"seconds": {:.5}, {}}}"#, best_of_ten(&paper), each.join(", "));
}
