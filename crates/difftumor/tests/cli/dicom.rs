//! DICOM series in place of NIfTI files: the same outputs, and records that know their slices.

use crate::phantom::{Files, LPS, SHAPE, json, standard, synthesize, tree};
use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use difftumor::dataset::CaseSource;
use difftumor::dataset::patients::origins;
use difftumor_ct::Volume;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::io::read_scan;
use difftumor_ct::label::LabelFile;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Writes the phantom of [`standard`] and this name as a series of uncompressed slices, named downwards.
fn series(dir: &Path, name: &str) -> PathBuf {
    let (Volume { data, .. }, _) = crate::phantom::phantom(SHAPE, LPS, name.bytes().map(u64::from).sum());
    let folder = dir.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for z in 0..SHAPE.2 {
        // LPS in RAS: 2 x 2 x 5 mm from (90, 80, -40); DICOM's x and y have the other sign.
        let position = format!("-90\\-80\\{}", -40 + 5 * z as i32);
        let texts = [
            (tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.2"),
            (tags::SOP_INSTANCE_UID, VR::UI, &format!("1.2.{}", 100 + z)),
            (tags::STUDY_INSTANCE_UID, VR::UI, "1.3"),
            (tags::SERIES_INSTANCE_UID, VR::UI, "1.2"),
            (tags::MODALITY, VR::CS, "CT"),
            (tags::IMAGE_POSITION_PATIENT, VR::DS, &position),
            (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
            (tags::PIXEL_SPACING, VR::DS, "2\\2"),
            (tags::RESCALE_INTERCEPT, VR::DS, "-1024"),
            (tags::RESCALE_SLOPE, VR::DS, "1"),
        ];
        let numbers = [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::COLUMNS, SHAPE.0 as u16),
            (tags::ROWS, SHAPE.1 as u16),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 12),
            (tags::HIGH_BIT, 11),
            (tags::PIXEL_REPRESENTATION, 0),
        ];
        let mut object = InMemDicomObject::new_empty();
        for (tag, vr, text) in texts {
            object.put(DataElement::new(tag, vr, PrimitiveValue::from(text)));
        }
        for (tag, number) in numbers {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
        }
        let stored = (0..SHAPE.1).flat_map(|y| (0..SHAPE.0).map(move |x| (x, y)));
        let stored: Vec<u16> = stored.map(|(x, y)| (data[[x, y, z]] + 1024.0) as u16).collect();
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(stored.into())));
        let meta = FileMetaTableBuilder::new().transfer_syntax("1.2.840.10008.1.2.1");
        let path = folder.join(format!("{:02}.dcm", 99 - z));
        object.with_meta(meta).unwrap().write_to_file(path).unwrap();
    }
    folder
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_series_gives_what_its_nifti_file_gives() {
    let dir = tempfile::tempdir().unwrap();
    let nifti = standard(dir.path(), "a");
    let dicom = Files { ct: series(&dir.path().join("series"), "a"), labels: nifti.labels.clone() };
    let outs = ["nifti", "dicom"].map(|name| dir.path().join(name));
    for (files, out) in [&nifti, &dicom].into_iter().zip(&outs) {
        let (code, stderr) = synthesize(files, out, &[]);
        assert_eq!(code, 0, "{stderr}");
    }
    for file in ["ct.nii.gz", "labels.nii.gz", "tumors.nii.gz"] {
        let [a, b] = [0, 1].map(|i| std::fs::read(outs[i].join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }
    // The recorded hash: lines of UID and file hash, by UID.
    let lines: String = (0..SHAPE.2)
        .map(|z| {
            let file = std::fs::read(dicom.ct.join(format!("{:02}.dcm", 99 - z))).unwrap();
            format!("1.2.{} {}\n", 100 + z, hex(&file))
        })
        .collect();
    let record = json(&outs[1].join("record.json")).to_string();
    assert!(record.contains(&hex(lines.as_bytes())), "{record}");
    // Other names of the slices are the same series; other pixels are not.
    std::fs::rename(dicom.ct.join("99.dcm"), dicom.ct.join("first")).unwrap();
    assert_eq!(synthesize(&dicom, &outs[1], &["--resume"]).0, 0);
    // A synthetic copy is traced to its series, whatever the case is called now.
    let case =
        |id: &str, ct: PathBuf, labels: PathBuf| CaseSource { id: id.into(), ct, labels, patient: None };
    let copy = case("copy", outs[1].join("ct.nii.gz"), outs[1].join("labels.nii.gz"));
    let renamed = case("renamed", dicom.ct.clone(), dicom.labels.clone());
    let origins = origins(&[copy, renamed]);
    assert_eq!((origins[0].patient.as_str(), origins[0].synthetic), ("renamed", true));
    let slice = dicom.ct.join("90.dcm");
    let mut bytes = std::fs::read(&slice).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&slice, bytes).unwrap();
    let (code, stderr) = synthesize(&dicom, &outs[1], &["--resume"]);
    assert!(code == 1 && stderr.contains("made otherwise"), "{code} {stderr}");
}

#[test]
fn a_folder_of_series_is_a_dataset_and_a_bad_one_stops_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (scans, labels) = (dir.path().join("scans"), dir.path().join("labels"));
    std::fs::create_dir_all(&labels).unwrap();
    for name in ["a", "b", "c"] {
        let files = standard(dir.path(), name);
        std::fs::copy(&files.labels, labels.join(format!("{name}.nii.gz"))).unwrap();
        match name {
            "c" => drop(std::fs::copy(&files.ct, scans.join("c.nii.gz")).unwrap()),
            _ => drop(series(&scans, name)),
        }
    }
    std::fs::remove_file(scans.join("b/90.dcm")).unwrap();
    std::fs::create_dir(scans.join("notes")).unwrap();
    let out = dir.path().join("out");
    let (code, stderr) = synthesize(&Files { ct: scans.clone(), labels }, &out, &[]);
    assert_eq!(code, 1, "{stderr}");
    for part in ["b: gaps between slices", "found 10.000 mm from 0.00 (91.dcm) to 10.00 (89.dcm)"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    assert!(
        out.join("a/ct.nii.gz").is_file() && out.join("c/ct.nii.gz").is_file() && !out.join("b").exists()
    );
}

/// One text of a file's header.
fn header(file: &Path, tag: dicom_core::Tag) -> String {
    let object = dicom_object::open_file(file).unwrap();
    object.element(tag).unwrap().to_str().unwrap().trim_end_matches(['\0', ' ']).to_string()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn outputs_may_be_dicom_and_slicers_segmentations_too() {
    let dir = tempfile::tempdir().unwrap();
    let nifti = standard(dir.path(), "a");
    let dicom = Files { ct: series(&dir.path().join("series"), "a"), labels: nifti.labels.clone() };
    for (name, source) in [("nifti", &nifti), ("dicom", &dicom)] {
        let out = dir.path().join(name);
        let (code, stderr) = synthesize(source, &out, &["--also", "dicom,seg,nrrd"]);
        assert_eq!(code, 0, "{name}: {stderr}");
        // The series is the scan in ct.nii.gz, voxel for voxel.
        let written = read_scan(&out.join("dicom")).unwrap().to_volume().unwrap();
        let stored = NiftiImage::read(out.join("ct.nii.gz")).unwrap().to_volume().unwrap();
        written.grid().require_same("written", &stored.grid(), "stored").unwrap();
        assert!(written.data == stored.data, "{name}");
        let slices = files(&out.join("dicom"));
        assert_eq!(slices.len(), SHAPE.2);
        assert_eq!(header(&slices[0], tags::SYNTHETIC_DATA), "YES");
        assert_ne!(header(&slices[0], tags::SERIES_INSTANCE_UID), "1.2");
        // The labels with their names.
        let labels = LabelFile::read(&out.join("labels.nii.gz")).unwrap();
        let nrrd = LabelFile::read(&out.join("labels.seg.nrrd")).unwrap();
        assert_eq!(nrrd.labels.data, labels.labels.data);
        assert_eq!(nrrd.names[&2], "tumor");
        let seg = dicom_object::open_file(out.join("labels.dcm")).unwrap();
        assert_eq!(seg.element(tags::MODALITY).unwrap().to_str().unwrap().trim(), "SEG");
        assert_eq!(seg.element(tags::SEGMENT_SEQUENCE).unwrap().items().unwrap().len(), 2);
        let listed = json(&out.join("record.json"))["files"].to_string();
        assert!(
            ["dicom", "labels.dcm", "labels.seg.nrrd"].iter().all(|file| listed.contains(file)),
            "{listed}"
        );
        // The same call goes on with it, and makes the same bytes anew.
        let before = tree(&out);
        assert_eq!(synthesize(source, &out, &["--also", "nrrd,seg,dicom", "--resume"]).0, 0);
        assert_eq!(synthesize(source, &out, &["--also", "dicom", "seg", "nrrd", "--force"]).0, 0);
        assert_eq!(tree(&out), before);
        std::fs::remove_dir_all(out.join("dicom")).unwrap();
        let (code, stderr) = synthesize(source, &out, &["--also", "dicom,seg,nrrd", "--resume"]);
        assert!(code == 1 && stderr.contains("the file dicom"), "{stderr}");
    }
    // The patient's study, or nobody's.
    let out = dir.path().join("seg");
    let (code, stderr) = synthesize(&nifti, &out, &["--also", "seg"]);
    assert!(code == 1 && stderr.contains("--also dicom"), "{stderr}");
    assert!(!out.exists());
    let (code, stderr) = synthesize(&dicom, &out, &["--also", "seg"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(out.join("labels.dcm").is_file() && !out.join("dicom").exists());
}
