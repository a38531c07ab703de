//! NRRD files read and written: values, geometry, segments, and what must be refused.
mod bad;
mod files;
mod segments;

use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::io::{nrrd, read_scan};
use difftumor_ct::{Affine, Labels, Volume};
use files::*;
use ndarray::Array3;
use proptest::prelude::*;

fn read(file: &File) -> NiftiImage {
    let dir = tempfile::tempdir().unwrap();
    read_scan(&file.write(dir.path(), "a.nrrd")).unwrap_or_else(|error| panic!("{error}"))
}

fn assert_voxels(image: &NiftiImage) {
    let volume = image.to_volume().unwrap();
    assert_eq!(volume.data.dim(), (4, 3, 2));
    for ((x, y, z), &hu) in volume.data.indexed_iter() {
        assert_eq!(hu, f32::from(stored(x, y, z)), "voxel {x}, {y}, {z}");
    }
}

#[test]
fn every_encoding_order_and_version_gives_the_same_scan() {
    let swapped: Vec<u8> = good().data.chunks(2).flat_map(|b| [b[1], b[0]]).collect();
    let skipped = [vec![7; 5], good().data].concat();
    let files = [
        good(),
        good().set("encoding", "gzip").data(gz(&good().data)),
        good().set("encoding", "GZ").set("endian", "Big").data(gz(&swapped)),
        good().set("endian", "big").data(swapped),
        good().set("byte skip", "5").data(skipped.clone()),
        good().set("byteskip", "-1").set("line skip", "0").data(skipped),
        good().set("type", "signed short int").set("space", "LPS").set("kinds", "space space space"),
        good().set("space units", "\"mm\" \"mm\" \"mm\"").set("kinds", ""),
        File { magic: "NRRD0005", ..good() },
    ];
    for file in files {
        let image = read(&file);
        assert_voxels(&image);
        assert_eq!(image.datatype(), Datatype::I16);
        let expected =
            [[-0.5, 0.0, 0.0, 10.0], [0.0, -0.75, 0.0, -20.0], [0.0, 0.0, 2.5, 30.5], [0.0, 0.0, 0.0, 1.0]];
        assert_eq!(image.grid().affine.0, expected, "{:?}", file.fields);
    }
}

#[test]
fn spaces_differ_by_signs() {
    for (space, signs) in
        [("RAS", [1.0, 1.0]), ("left-anterior-superior", [-1.0, 1.0]), ("lps", [-1.0, -1.0])]
    {
        let affine = read(&good().set("space", space)).grid().affine;
        assert_eq!(affine.apply([0.0; 3]), [-10.0 * signs[0], 20.0 * signs[1], 30.5], "{space}");
        assert_eq!(affine.apply([2.0, 1.0, 0.0]), [-9.0 * signs[0], 20.75 * signs[1], 30.5], "{space}");
    }
}

#[test]
fn without_directions_the_spacings_count() {
    let file = good().set("space directions", "").set("spacings", "0.5 0.75 2.5");
    assert_eq!(read(&file).grid().affine.apply([2.0, 0.0, 2.0]), [9.0, -20.0, 35.5]);
    let file = file.set("space", "").set("space origin", "");
    assert_eq!(read(&file).grid().affine, Affine::from_spacing_mm([0.5, 0.75, 2.5]));
}

#[test]
fn a_detached_header_names_its_data() {
    let dir = tempfile::tempdir().unwrap();
    for (name, file, data) in [
        ("a.nhdr", good(), good().data),
        ("b.NHDR", good().set("encoding", "gzip"), gz(&good().data)),
        ("c.nhdr", good().set("byte skip", "-1"), [vec![1; 9], good().data].concat()),
    ] {
        std::fs::create_dir_all(dir.path().join("data")).unwrap();
        std::fs::write(dir.path().join("data/a b.raw"), data).unwrap();
        let header = file.set("data file", "./data/a b.raw").data(vec![]);
        assert_voxels(&read_scan(&header.write(dir.path(), name)).unwrap());
        // The empty line may be missing.
        std::fs::write(dir.path().join(name), header.header().trim_end()).unwrap();
        assert_voxels(&read_scan(&dir.path().join(name)).unwrap());
    }
}

#[test]
fn all_types_are_read() {
    let bytes = |value: i64, kind: &str| match kind {
        "float" => (value as f32).to_le_bytes().to_vec(),
        "double" => (value as f64).to_le_bytes().to_vec(),
        "uchar" | "int8" => vec![value as u8],
        "ushort" | "int16_t" => (value as u16).to_le_bytes().to_vec(),
        "unsigned int" | "int" => (value as u32).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    };
    let kinds = [
        "uchar",
        "int8",
        "ushort",
        "int16_t",
        "unsigned int",
        "int",
        "uint64",
        "long long",
        "float",
        "double",
    ];
    for (i, kind) in kinds.into_iter().enumerate() {
        // Unsigned types stand at even places.
        let value = |v: i64| if i % 2 == 1 || i > 7 { 10 - v } else { 100 + v };
        let data = (0..24).flat_map(|v| bytes(value(v), kind)).collect();
        let volume = read(&good().set("type", kind).data(data)).to_volume().unwrap();
        let expected = |x, y, z| value((x + 4 * y + 12 * z) as i64) as f32;
        volume.data.indexed_iter().for_each(|((x, y, z), &hu)| assert_eq!(hu, expected(x, y, z), "{kind}"));
    }
}

/// Axes in any order and direction, turned a little; columns of any length.
fn affines() -> impl Strategy<Value = Affine> {
    let orders = prop::sample::select(vec![[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]);
    let numbers = |range: std::ops::Range<f64>| prop::array::uniform3(range);
    (
        orders,
        prop::array::uniform3(any::<bool>()),
        numbers(0.3..6.0),
        numbers(-900.0..900.0),
        numbers(-0.2..0.2),
    )
        .prop_map(|(order, flips, size_mm, origin_mm, tilt)| {
            let mut m = [[0.0; 4]; 4];
            for c in 0..3 {
                let sign = if flips[c] { -1.0 } else { 1.0 };
                m[order[c]][c] = sign * size_mm[c];
                m[order[(c + 1) % 3]][c] = tilt[c] * size_mm[c];
                m[c][3] = origin_mm[c];
            }
            m[3][3] = 1.0;
            // What an image keeps is in single precision.
            Affine(m.map(|row| row.map(|v| f64::from(v as f32))))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_volume_comes_back_as_it_was(
        affine in affines(),
        shape in prop::array::uniform3(1_usize..6),
        numbers in prop::collection::vec(any::<i16>(), 125),
        whole in any::<bool>(),
    ) {
        let value = |v: i16| if whole { f32::from(v) } else { f32::from(v) / 16.0 };
        let data = Array3::from_shape_fn(shape, |(x, y, z)| value(numbers[x + 5 * y + 25 * z]));
        let volume = Volume { data, affine };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.nrrd");
        nrrd::write_volume(&volume, &path).unwrap();
        prop_assert_eq!(nrrd::read(&path).unwrap().to_volume().unwrap(), volume);
    }

    #[test]
    fn a_label_map_comes_back_as_it_was(
        affine in affines(),
        shape in prop::array::uniform3(1_usize..6),
        numbers in prop::collection::vec(0_u16..700, 125),
        small in any::<bool>(),
    ) {
        let value = |v: u16| if small { v % 4 } else { v };
        let data = Array3::from_shape_fn(shape, |(x, y, z)| value(numbers[x + 5 * y + 25 * z]));
        let labels = Labels { data, affine };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l.nrrd");
        nrrd::write_labels(&labels, &path).unwrap();
        let found = nrrd::read_labels(&path).unwrap();
        prop_assert!(found.names.is_empty());
        prop_assert_eq!(&found.labels, &labels);
        let path = dir.path().join("l.seg.nrrd");
        let names = [(1, "liver: a\\b\nc".to_string()), (2, "tumor".to_string())].into();
        nrrd::write_seg_nrrd(&labels, &names, &path).unwrap();
        let found = nrrd::read_labels(&path).unwrap();
        prop_assert_eq!(&found.labels, &labels);
        for (value, name) in found.names {
            prop_assert!(labels.data.iter().any(|v| *v == value));
            let expected = names.get(&value).cloned().unwrap_or(format!("Segment_{value}"));
            prop_assert_eq!(name, expected);
        }
    }
}

#[test]
fn equal_images_give_equal_files_and_wrong_names_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let labels = Labels { data: Array3::ones((3, 2, 2)), affine: Affine::from_spacing_mm([1.0; 3]) };
    let write = |name: &str| {
        nrrd::write_seg_nrrd(&labels, &[(1, "liver".into())].into(), &dir.path().join(name))
            .map(|()| std::fs::read(dir.path().join(name)).unwrap())
    };
    assert_eq!(write("a.seg.nrrd").unwrap(), write("b.seg.nrrd").unwrap());
    assert!(write("a.nrrd").unwrap_err().to_string().contains("ends in .seg.nrrd"));
    assert!(nrrd::write_labels(&labels, &dir.path().join("a.nii")).is_err());
    let text = String::from_utf8_lossy(&write("a.seg.nrrd").unwrap()).into_owned();
    assert!(text.contains("Segment0_Extent:=0 2 0 1 0 1\n") && text.contains("SCT^10200004^Liver"), "{text}");
}
