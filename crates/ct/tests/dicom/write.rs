//! Series written: read back, they are the volume that went in, and their headers say what they are.
use super::files::*;
use super::read;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, open_file};
use difftumor_ct::io::dicom::{SeriesPath, SeriesTemplate, WrittenSeries, write_series};
use difftumor_ct::{Affine, Error, Volume};
use ndarray::Array3;
use std::path::Path;

pub fn template(folder: &Path) -> SeriesTemplate {
    SeriesTemplate::read(&SeriesPath::of(folder).unwrap()).unwrap()
}

/// Files of a folder by name.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn value(object: &DefaultDicomObject, tag: Tag) -> String {
    object.get(tag).map_or("none".into(), |e| e.to_str().unwrap().trim_end_matches(['\0', ' ']).to_string())
}

/// A source with a patient and with things that must not be passed on.
fn patient(slices: usize) -> Vec<File> {
    stack(slices)
        .into_iter()
        .map(|file| {
            file.text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100")
                .text(tags::PATIENT_NAME, VR::PN, "Müller^Jörg")
                .text(tags::PATIENT_ID, VR::LO, "17")
                .text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.9")
                .text(tags::STUDY_DATE, VR::DA, "20200102")
                .text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.8")
                .text(tags::SERIES_NUMBER, VR::IS, "4")
                .text(tags::KVP, VR::DS, "120")
                .text(tags::WINDOW_CENTER, VR::DS, "40")
                .text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01")
                .text(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, "10")
                .text(tags::INSTANCE_CREATION_DATE, VR::DA, "20200102")
                .text(tags::PERFORMED_PROCEDURE_STEP_ID, VR::SH, "7")
                .text(Tag(0x6000, 0x1500), VR::LO, "an overlay's label")
                .number(tags::PIXEL_PADDING_VALUE, -2000_i16 as u16)
        })
        .collect()
}

/// Writes a source's volume with some voxels changed to what its rescale can hold.
fn changed(files: &[File], out: &Path, change: impl Fn(&mut Volume)) -> (Volume, WrittenSeries) {
    let dir = folder(files);
    let mut volume = read(dir.path()).image.to_volume().unwrap();
    change(&mut volume);
    let written = write_series(&volume, &template(dir.path()), out).unwrap();
    (volume, written)
}

#[test]
fn what_was_written_is_read_back_voxel_for_voxel() {
    let twelve = |file: File| {
        let stored = file.stored.iter().map(|v| v & 0xfff).collect();
        File { stored, ..file }
            .number(tags::BITS_STORED, 12)
            .number(tags::HIGH_BIT, 11)
            .number(tags::PIXEL_REPRESENTATION, 0)
    };
    let scaled = |slope: &'static str, intercept: &'static str| {
        let set = move |file: File| {
            file.text(tags::RESCALE_SLOPE, VR::DS, slope).text(tags::RESCALE_INTERCEPT, VR::DS, intercept)
        };
        stack(4).into_iter().map(set).collect::<Vec<_>>()
    };
    let mut several = stack(4);
    several[2] = several[2].clone().text(tags::RESCALE_SLOPE, VR::DS, "3");
    let rle = |file: File| File { frame: Some(super::encode::rle(&file.stored)), syntax: RLE, ..file };
    let implicit = |file: File| File { syntax: IMPLICIT, ..file };
    let oblique = "0.6666666667\\0.6666666667\\-0.3333333333\\-0.3333333333\\0.6666666667\\0.6666666667";
    let turned = stack(4).into_iter().enumerate().map(|(z, file)| {
        let along = 2.5 * z as f64 / 3.0;
        File { position_mm: [2.0 * along, -along, 2.0 * along], ..file }.orientation(oblique)
    });
    let cases: Vec<(Vec<File>, f32)> = vec![
        (stack(5), 33.0),
        (patient(4), 33.0),
        (stack(4).into_iter().map(twelve).collect(), 5000.0),
        (scaled("0.1", "-1024.7"), -1021.4),
        (scaled("2", "-1000"), 66.0),
        (several, 3.0),
        (stack(4).into_iter().map(rle).collect(), 33.0),
        (stack(4).into_iter().map(implicit).collect(), 33.0),
        (turned.collect(), 33.0),
    ];
    for (files, hu) in cases {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let (volume, written) = changed(&files, &out, |volume| {
            volume.data[[3, 2, 1]] = hu;
            volume.data[[0, 4, 2]] = hu;
        });
        let series = read(&out);
        assert_eq!(series.warnings.iter().filter(|w| !w.contains("rescale")).count(), 0);
        // To the bit, geometry too.
        assert_eq!(series.image.to_volume().unwrap(), volume);
        assert_eq!(written.clamped_voxels, 0);
        assert_eq!(contents(&out).len(), files.len());
    }
}

#[test]
fn hu_between_steps_are_rounded_and_those_beyond_clamped() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (_, written) = changed(&stack(3), &out, |volume| {
        volume.data[[0, 0, 0]] = 33.4;
        volume.data[[1, 0, 0]] = -33.6;
        volume.data[[2, 0, 0]] = 50_000.0;
    });
    let volume = read(&out).image.to_volume().unwrap();
    // The intercept is -24.
    assert_eq!([0, 1, 2].map(|x| volume.data[[x, 0, 0]]), [33.0, -34.0, 32_743.0]);
    assert_eq!(written.clamped_voxels, 1);
}

#[test]
fn headers_keep_the_patient_and_say_that_the_image_is_synthetic() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (_, written) = changed(&patient(3), &out, |volume| volume.data[[0, 0, 0]] = 7.0);
    let series_uid = written.reference.series_uid().to_string();
    for (z, uid) in written.reference.instance_uids().enumerate() {
        let object = open_file(out.join(format!("{:04}.dcm", z + 1))).unwrap();
        for (tag, expected) in [
            (tags::SPECIFIC_CHARACTER_SET, "ISO_IR 192"),
            (tags::PATIENT_NAME, "Müller^Jörg"),
            (tags::PATIENT_ID, "17"),
            (tags::PATIENT_SEX, ""),
            (tags::STUDY_INSTANCE_UID, "1.2.9"),
            (tags::STUDY_DATE, "20200102"),
            (tags::FRAME_OF_REFERENCE_UID, "1.2.8"),
            (tags::KVP, "120"),
            (tags::WINDOW_CENTER, "40"),
            (tags::LOSSY_IMAGE_COMPRESSION, "01"),
            (tags::LOSSY_IMAGE_COMPRESSION_RATIO, "10"),
            (tags::PIXEL_PADDING_VALUE, "-2000"),
            (tags::SERIES_NUMBER, "1004"),
            (tags::SERIES_DESCRIPTION, "Abdomen, synthetic tumors"),
            (tags::SERIES_INSTANCE_UID, &series_uid),
            (tags::SOP_INSTANCE_UID, uid),
            (tags::SOP_CLASS_UID, CT_IMAGE),
            (tags::IMAGE_TYPE, "DERIVED\\SECONDARY\\AXIAL"),
            (tags::SYNTHETIC_DATA, "YES"),
            (tags::RESCALE_INTERCEPT, "-24"),
            (tags::INSTANCE_CREATION_DATE, "none"),
            (tags::PERFORMED_PROCEDURE_STEP_ID, "none"),
            (Tag(0x6000, 0x1500), "none"),
            (Tag(0x0009, 0x1001), "none"),
        ] {
            assert_eq!(value(&object, tag), expected, "{tag}");
        }
        assert_eq!(object.meta().transfer_syntax().trim_end_matches('\0'), EXPLICIT);
        assert_eq!(object.meta().media_storage_sop_instance_uid().trim_end_matches('\0'), uid);
        assert!(uid.starts_with("2.25.") && uid.len() <= 64);
        let source = object.get(tags::SOURCE_IMAGE_SEQUENCE).unwrap().items().unwrap();
        let referenced = source[0].get(tags::REFERENCED_SOP_INSTANCE_UID).unwrap().to_str().unwrap();
        // What `stack` calls slice z of three.
        assert_eq!(referenced.trim_end_matches('\0'), format!("1.2.3.{}", (z * 13 + 2) % 3));
    }
}

#[test]
fn equal_input_gives_equal_files_and_other_input_other_names() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, files: &[File], hu: f32| {
        let (_, written) = changed(files, &dir.path().join(name), |volume| volume.data[[0, 0, 0]] = hu);
        written.reference.series_uid().to_string()
    };
    let first = write("a", &patient(3), 7.0);
    assert_eq!(first, write("b", &patient(3), 7.0));
    assert_eq!(contents(&dir.path().join("a")), contents(&dir.path().join("b")));
    let other = |file: File| File { series: "1.2.4".into(), ..file };
    let others = [
        write("c", &patient(3), 8.0),
        write("d", &patient(3).into_iter().map(other).collect::<Vec<_>>(), 7.0),
    ];
    assert!(!others.contains(&first) && others[0] != others[1]);
}

/// 6 × 5 × 4 voxels.
fn plain(affine: Affine, hu: impl Fn(usize) -> f32) -> Volume {
    let data = Array3::from_shape_fn((6, 5, 4), |(x, y, z)| hu(x + 6 * y + 30 * z));
    Volume { data, affine }
}

#[test]
fn without_a_source_the_series_is_nobodys_and_complete() {
    let dir = tempfile::tempdir().unwrap();
    let single = |v: f64| f64::from(v as f32);
    let mut affine = Affine::from_spacing_mm([-single(0.7), -single(0.7), 1.25]);
    (affine.0[0][3], affine.0[1][3], affine.0[2][3]) = (single(170.3), single(150.1), -712.5);
    for (name, volume) in [
        ("whole", plain(affine, |i| 13.0 * i as f32 - 1024.0)),
        ("halves", plain(affine, |i| 13.5 * i as f32 - 1024.25)),
        ("large", plain(affine, |i| 1000.0 * i as f32)),
    ] {
        let out = dir.path().join(name);
        write_series(&volume, &SeriesTemplate::anonymous("case-1").unwrap(), &out).unwrap();
        let series = read(&out);
        assert!(series.warnings.is_empty(), "{:?}", series.warnings);
        let found = series.image.to_volume().unwrap();
        if name == "large" {
            // 0 to 119000 HU: steps of 2.
            assert_eq!(found.data, volume.data);
        } else {
            assert_eq!(found, volume, "{name}");
        }
        let object = open_file(out.join("0002.dcm")).unwrap();
        for (tag, expected) in [
            (tags::PATIENT_NAME, "SYNTHETIC^case-1"),
            (tags::PATIENT_ID, "case-1"),
            (tags::INSTANCE_NUMBER, "2"),
            (tags::STUDY_DATE, ""),
            (tags::SYNTHETIC_DATA, "YES"),
            (tags::SOURCE_IMAGE_SEQUENCE, "none"),
        ] {
            assert_eq!(value(&object, tag), expected, "{tag}");
        }
        for tag in [tags::STUDY_INSTANCE_UID, tags::FRAME_OF_REFERENCE_UID] {
            assert!(value(&object, tag).starts_with("2.25."));
        }
    }
}

#[test]
fn a_mirrored_stack_is_read_back_from_the_other_end() {
    // R, A, S: in LPS the third axis runs against row × column.
    let mut affine = Affine::from_spacing_mm([0.5, 0.75, 2.5]);
    (affine.0[0][0], affine.0[2][3]) = (-0.5, 30.0);
    let volume = plain(affine, |i| i as f32);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    write_series(&volume, &SeriesTemplate::anonymous("m").unwrap(), &out).unwrap();
    let found = read(&out).image.to_volume().unwrap();
    assert_eq!(found.affine.apply([0.0, 0.0, 3.0]), [0.0, 0.0, 30.0]);
    for ((x, y, z), hu) in found.data.indexed_iter() {
        assert_eq!(*hu, volume.data[[x, y, 3 - z]]);
    }
}

#[test]
fn what_cannot_be_written_is_said_and_nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let source = folder(&patient(3));
    let volume = read(source.path()).image.to_volume().unwrap();
    let anonymous = SeriesTemplate::anonymous("x").unwrap();
    let out = dir.path().join("out");
    let error =
        |volume: &Volume, template: &SeriesTemplate| write_series(volume, template, &out).unwrap_err();

    let mut shifted = volume.clone();
    shifted.affine.0[2][3] += 5.0;
    assert!(matches!(error(&shifted, &template(source.path())), Error::GridMismatch { .. }));
    let mut sheared = volume.clone();
    sheared.affine.0[1][2] = 0.4;
    assert!(error(&sheared, &anonymous).to_string().contains("right angles"));
    let mut hot = volume.clone();
    hot.data[[1, 2, 0]] = f32::NAN;
    assert!(error(&hot, &anonymous).to_string().contains("found NaN at (1, 2, 0)"));
    for id in ["", "a b", "a\\b", "ü", "a^b", &"x".repeat(49)] {
        assert!(SeriesTemplate::anonymous(id).unwrap_err().to_string().contains("id of a patient"), "{id}");
    }
    assert_eq!(contents(dir.path()).len(), 0);

    write_series(&volume, &anonymous, &out).unwrap();
    let before = contents(&out);
    assert!(error(&volume, &anonymous).to_string().contains("not there yet, or is empty"));
    assert_eq!(contents(&out), before);
    let nowhere = dir.path().join("no/such/out");
    assert!(write_series(&volume, &anonymous, &nowhere).unwrap_err().to_string().contains("no/such/out"));
    // A source whose pixels are gone since it was looked at.
    let gone = template(source.path());
    std::fs::remove_file(source.path().join(&patient(3)[1].name)).unwrap();
    let late = dir.path().join("late");
    assert!(write_series(&volume, &gone, &late).is_err() && !late.exists());
}
