//! NIfTI files read, changed and written: values, geometry, and every byte that must survive.
mod support;

use difftumor_ct::io::nifti::{Datatype, NiftiImage, Version};
use difftumor_ct::{Affine, Labels, Volume};
use ndarray::Array3;
use proptest::prelude::*;
use support::{Spec, gz};

fn read(bytes: Vec<u8>) -> NiftiImage {
    NiftiImage::from_bytes(bytes, "test.nii").unwrap()
}

/// The inflated bytes of a single gzip member that ends where the input ends.
fn gunzip_one_member(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut decoder = flate2::bufread::GzDecoder::new(bytes);
    let mut out = Vec::new();
    decoder.read_to_end(&mut out).unwrap();
    assert!(decoder.into_inner().is_empty(), "more than one gzip member");
    out
}

#[test]
fn voxels_come_in_the_files_order_scaled_and_placed() {
    for (two, big_endian) in [(false, false), (false, true), (true, false), (true, true)] {
        let spec = Spec { two, big_endian, slope: 2.0, inter: -1024.0, ..Spec::default() };
        let image = read(gz(&spec.counting()));
        assert_eq!(image.version(), if two { Version::Two } else { Version::One });
        assert_eq!(image.datatype(), Datatype::I16);
        let volume = image.to_volume().unwrap();
        assert_eq!(volume.data.dim(), (4, 3, 2));
        for ((x, y, z), &hu) in volume.data.indexed_iter() {
            assert_eq!(hu, (x + 4 * y + 12 * z) as f32 * 2.0 - 1024.0);
        }
        assert_eq!(volume.affine.apply([1.0, 2.0, 1.0]), [89.25, 78.5, -35.0]);
    }
}

#[test]
fn the_qform_gives_what_nibabel_gives() {
    // A half turn about z (LPS axes) and a quarter turn about x; both affines checked with nibabel 5.
    let half_turn = Spec {
        sform: None,
        qform: Some(([0.0, 0.0, 1.0], [90.0, 80.0, -40.0], [1.0, 0.7, 0.8, 5.0])),
        ..Spec::default()
    };
    let quarter_b = (0.5_f64).sqrt();
    let quarter = Spec {
        sform: None,
        qform: Some(([quarter_b, 0.0, 0.0], [1.0, 2.0, 3.0], [-1.0, 0.7, 0.8, 5.0])),
        ..Spec::default()
    };
    let expected = [
        [[-0.7, 0.0, 0.0, 90.0], [0.0, -0.8, 0.0, 80.0], [0.0, 0.0, 5.0, -40.0]],
        [[0.7, 0.0, 0.0, 1.0], [0.0, 0.0, 5.0, 2.0], [0.0, 0.8, 0.0, 3.0]],
    ];
    for (spec, expected) in [half_turn, quarter].iter().zip(expected) {
        let affine = read(spec.counting()).grid().affine;
        for r in 0..3 {
            for c in 0..4 {
                // Single precision in the header: 1e-7 relative, times 5 mm.
                assert!((affine.0[r][c] - expected[r][c]).abs() < 2e-6, "{affine:?}");
            }
        }
    }
}

#[test]
fn the_sform_wins_units_count_and_without_both_the_voxel_size_does() {
    let qform = Some(([0.0; 3], [0.0; 3], [1.0, 9.0, 9.0, 9.0]));
    let both = read(Spec { qform, ..Spec::default() }.counting());
    assert_eq!(both.grid().affine.spacing_mm(), [0.75, 0.75, 5.0]);
    let metres = read(Spec { units: 1, ..Spec::default() }.counting());
    assert_eq!(metres.grid().affine.spacing_mm(), [750.0, 750.0, 5000.0]);
    let neither = read(Spec { sform: None, ..Spec::default() }.counting());
    assert_eq!(neither.grid().affine, Affine::from_spacing_mm([0.75, 0.75, 5.0]));
}

#[test]
fn extra_dimensions_of_one_and_flat_images_are_read() {
    for dim in [vec![4, 4, 3, 2, 1], vec![7, 4, 3, 2, 1, 1, 1, 1]] {
        assert_eq!(read(Spec { dim, ..Spec::default() }.counting()).grid().shape, [4, 3, 2]);
    }
    assert_eq!(read(Spec { dim: vec![2, 4, 3], ..Spec::default() }.counting()).grid().shape, [4, 3, 1]);
}

#[test]
fn only_changed_voxels_are_stored_anew() {
    let extension = b"\x20\0\0\0\x06\0\0\0a comment of 24 bytes...".to_vec();
    // Slope 0.3 cannot be inverted exactly: storing all voxels again would move some of them.
    let spec = Spec { big_endian: true, slope: 0.3, inter: -7.1, extension, ..Spec::default() };
    let file = spec.counting();
    let image = read(file.clone());
    let before = image.to_volume().unwrap();
    assert_eq!(image.with_changes(&before, &before).as_bytes(), file);
    let mut after = before.clone();
    after.data[[1, 2, 1]] = 100.0; // (100 + 7.1) / 0.3 = 357
    after.data[[0, 0, 0]] = 1.0e6; // clamped to 32767
    let changed = image.with_changes(&before, &after);
    let mut expected = file;
    let at = spec.vox_offset();
    expected[at..at + 2].copy_from_slice(&i16::MAX.to_be_bytes());
    let at = at + 2 * (1 + 4 * 2 + 12);
    expected[at..at + 2].copy_from_slice(&357_i16.to_be_bytes());
    assert_eq!(changed.as_bytes(), expected);
    // Half a stored step is the worst rounding.
    assert!((changed.to_volume().unwrap().data[[1, 2, 1]] - 100.0).abs() <= 0.15);
}

#[test]
fn labels_take_over_geometry_bit_for_bit_and_nothing_else() {
    for (two, largest, datatype) in [(false, 117, Datatype::U8), (true, 300, Datatype::U16)] {
        let extension = b"\x10\0\0\0\x06\0\0\0comment.".to_vec();
        let spec = Spec { two, big_endian: true, slope: 3.0, inter: 5.0, extension, ..Spec::default() };
        let image = read(spec.counting());
        let mut labels = Labels { data: Array3::zeros((4, 3, 2)), affine: image.grid().affine };
        labels.data[[3, 1, 0]] = largest;
        let file = image.with_labels(&labels);
        assert_eq!(file.datatype(), datatype);
        let again = read(file.as_bytes().to_vec());
        assert_eq!(again, NiftiImage::from_bytes(file.as_bytes().to_vec(), "test.nii").unwrap());
        assert_eq!(again.to_labels().unwrap(), labels);
        assert_eq!(again.grid(), image.grid());
        // Sizes, voxel sizes, units, qform and sform, at the standard's offsets.
        let same: &[std::ops::Range<usize>] = if two {
            &[16..80, 104..168, 344..496, 500..504]
        } else {
            &[40..56, 76..108, 123..124, 252..328]
        };
        for range in same {
            assert_eq!(file.as_bytes()[range.clone()], image.as_bytes()[range.clone()]);
        }
        let flag = spec.vox_offset() - spec.extension.len() - 4;
        assert_eq!(&file.as_bytes()[flag..flag + 4], [0; 4], "no extension is announced");
    }
}

#[test]
fn shares_are_read_back_as_zero_to_one() {
    for two in [false, true] {
        let spec = Spec { two, big_endian: true, slope: 3.0, inter: 5.0, ..Spec::default() };
        let image = read(spec.counting());
        let steps = Array3::from_shape_fn((4, 3, 2), |(x, y, z)| {
            [0, 1, 32768, 65535][x] + (y * z) as u16 * u16::from(x == 1)
        });
        let file = image.with_shares(&steps);
        let again = read(file.as_bytes().to_vec());
        assert_eq!(again, file);
        assert_eq!((again.datatype(), again.grid()), (Datatype::U16, image.grid()));
        for (share, step) in again.to_volume().unwrap().data.iter().zip(&steps) {
            // NIfTI-1 keeps the slope in single precision.
            assert!((0.0..=1.0).contains(share) && (share - f32::from(*step) / 65535.0).abs() < 1e-7);
        }
    }
}

#[test]
fn images_from_arrays_are_read_back() {
    let data = Array3::from_shape_fn((5, 4, 3), |(x, y, z)| (x * 100 + y * 10 + z) as f32 - 1024.25);
    let affine =
        Affine([[0.6, -0.3, 0.1, -20.0], [0.2, 0.7, -0.4, 5.0], [0.1, 0.5, 2.5, 7.0], [0.0, 0.0, 0.0, 1.0]]);
    let volume = Volume { data, affine };
    let float = read(NiftiImage::from_volume(&volume, Datatype::F32, "ct").as_bytes().to_vec());
    assert_eq!(float.to_volume().unwrap().data, volume.data);
    // The header keeps the affine in single precision.
    assert!(volume.grid().corner_distance_mm(&float.grid().affine) < 1e-5);
    let int = read(NiftiImage::from_volume(&volume, Datatype::I16, "ct").as_bytes().to_vec());
    assert_eq!(int.to_volume().unwrap().data, volume.data.mapv(f32::round));
    let long = Volume { data: Array3::zeros((40_000, 1, 1)), affine };
    let long = read(NiftiImage::from_volume(&long, Datatype::U8, "ct").as_bytes().to_vec());
    assert_eq!((long.version(), long.grid().shape), (Version::Two, [40_000, 1, 1]));
    assert_eq!(long.grid().affine, affine);
}

#[test]
fn files_are_equal_on_any_number_of_threads_and_one_gzip_member() {
    // Over several of the blocks that are compressed in parallel, noisy enough to fill them.
    let data = Array3::from_shape_fn((128, 128, 90), |(x, y, z)| {
        ((x * 7919 + y * 104_729 + z * 1_299_709) % 911) as f32
    });
    let volume = Volume { data, affine: Affine::from_spacing_mm([1.0, 1.0, 2.0]) };
    let dir = tempfile::tempdir().unwrap();
    let mut files = vec![];
    for threads in [1, 3] {
        let path = dir.path().join(format!("{threads}.nii.gz"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| NiftiImage::from_volume(&volume, Datatype::I16, "ct").write(&path)).unwrap();
        files.push(std::fs::read(&path).unwrap());
        assert_eq!(NiftiImage::read(&path).unwrap().to_volume().unwrap(), volume);
    }
    assert_eq!(files[0], files[1]);
    assert_eq!(gunzip_one_member(&files[0]).len(), 352 + 128 * 128 * 90 * 2);
}

#[test]
fn label_names_of_a_file_are_found() {
    let xml = r#"<LabelTable><Label Key="5" Red="0"><![CDATA[liver]]></Label><Label Key="7"><![CDATA[pancreas]]></Label>"#;
    let mut extension = (8 + xml.len() as i32).to_le_bytes().to_vec();
    extension.extend([0; 4]);
    extension.extend(xml.as_bytes());
    let names = read(Spec { extension, ..Spec::default() }.counting()).label_names();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), [(5, "liver".into()), (7, "pancreas".into())]);
    assert!(read(Spec::default().counting()).label_names().is_empty());
}

/// NIfTI code and bytes of every type, in the order of `stored`.
const TYPES: [(i16, usize); 10] =
    [(2, 1), (256, 1), (512, 2), (4, 2), (768, 4), (8, 4), (1280, 8), (1024, 8), (16, 4), (64, 8)];

/// `value` as stored little-endian bytes of type `kind`, and what the file then holds.
fn stored(kind: usize, value: i32) -> (Vec<u8>, f64) {
    macro_rules! as_type {
        ($($i:literal $t:ty),*) => { match kind { $($i => { let v = value as $t; (v.to_le_bytes().to_vec(), v as f64) })* _ => unreachable!() } };
    }
    as_type!(0 u8, 1 i8, 2 u16, 3 i16, 4 u32, 5 i32, 6 u64, 7 i64, 8 f32, 9 f64)
}

proptest! {
    #[test]
    fn any_image_reads_as_it_was_written_and_survives(
        (kind, shape) in (0..10_usize, prop::array::uniform3(1_i64..40)),
        (two, big_endian, gzipped) in any::<(bool, bool, bool)>(),
        (slope, inter) in (prop_oneof![Just(0.0), Just(1.0), 0.01..10.0_f64, -10.0..-0.01_f64], -2000.0..2000.0_f64),
        (angle, shear, spacing) in (0.0..std::f64::consts::TAU, -0.3..0.3_f64, prop::array::uniform3(0.3..5.0_f64)),
        salt in any::<i32>(),
    ) {
        let (code, bytes) = TYPES[kind];
        let (s, c) = angle.sin_cos();
        let sform = [
            [c * spacing[0], -s * spacing[1], shear * spacing[2], -100.0],
            [s * spacing[0], c * spacing[1], 0.0, 50.0],
            [0.0, 0.0, spacing[2], 1000.0],
        ];
        let single = |v: f64| if two { v } else { f64::from(v as f32) };
        let spec = Spec { two, big_endian, dim: [vec![3], shape.to_vec()].concat(), code, bytes, slope, inter, sform: Some(sform), ..Spec::default() };
        let values: Vec<_> = (0..spec.voxels() as i32).map(|i| stored(kind, i.wrapping_mul(48_271).wrapping_add(salt) >> 8)).collect();
        let mut file = spec.head();
        for (raw, _) in &values {
            if big_endian { file.extend(raw.iter().rev()) } else { file.extend(raw) }
        }

        let image = NiftiImage::from_bytes(if gzipped { gz(&file) } else { file.clone() }, "p.nii").unwrap();
        let volume = image.to_volume().unwrap();
        let [nx, ny, nz] = shape.map(|n| n as usize);
        let expect = |raw: f64| if slope == 0.0 { raw as f32 } else { (raw * single(slope) + single(inter)) as f32 };
        for (i, (_, raw)) in values.iter().enumerate() {
            prop_assert_eq!(volume.data[[i % nx, i / nx % ny, i / nx / ny]], expect(*raw));
        }
        prop_assert_eq!(volume.data.dim(), (nx, ny, nz));
        prop_assert_eq!(&image.grid().affine.0[..3], &sform.map(|row| row.map(single))[..]);

        // One voxel changes by a whole stored step; all other bytes are the file's.
        let mut after = volume.clone();
        let target = stored(kind, 77);
        after.data[[nx / 2, ny / 2, nz / 2]] = expect(target.1);
        let changed = image.with_changes(&volume, &after);
        let at = spec.vox_offset() + ((nz / 2 * ny + ny / 2) * nx + nx / 2) * bytes;
        if kind < 8 || slope == 0.0 {
            let mut wanted = file.clone();
            wanted[at..at + bytes].copy_from_slice(&if big_endian { target.0.into_iter().rev().collect() } else { target.0 });
            // Stored integers above 2^24 are not told apart in f32, so "changed" may rightly find no difference.
            if volume.data[[nx / 2, ny / 2, nz / 2]] != after.data[[nx / 2, ny / 2, nz / 2]] {
                prop_assert_eq!(changed.as_bytes(), &wanted[..]);
            }
        }
        prop_assert_eq!(&changed.as_bytes()[..at], &file[..at]);
        prop_assert_eq!(&changed.as_bytes()[at + bytes..], &file[at + bytes..]);
    }
}
