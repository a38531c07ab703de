//! The same bytes for any number of threads, and many regions at once.
use super::ball;
use difftumor_ct::Mask;
use difftumor_ct::patch::{Fill, crop_image};
use difftumor_ct::radiomics::{Normalization, Settings, extract};
use rayon::prelude::*;

fn bits(settings: &Settings, threads: usize) -> Vec<(String, u64)> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let (image, mask) = ball(40);
    let found = pool.install(|| extract(&image, &mask, settings)).unwrap();
    found.iter().map(|(name, value)| (name.to_string(), value.to_bits())).collect()
}

#[test]
fn features_do_not_depend_on_threads() {
    let normalization = Some(Normalization { scale: 100.0, outliers_sd: None });
    for settings in [Settings::default(), Settings { normalization, ..Settings::default() }] {
        let one = bits(&settings, 1);
        assert_eq!(one.len(), 107);
        assert!([2, 3, 8].into_iter().all(|threads| bits(&settings, threads) == one));
    }
}

#[test]
fn a_cropped_mask_gives_the_same_features() {
    let (image, mask) = ball(24);
    let part = crop_image(&mask, [2, 1, 0], [21, 22, 24], Fill::Constant(false));
    let settings = Settings { correct_mask: true, ..Settings::paper() };
    let whole = extract(&image, &mask, &settings).unwrap();
    assert_eq!(whole.len(), 91);
    assert_eq!(extract(&image, &part, &settings).unwrap(), whole);
}

#[test]
fn many_regions_are_measured_in_parallel() {
    let (image, mask) = ball(24);
    let halves: Vec<Mask> = (6..18)
        .map(|cut| {
            let mut half = mask.clone();
            half.data.indexed_iter_mut().for_each(|((x, _, _), inside)| *inside &= x < cut);
            half
        })
        .collect();
    let settings = Settings::default();
    let at_once: Vec<_> = halves.par_iter().map(|half| extract(&image, half, &settings).unwrap()).collect();
    let in_turn: Vec<_> = halves.iter().map(|half| extract(&image, half, &settings).unwrap()).collect();
    assert_eq!(at_once, in_turn);
    let volumes: Vec<f64> = in_turn.iter().map(|f| f.get("original_shape_VoxelVolume").unwrap()).collect();
    assert!(volumes.is_sorted() && volumes[0] < volumes[11]);
}
