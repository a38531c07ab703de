//! Times of the voxel operations on an abdominal CT's size: `cargo bench -p difftumor-ct --bench voxel`.
//!
//! Prints a table: operation, best of five runs in seconds. The scan is made up (512×512×119 voxels of
//! 0.743×0.743×1.6 mm, noise around a liver-sized ellipsoid): only its size and the liver's size matter for the times.
use difftumor_ct::components::{Connectivity, components};
use difftumor_ct::morphology::{Element, Options, dilate_mm, erode};
use difftumor_ct::orient::{AxisCodes, reorient};
use difftumor_ct::resample::{Outside, average, cubic, linear, nearest};
use difftumor_ct::{Affine, Image, distance, filter, patch};
use ndarray::Array3;
use std::hint::black_box;
use std::time::Instant;

const SHAPE: [usize; 3] = [512, 512, 119];
const SPACING_MM: [f64; 3] = [0.743, 0.743, 1.6];
/// Semi-axes of the ellipsoid: 1.6 litres.
const LIVER_MM: [f64; 3] = [90.0, 65.0, 65.0];

fn best_of_five<T>(name: &str, mut f: impl FnMut() -> T) {
    let once = |f: &mut dyn FnMut() -> T| {
        let start = Instant::now();
        black_box(f());
        start.elapsed().as_secs_f64()
    };
    let best = (0..5).map(|_| once(&mut f)).fold(f64::INFINITY, f64::min);
    println!("{name:<48} {best:8.3}");
}

fn main() {
    let affine = Affine::from_spacing_mm(SPACING_MM);
    let liver = Array3::from_shape_fn(SHAPE, |(x, y, z)| {
        let at = [x, y, z];
        let part = |a: usize| ((at[a] as f64 - 0.45 * SHAPE[a] as f64) * SPACING_MM[a] / LIVER_MM[a]).powi(2);
        (0..3).map(part).sum::<f64>() < 1.0
    });
    let mut state = 1_u32;
    let ct = Array3::from_shape_fn(SHAPE, |at| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 24) as f32 - 128.0;
        (if liver[at] { 100.0 } else { -20.0 }) + noise
    });
    let dense = ct.mapv(|hu| hu > 60.0);
    let (ct, liver_mask) = (Image { data: ct, affine }, Image { data: liver, affine });
    let iso = ct.grid().isotropic(1.0).expect("a sound grid");
    let mut turned = iso;
    turned.affine.0[0][1] = 0.2;
    let ct_iso = linear(&ct, &iso, Outside::Edge).expect("sound grids");
    let liver = &liver_mask.data;

    println!("{:<48} {:>8}", "operation", "seconds");
    best_of_five("linear to 1 mm", || linear(&ct, &iso, Outside::Edge));
    best_of_five("linear to 1 mm, oblique", || linear(&ct, &turned, Outside::Edge));
    best_of_five("cubic to 1 mm", || cubic(&ct, &iso, Outside::Edge));
    best_of_five("nearest (mask) to 1 mm", || nearest(&liver_mask, &iso, Outside::Edge));
    best_of_five("average of 1 mm back onto the scan", || average(&ct_iso, &ct.grid(), Outside::Edge));
    best_of_five("reorient (flips)", || reorient(&ct, "LPI".parse::<AxisCodes>().expect("codes")));
    best_of_five("reorient (x and z change places)", || {
        reorient(&ct, "SAR".parse::<AxisCodes>().expect("codes"))
    });
    best_of_five("distance inside the liver", || distance::distance_mm(liver, SPACING_MM));
    best_of_five("dilate the liver by 5 mm", || dilate_mm(liver, SPACING_MM, 5.0));
    let corners = Element::neighbours(Connectivity::Corners);
    best_of_five("erode the liver, 26 neighbours", || erode(liver, &corners, Options::default()));
    best_of_five("26-components of the liver", || components(liver, Connectivity::Corners));
    best_of_five("26-components of thresholded noise", || components(&dense, Connectivity::Corners));
    best_of_five("largest component of that, as a mask", || {
        let found = components(&dense, Connectivity::Corners);
        let label = found.largest().map(|part| part.label);
        found.keep(|part| Some(part.label) == label)
    });
    best_of_five("bounding box and centre of the liver", || {
        (patch::bounding_box(liver), patch::centre_of_mass_vox(liver))
    });
    best_of_five("Gaussian blur of the scan, sigma 2", || filter::gaussian(&ct.data, [2.0; 3]));
}
