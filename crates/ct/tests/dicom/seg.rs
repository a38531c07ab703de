//! Segmentations written: bits, places, references and codes, as they lie in the file.
use super::files::*;
use super::read;
use super::write::template;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags as t;
use dicom_object::{InMemDicomObject, open_file};
use difftumor_ct::io::dicom::{SeriesPath, SeriesReference, SeriesTemplate, write_seg, write_series};
use difftumor_ct::{Error, Labels};
use ndarray::Array3;
use std::collections::BTreeMap;
use std::path::Path;

fn names() -> BTreeMap<u16, String> {
    [(1, "liver".into()), (2, "liver_tumor".into()), (9, "kidney_left".into())].into()
}

/// A liver in slices 0 to 2, a tumor in slice 1, and something without a name in slice 3.
fn labels(series: &SeriesReference) -> Labels {
    let grid = series.grid();
    let mut data = Array3::zeros(grid.shape);
    for z in 0..3 {
        for x in 0..5 {
            data[[x, 2, z]] = 1;
        }
    }
    data[[3, 2, 1]] = 2;
    data[[6, 4, 3]] = 700;
    Labels { data, affine: grid.affine }
}

fn source() -> tempfile::TempDir {
    let with_study =
        |file: File| file.text(t::STUDY_INSTANCE_UID, VR::UI, "1.2.9").text(t::PATIENT_NAME, VR::PN, "A^B");
    folder(&stack(4).into_iter().map(with_study).collect::<Vec<_>>())
}

fn reference(folder: &Path) -> SeriesReference {
    SeriesReference::read(&SeriesPath::of(folder).unwrap()).unwrap()
}

fn text(object: &InMemDicomObject, tag: Tag) -> String {
    object.get(tag).map_or("none".into(), |e| e.to_str().unwrap().trim_end_matches(['\0', ' ']).to_string())
}

fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).unwrap_or_else(|| panic!("{tag}")).items().unwrap()
}

/// The only item of the only item …
fn inner<'a>(object: &'a InMemDicomObject, path: &[Tag]) -> &'a InMemDicomObject {
    path.iter().fold(object, |object, tag| {
        let [item] = items(object, *tag) else { panic!("{tag}") };
        item
    })
}

#[test]
fn a_segmentation_has_the_labels_bits_and_refers_to_its_series() {
    let source = source();
    let series = reference(source.path());
    let labels = labels(&series);
    let path = source.path().join("seg.dcm");
    write_seg(&labels, &names(), &series, &path).unwrap();
    let object = open_file(&path).unwrap();
    assert_eq!(text(&object, t::MODALITY), "SEG");
    assert_eq!(
        (text(&object, t::PATIENT_NAME), text(&object, t::STUDY_INSTANCE_UID)),
        ("A^B".into(), "1.2.9".into())
    );
    assert_eq!(text(&object, t::LOSSY_IMAGE_COMPRESSION), "00");
    assert!(text(&object, t::FRAME_OF_REFERENCE_UID).starts_with("2.25."));

    let segments = items(&object, t::SEGMENT_SEQUENCE);
    let coded = |segment, tag| text(inner(segment, &[tag]), t::CODE_VALUE);
    let found: Vec<_> = segments
        .iter()
        .map(|s| {
            let codes =
                [t::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, t::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE];
            (text(s, t::SEGMENT_NUMBER), text(s, t::SEGMENT_LABEL), codes.map(|tag| coded(s, tag)))
        })
        .collect();
    let row =
        |number: &str, label: &str, codes: [&str; 2]| (number.into(), label.into(), codes.map(String::from));
    let expected = [
        row("1", "liver", ["123037004", "10200004"]),
        row("2", "liver_tumor", ["49755003", "108369006"]),
        row("3", "Segment 700", ["85756007", "85756007"]),
    ];
    assert_eq!(found, expected);

    let bits = object.get(t::PIXEL_DATA).unwrap().to_bytes().unwrap();
    let frames = items(&object, t::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    assert_eq!((frames.len(), text(&object, t::NUMBER_OF_FRAMES)), (5, "5".into()));
    assert_eq!(bits.len(), (5_usize * ROWS * COLUMNS).div_ceil(8).next_multiple_of(2));
    let instances: Vec<&str> = series.instance_uids().collect();
    let expected = [(1, 0), (1, 1), (1, 2), (2, 1), (700, 3)];
    for (i, (frame, (value, z))) in frames.iter().zip(expected).enumerate() {
        for y in 0..ROWS {
            for x in 0..COLUMNS {
                let at = (i * ROWS + y) * COLUMNS + x;
                assert_eq!(bits[at / 8] >> (at % 8) & 1 == 1, labels.data[[x, y, z]] == value, "{i} {x} {y}");
            }
        }
        let image = inner(frame, &[t::DERIVATION_IMAGE_SEQUENCE, t::SOURCE_IMAGE_SEQUENCE]);
        assert_eq!(text(image, t::REFERENCED_SOP_INSTANCE_UID), instances[z]);
        let place = text(inner(frame, &[t::PLANE_POSITION_SEQUENCE]), t::IMAGE_POSITION_PATIENT);
        assert_eq!(place, format!("-100\\-90.5\\{}", -40.0 + 2.5 * z as f64));
    }
    let shared = inner(&object, &[t::SHARED_FUNCTIONAL_GROUPS_SEQUENCE]);
    assert_eq!(text(inner(shared, &[t::PIXEL_MEASURES_SEQUENCE]), t::PIXEL_SPACING), "0.75\\0.5");
    assert_eq!(text(inner(shared, &[t::PIXEL_MEASURES_SEQUENCE]), t::SPACING_BETWEEN_SLICES), "2.5");
    let referenced = inner(&object, &[t::REFERENCED_SERIES_SEQUENCE]);
    assert_eq!(text(referenced, t::SERIES_INSTANCE_UID), "1.2.3");
    assert_eq!(items(referenced, t::REFERENCED_INSTANCE_SEQUENCE).len(), 4);

    // The scan beside it is read as before.
    assert_eq!(read(source.path()).warnings, ["left out: 1 objects of other modalities"]);
    let again = source.path().join("again.dcm");
    write_seg(&labels, &names(), &series, &again).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
}

#[test]
fn a_segmentation_of_a_written_series_refers_to_that_one() {
    let source = source();
    let volume = read(source.path()).image.to_volume().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, template) in
        [("kept", template(source.path())), ("nobody", SeriesTemplate::anonymous("n").unwrap())]
    {
        let out = dir.path().join(name);
        let written = write_series(&volume, &template, &out).unwrap();
        // What is known after writing is what is in the files.
        let found = reference(&out);
        assert_eq!(found.series_uid(), written.reference.series_uid());
        assert!(found.instance_uids().eq(written.reference.instance_uids()));
        let labels = labels(&written.reference);
        let paths = ["a.dcm", "b.dcm"].map(|file| dir.path().join(format!("{name}-{file}")));
        write_seg(&labels, &names(), &written.reference, &paths[0]).unwrap();
        write_seg(&labels, &names(), &found, &paths[1]).unwrap();
        assert!(std::fs::read(&paths[0]).unwrap() == std::fs::read(&paths[1]).unwrap(), "{name}");
        assert_eq!(text(&open_file(&paths[0]).unwrap(), t::SYNTHETIC_DATA), "YES");
        let kidney: BTreeMap<_, _> = [(700, "kidney_left".into())].into();
        let path = dir.path().join("kidney.dcm");
        write_seg(&labels, &kidney, &written.reference, &path).unwrap();
        let object = open_file(&path).unwrap();
        let kind =
            inner(&items(&object, t::SEGMENT_SEQUENCE)[2], &[t::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE]);
        let side = inner(kind, &[t::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE]);
        assert_eq!(
            (text(kind, t::CODE_VALUE), text(side, t::CODE_MEANING)),
            ("64033007".into(), "Left".into())
        );
    }
}

#[test]
fn labels_that_are_empty_or_lie_elsewhere_are_refused() {
    let source = source();
    let series = reference(source.path());
    let path = source.path().join("seg.dcm");
    let mut labels = labels(&series);
    labels.affine.0[0][3] += 3.0;
    let error = write_seg(&labels, &names(), &series, &path).unwrap_err();
    assert!(
        matches!(error, Error::GridMismatch { .. }) && error.to_string().contains("series 1.2.3"),
        "{error}"
    );
    labels.affine = series.grid().affine;
    labels.data.fill(0);
    let error = write_seg(&labels, &names(), &series, &path).unwrap_err().to_string();
    assert!(error.contains("a voxel with a label above 0, found none"), "{error}");
    assert!(!path.exists());
    let without_study = folder(&stack(3));
    let error =
        SeriesReference::read(&SeriesPath::of(without_study.path()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("StudyInstanceUID (0020,000D): expected a UID, found none"), "{error}");
}
