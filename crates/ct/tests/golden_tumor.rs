//! Tumor shapes, blending and hand-crafted tumors against tensors made with the authors' code.
//!
//! Which cases exist is read from the files: another set of the same kinds passes unchanged.
use difftumor_ct::blend::{blend_published, published_weight, replace_published};
use difftumor_ct::draws::Draws;
use difftumor_ct::filter::gaussian_f64;
use difftumor_ct::handcrafted::texture::{TextureParams, texture_from_noise};
use difftumor_ct::handcrafted::{Insertion, insert, labels};
use difftumor_ct::tumor_mask::generate::{PAPER_RULES, generate};
use difftumor_ct::tumor_mask::place::{bounding_box_centre, erode_slice};
use difftumor_ct::tumor_mask::shape::{DeformedEllipsoid, DisplacementGrid};
use difftumor_ct::tumor_mask::size::{PAPER, Size};
use ndarray::{Array3, Axis};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::path::PathBuf;

/// Written past the test runner's capture, so that every run shows it.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

/// A golden file's bytes; `None` (with a note) when another set lacks it.
fn golden(name: &str) -> Option<Vec<u8>> {
    let given = std::env::var_os("DIFFTUMOR_GOLDENS").map(PathBuf::from);
    let committed = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens"));
    let path = given.clone().unwrap_or_else(committed).join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(e) if given.is_some() => {
            say!("golden {name}: skipped, {e}");
            None
        }
        Err(e) => panic!("{}: {e}", path.display()),
    }
}

/// A tensor's values as f64 with its shape.
fn values(file: &SafeTensors, key: &str) -> Option<(Vec<f64>, Vec<usize>)> {
    let t = file.tensor(key).ok()?;
    let bytes = t.data();
    let v = match t.dtype() {
        Dtype::U8 => bytes.iter().map(|&b| f64::from(b)).collect(),
        Dtype::F32 => {
            bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
        }
        Dtype::I32 => {
            bytes.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap()))).collect()
        }
        other => panic!("{key}: type {other:?}"),
    };
    Some((v, t.shape().to_vec()))
}

fn volume(file: &SafeTensors, key: &str) -> Option<Array3<f64>> {
    let (v, shape) = values(file, key)?;
    Some(Array3::from_shape_vec((shape[0], shape[1], shape[2]), v).unwrap())
}

fn mask(file: &SafeTensors, key: &str) -> Option<Array3<bool>> {
    volume(file, key).map(|v| v.mapv(|x| x >= 0.5))
}

/// Says how much was compared. With the committed files that cannot be nothing.
fn report(name: &str, compared: usize, note: &str) {
    say!("golden {name}: {compared} tensors compared{note}");
    assert!(
        compared > 0 || std::env::var_os("DIFFTUMOR_GOLDENS").is_some(),
        "golden {name}: nothing was compared"
    );
}

/// Numbered cases of a file; a set may leave some out.
const CASES: std::ops::Range<usize> = 0..100;

fn differing(a: &Array3<bool>, b: &Array3<bool>) -> usize {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).filter(|(x, y)| x != y).count()
}

#[test]
fn golden_geometry_of_single_steps() {
    let Some(bytes) = golden("geometry.safetensors") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut compared = 0;
    for case in CASES {
        let Some((radii, _)) = values(&file, &format!("ellipsoid{case}.radii")) else { continue };
        let radii: [usize; 3] = std::array::from_fn(|a| radii[a] as usize);
        let mut grids = [DisplacementGrid([[[0.0; 3]; 3]; 2]); 3];
        // Zero displacement is the identity, so each deformation can be looked at when it is added.
        for (step, key) in ["mask", "deformed01", "deformed12", "deformed02"].into_iter().enumerate() {
            if step > 0 {
                let Some((d, _)) = values(&file, &format!("ellipsoid{case}.disp{}", &key[8..])) else {
                    break;
                };
                grids[step - 1] = DisplacementGrid(std::array::from_fn(|a| {
                    std::array::from_fn(|r| std::array::from_fn(|c| d[a * 9 + r * 3 + c]))
                }));
            }
            let Some(expected) = mask(&file, &format!("ellipsoid{case}.{key}")) else { break };
            let shape = DeformedEllipsoid::new(radii, &grids);
            let ours = shape.rasterize(shape.shape().map(|n| 0..n));
            assert_eq!(differing(&ours, &expected), 0, "ellipsoid{case}.{key}");
            compared += 1;
        }
    }
    if let (Some(organ), Some(expected)) = (mask(&file, "organ"), mask(&file, "organ_eroded_2d_5x5")) {
        for (slice, expected) in organ.axis_iter(Axis(2)).zip(expected.axis_iter(Axis(2))) {
            assert_eq!(erode_slice(slice), expected);
        }
        compared += 1;
        if let Some((centre, _)) = values(&file, "center_select") {
            let ours = bounding_box_centre(&organ, "organ").unwrap();
            assert_eq!(ours.map(|c| c as f64).to_vec(), centre);
            compared += 1;
        }
    }
    if let (Some((v, shape)), Some((expected, _))) =
        (values(&file, "erode_edge_in"), values(&file, "erode_edge_out"))
    {
        let slice = ndarray::Array2::from_shape_vec((shape[0], shape[1]), v).unwrap().mapv(|v| v >= 0.5);
        assert!(erode_slice(slice.view()).iter().zip(&expected).all(|(a, b)| *a == (*b >= 0.5)));
        compared += 1;
    }
    report("geometry", compared, "");
}

/// Replays a log of draws and fails when the generator asks for anything else than what was logged.
struct LoggedDraws<'a> {
    case: &'a str,
    log: &'a [Value],
    next: usize,
}

impl LoggedDraws<'_> {
    fn take(&mut self, kinds: &[&str], bounds: &[f64]) -> Value {
        let at = self.next;
        let entry = self.log.get(at).unwrap_or_else(|| panic!("{}: draw {at} was never made", self.case));
        let kind = entry[0].as_str().unwrap();
        assert!(kinds.contains(&kind), "{}: draw {at} is a {kind}, asked for {kinds:?}", self.case);
        if kind != "py.random" {
            for (i, bound) in bounds.iter().enumerate() {
                assert_eq!(entry[1 + i].as_f64(), Some(*bound), "{}: draw {at}: {entry}", self.case);
            }
        } else {
            assert_eq!(bounds, [0.0, 1.0]);
        }
        self.next += 1;
        entry.as_array().unwrap().last().unwrap().clone()
    }
}

impl Draws for LoggedDraws<'_> {
    fn integer(&mut self, low: i64, high: i64) -> i64 {
        self.take(&["py.randint"], &[low as f64, high as f64]).as_i64().unwrap()
    }
    fn uniform(&mut self, low: f64, high: f64) -> f64 {
        self.take(&["py.uniform", "py.random"], &[low, high]).as_f64().unwrap()
    }
    fn normals(&mut self, out: &mut [f64]) {
        let drawn = self.take(&["np.randn"], &[]);
        let drawn = drawn.as_array().unwrap();
        assert_eq!(drawn.len(), out.len());
        out.iter_mut().zip(drawn).for_each(|(o, d)| *o = d.as_f64().unwrap());
    }
    fn index(&mut self, n: usize) -> usize {
        self.take(&["np.randint"], &[0.0, n as f64]).as_u64().unwrap() as usize
    }
}

#[test]
fn golden_geometry_whole_generator() {
    let (Some(bytes), Some(log)) = (golden("geometry.safetensors"), golden("geometry_draws.json")) else {
        return;
    };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let log: Value = serde_json::from_slice(&log).unwrap();
    let Some(organ) = mask(&file, "organ") else { return report("geometry generator", 0, ", no organ") };
    let mut compared = 0;
    for (case, entry) in log.as_object().unwrap() {
        let Some(expected) = mask(&file, &format!("{case}.mask")) else {
            say!("golden geometry: {case} has draws but no mask, skipped");
            continue;
        };
        let sizes =
            [("tiny", Size::Tiny), ("small", Size::Small), ("medium", Size::Medium), ("large", Size::Large)];
        let (_, size) = sizes.into_iter().find(|(name, _)| entry["type"] == *name).unwrap();
        let class = PAPER.iter().find(|c| c.size == size).unwrap();
        let rules = PAPER_RULES.iter().find(|r| entry["organ"] == r.name).unwrap();
        let mut draws = LoggedDraws { case, log: entry["draws"].as_array().unwrap(), next: 0 };
        let ours = generate(&organ, rules, std::slice::from_ref(class), &mut draws).unwrap();
        assert_eq!(draws.next, draws.log.len(), "{case}: draws left over");
        assert_eq!(differing(&ours, &expected), 0, "{case}");
        compared += 1;
    }
    report("geometry generator", compared, "");
}

fn largest_difference(ours: &Array3<f32>, expected: &Array3<f64>) -> f64 {
    assert_eq!(ours.dim(), expected.dim());
    ours.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

#[test]
fn golden_blend() {
    let Some(bytes) = golden("blend.safetensors") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    // Stored as the networks see it (D, H, W); the crops are (H, W, D).
    let hwd = |v: Array3<f64>| v.permuted_axes([1, 2, 0]).as_standard_layout().into_owned();
    let (Some(healthy), Some(decoded), Some(tumor)) =
        (volume(&file, "ct"), volume(&file, "sample_dhw"), mask(&file, "mask"))
    else {
        return report("blend", 0, ", no inputs");
    };
    let (healthy, decoded) = (healthy.mapv(|v| v as f32), hwd(decoded).mapv(|v| v as f32));
    let (mut compared, mut worst) = (0, 0.0f64);
    // The axes are blurred in another order than (D, H, W): the rounding to f32 between them differs, 6e-8 each.
    const TOLERANCE: f64 = 5e-7;
    let mut check = |key: &str, ours: &Array3<f32>, expected: Array3<f64>| {
        let off = largest_difference(ours, &expected);
        assert!(off < TOLERANCE, "{key}: {off}");
        worst = worst.max(off);
        compared += 1;
    };
    for case in CASES {
        let Some((sigma, _)) = values(&file, &format!("sigma{case}")) else { continue };
        let weight = published_weight(&tumor, sigma[0]);
        if let Some(expected) = volume(&file, &format!("mask_blur{case}_dhw")) {
            check("mask_blur", &weight, hwd(expected));
        }
        if let Some(expected) = volume(&file, &format!("final{case}")) {
            check("final", &blend_published(&healthy, &decoded, &weight), expected);
        }
    }
    if let Some(expected) = volume(&file, "final_pancreas") {
        check("final_pancreas", &replace_published(&decoded), expected);
    }
    report("blend", compared, &format!(", largest difference {worst:.1e}"));
}

/// One case; it needs them all.
const HU2023_TENSORS: [&str; 11] = [
    "noise_a",
    "noise_b",
    "params",
    "texture",
    "sigma_difference",
    "organ",
    "geo",
    "geo_blur",
    "volume_hu",
    "result_hu",
    "result_label",
];

#[test]
fn golden_hu2023() {
    let Some(bytes) = golden("hu2023.safetensors") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let missing: Vec<_> = HU2023_TENSORS.iter().filter(|key| file.tensor(key).is_err()).collect();
    if !missing.is_empty() {
        return report("hu2023", 0, &format!(", {missing:?} missing"));
    }
    let v = |key: &str| volume(&file, key).unwrap();
    let (p, _) = values(&file, "params").unwrap();
    let p = TextureParams { sigma_a_vox: p[0], sigma_b_vox: p[1], scale: p[2], base: p[3], mean: p[4] };
    let ours = texture_from_noise(&v("noise_a"), &v("noise_b"), &p);
    let texture = v("texture");
    let texture_off = largest_difference(&ours.mapv(|t| t as f32), &texture);
    // Noise and parameters are stored as f32 of the f64 that made the texture. A salt voxel would flip where density
    // and noise agree to 1e-7: none does here, and then only rounding remains.
    assert!(texture_off < 1e-6, "texture: {texture_off}");

    let (drawn, _) = values(&file, "sigma_difference").unwrap();
    let (organ, geo) = (mask(&file, "organ").unwrap(), mask(&file, "geo").unwrap());
    let insertion = Insertion { edge_sigma_vox: drawn[0], contrast_hu: drawn[1] };
    let blur = gaussian_f64(&geo.mapv(|g| f64::from(u8::from(g))), [drawn[0]; 3]);
    let blur_off = largest_difference(&blur.mapv(|b| b as f32), &v("geo_blur"));
    assert!(blur_off < 1e-6, "geometry blur: {blur_off}");

    let mut hu = v("volume_hu").mapv(|h| h as f32);
    insert(hu.view_mut(), organ.view(), &geo, &ours, &insertion);
    let hu_off = largest_difference(&hu, &v("result_hu"));
    // f32 at a few hundred HU: half a unit in the last place is 1.5e-5.
    assert!(hu_off < 6e-5, "HU: {hu_off}");
    assert_eq!(labels(&organ, &geo).mapv(f64::from), v("result_label"));
    let note =
        format!(", largest difference {texture_off:.1e} texture, {blur_off:.1e} blur, {hu_off:.1e} HU");
    report("hu2023", 4, &note);
}
