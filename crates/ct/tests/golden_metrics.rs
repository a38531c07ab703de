//! DSC and surface figures against google-deepmind/surface-distance, as the paper's evaluation calls it.
use difftumor_ct::metrics::overlap::Overlap;
use difftumor_ct::metrics::surface::{SurfaceDistances, area_table_mm2};
use difftumor_ct::{Affine, Mask};
use ndarray::Array3;
use safetensors::{Dtype, SafeTensors};
use std::path::PathBuf;

/// Written past the test runner's capture, so that every run shows it.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

/// Values of the golden file are rounded to f32: half an ulp relative to the value is 6e-8.
const ROUNDING_F32: f64 = 6.1e-8;

/// The golden file.
struct Golden(Vec<u8>);

impl Golden {
    /// From `DIFFTUMOR_GOLDENS` or else the workspace. `None` (said aloud) when a set given by the environment does
    /// not have it.
    fn open() -> Option<Self> {
        let given = std::env::var_os("DIFFTUMOR_GOLDENS").map(PathBuf::from);
        let folder = given.clone().unwrap_or(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../goldens"));
        match std::fs::read(folder.join("metrics.safetensors")) {
            Ok(bytes) => Some(Self(bytes)),
            Err(error) if given.is_some() => {
                say!("golden metrics: skipped, {error}");
                None
            }
            Err(error) => panic!("{}: {error}", folder.display()),
        }
    }

    /// A tensor's shape and values; `None` when the file does not have it.
    fn tensor(&self, name: &str) -> Option<(Vec<usize>, Vec<f64>)> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).ok()?;
        let bytes = view.data();
        let values = match view.dtype() {
            Dtype::F32 => {
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect()
            }
            Dtype::I32 => {
                bytes.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()).into()).collect()
            }
            Dtype::U8 => bytes.iter().map(|b| f64::from(*b)).collect(),
            other => panic!("{name}: unexpected type {other:?}"),
        };
        Some((view.shape().to_vec(), values))
    }

    fn values(&self, name: &str) -> Vec<f64> {
        self.tensor(name).unwrap_or_else(|| panic!("golden metrics: no {name}")).1
    }

    /// Truth, prediction and voxel size of a pair. `None` beyond the last.
    fn pair(&self, i: usize) -> Option<(Mask, Mask)> {
        // The library was given the decimal number, 0.7, of which the file holds the f32.
        let spacing_mm: Vec<f64> = (self.tensor(&format!("spacing{i}"))?.1.iter())
            .map(|v| (*v as f32).to_string().parse().unwrap())
            .collect();
        let affine = Affine::from_spacing_mm(spacing_mm.try_into().unwrap());
        let mask = |name: &str| {
            let (shape, values) = self.tensor(&format!("{name}{i}")).unwrap();
            let data = Array3::from_shape_vec((shape[0], shape[1], shape[2]), values).unwrap();
            Mask { data: data.mapv(|v| v > 0.0), affine }
        };
        Some((mask("gt"), mask("pred")))
    }
}

/// The difference relative to the expected value; 0 for nan against `None`, and for equal infinities.
fn off(found: Option<f64>, expected: f64) -> f64 {
    match found {
        None if expected.is_nan() => 0.0,
        Some(found) if found == expected => 0.0,
        Some(found) => (found - expected).abs() / expected.abs().max(f64::MIN_POSITIVE),
        None => f64::INFINITY,
    }
}

#[test]
fn golden_metrics() {
    let Some(golden) = Golden::open() else { return };
    let mut worst: f64 = 0.0;
    let mut compare = |what: String, found: Option<f64>, expected: f64| {
        let off = off(found, expected);
        assert!(off <= ROUNDING_F32, "{what}: {found:?}, expected {expected}");
        worst = worst.max(off);
    };
    let mut pairs = 0;
    while let Some((truth, prediction)) = golden.pair(pairs) {
        let i = pairs;
        let dice = Overlap::between(&truth, &prediction).unwrap().dice();
        compare(format!("DSC of pair {i}"), dice, golden.values(&format!("dice{i}"))[0]);
        let found = SurfaceDistances::between(&truth, &prediction).unwrap();
        let nsd = golden.values(&format!("nsd{i}_tol2_1_05"));
        for (tolerance_mm, expected) in [2.0, 1.0, 0.5].into_iter().zip(nsd) {
            compare(format!("NSD of pair {i} at {tolerance_mm} mm"), found.nsd(tolerance_mm), expected);
        }
        let areas = golden.values(&format!("area{i}_gt_pred"));
        let elements = golden.values(&format!("surfels{i}_gt_pred"));
        for (side, surface) in [&found.truth, &found.prediction].into_iter().enumerate() {
            compare(format!("area {side} of pair {i}"), Some(surface.area_mm2()), areas[side]);
            assert_eq!(surface.elements() as f64, elements[side], "elements {side} of pair {i}");
        }
        pairs += 1;
    }
    say!("golden metrics: {pairs} pairs, worst relative difference {worst:e} (allowed {ROUNDING_F32:e})");
    assert!(pairs > 0, "the golden file holds no pair");
}

#[test]
fn golden_metrics_area_tables() {
    let Some(golden) = Golden::open() else { return };
    let mut worst: f64 = 0.0;
    for (name, spacing_mm) in
        [("area_table_spacing_1_1_1", [1.0; 3]), ("area_table_spacing_07_09_25", [0.7, 0.9, 2.5])]
    {
        let expected = golden.values(name);
        assert_eq!(expected.len(), 256);
        for (code, (found, expected)) in area_table_mm2(spacing_mm).into_iter().zip(expected).enumerate() {
            let off = off(Some(found), expected);
            assert!(off <= ROUNDING_F32, "{name}, code {code}: {found}, expected {expected}");
            worst = worst.max(off);
        }
    }
    say!("golden metrics: area tables, worst relative difference {worst:e}");
}

/// What the library (version 0.1, numpy 2.4, scipy 1.17) gives for the committed pairs: robust Hausdorff distance at
/// 50, 95 and 100 percent, and the average distance from the truth and from the prediction.
#[test]
fn golden_metrics_distances() {
    if std::env::var_os("DIFFTUMOR_GOLDENS").is_some() {
        return say!("golden metrics: distances belong to the committed file, skipped");
    }
    let golden = Golden::open().unwrap();
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    // For two empty masks the library's Hausdorff distance is infinite; here it is not defined.
    let expected = [
        ([0.0, 0.0, 0.0], [0.0, 0.0]),
        ([1.0, 2.0, 2.23606797749979], [0.6297380008501424, 0.6019747591851649]),
        ([2.0999999999999996, 6.0116553460756545, 8.16394512475433], [2.066456764784182, 1.496153657516022]),
        ([INF; 3], [INF, NAN]),
        ([INF; 3], [NAN, INF]),
        ([NAN; 3], [NAN, NAN]),
        ([0.0, 1.6, 2.193171219946131], [0.5889562746169134, 0.5362446312253465]),
    ];
    for (i, (hausdorff_mm, averages_mm)) in expected.into_iter().enumerate() {
        let (truth, prediction) = golden.pair(i).unwrap();
        let found = SurfaceDistances::between(&truth, &prediction).unwrap();
        for (percent, expected) in [50.0, 95.0, 100.0].into_iter().zip(hausdorff_mm) {
            // The very same operations on the same numbers.
            assert_eq!(off(found.hausdorff_mm(percent), expected), 0.0, "pair {i}, {percent} %");
        }
        for (surface, expected) in [&found.truth, &found.prediction].into_iter().zip(averages_mm) {
            // Sums of some 600 terms, each rounded to 1e-16, taken in another order.
            assert!(off(surface.average_mm(), expected) < 1e-13, "pair {i}: {:?}", surface.average_mm());
        }
        let (a, b) = (&found.truth, &found.prediction);
        let mean = match (a.average_mm(), b.average_mm()) {
            (Some(x), Some(y)) => (x * a.area_mm2() + y * b.area_mm2()) / (a.area_mm2() + b.area_mm2()),
            (x, y) => x.or(y).unwrap_or(NAN),
        };
        assert!(off(found.assd_mm(), mean) < 1e-13, "pair {i}: ASSD {:?}, expected {mean}", found.assd_mm());
    }
}
