//! Segmentations of 3D Slicer: names, layers, and organs found in them by name.
use super::files::*;
use difftumor_ct::io::nrrd::{NamedLabels, read_labels};
use difftumor_ct::io::read_scan;
use difftumor_ct::label::{LabelMap, load_organ};

fn read(file: &File) -> Result<NamedLabels, String> {
    let dir = tempfile::tempdir().unwrap();
    read_labels(&file.write(dir.path(), "a.seg.nrrd")).map_err(|error| error.to_string())
}

/// Two layers next to each other: `of` says what a voxel has in each.
fn layered(of: impl Fn(usize) -> [u8; 2], keys: &[(&str, &str)]) -> File {
    segmentation(&(0..24).flat_map(of).collect::<Vec<_>>(), keys)
        .set("dimension", "4")
        .set("sizes", "2 4 3 2")
        .set("kinds", "list domain domain domain")
        .set("space directions", "none (0.5,0,0) (0,0.75,0) (0,0,2.5)")
}

const LIVER_AND_TUMOR: [(&str, &str); 8] = [
    ("Segment0_ID", "Segment_1"),
    ("Segment0_Name", "liver"),
    ("Segment0_LabelValue", "1"),
    ("Segment0_Layer", "0"),
    ("Segment1_Name", "Tumor"),
    ("Segment1_LabelValue", "1"),
    ("Segment1_Layer", "1"),
    ("Segmentation_MasterRepresentation", "Binary labelmap"),
];

#[test]
fn one_layer_is_a_label_map_with_names() {
    let data: Vec<u8> = (0..24).map(|i| i % 3).collect();
    let keys = [("Segment0_Name", "liver"), ("Segment0_LabelValue", "2"), ("Segment1_ID", "Segment_2")];
    let found = read(&segmentation(&data, &keys)).unwrap();
    assert_eq!(found.names, [(1, "Segment_2".into()), (2, "liver".into())].into());
    assert_eq!(found.labels.data[[1, 0, 0]], 1);
    let dir = tempfile::tempdir().unwrap();
    let path = segmentation(&data, &keys).write(dir.path(), "a.seg.nrrd");
    let organ = load_organ(&path, &"liver".parse().unwrap(), None).unwrap();
    assert_eq!(organ.organ.data.iter().filter(|v| **v).count(), 8);
    let error = read_scan(&path).unwrap_err().to_string();
    assert!(error.contains("expected a scan, found a segmentation of 3D Slicer"), "{error}");
}

#[test]
fn of_overlapping_segments_the_smaller_has_the_voxel() {
    // The liver is everywhere but in voxels 0 and 1; the tumor in 1 to 4.
    let file = layered(|i| [u8::from(i > 1), u8::from((1..5).contains(&i))], &LIVER_AND_TUMOR);
    let found = read(&file).unwrap();
    assert_eq!(found.names, [(1, "liver".into()), (2, "Tumor".into())].into());
    let values: Vec<u16> = (0..24).map(|i| found.labels.data[[i % 4, i / 4 % 3, i / 12]]).collect();
    assert_eq!(values[..6], [0, 2, 2, 2, 2, 1]);
    assert_eq!(found.labels.affine.apply([0.0; 3]), [10.0, -20.0, 30.5]);
    let dir = tempfile::tempdir().unwrap();
    let map = LabelMap::open(&file.write(dir.path(), "x.seg.nrrd")).unwrap();
    let organ = map.organ(&"liver".parse().unwrap(), None).unwrap();
    assert_eq!(organ.tumor.unwrap().data.iter().filter(|v| **v).count(), 4);
}

#[test]
fn before_values_were_told_each_segment_had_a_layer() {
    let keys = [("Segment0_Name", "a"), ("Segment1_Name", "b")];
    let found = read(&layered(|i| [u8::from(i == 0), u8::from(i == 1)], &keys)).unwrap();
    assert_eq!(found.names, [(1, "a".into()), (2, "b".into())].into());
    assert_eq!((found.labels.data[[0, 0, 0]], found.labels.data[[1, 0, 0]]), (1, 2));
}

#[test]
fn distinct_values_are_kept_and_numbers_are_sorted_as_numbers() {
    let mut keys = LIVER_AND_TUMOR;
    (keys[4].0, keys[5], keys[6].0) = ("Segment10_Name", ("Segment10_LabelValue", "7"), "Segment10_Layer");
    let found = read(&layered(|i| [u8::from(i > 1), 7 * u8::from(i == 5)], &keys)).unwrap();
    assert_eq!(found.names, [(1, "liver".into()), (7, "Tumor".into())].into());
}

#[test]
fn segments_and_layers_that_do_not_fit_are_refused() {
    let with = |i: usize, value: &'static str| {
        let mut keys = LIVER_AND_TUMOR;
        keys[i].1 = value;
        read(&layered(|i| [u8::from(i > 1), u8::from(i == 5)], &keys)).unwrap_err()
    };
    assert!(with(6, "2").contains("segment 'Tumor': expected a layer below 2, found 2"));
    assert!(with(6, "0").contains("value 1 in layer 0 for 'liver' and 'Tumor'"));
    assert!(with(6, "-1").contains("Segment1_Layer: expected a whole number, found '-1'"));
    assert!(with(5, "0").contains("Segment1_LabelValue: expected 1 to 65535, found '0'"));
    assert!(with(5, "65536").contains("expected 1 to 65535, found '65536'"));
    assert!(with(5, "9").contains("expected values of segments, found 1 in 1 voxels of layer 1"));
    let error = read(&layered(|_| [0, 0], &[])).unwrap_err();
    assert!(error.contains("found a fourth, and no segments"), "{error}");
}

#[test]
fn a_folder_of_masks_may_hold_nrrd_files() {
    let dir = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..24).map(|i| u8::from(i > 3)).collect();
    segmentation(&data, &[("Segment0_Name", "x")]).write(dir.path(), "liver.seg.nrrd");
    segmentation(&data, &[]).write(dir.path(), "spleen.nrrd");
    for organ in ["liver", "spleen"] {
        let found = load_organ(dir.path(), &organ.parse().unwrap(), None).unwrap();
        assert_eq!(found.organ.data.iter().filter(|v| **v).count(), 20, "{organ}");
    }
}
