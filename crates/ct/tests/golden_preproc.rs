//! The scan preparation of the paper (E.2) against MONAI 0.9.0: orientation, spacing, HU window, padding.
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::orient::{AxisCodes, reorient};
use difftumor_ct::patch::{Fill, spatial_pad};
use difftumor_ct::resample::{Outside, linear, nearest};
use difftumor_ct::{Affine, Image};
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

/// One golden file, and how many of its tensors were compared.
struct Golden {
    bytes: Vec<u8>,
    compared: usize,
}

impl Golden {
    /// The file of that name, from `DIFFTUMOR_GOLDENS` or else the workspace. `None` (said aloud) when a set given
    /// by the environment does not have it.
    fn open(name: &str) -> Option<Self> {
        let given = std::env::var_os("DIFFTUMOR_GOLDENS").map(PathBuf::from);
        let folder = given.clone().unwrap_or(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../goldens"));
        match std::fs::read(folder.join(name)) {
            Ok(bytes) => Some(Self { bytes, compared: 0 }),
            Err(error) if given.is_some() => {
                say!("golden {name}: skipped, {error}");
                None
            }
            Err(error) => panic!("{}: {error}", folder.join(name).display()),
        }
    }

    /// A tensor's shape and values as f64. `None` (said aloud) when the file does not have it.
    fn tensor(&self, name: &str) -> Option<(Vec<usize>, Vec<f64>)> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let Ok(view) = file.tensor(name) else {
            say!("golden preproc: no {name}, skipped");
            return None;
        };
        let bytes = view.data();
        let values = match view.dtype() {
            Dtype::F64 => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::F32 => {
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect()
            }
            Dtype::U8 => bytes.iter().map(|b| f64::from(*b)).collect(),
            other => panic!("{name}: unexpected type {other:?}"),
        };
        Some((view.shape().to_vec(), values))
    }

    /// A tensor `[1, x, y, z]`.
    fn volume(&self, name: &str) -> Option<Array3<f64>> {
        let (shape, values) = self.tensor(name)?;
        assert_eq!((shape.len(), shape[0]), (4, 1), "{name} {shape:?}");
        Some(Array3::from_shape_vec((shape[1], shape[2], shape[3]), values).unwrap())
    }

    fn affine(&self, name: &str) -> Option<Affine> {
        let (_, values) = self.tensor(name)?;
        Some(Affine(std::array::from_fn(|r| std::array::from_fn(|c| values[4 * r + c]))))
    }

    /// Compares with a tensor `[1, x, y, z]`, when it is there.
    fn compare<T: Copy + Into<f64>>(&mut self, name: &str, found: &Array3<T>, tolerance: f64) {
        let Some(expected) = self.volume(name) else { return };
        assert_eq!(found.dim(), expected.dim(), "{name}");
        let off = found.iter().zip(&expected).map(|(a, b)| ((*a).into() - b).abs()).fold(0.0, f64::max);
        println!("golden preproc: {name}: worst {off:e} (allowed {tolerance:e})");
        assert!(off <= tolerance, "{name}: off by {off}, allowed {tolerance}");
        self.compared += 1;
    }

    fn compare_affine(&mut self, name: &str, found: &Affine) {
        let Some(expected) = self.affine(name) else { return };
        for r in 0..4 {
            for c in 0..4 {
                // Stored as f32: one ulp at 100 mm is 7.6e-6; the input affine was rounded alike, times 20 voxels.
                assert!((found.0[r][c] - expected.0[r][c]).abs() < 2e-5, "{name}: {found:?} {expected:?}");
            }
        }
        self.compared += 1;
    }
}

#[test]
fn golden_preproc() {
    let Some(mut golden) = Golden::open("preproc.safetensors") else { return };
    let (Some(affine), Some(ct), Some(label)) =
        (golden.affine("affine"), golden.volume("image"), golden.volume("label"))
    else {
        assert!(std::env::var_os("DIFFTUMOR_GOLDENS").is_some(), "the committed file holds no input");
        return say!("golden preproc: no input scan, skipped");
    };
    let ct = Image { data: ct.mapv(|v| v as f32), affine };
    let label = Image { data: label.mapv(|v| v as u16), affine };

    let ct_ras = reorient(&ct, AxisCodes::RAS).unwrap();
    let label_ras = reorient(&label, AxisCodes::RAS).unwrap();
    golden.compare("image_ras", &ct_ras.data, 0.0);
    golden.compare("label_ras", &label_ras.data, 0.0);
    golden.compare_affine("affine_ras", &ct_ras.affine);

    let iso = ct_ras.grid().isotropic(1.0).unwrap();
    let ct_iso = linear(&ct_ras, &iso, Outside::Edge).unwrap();
    // MONAI works out positions through torch's [-1, 1] coordinates: 1e-7 voxels of a 500 HU step; and the affine of
    // the file is rounded to f32.
    golden.compare("image_iso", &ct_iso.data, 1e-4);
    golden.compare("label_iso", &nearest(&label_ras, &iso, Outside::Edge).unwrap().data, 0.0);
    golden.compare_affine("affine_iso", &ct_iso.affine);

    let window = HuWindow::default();
    let unit = Image { data: ct_iso.data.mapv(|hu| window.to_unit(hu)), affine: iso.affine };
    // The same differences, divided by the window's width of 425 HU (212.5 for the signed range).
    golden.compare("image_scaled01", &unit.data, 1e-4 / 425.0);
    golden.compare("image_scaled11", &ct_iso.data.mapv(|hu| window.to_signed(hu)), 1e-4 / 212.5);
    if let Some(exact) = golden.volume("image_iso") {
        // From MONAI's own HU the window's arithmetic is the same to the last bit.
        golden.compare("image_scaled01", &exact.mapv(|hu| window.to_unit(hu as f32)), 0.0);
        golden.compare("image_scaled11", &exact.mapv(|hu| window.to_signed(hu as f32)), 0.0);
    }

    let file = SafeTensors::deserialize(&golden.bytes).unwrap();
    let sides: Vec<usize> =
        file.names().iter().filter_map(|n| n.strip_prefix("image_padded")?.parse().ok()).collect();
    for side in sides {
        let padded = spatial_pad(&unit, [side; 3], Fill::Minimum);
        golden.compare(&format!("image_padded{side}"), &padded.data, 1e-4 / 425.0);
    }
    say!("golden preproc: {} tensors compared", golden.compared);
    assert!(golden.compared > 0, "the golden file holds nothing that could be compared");
}
