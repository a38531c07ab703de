//! Thumbnails: what they show, and where they are kept. And how long lists and thumbnails take.
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::{Affine, Image};
use ndarray::Array3;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::view::*;

// Of the support, this needs a part.
#[allow(dead_code)]
mod support;

/// Width, height and RGB.
fn pixels(png: &[u8]) -> (u32, u32, Vec<[u8; 3]>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    (info.width, info.height, bytes.chunks(3).map(|rgb| [rgb[0], rgb[1], rgb[2]]).collect())
}

/// All files below a folder, with their bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path))
        } else {
            drop(files.insert(path.clone(), std::fs::read(&path).unwrap()))
        }
    }
    files
}

#[test]
fn the_slice_of_the_largest_tumor_with_its_outline() {
    let root = two_cases();
    let cache = tempfile::tempdir().unwrap();
    let viewer = Viewer::start(root.path(), None, cache.path());
    let reply = viewer.get("thumbnails/0.png");
    assert!(reply.status == 200 && reply.head.contains("content-type: image/png"), "{}", reply.head);
    let (width, height, rgb) = pixels(&reply.body);
    assert_eq!((width, height), (160, 160));
    // Slice 4 has 90 HU: (90 + 150) / 400 of 255.
    let is_outline = |pixel: &[u8; 3]| *pixel == [255, 150, 40];
    assert!(rgb.iter().all(|pixel| *pixel == [153; 3] || is_outline(pixel)), "{:?}", rgb[0]);
    // 8 voxels are 32 pixels; the patient's right and front are first, which are voxel 39: columns 112 to 143, rows 48 to 79.
    let outlined: Vec<(usize, usize)> =
        (0..rgb.len()).filter(|i| is_outline(&rgb[*i])).map(|i| (i % 160, i / 160)).collect();
    assert_eq!(outlined.len(), 4 * 32);
    assert_eq!((outlined[0], outlined[127]), ((112, 47), (143, 80)));
    assert!(outlined.contains(&(111, 48)) && outlined.contains(&(144, 79)));
}

#[test]
fn they_are_kept_in_the_cache_and_nowhere_else() {
    let root = two_cases();
    let cache = tempfile::tempdir().unwrap();
    let before = tree(root.path());
    let ask = || Viewer::start(root.path(), None, cache.path()).get("thumbnails/0.png");
    let viewer = Viewer::start(root.path(), None, cache.path());
    let first = viewer.get("thumbnails/0.png").body;
    assert_eq!(viewer.get("thumbnails/0.png").body, first);
    assert_eq!(ask().body, first, "another viewer");
    assert_eq!(tree(root.path()), before, "nothing was written into the dataset");
    let kept = tree(cache.path());
    let (path, bytes) = kept.first_key_value().unwrap();
    assert_eq!((kept.len(), bytes), (1, &first));
    assert_eq!(path.parent().unwrap(), cache.path().join("difftumor/thumbnails"));

    // That the cache is read: another whole picture in its place is shown.
    let other = viewer.get("thumbnails/1.png").body;
    let mut shown = vec![];
    let mut encoder = png::Encoder::new(&mut shown, 1, 1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[1, 2, 3]).unwrap();
    assert_eq!(other, first, "equal scans");
    std::fs::write(path, &shown).unwrap();
    assert_eq!(ask().body, shown);
    for damaged in [&first[..first.len() / 2], b"\x89PNG\r\n\x1a\n", b"", b"<html>"] {
        std::fs::write(path, damaged).unwrap();
        assert_eq!(ask().body, first, "drawn anew");
        assert_eq!(&std::fs::read(path).unwrap(), &first, "and kept");
    }

    // A scan that changed is drawn anew, by the viewer that is open too.
    let changed = scan(40.0);
    changed.write(root.path().join("a/ct.nii.gz")).unwrap();
    let (.., rgb) = pixels(&viewer.get("thumbnails/0.png").body);
    assert_eq!(rgb[0], [179; 3], "130 HU: (130 + 150) / 400 of 255 is 178.5");
}

#[test]
fn without_a_cache_they_are_drawn_all_the_same() {
    let root = two_cases();
    let file = root.path().join("no-folder");
    std::fs::write(&file, "").unwrap();
    assert_eq!(Viewer::start(root.path(), None, &file).get("thumbnails/0.png").status, 200);
}

/// Shows how long a thousand cases take; the bound is one second.
#[test]
fn a_list_of_a_thousand_cases_is_there_within_a_second() {
    let root = tempfile::tempdir().unwrap();
    // Of the length that records of one tumor have with all that is not shown: 5 kB.
    let text = record("a", 7)
        .replace("\"something\":{\"new\":1}", &format!("\"something\":\"{}\"", "x".repeat(2000)));
    assert!(text.len() > 4000, "{}", text.len());
    for i in 0..1000 {
        let folder = root.path().join(format!("case_{i:04}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("record.json"), &text).unwrap();
        std::fs::write(folder.join("ct.nii.gz"), "").unwrap();
    }
    let viewer = view(root.path());
    let began = Instant::now();
    let cases = viewer.get("api/cases");
    let took = began.elapsed();
    assert_eq!(cases.json()["cases"].as_array().unwrap().len(), 1000);
    println!("1000 cases: {:.0} ms, {} kB", 1e3 * took.as_secs_f64(), cases.body.len() / 1000);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// 100 scans of 256 × 256 × 60 voxels.
fn hundred_scans(root: &Path) {
    let shape = [256, 256, 60];
    let affine = Affine::from_spacing_mm([1.4, 1.4, 5.0]);
    // Its bits mixed as SplitMix64 does: 64 HU of noise, which compress to a third as scans do.
    let hu = |(x, y, z): (usize, usize, usize)| {
        let mut bits = (((x * 256 + y) * 60 + z) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        60.0 + (bits >> 58) as f32
    };
    let ct = Image { data: Array3::from_shape_fn(shape, hu), affine };
    let number = |(x, y, z): (usize, usize, usize)| {
        u16::from(x.abs_diff(120) < 10 && y.abs_diff(90) < 10 && z.abs_diff(30) < 3)
    };
    let tumors = Image { data: Array3::from_shape_fn(shape, number), affine };
    let first = root.join("case_000");
    std::fs::create_dir(&first).unwrap();
    NiftiImage::from_volume(&ct, Datatype::I16, "ct").write(first.join("ct.nii.gz")).unwrap();
    NiftiImage::from_labels(&tumors, "tumors").write(first.join("tumors.nii.gz")).unwrap();
    for i in 1..100 {
        let folder = root.join(format!("case_{i:03}"));
        std::fs::create_dir(&folder).unwrap();
        for name in ["ct.nii.gz", "tumors.nii.gz"] {
            std::fs::copy(first.join(name), folder.join(name)).unwrap();
        }
    }
}

/// Asks for all of them as a browser does, six at a time, and tells the seconds.
fn all_thumbnails_s(viewer: &Viewer) -> f64 {
    let (began, next) = (Instant::now(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= 100 {
                        break;
                    }
                    assert_eq!(viewer.get(&format!("thumbnails/{i}.png")).status, 200, "{i}");
                }
            });
        }
    });
    began.elapsed().as_secs_f64()
}

#[test]
#[ignore = "measures, with 500 MB on the disk: cargo build -p difftumor-study --examples && cargo test -p difftumor-study --test view_thumbnails -- --ignored --nocapture"]
fn a_hundred_thumbnails() {
    let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    hundred_scans(root.path());
    let bytes = std::fs::metadata(root.path().join("case_000/ct.nii.gz")).unwrap().len();
    let viewer = Viewer::start(root.path(), None, cache.path());
    let cold_s = all_thumbnails_s(&viewer);
    let memory_s = all_thumbnails_s(&viewer);
    let again = Viewer::start(root.path(), None, cache.path());
    let disk_s = all_thumbnails_s(&again);
    println!(
        "100 thumbnails of 256 × 256 × 60 voxels ({:.1} MB each): drawn {cold_s:.2} s, from memory {memory_s:.3} s, from the disk {disk_s:.3} s",
        bytes as f64 / 1e6
    );
    assert!(disk_s < cold_s && memory_s < cold_s);
}
