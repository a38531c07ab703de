//! To a file: an attached header, LPS+ mm, gzip. Equal images give equal files.
use super::fields::escaped;
use super::types;
use crate::error::{Error, Result};
use crate::io::nifti::{Datatype, NiftiImage};
use crate::io::{gzip, write_atomically};
use crate::volume::{Affine, Labels, Volume};
use ndarray::Zip;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Writes a scan in HU as a `.nrrd` file: int16 if all values are whole numbers that fit, otherwise float. The file appears whole or not
/// at all.
///
/// # Errors
/// [`Error::Argument`] when the name does not end in `.nrrd`; [`Error::Io`] when it cannot be written.
pub fn write_volume(volume: &Volume, path: &Path) -> Result<()> {
    let fits = |hu: f32| hu.fract() == 0.0 && (f32::from(i16::MIN)..=f32::from(i16::MAX)).contains(&hu);
    let all_fit = Zip::from(&volume.data).par_fold(|| true, |all, &hu| all && fits(hu), |a, b| a && b);
    let datatype = if all_fit { Datatype::I16 } else { Datatype::F32 };
    write(&NiftiImage::from_volume(volume, datatype, path), &volume.affine, &[], path)
}

/// Writes a label map as a `.nrrd` file of uint8 or, with values above 255, uint16. The file appears whole or not at all.
///
/// # Errors
/// As [`write_volume`].
pub fn write_labels(labels: &Labels, path: &Path) -> Result<()> {
    write(&NiftiImage::from_labels(labels, path), &labels.affine, &[], path)
}

/// Writes an image's voxels, with `affine` (RAS+ mm) in full precision, and keys of a program.
pub(super) fn write(
    image: &NiftiImage,
    affine: &Affine,
    keys: &[(String, String)],
    path: &Path,
) -> Result<()> {
    if !path.to_string_lossy().to_lowercase().ends_with(".nrrd") {
        return Err(Error::Argument {
            what: "name of an NRRD file".into(),
            expected: "a name that ends in .nrrd".into(),
            found: path.display().to_string(),
        });
    }
    let header = header(image, affine, keys);
    let compressed = gzip::deflate(image.data());
    write_atomically(path, |file| {
        file.write_all(header.as_bytes())?;
        file.write_all(&compressed)
    })
}

fn header(image: &NiftiImage, affine: &Affine, keys: &[(String, String)]) -> String {
    // RAS to LPS. `+ 0.0`: no negative zeros.
    let column = |c: usize| {
        let [x, y, z] = [-1.0, -1.0, 1.0];
        let [x, y, z] = [x * affine.0[0][c] + 0.0, y * affine.0[1][c] + 0.0, z * affine.0[2][c] + 0.0];
        format!("({x},{y},{z})")
    };
    let [nx, ny, nz] = image.grid().shape;
    let mut text = format!(
        "NRRD0004\ntype: {}\ndimension: 3\nspace: left-posterior-superior\nsizes: {nx} {ny} {nz}\n\
         space directions: {} {} {}\nkinds: domain domain domain\nendian: little\nencoding: gzip\n\
         space origin: {}\n",
        types::name(image.datatype()),
        column(0),
        column(1),
        column(2),
        column(3)
    );
    for (key, value) in keys {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}:={}", escaped(key), escaped(value));
    }
    text.push('\n');
    text
}
