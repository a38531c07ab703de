//! Radiomics features of a mask as JSON: `cargo run -p difftumor-ct --example radiomics -- IMAGE MASK [PARAMETERS.yaml]`.
//!
//! Image and mask are NIfTI or NRRD files; the parameters are PyRadiomics' own. `reference/check_radiomics.py` compares with PyRadiomics.
use difftumor_ct::io::{nifti::NiftiImage, nrrd, read_scan};
use difftumor_ct::radiomics::{Settings, extract_label, params};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, mask, parameters @ ..] = arguments.as_slice() else {
        return Err("give an image, a mask and perhaps a parameter file".into());
    };
    let settings = match parameters {
        [path, ..] => params::read(Path::new(path))?,
        [] => Settings::default(),
    };
    let image = read_scan(Path::new(image))?.to_volume()?;
    let mask = Path::new(mask);
    let labels = match nrrd::is_nrrd(mask) {
        true => nrrd::read_labels(mask)?.labels,
        false => NiftiImage::read(mask)?.to_labels()?,
    };
    println!("{}", serde_json::to_string_pretty(&extract_label(&image, &labels, &settings)?)?);
    Ok(())
}
