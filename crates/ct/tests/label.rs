//! From a label file or folder and an organ's name to the organ: every way it can be settled, and every doubt.
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::label::{LabelMap, OrganMask, OrganSpec, load_organ};
use difftumor_ct::{Affine, Error, Labels, Result};
use ndarray::Array3;
use std::path::{Path, PathBuf};

const SHAPE: (usize, usize, usize) = (12, 5, 3);

/// A label map in which value number `i` fills the slab x = i: 15 voxels each.
fn phantom(values: &[u16]) -> Labels {
    let data = Array3::from_shape_fn(SHAPE, |(x, _, _)| values.get(x).copied().unwrap_or(0));
    Labels { data, affine: Affine::from_spacing_mm([0.8, 0.8, 5.0]) }
}

fn file(dir: &Path, name: &str, values: &[u16]) -> PathBuf {
    let path = dir.join(name);
    NiftiImage::from_labels(&phantom(values), name).write(&path).unwrap();
    path
}

fn load(path: &Path, spec: &str) -> Result<OrganMask> {
    load_organ(path, &spec.parse::<OrganSpec>()?, None)
}

/// Values of the roles organ, tumor, cyst that a file with `values` gives.
fn roles(values: &[u16], spec: &str) -> Result<[Vec<u16>; 3]> {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "labels.nii.gz", values);
    let found = load(&path, spec)?;
    let roles = found.sources[0].roles.clone();
    // The masks are what the roles say: each value fills 15 voxels.
    for (mask, values) in [(Some(&found.organ), &roles.organ), (found.tumor.as_ref(), &roles.tumor)] {
        let count = mask.map_or(0, |mask| mask.data.iter().filter(|&&inside| inside).count());
        let present = values.iter().filter(|&&value| found.sources[0].census.has(value)).count();
        assert_eq!(count, 15 * present);
    }
    Ok([roles.organ, roles.tumor, roles.cyst])
}

/// The message of the [`Error::Label`], which must list the voxels of what the file holds.
fn doubt(values: &[u16], spec: &str) -> String {
    match roles(values, spec) {
        Err(error @ Error::Label { .. }) => error.to_string(),
        other => panic!("{spec} in {values:?}: expected Error::Label, got {other:?}"),
    }
}

#[test]
fn values_that_are_given_are_taken_alone() {
    assert_eq!(roles(&[0, 1, 2], "liver=1").unwrap(), [vec![1], vec![], vec![]]);
    assert_eq!(roles(&[0, 1, 2], "liver=1:tumor=2").unwrap(), [vec![1], vec![2], vec![]]);
    assert_eq!(roles(&[0, 1, 2, 3], "kidney=2+3").unwrap(), [vec![2, 3], vec![], vec![]]);
    assert_eq!(roles(&[0, 700], "anything=700").unwrap(), [vec![700], vec![], vec![]]);
    // One kidney was removed.
    assert_eq!(roles(&[0, 2, 5], "kidney=2+3").unwrap(), [vec![2], vec![], vec![]]);
    let message = doubt(&[0, 1, 2], "liver=5");
    assert!(
        message.contains("no voxel has this value") && message.contains("1: 15 voxels, 2: 15 voxels"),
        "{message}"
    );
}

#[test]
fn a_bare_name_takes_the_only_value() {
    for value in [1, 5, 255, 65535] {
        assert_eq!(roles(&[0, value], "pancreas").unwrap(), [vec![value], vec![], vec![]]);
    }
    assert!(doubt(&[], "pancreas").contains("only background"));
}

#[test]
fn a_bare_name_is_looked_up_in_totalsegmentators_numbers() {
    let torso = [0, 1, 2, 3, 5, 7, 24, 52];
    assert_eq!(roles(&torso, "liver").unwrap()[0], [5]);
    assert_eq!(roles(&torso, "pancreas").unwrap()[0], [7]);
    assert_eq!(roles(&torso, "kidney").unwrap(), [vec![2, 3], vec![], vec![24]]);
    assert_eq!(roles(&torso, "kidney_left").unwrap()[0], [3]);
    assert_eq!(roles(&torso, "Kidney_Right").unwrap()[0], [2]);
    assert_eq!(roles(&[0, 3, 5, 52], "kidney").unwrap()[0], [3], "one kidney was removed");
    assert!(doubt(&torso, "stomach").contains("no voxel with its value [6]"));
    let message = doubt(&[0, 2, 3, 300], "kidney");
    assert!(
        message.contains("300 is none of its numbers") && message.contains("write kidney=VALUE"),
        "{message}"
    );
}

#[test]
fn what_could_be_several_things_is_asked() {
    for values in [&[0, 1, 2][..], &[0, 1, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7]] {
        for organ in ["liver", "kidney", "spleen"] {
            let message = doubt(values, organ);
            assert!(message.contains(&format!("write {organ}=VALUE")), "{message}");
            assert!(message.contains("1: 15 voxels, 2: 15 voxels"), "{message}");
        }
    }
}

/// A label file whose header extension names its values, as TotalSegmentator writes it.
fn named_file(dir: &Path, values: &[u16], names: &[(u16, &str)]) -> PathBuf {
    let plain = NiftiImage::from_labels(&phantom(values), "named").as_bytes().to_vec();
    let labels =
        names.iter().map(|(value, name)| format!("<Label Key=\"{value}\"><![CDATA[{name}]]></Label>"));
    let xml = labels.collect::<String>();
    let size = (8 + xml.len()).next_multiple_of(16);
    let mut bytes = plain[..348].to_vec();
    bytes[108..112].copy_from_slice(&((352 + size) as f32).to_le_bytes());
    bytes.extend([1, 0, 0, 0]);
    bytes.extend((size as i32).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(xml.as_bytes());
    bytes.resize(352 + size, 0);
    bytes.extend(&plain[352..]);
    let path = dir.join("named.nii");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn names_in_the_file_settle_it() {
    let dir = tempfile::tempdir().unwrap();
    let named = |values: &[u16], names: &[(u16, &str)], spec: &str| {
        load(&named_file(dir.path(), values, names), spec).map(|found| found.sources[0].roles.clone())
    };
    let names = [(1, "Liver"), (2, "liver_tumor"), (3, "kidney_left"), (4, "spleen")];
    let found = named(&[0, 1, 2, 3], &names, "liver").unwrap();
    assert_eq!((found.organ, found.tumor), (vec![1], vec![2]));
    assert_eq!(named(&[0, 1, 2, 3], &names, "kidney").unwrap().organ, [3]);
    let absent = named(&[0, 1, 2, 3], &names, "spleen").unwrap_err().to_string();
    assert!(absent.contains("1 (Liver): 15 voxels, 2 (liver_tumor): 15 voxels"), "{absent}");
    let other = named(&[0, 4], &names, "liver").unwrap_err().to_string();
    assert!(other.contains("its only value 4 'spleen'") && other.contains("liver=4"), "{other}");
    assert_eq!(named(&[0, 4], &names, "liver=4").unwrap().organ, [4]);
}

#[test]
fn a_folder_of_masks_is_joined() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "Liver.nii", &[0, 1]);
    file(dir.path(), "kidney_left.nii.gz", &[0, 0, 255]);
    file(dir.path(), "kidney_right.nii.gz", &[0, 0, 0, 1]);
    file(dir.path(), "kidney_cyst_left.nii.gz", &[0, 0, 0, 0, 1]);
    file(dir.path(), "pancreas.nii.gz", &[0, 1, 2]);
    file(dir.path(), "spleen.nii.gz", &[]);
    let count = |spec: &str| load(dir.path(), spec).map(|m| m.organ.data.iter().filter(|&&v| v).count());
    assert_eq!(count("liver").unwrap(), 15);
    assert_eq!(count("kidney").unwrap(), 30);
    assert_eq!(count("kidney_left").unwrap(), 15);
    assert_eq!(count("pancreas=1").unwrap(), 15);
    assert!(load(dir.path(), "kidney").unwrap().cyst.unwrap().data[[4, 0, 0]]);
    let several = count("pancreas").unwrap_err().to_string();
    assert!(
        several.contains("write pancreas=VALUE") && several.contains("1: 15 voxels, 2: 15 voxels"),
        "{several}"
    );
    assert!(count("spleen").unwrap_err().to_string().contains("the organ is empty"));
    let missing = count("colon").unwrap_err().to_string();
    assert!(missing.contains("colon.nii.gz") && missing.contains("kidney_right, liver"), "{missing}");
    file(dir.path(), "liver.nii.gz", &[0, 1]);
    assert!(count("liver").unwrap_err().to_string().contains("'liver' is there 2 times"));
    file(dir.path(), "kidney.nii.gz", &[0, 1]);
    assert!(count("kidney").unwrap_err().to_string().contains("both 'kidney' and its parts"));
}

#[test]
fn a_tumor_file_beside_the_organ_is_taken_out_of_it() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "liver.nii.gz", &[0, 1, 1, 1]);
    file(dir.path(), "tumors.nii.gz", &[0, 0, 1, 2]);
    let found = load(dir.path(), "liver").unwrap();
    assert_eq!(found.organ.data, phantom(&[0, 1]).data.mapv(|v| v > 0));
    assert_eq!(found.tumor.unwrap().data, phantom(&[0, 0, 1, 1]).data.mapv(|v| v > 0));
    assert_eq!(found.sources[1].roles.tumor, [1, 2]);
}

#[test]
fn labels_off_the_cts_grid_are_refused_with_the_distance() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "liver.nii.gz", &[0, 1]);
    let spec: OrganSpec = "liver".parse().unwrap();
    let grid = phantom(&[]).grid();
    let mut shifted = grid;
    shifted.affine.0[2][3] = 2.5;
    let mut longer = grid;
    longer.shape[2] += 1;
    for source in [&path, dir.path()] {
        assert!(load_organ(source, &spec, Some((&grid, "ct.nii.gz"))).is_ok());
        for (ct, difference) in [(&shifted, "2.500 mm"), (&longer, "[12, 5, 4]")] {
            let error = load_organ(source, &spec, Some((ct, "ct.nii.gz"))).unwrap_err();
            assert!(matches!(error, Error::GridMismatch { .. }), "{error}");
            let text = error.to_string();
            assert!(
                ["ct.nii.gz", "liver.nii.gz", difference].iter().all(|part| text.contains(part)),
                "{text}"
            );
        }
    }
    // Masks of one folder must agree among themselves too.
    let mut other = phantom(&[0, 0, 1]);
    other.affine.0[0][3] = 4.0;
    file(dir.path(), "kidney_left.nii.gz", &[0, 1]);
    NiftiImage::from_labels(&other, "r").write(dir.path().join("kidney_right.nii.gz")).unwrap();
    assert!(load(dir.path(), "kidney").unwrap_err().to_string().contains("4.000 mm"));
}

#[test]
fn a_file_serves_several_organs_and_a_missing_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "labels.nii.gz", &[0, 2, 5, 7, 52]);
    let map = LabelMap::open(&path).unwrap();
    for (organ, x) in [("liver", 2), ("pancreas", 3)] {
        let found = map.organ(&organ.parse().unwrap(), None).unwrap();
        assert!(found.organ.data[[x, 0, 0]] && found.tumor.is_none());
    }
    let missing = LabelMap::open(&dir.path().join("no.nii.gz")).unwrap_err();
    assert!(matches!(missing, Error::Io { action: "read", .. }), "{missing}");
    std::fs::write(dir.path().join("image.nii.gz"), b"\x89PNG....").unwrap();
    assert!(LabelMap::open(&dir.path().join("image.nii.gz")).unwrap_err().to_string().contains("PNG"));
}
