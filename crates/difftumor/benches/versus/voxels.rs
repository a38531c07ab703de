//! Operations on whole scans.
use super::Run;
use difftumor_ct::components::{Connectivity, components};
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::resample::{Outside, linear};
use difftumor_ct::{distance, filter};
use std::hint::black_box;
use std::path::Path;

fn time<T>(mut f: impl FnMut() -> T + 'static) -> Run {
    Box::new(move || drop(black_box(f())))
}

/// Operations on the scan and the liver mask in `case`.
pub fn voxels(stage: &str, case: &Path) -> Option<Run> {
    let path = case.join("ct.nii.gz");
    if stage == "read" {
        return Some(time(move || {
            NiftiImage::read(&path).expect("the scan of bench.py").to_volume().expect("a CT")
        }));
    }
    let open = |path: &Path| NiftiImage::read(path).expect("a file of bench.py").to_volume().expect("a CT");
    let liver = || open(&case.join("liver.nii.gz")).data.mapv(|v| v > 0.0);
    let ct = open(&path);
    let spacing_mm = ct.affine.spacing_mm();
    Some(match stage {
        "linear" => {
            let iso = ct.grid().isotropic(1.0).expect("a sound grid");
            time(move || linear(&ct, &iso, Outside::Edge))
        }
        "gaussian" => time(move || filter::gaussian(&ct.data, [2.0; 3])),
        "distance" => {
            let liver = liver();
            drop(ct);
            time(move || distance::distance_mm(&liver, spacing_mm))
        }
        "components" => {
            let liver = liver();
            drop(ct);
            time(move || components(&liver, Connectivity::Corners).labels())
        }
        "components-noise" => {
            let dense = ct.data.mapv(|hu| hu > 60.0);
            drop(ct);
            time(move || components(&dense, Connectivity::Corners).labels())
        }
        _ => return None,
    })
}
