//! Files that are not what they say: each an error that names the file, what was expected, what was found.
mod support;

use difftumor_ct::Error;
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::{Affine, Volume};
use ndarray::Array3;
use support::{Spec, gz};

/// The message of the [`Error::Format`] that reading `bytes` gives.
fn refused(bytes: &[u8]) -> String {
    match NiftiImage::from_bytes(bytes.to_vec(), "bad.nii.gz") {
        Err(error @ Error::Format { .. }) => error.to_string(),
        other => panic!("expected Error::Format, got {other:?}"),
    }
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in ["bad.nii.gz"].iter().chain(parts) {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn truncated_files_say_how_much_is_missing() {
    let file = Spec::default().counting(); // 352 + 48 bytes
    assert_says(&refused(&file[..399]), &["expected 400 bytes", "found 399 bytes"]);
    assert_says(&refused(&file[..352]), &["expected 400 bytes", "found 352 bytes"]);
    assert_says(&refused(&file[..100]), &["header", "at least 352 bytes", "found 100 bytes"]);
    assert_says(&refused(&file[..2]), &["sizeof_hdr", "2 bytes in all"]);
    assert_says(&refused(&[]), &["0 bytes in all"]);
    assert_says(&refused(&gz(&file[..399])), &["expected 400 bytes", "found 399 bytes"]);
}

#[test]
fn a_truncated_or_damaged_gzip_stream_is_told() {
    let values = (0..20_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) as i16).to_le_bytes());
    let whole = gz(&Spec { dim: vec![3, 100, 20, 10], ..Spec::default() }.file(values));
    for keep in [3, 15, whole.len() / 2, whole.len() - 4, whole.len() - 1] {
        assert_says(&refused(&whole[..keep]), &["gzip stream", "ends early", "copy it again"]);
    }
    for at in [whole.len() / 2, whole.len() - 6] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        refused(&damaged);
    }
}

/// `Spec::default()` as bytes with something else at an offset.
fn patched(at: usize, with: &[u8]) -> Vec<u8> {
    let mut file = Spec::default().counting();
    file[at..at + with.len()].copy_from_slice(with);
    file
}

#[test]
fn a_flipped_bit_in_the_header_is_told() {
    assert_says(&refused(&patched(1, &[0])), &["sizeof_hdr", "348 or 540", "[5c, 00, 00, 00]"]);
    assert_says(&refused(&patched(345, b"*")), &["magic", "n*1", "damaged"]);
    assert_says(&refused(&patched(344, b"ni1\0")), &["pair", ".hdr/.img"]);
    assert_says(&refused(&patched(344, &[0; 4])), &["ANALYZE"]);
}

#[test]
fn lying_sizes_are_refused_before_anything_is_allocated() {
    let dims = |dim: Vec<i64>, two| Spec { dim, two, ..Spec::default() }.head();
    assert_says(&refused(&dims(vec![3, -4, 3, 2], false)), &["dim[1]", "found -4"]);
    assert_says(&refused(&dims(vec![3, 4, 0, 2], false)), &["dim[2]", "found 0"]);
    assert_says(&refused(&dims(vec![0, 4, 3, 2], false)), &["dim[0]", "1 to 7"]);
    assert_says(&refused(&dims(vec![8, 4, 3, 2], false)), &["dim[0]"]);
    let terabytes = dims(vec![3, 32767, 32767, 32767], false);
    assert_says(&refused(&terabytes), &["length", "expected 70362301923678 bytes", "found 352 bytes"]);
    assert_says(
        &refused(&gz(&terabytes)),
        &["length", "expected 70362301923678 bytes", "compressed bytes, which cannot hold"],
    );
    let overflow = dims(vec![3, 1 << 31, 1 << 31, 1 << 31], true);
    assert_says(&refused(&overflow), &["dim", "fits in memory"]);
    assert_says(&refused(&dims(vec![3, i64::MAX, 1, 1], true)), &["dim", "fits in memory"]);
    // One slice less than there is, and bytes enough to notice.
    let shorter = Spec { dim: vec![3, 50, 50, 3], ..Spec::default() };
    let mut file = shorter.counting();
    file[46..48].copy_from_slice(&2_i16.to_le_bytes());
    for file in [file.clone(), gz(&file)] {
        assert_says(&refused(&file), &["expected 10352 bytes", "or more", "announces fewer voxels"]);
    }
}

#[test]
fn series_and_types_without_one_real_number_are_refused() {
    assert_says(
        &refused(&Spec { dim: vec![4, 4, 3, 1, 2], ..Spec::default() }.counting()),
        &["dim[4]", "found 2", "split"],
    );
    for (code, name) in
        [(32_i16, "complex64"), (128, "RGB24"), (1, "binary"), (1536, "float128"), (5, "no NIfTI type")]
    {
        assert_says(&refused(&patched(70, &code.to_le_bytes())), &["datatype", name, "convert"]);
    }
}

#[test]
fn voxels_inside_the_header_or_past_the_end_are_refused() {
    for offset in [0.0_f32, 348.0, 351.0, -1.0, 352.5, f32::NAN, f32::INFINITY] {
        assert_says(&refused(&patched(108, &offset.to_le_bytes())), &["vox_offset", "at least 352"]);
    }
    assert_says(
        &refused(&patched(108, &4096.0_f32.to_le_bytes())),
        &["expected 4144 bytes", "found 400 bytes"],
    );
}

#[test]
fn affines_that_place_nothing_are_refused() {
    let with = |sform| refused(&Spec { sform: Some(sform), ..Spec::default() }.counting());
    for bad in [f64::NAN, f64::INFINITY] {
        assert_says(
            &with([[1.0, 0.0, 0.0, bad], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]),
            &["affine (sform)", "finite"],
        );
    }
    assert_says(&with([[0.0; 4]; 3]), &["affine (sform)", "singular"]);
    assert_says(&with([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]), &["singular"]);
    let q = |bcd, pixdim| {
        refused(&Spec { sform: None, qform: Some((bcd, [0.0; 3], pixdim)), ..Spec::default() }.counting())
    };
    assert_says(&q([0.9, 0.9, 0.0], [1.0; 4]), &["qform", "quaternion"]);
    assert_says(&q([f64::NAN, 0.0, 0.0], [1.0; 4]), &["qform", "quaternion"]);
    assert_says(&q([0.0; 3], [1.0, 1.0, 0.0, 1.0]), &["pixdim[2]", "above 0"]);
    assert_says(&refused(&Spec { units: 5, ..Spec::default() }.counting()), &["xyzt_units"]);
}

#[test]
fn voxels_that_are_no_numbers_are_counted() {
    let spec = Spec { code: 16, bytes: 4, ..Spec::default() };
    let values = (0..24).map(|i| if i == 5 || i == 7 { f32::NAN } else { i as f32 }.to_le_bytes());
    let image = NiftiImage::from_bytes(spec.file(values), "bad.nii.gz").unwrap();
    assert_says(
        &image.to_volume().unwrap_err().to_string(),
        &["2 of 24 voxels", "NaN at [1, 1, 0]", "-1024"],
    );
    assert_says(
        &image.to_labels().unwrap_err().to_string(),
        &["integers in 0..=65535", "NaN at voxel [1, 1, 0]"],
    );
    for (bad, text) in [(0.5, "0.5"), (-1.0, "-1"), (65_536.0, "65536")] {
        let values = (0..24).map(|i| if i == 13 { bad as f32 } else { 1.0 }.to_le_bytes());
        let image = NiftiImage::from_bytes(spec.file(values), "bad.nii.gz").unwrap();
        assert_says(&image.to_labels().unwrap_err().to_string(), &[&format!("{text} at voxel [1, 0, 1]")]);
    }
    let inter = Spec { slope: 1.0, inter: f64::NAN, ..Spec::default() };
    assert_says(&refused(&inter.counting()), &["scl_inter"]);
}

#[test]
fn other_formats_are_named() {
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 600]].concat();
    assert_says(&refused(&png), &["a PNG picture"]);
    assert_says(&refused(&gz(&png)), &["a PNG picture"]);
    assert_says(&refused(&gz(&gz(&Spec::default().counting()))), &["gzip inside gzip"]);
    assert_says(&refused(&[vec![0; 128], b"DICM".to_vec(), vec![0; 400]].concat()), &["a DICOM file"]);
}

#[test]
fn missing_files_folders_and_wrong_names_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let missing = NiftiImage::read(dir.path().join("missing.nii.gz")).unwrap_err();
    assert!(
        matches!(missing, Error::Io { action: "read", .. }) && missing.to_string().contains("missing.nii.gz")
    );
    assert!(NiftiImage::read(dir.path()).unwrap_err().to_string().contains("a folder"));
    let volume = Volume { data: Array3::zeros((2, 2, 2)), affine: Affine::from_spacing_mm([1.0; 3]) };
    let image = NiftiImage::from_volume(&volume, Datatype::I16, "ct");
    let name = image.write(dir.path().join("out.mha")).unwrap_err();
    assert!(matches!(name, Error::Argument { .. }) && name.to_string().contains("out.mha"));
    let folder = image.write(dir.path().join("no/out.nii")).unwrap_err();
    assert!(matches!(folder, Error::Io { action: "write", .. }));
    // From disk, the length is compared before the voxels are read.
    let path = dir.path().join("short.nii");
    std::fs::write(&path, &Spec::default().counting()[..399]).unwrap();
    assert!(NiftiImage::read(&path).unwrap_err().to_string().contains("found 399 bytes"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_that_keeps_the_old_file() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.nii");
    std::fs::write(&path, b"old").unwrap();
    let file = Spec::default().counting();
    let full =
        difftumor_ct::io::write_atomically(&path, |_| std::fs::File::create("/dev/full")?.write_all(&file));
    let error = full.unwrap_err();
    assert!(
        matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// splitmix64 (Steele, Lea, Flood 2014): the same mutations on every machine.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn no_mutation_of_a_file_panics() {
    let xml = b"\x30\0\0\0\0\0\0\0<Label Key=\"5\"><![CDATA[x]]></Label>....".to_vec();
    let bases: Vec<Vec<u8>> = [(false, false), (true, true)]
        .into_iter()
        .map(|(two, big_endian)| {
            Spec { two, big_endian, extension: xml.clone(), ..Spec::default() }.counting()
        })
        .flat_map(|file| [gz(&file), file])
        .collect();
    let mut state = 1;
    let mut accepted = 0;
    for round in 0..8000 {
        let mut file = bases[round % bases.len()].clone();
        for _ in 0..1 + next(&mut state) % 4 {
            let at = (next(&mut state) % file.len() as u64) as usize;
            match next(&mut state) % 4 {
                0 => file[at] ^= 1 << (next(&mut state) % 8),
                1 => file[at] = [0, 0x7f, 0x80, 0xff][(next(&mut state) % 4) as usize],
                2 => file.truncate(at.max(1)),
                _ => file.insert(at, next(&mut state) as u8),
            }
        }
        if let Ok(image) = NiftiImage::from_bytes(file, "mutated.nii") {
            accepted += 1;
            let _ = image.label_names();
            let _ = image.to_labels();
            if let Ok(volume) = image.to_volume() {
                assert_eq!(image.with_changes(&volume, &volume), image);
            }
        }
    }
    // Both outcomes must occur, or the mutations test nothing.
    assert!((100..7900).contains(&accepted), "{accepted} of 8000 accepted");
}
