//! CT series in DICOM: a folder of slices becomes the same image that a NIfTI file would be, or an error says why not.
mod bad;
mod encode;
mod files;
mod seg;
mod write;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use difftumor_ct::io::dicom::{Series, SeriesPath, is_series};
use difftumor_ct::io::nifti::Datatype;
use difftumor_ct::io::{is_one_scan, read_scan};
use encode::Jpeg;
use files::*;
use std::path::Path;

fn read(folder: &Path) -> Series {
    Series::read(&SeriesPath::of(folder).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

/// Voxels `[x, y, z]` are what `hu` says.
fn assert_voxels(series: &Series, hu: impl Fn(usize, usize, usize) -> f64) {
    let volume = series.image.to_volume().unwrap();
    for ((x, y, z), found) in volume.data.indexed_iter() {
        // Exact in float32: all test values have few bits.
        assert_eq!(f64::from(*found), hu(x, y, z), "voxel {x}, {y}, {z}");
    }
}

fn hu(x: usize, y: usize, z: usize) -> f64 {
    f64::from(stored(x, y, z)) - 24.0
}

#[test]
fn slices_are_sorted_by_place_in_every_encoding() {
    let jpeg = Jpeg { size: [COLUMNS as u16, ROWS as u16], restart_interval: 0, point_transform: 0 };
    let frame = |syntax, pixels: &[u16]| match syntax {
        RLE => Some(encode::rle(pixels)),
        JPEG_LOSSLESS => Some(encode::jpeg_lossless(pixels, jpeg)),
        _ => None,
    };
    for syntax in [IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN, RLE, JPEG_LOSSLESS] {
        let mut files = stack(6);
        for file in &mut files {
            file.syntax = syntax;
            file.frame = frame(syntax, &file.stored);
        }
        let dir = folder(&files);
        let series = read(dir.path());
        assert_eq!((&series.warnings[..], series.other_files), (&[][..], 0), "{syntax}");
        let grid = series.image.grid();
        assert_eq!((grid.shape, series.image.datatype()), ([COLUMNS, ROWS, 6], Datatype::I16));
        // LPS to RAS; columns are 0.5 mm apart, rows 0.75 mm.
        let expected =
            [[-0.5, 0.0, 0.0, 100.0], [0.0, -0.75, 0.0, 90.5], [0.0, 0.0, 2.5, -40.0], [0.0, 0.0, 0.0, 1.0]];
        assert_eq!(grid.affine.0, expected, "{syntax}");
        assert_voxels(&series, hu);
        assert_eq!(read_scan(dir.path()).unwrap(), series.image);
    }
}

#[test]
fn jpeg_2000_gives_the_stored_numbers() {
    let mut files = stack(2);
    for file in &mut files {
        (file.syntax, file.frame) = (JPEG_2000, Some(encode::JPEG_2000_FRAME.to_vec()));
    }
    assert_voxels(&read(folder(&files).path()), |x, y, _| hu(x, y, 0));
}

#[test]
fn an_oblique_stack_lies_where_dicom_says() {
    // Rows and columns turned by a rotation with rational entries; the normal is (2, -1, 2) / 3 by hand.
    let third = |v: [f64; 3]| v.map(|x| x / 3.0);
    let (row, column) = (third([2.0, 2.0, -1.0]), third([-1.0, 2.0, 2.0]));
    let normal = third([2.0, -1.0, 2.0]);
    let text: Vec<String> = row.iter().chain(&column).map(|v| format!("{v:.10}")).collect();
    let place = |z: usize| std::array::from_fn(|a| [30.0, -20.0, 700.0][a] + 2.5 * z as f64 * normal[a]);
    let files: Vec<File> = stack(7)
        .into_iter()
        .enumerate()
        .map(|(z, file)| File { position_mm: place(z).map(|v: f64| (v * 1e6).round() / 1e6), ..file })
        .map(|file| file.orientation(&text.join("\\")))
        .collect();
    let series = read(folder(&files).path());
    assert_voxels(&series, hu);
    for (x, y, z) in [(0, 0, 0), (6, 0, 0), (0, 4, 0), (3, 2, 6)] {
        let found = series.image.grid().affine.apply([x, y, z].map(|v| v as f64));
        // PS3.3 C.7.6.2.1.1.
        let lps: [f64; 3] =
            std::array::from_fn(|a| place(z)[a] + row[a] * 0.5 * x as f64 + column[a] * 0.75 * y as f64);
        let expected = [-lps[0], -lps[1], lps[2]];
        // Headers of NIfTI-1 hold single precision: 700 mm to 3e-5 mm.
        assert!((0..3).all(|a| (found[a] - expected[a]).abs() < 1e-4), "{found:?} {expected:?}");
    }
}

#[test]
fn z_runs_along_the_normal_of_each_orientation() {
    // Feet first, prone: columns run up the back, and the normal down the body.
    let mirrored = |file: File| file.orientation("1\\0\\0\\0\\-1\\0");
    let files: Vec<File> = stack(5).into_iter().map(mirrored).collect();
    let series = read(folder(&files).path());
    let affine = series.image.grid().affine.0;
    assert_eq!((affine[1][1], affine[2][2], affine[2][3]), (0.75, -2.5, -30.0));
    assert_voxels(&series, |x, y, z| hu(x, y, 4 - z));
}

#[test]
fn bits_are_what_the_header_says() {
    let mut files = stack(3);
    for file in &mut files {
        // 12 bits without sign, and an overlay in bit 15 of one pixel.
        file.stored = (0..35).map(|i| 117 * i).collect();
        file.stored[34] |= 0x8000;
        file.numbers = vec![(tags::BITS_STORED, 12), (tags::HIGH_BIT, 11), (tags::PIXEL_REPRESENTATION, 0)];
        file.texts = vec![(tags::RESCALE_INTERCEPT, VR::DS, "-1024".into())];
    }
    let series = read(folder(&files).path());
    assert!(series.warnings[0].starts_with("3 slices have bits set outside"), "{:?}", series.warnings);
    assert_voxels(&series, |x, y, _| (117 * (y * COLUMNS + x)) as f64 - 1024.0);
    // A byte a pixel: 35 of them, and one for an even length.
    for file in &mut files {
        file.stored = (0..18).map(|i| (2 * i) | ((2 * i + 1) << 8)).collect();
        file.numbers = [(tags::BITS_ALLOCATED, 8), (tags::BITS_STORED, 8), (tags::HIGH_BIT, 7)].into();
        file.numbers.push((tags::PIXEL_REPRESENTATION, 0));
    }
    let series = read(folder(&files).path());
    assert_eq!(series.warnings, [""; 0]);
    assert_voxels(&series, |x, y, _| (y * COLUMNS + x) as f64 - 1024.0);
}

#[test]
fn values_are_whole_numbers_where_they_fit_and_floats_where_not() {
    let with = |slope: &str, intercept: &str| {
        let set = |file: File| {
            file.text(tags::RESCALE_SLOPE, VR::DS, slope).text(tags::RESCALE_INTERCEPT, VR::DS, intercept)
        };
        read(folder(&stack(3).into_iter().map(set).collect::<Vec<_>>()).path())
    };
    for (slope, intercept, datatype) in [
        ("2", "-24", Datatype::I16),
        ("0.5", "-24", Datatype::F32),
        ("1", "-0.25", Datatype::F32),
        ("40", "0", Datatype::F32),
    ] {
        let series = with(slope, intercept);
        assert_eq!(series.image.datatype(), datatype, "{slope} {intercept}");
        let [slope, intercept]: [f64; 2] = [slope, intercept].map(|v| v.parse().unwrap());
        assert_voxels(&series, |x, y, z| f64::from(stored(x, y, z)) * slope + intercept);
    }
}

#[test]
fn each_slice_has_its_own_rescale() {
    let mut files = stack(4);
    files[2] = files[2].clone().text(tags::RESCALE_SLOPE, VR::DS, "3");
    let name = files[2].name.clone();
    let series = read(folder(&files).path());
    assert_voxels(&series, |x, y, z| f64::from(stored(x, y, z)) * if z == 2 { 3.0 } else { 1.0 } - 24.0);
    assert!(series.warnings[0].contains("different rescale") && series.warnings[0].contains(&name));
}

#[test]
fn what_is_no_slice_is_left_out_and_told() {
    let mut files = stack(4);
    let other = |name: &str| File {
        name: name.into(),
        series: "1.2.9".into(),
        instance: "1.2.9.9".into(),
        ..files[0].clone()
    };
    let beside = [
        other("scout").text(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\LOCALIZER"),
        other("report").text(tags::MODALITY, VR::CS, "SR"),
        other("dose").text(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.7").text(
            tags::IMAGE_POSITION_PATIENT,
            VR::DS,
            "",
        ),
        other("DICOMDIR").text(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.1.3.10"),
    ];
    files.extend(beside);
    let dir = folder(&files);
    std::fs::write(dir.path().join("LICENSE"), "text").unwrap();
    std::fs::write(dir.path().join(".hidden"), "text").unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let series = read(dir.path());
    assert_eq!(
        (series.warnings, series.other_files),
        (
            vec![
                "left out: 1 localizers".into(),
                "left out: 1 images without a place (screens, dose reports)".into(),
                "left out: 1 objects of other modalities".into(),
            ],
            2
        )
    );
}

#[test]
fn one_of_several_series_can_be_named() {
    let mut files = stack(4);
    let second = |z: usize, file: &File| File {
        name: format!("b{z}"),
        series: "1.2.77".into(),
        stored: pixels(|_, _| z as i16),
        ..file.clone().text(tags::SERIES_DESCRIPTION, VR::LO, "Lung 1 mm")
    };
    let more: Vec<File> = files.iter().take(3).enumerate().map(|(z, file)| second(z, file)).collect();
    files.extend(more);
    let dir = folder(&files);
    let error = Series::read(&SeriesPath::of(dir.path()).unwrap()).unwrap_err().to_string();
    for part in [
        "1.2.3: CT 'Abdomen', 4 files, 3 mm thick, the first 000.dcm",
        "1.2.77: CT 'Lung 1 mm', 3 files",
        "FOLDER#UID",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let named =
        |uid: &str| dir.path().with_file_name(format!("{}#{uid}", dir.path().file_name().unwrap().display()));
    assert!(is_one_scan(&named("1.2.77")));
    assert_voxels(&read(&named("1.2.77")), |_, _, z| z as f64 - 24.0);
    assert_eq!(read_scan(&named("1.2.3")).unwrap().grid().shape, [COLUMNS, ROWS, 4]);
    let error = read_scan(&named("1.2.4")).unwrap_err().to_string();
    assert!(error.contains("series 1.2.4") && error.contains("1.2.77"), "{error}");
    // Not a UID, or no such folder: a file that is not there.
    assert!(
        SeriesPath::of(&named("1.2.x")).is_none() && SeriesPath::of(&dir.path().join("no#1.2")).is_none()
    );
}

#[test]
fn the_order_of_files_for_hashes_follows_no_name() {
    let files = stack(5);
    let renamed: Vec<File> =
        files.iter().enumerate().map(|(z, f)| File { name: format!("other{z}"), ..f.clone() }).collect();
    let uids = |dir: &Path| {
        let files = Series::files(&SeriesPath::of(dir).unwrap()).unwrap();
        files.into_iter().map(|(uid, path)| (uid, std::fs::read(path).unwrap())).collect::<Vec<_>>()
    };
    let found = uids(folder(&files).path());
    assert_eq!(found, uids(folder(&renamed).path()));
    assert!(found.len() == 5 && found.is_sorted_by(|a, b| a.0 < b.0));
}

#[test]
fn a_folder_is_one_scan_if_it_holds_dicom_and_no_nifti() {
    let dir = folder(&stack(2));
    assert!(is_series(dir.path()) && is_one_scan(dir.path()));
    assert!(is_one_scan(&dir.path().join("000.dcm")) && is_one_scan(&dir.path().join("missing.nii")));
    let outer = tempfile::tempdir().unwrap();
    std::fs::create_dir(outer.path().join("inner")).unwrap();
    std::fs::write(outer.path().join("text"), "no DICOM").unwrap();
    assert!(!is_one_scan(outer.path()));
    std::fs::write(dir.path().join("a.nii.gz"), "").unwrap();
    assert!(!is_one_scan(dir.path()));
}
