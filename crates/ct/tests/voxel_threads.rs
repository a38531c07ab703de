//! The number of threads must not show in any result.
use difftumor_ct::components::{Connectivity, components};
use difftumor_ct::morphology::{Element, Options, dilate_mm, erode};
use difftumor_ct::resample::{Outside, average, cubic, linear, nearest};
use difftumor_ct::{Affine, Image, distance, filter, patch};
use ndarray::Array3;

#[test]
fn results_are_bit_for_bit_the_same_with_one_and_with_five_threads() {
    let affine = Affine::from_spacing_mm([0.7, 0.8, 2.5]);
    let value =
        |(x, y, z): (usize, usize, usize)| ((x * 7919 + y * 104_729 + z * 1_299_709) % 2003) as f32 * 0.37;
    let ct = Image { data: Array3::from_shape_fn((41, 37, 23), value), affine };
    let mask = Image { data: ct.data.mapv(|v| v > 250.0), affine };
    let iso = ct.grid().isotropic(1.0).unwrap();
    let mut turned = iso;
    turned.affine.0[0][1] = 0.2;
    let all = || {
        let volumes = [iso, turned].map(|grid| {
            [linear, cubic, average].map(|f| f(&ct, &grid, Outside::Edge).unwrap().data.mapv(f32::to_bits))
        });
        let masks = [iso, turned].map(|grid| nearest(&mask, &grid, Outside::Constant(false)).unwrap().data);
        let element = Element::neighbours(Connectivity::Edges);
        (
            volumes,
            masks,
            filter::gaussian(&ct.data, [1.3, 0.7, 2.0]).mapv(f32::to_bits),
            distance::distance_mm(&mask.data, [0.7, 0.8, 2.5]).mapv(f32::to_bits),
            components(&mask.data, Connectivity::Corners).labels(),
            erode(&mask.data, &element, Options::default()),
            dilate_mm(&mask.data, [0.7, 0.8, 2.5], 1.6),
            patch::centre_of_mass_vox(&mask.data).unwrap().map(f64::to_bits),
        )
    };
    let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(all);
    assert!(with(1) == with(5));
}
