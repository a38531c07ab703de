//! Writes one scan and its labels in every format, for programs of others to read: `write_formats SERIES NRRD_FOLDER OUT`.
//! SERIES is a folder of CT slices; every NRRD file in NRRD_FOLDER is read and written as NIfTI. Used by `reference/check_nrrd_dicom.py`.
use difftumor_ct::io::dicom::{SeriesPath, SeriesReference, SeriesTemplate, write_seg, write_series};
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::io::{nrrd, read_scan};
use difftumor_ct::{Labels, Volume};
use ndarray::Zip;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [series, nrrd_folder, out] = &paths[..] else { return Err("SERIES NRRD_FOLDER OUT".into()) };
    let place = SeriesPath::of(series).ok_or("SERIES is no folder")?;
    let before = read_scan(series)?.to_volume()?;
    let labels = labels(&before);
    let names: BTreeMap<u16, String> =
        [(1, "liver".into()), (2, "liver_tumor".into()), (3, "kidney_left".into()), (4, "thing".into())]
            .into();
    let mut volume = before;
    Zip::from(&mut volume.data).and(&labels.data).for_each(|hu, &label| {
        if label == 2 {
            *hu = 33.0;
        }
    });
    NiftiImage::from_volume(&volume, difftumor_ct::io::nifti::Datatype::I16, "v")
        .write(out.join("v.nii.gz"))?;
    NiftiImage::from_labels(&labels, "l").write(out.join("l.nii.gz"))?;
    nrrd::write_volume(&volume, &out.join("v.nrrd"))?;
    nrrd::write_labels(&labels, &out.join("l.nrrd"))?;
    nrrd::write_seg_nrrd(&labels, &names, &out.join("l.seg.nrrd"))?;

    let kept = write_series(&volume, &SeriesTemplate::read(&place)?, &out.join("kept"))?;
    write_seg(&labels, &names, &kept.reference, &out.join("kept-seg.dcm"))?;
    write_seg(&labels, &names, &SeriesReference::read(&place)?, &out.join("source-seg.dcm"))?;
    let nobody = write_series(&volume, &SeriesTemplate::anonymous("case-1")?, &out.join("nobody"))?;
    write_seg(&labels, &names, &nobody.reference, &out.join("nobody-seg.dcm"))?;
    let mut halves = volume;
    halves.data.mapv_inplace(|hu| hu / 2.0);
    write_series(&halves, &SeriesTemplate::anonymous("halves")?, &out.join("halves"))?;
    read_all(nrrd_folder, out)
}

/// A liver with a tumor in it, a kidney, and something without a code.
fn labels(volume: &Volume) -> Labels {
    let mut data = volume.data.mapv(|_| 0);
    let [nx, ny, nz] = volume.grid().shape;
    for ((x, y, z), label) in data.indexed_iter_mut() {
        let off = [(x, nx, 3), (y, ny, 2), (z, nz, 2)].map(|(at, n, part)| at as f64 - (n / part) as f64);
        let distance = off.iter().map(|d| d * d).sum::<f64>().sqrt();
        *label = match () {
            _ if distance < 2.5 => 2,
            _ if distance < 20.0 => 1,
            _ if x > 3 * nx / 4 && y > ny / 2 && z + 1 < nz => 3,
            _ if x == 0 && y == 0 && z == 0 => 4,
            _ => 0,
        };
    }
    Labels { data, affine: volume.affine }
}

fn read_all(folder: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !nrrd::is_nrrd(&path) {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let to = out.join(format!("read-{name}.nii.gz"));
        match name.contains(".seg.") {
            true => NiftiImage::from_labels(&nrrd::read_labels(&path)?.labels, "l").write(to)?,
            false => read_scan(&path)?.write(to)?,
        }
    }
    Ok(())
}
