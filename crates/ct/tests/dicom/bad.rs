//! Series that are none: each an error that names file or folder, what was expected, and what was found.
use crate::encode::{self, Jpeg};
use crate::files::*;
use dicom_core::VR;
use dicom_dictionary_std::tags;
use difftumor_ct::Error;
use difftumor_ct::io::dicom::{Series, SeriesPath};
use difftumor_ct::io::read_scan;
use std::path::Path;

/// The message of the [`Error::Format`] that reading the folder gives.
fn refused(folder: &Path) -> String {
    match Series::read(&SeriesPath::of(folder).unwrap()) {
        Err(error @ Error::Format { .. }) => error.to_string(),
        other => panic!("expected Error::Format, got {other:?}"),
    }
}

fn assert_refused(files: &[File], parts: &[&str]) {
    let message = refused(folder(files).path());
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

/// A stack of five with `change` made to the third slice, 003.dcm, which is not the first by name.
fn third(change: impl Fn(File) -> File) -> Vec<File> {
    let mut files = stack(5);
    files[2] = change(files[2].clone());
    files
}

#[test]
fn uneven_stacks() {
    let mut files = stack(6);
    let gone = files.remove(2);
    assert_refused(
        &files,
        &[
            "gaps between slices",
            "expected 2.500 mm",
            "5.000 mm from -37.50",
            "to -32.50",
            "slices are missing",
        ],
    );
    files.push(File { position_mm: [-100.0, -90.5, -34.9], ..gone });
    assert_refused(&files, &["2.600 mm from -37.50", "2.400 mm from -34.90", "uneven"]);
    // Positions with a rounding of 0.02 mm are even, and a drift that adds up is not.
    let rounded = |z: usize| (-40.0 + 2.5 * z as f64 + 0.02 * (z % 2) as f64, z);
    let drifting = |z: usize| (-40.0 + 2.5 * z as f64 + 0.04 * (z.max(20) - 20) as f64, z);
    let moved = |place: &dyn Fn(usize) -> (f64, usize)| -> Vec<File> {
        let at = |(z, file): (usize, File)| File { position_mm: [-100.0, -90.5, place(z).0], ..file };
        stack(41).into_iter().enumerate().map(at).collect()
    };
    assert!(read_scan(folder(&moved(&rounded)).path()).is_ok());
    assert_refused(&moved(&drifting), &["place of the slice", "off the even stack", "drift"]);
    assert_refused(
        &third(|f| File { position_mm: [-98.0, -90.5, -35.0], ..f }),
        &["003.dcm", "mm, at [-98.0"],
    );
    assert_refused(&stack(1), &["slices: expected at least 2, found 1"]);
}

#[test]
fn two_slices_at_one_place() {
    let copy = |files: &mut Vec<File>, change: &dyn Fn(File) -> File| {
        files.push(change(File { name: "copy.dcm".into(), instance: "1.2.3.99".into(), ..files[1].clone() }));
    };
    let mut files = stack(5);
    let name = files[1].name.clone();
    copy(&mut files, &|f| f);
    assert_refused(
        &files,
        &["one at each place", &name, "copy.dcm", "(-100, -90.5, -37.5) mm", "same pixels"],
    );
    let mut files = stack(5);
    copy(&mut files, &|f| File { stored: vec![7; 35], ..f }.text(tags::ACQUISITION_NUMBER, VR::IS, "2"));
    assert_refused(&files, &[&name, "copy.dcm (acquisition 2)", "their pixels differ", "phases"]);
}

#[test]
fn a_tilted_gantry() {
    // 2.5 mm along the normal, and 2.5 · tan 15° aside.
    let aside = 2.5 * 15_f64.to_radians().tan();
    let at = |(z, f): (usize, File)| {
        File { position_mm: [-100.0, -90.5 + aside * z as f64, -40.0 + 2.5 * z as f64], ..f }.text(
            tags::GANTRY_DETECTOR_TILT,
            VR::DS,
            "-15.0",
        )
    };
    let files: Vec<File> = stack(5).into_iter().enumerate().map(at).collect();
    assert_refused(&files, &["15.00 degrees", "the header says -15", "gantry"]);
    // Told by the header only, as after a correction: a warning.
    let straight: Vec<File> =
        stack(5).into_iter().map(|f| f.text(tags::GANTRY_DETECTOR_TILT, VR::DS, "-15.0")).collect();
    let series = Series::read(&SeriesPath::of(folder(&straight).path()).unwrap()).unwrap();
    assert!(series.warnings[0].contains("tilt of -15"), "{:?}", series.warnings);
}

#[test]
fn slices_that_differ() {
    let coronal = |f: File| {
        f.orientation("1\\0\\0\\0\\0\\-1").text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY\\REFORMATTED")
    };
    assert_refused(
        &third(coronal),
        &["orientation", "1 of 5 slices", "003.dcm (DERIVED\\SECONDARY", "ORIGINAL"],
    );
    assert_refused(
        &third(|f| File { stored: vec![0; 28], ..f }.number(tags::ROWS, 4)),
        &["size", "expected 7 x 5", "found 7 x 4 in 1 of 5"],
    );
    let wide = |f: File| f.text(tags::PIXEL_SPACING, VR::DS, "0.75\\0.501");
    assert_refused(&third(wide), &["pixel spacing", "[0.5, 0.75]", "[0.501, 0.75]"]);
}

#[test]
fn headers_that_lack_what_is_needed() {
    use tags::*;
    let rescale = "export the series again from its source, or set it";
    for (tag, value, parts) in [
        (PIXEL_SPACING, "", ["PixelSpacing (0028,0030): expected two distances", "found none"]),
        (PIXEL_SPACING, "0.7", ["two distances", "found '0.7'"]),
        (PIXEL_SPACING, "0.7\\0", ["above 0 mm", "0.7 and 0"]),
        (PIXEL_SPACING, "nan\\1", ["two distances", "nan"]),
        (IMAGE_POSITION_PATIENT, "", ["ImagePositionPatient (0020,0032)", "found none"]),
        (IMAGE_ORIENTATION_PATIENT, "", ["ImageOrientationPatient (0020,0037)", "found none"]),
        (IMAGE_ORIENTATION_PATIENT, "1\\0\\0\\0.1\\1\\0", ["right angle", "0.1"]),
        (IMAGE_ORIENTATION_PATIENT, "1\\0\\0\\0\\1", ["six direction cosines", "found '1"]),
        (RESCALE_SLOPE, "", ["RescaleSlope (0028,1053)", rescale]),
        (RESCALE_SLOPE, "0", ["other than 0", rescale]),
        (RESCALE_INTERCEPT, "", ["RescaleIntercept (0028,1052)", rescale]),
    ] {
        assert_refused(&third(|f| f.text(tag, VR::DS, value)), &[&parts[..], &["003.dcm"]].concat());
    }
    assert_refused(
        &third(|f| f.text(RESCALE_TYPE, VR::LO, "Z_EFF")),
        &["003.dcm", "expected HU, found Z_EFF"],
    );
    for (tag, value, part) in [
        (SAMPLES_PER_PIXEL, 3, "colour"),
        (BITS_ALLOCATED, 32, "8 or 16, found 32"),
        (BITS_STORED, 17, "17 bits up to bit 15"),
        (HIGH_BIT, 16, "16 bits up to bit 16"),
        (PIXEL_REPRESENTATION, 2, "0 or 1, found 2"),
        (ROWS, 0, "Rows (0028,0010): expected 1 to 8192 pixels, found 0"),
        (COLUMNS, 65_535, "found 65535"),
    ] {
        assert_refused(&third(|f| f.number(tag, value)), &["003.dcm", part]);
    }
}

#[test]
fn what_is_no_ct_series() {
    let all = |change: &dyn Fn(File) -> File| -> Vec<File> { stack(3).into_iter().map(change).collect() };
    assert_refused(
        &all(&|f| f.text(tags::MODALITY, VR::CS, "MR")),
        &["slices of a CT", "3 files of modality MR"],
    );
    let enhanced = all(&|f| f.text(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.2.1"));
    assert_refused(&enhanced, &["multi-frame images (enhanced CT), as 000.dcm", "cannot be read yet"]);
    assert_refused(&all(&|f| f.text(tags::NUMBER_OF_FRAMES, VR::IS, "3")), &["multi-frame"]);
    let scouts = all(&|f| f.text(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\LOCALIZER"));
    assert_refused(&scouts, &["only localizers, as 000.dcm", "folder of the scan"]);
    assert_refused(&[], &["found no DICOM files"]);
}

#[test]
fn pixels_that_are_not_what_the_header_says() {
    let short = |f: File| File { stored: vec![0; 34], ..f };
    assert_refused(&third(short), &["003.dcm: PixelData (7FE0,0010): expected 35 pixels", "found 34"]);
    let compressed = |syntax, frame: Vec<u8>| third(|f| File { syntax, frame: Some(frame.clone()), ..f });
    assert_refused(&compressed(JPEG_LS, vec![0; 8]), &["003.dcm: transfer syntax", JPEG_LS, "decompress"]);
    let pixels = stack(5)[2].stored.clone();
    let whole = encode::rle(&pixels);
    assert_refused(
        &compressed(RLE, whole[..whole.len() - 4].to_vec()),
        &["003.dcm: pixels (RLE)", "35 pixels"],
    );
    assert_refused(&compressed(RLE, whole[..40].to_vec()), &["header with 2 segments"]);
    assert_refused(&compressed(RLE, vec![]), &["003.dcm"]);
    let jpeg = Jpeg { size: [7, 5], restart_interval: 0, point_transform: 0 };
    let frame = |jpeg| encode::jpeg_lossless(&pixels, jpeg);
    for (bad, part) in [
        (frame(Jpeg { size: [8, 5], ..jpeg }), "8 x 5 pixels"),
        (frame(Jpeg { restart_interval: 7, ..jpeg }), "restart intervals"),
        (frame(Jpeg { point_transform: 1, ..jpeg }), "point transform"),
        (frame(jpeg)[..20].to_vec(), "cut off"),
        (
            vec![0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 5, 0, 7, 1, 1, 0x11, 0, 0],
            "another process (marker FFC0)",
        ),
    ] {
        assert_refused(&compressed(JPEG_LOSSLESS, bad), &["003.dcm: pixels (JPEG lossless)", part]);
    }
    let whole = encode::JPEG_2000_FRAME;
    let mut large = whole.to_vec();
    large[8] = 0x70; // 0x70000007 columns
    assert_refused(&compressed(JPEG_2000, large), &["pixels (JPEG 2000)", "1879048199 x 5 pixels"]);
    assert_refused(&compressed(JPEG_2000, whole[..120].to_vec()), &["003.dcm: pixels (JPEG 2000)"]);
    let unsigned = compressed(JPEG_2000, whole.to_vec());
    let unsigned: Vec<File> = unsigned.into_iter().map(|f| f.number(tags::PIXEL_REPRESENTATION, 0)).collect();
    assert_refused(&unsigned, &["signed numbers"]);
    assert_refused(&compressed(JPEG_2000, vec![0; 40]), &["no codestream"]);
}

#[test]
fn files_that_are_cut_off_or_damaged() {
    let dir = folder(&stack(2));
    let path = dir.path().join("000.dcm");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    let message = refused(dir.path());
    for part in ["000.dcm", "element (7FE0,0010)", "its 70 bytes", "60 up to the end", "cut off"] {
        assert!(message.contains(part), "{message}");
    }
    // A length of 4 GB in a file of some hundred bytes: PixelData is the last element, and its length is before its 70 bytes.
    let mut long = whole.clone();
    let at = whole.len() - 74;
    long[at..at + 4].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    std::fs::write(&path, &long).unwrap();
    assert!(refused(dir.path()).contains("4294967280 bytes"));
    // Without file meta information.
    std::fs::write(&path, [&whole[..132], &[0; 20]].concat()).unwrap();
    assert!(refused(dir.path()).contains("TransferSyntaxUID"));
    // A UID that nobody knows.
    let text = whole.windows(19).position(|w| w == b"1.2.840.10008.1.2.1").unwrap();
    let mut unknown = whole.clone();
    unknown[text..text + 19].copy_from_slice(b"1.2.840.10008.9.9.9");
    std::fs::write(&path, &unknown).unwrap();
    let message = refused(dir.path());
    assert!(
        message.contains("000.dcm: transfer syntax") && message.contains("1.2.840.10008.9.9.9"),
        "{message}"
    );
}

#[test]
fn no_byte_makes_the_reader_panic() {
    let pixels = stack(2)[0].stored.clone();
    let jpeg = Jpeg { size: [7, 5], restart_interval: 0, point_transform: 0 };
    let frames = [
        (EXPLICIT, None),
        (IMPLICIT, None),
        (RLE, Some(encode::rle(&pixels))),
        (JPEG_LOSSLESS, Some(encode::jpeg_lossless(&pixels, jpeg))),
    ];
    for (syntax, frame) in frames {
        let mut files = stack(2);
        (files[0].syntax, files[0].frame) = (syntax, frame);
        let dir = folder(&files);
        let path = dir.path().join(&files[0].name);
        let whole = std::fs::read(&path).unwrap();
        // Cut off anywhere behind the letters that make it DICOM: never a scan.
        for keep in (132..whole.len() - 9).step_by(19) {
            std::fs::write(&path, &whole[..keep]).unwrap();
            assert!(read_scan(dir.path()).is_err(), "{syntax}: {keep} of {}", whole.len());
        }
        // Any byte, changed: a scan or an error.
        for at in (132..whole.len()).step_by(7) {
            let mut changed = whole.clone();
            changed[at] ^= [0xff, 0x01, 0x80][at / 7 % 3];
            std::fs::write(&path, &changed).unwrap();
            let _ = read_scan(dir.path());
        }
    }
}
