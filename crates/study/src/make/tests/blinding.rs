//! Nothing in a study's folder tells what its items are.
use super::*;
use std::io::Read;
use std::time::{Duration, SystemTime};

/// A file's bytes, inflated if it is compressed.
fn plain(path: &Path) -> Vec<u8> {
    match NiftiImage::read(path) {
        Ok(image) => image.as_bytes().to_vec(),
        Err(_) => fs::read(path).unwrap(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        }
        all.push(path);
    }
    all
}

fn holds(bytes: &[u8], word: &str) -> bool {
    let lower = bytes.to_ascii_lowercase();
    lower.windows(word.len()).any(|window| window == word.to_ascii_lowercase().as_bytes())
}

#[test]
fn no_file_holds_a_word_of_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), "study");
    let made = make(&sources(dir.path()), &options).unwrap();
    let key: Key = read(&options.key);
    let volumes = files(&options.out.join("volumes"));
    assert_eq!(volumes.len(), made.items + made.repeats);
    let mut words: Vec<String> = key.items.values().map(|truth| truth.case.clone()).collect();
    words.extend(["liver", "pancreas", "repeats", "seed", "difftumor_", "nii.gz"].map(String::from));
    words.push(dir.path().display().to_string());
    for path in files(&options.out).iter().filter(|path| path.is_file()) {
        let bytes = plain(path);
        for word in &words {
            assert!(!holds(&bytes, word), "{} holds {word}", path.display());
        }
        // As a choice alone.
        let count = bytes.windows(9).filter(|window| *window == b"synthetic").count();
        assert_eq!(count, usize::from(path.ends_with("study.json")), "{}", path.display());
    }
    let links: Links = read(&options.links);
    let readers = fs::read(options.out.join("readers.json")).unwrap();
    assert!(links.tokens.values().all(|token| !holds(&readers, token)));
}

#[test]
fn all_files_have_one_time() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), "study");
    make(&sources(dir.path()), &options).unwrap();
    let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800);
    let mut all = files(&options.out);
    all.push(options.out.clone());
    assert_eq!(all.len(), 15 + 4); // volumes, their folder, two files, the study's folder
    for path in all {
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), expected, "{}", path.display());
    }
}

#[test]
fn headers_are_equal_and_values_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), "study");
    make(&sources(dir.path()), &options).unwrap();
    let (mut headers, mut starts) = (BTreeSet::new(), BTreeSet::new());
    for path in files(&options.out.join("volumes")) {
        let mut start = [0; 10];
        fs::File::open(&path).unwrap().read_exact(&mut start).unwrap();
        starts.insert(start);
        let image = NiftiImage::read(&path).unwrap();
        headers.insert(image.as_bytes()[..352].to_vec());
        assert_eq!(image.datatype(), Datatype::I16);
        assert_eq!((image.step_hu(), image.grid().shape), (Some(1.0), [32, 32, 24]));
        assert_eq!(image.grid().affine, Affine::from_spacing_mm([3.0, 3.0, 4.0]));
        let volume = image.to_volume().unwrap();
        assert!(volume.data.iter().all(|hu| (-1024.0..=3071.0).contains(hu)));
    }
    // Real scans were int16, synthetic ones float32 with fractions. All scans have one shape and voxel size here.
    assert_eq!((headers.len(), starts.len()), (1, 1));
    assert_eq!(starts.first().unwrap()[3..8], [0; 5], "flags and time of the gzip header");
    // NIfTI-1: from `descrip` (byte 148) 104 bytes of text, `db_name` from byte 14 and `intent_name` from byte 328.
    let header = headers.first().unwrap();
    assert!(
        [&header[148..252], &header[14..32], &header[328..344]]
            .iter()
            .all(|text| text.iter().all(|b| *b == 0))
    );
}

#[cfg(unix)]
#[test]
fn key_and_links_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), "study");
    make(&sources(dir.path()), &options).unwrap();
    for path in [&options.key, &options.links] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn voxel_sizes_that_tell_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let real = Scan::default().source(dir.path(), "a", "liver", false);
    let thin = Scan { spacing_mm: [3.0, 3.0, 2.0], ..Scan::default() };
    let made =
        make(&[real, thin.source(dir.path(), "b", "liver", true)], &options(dir.path(), "study")).unwrap();
    assert_eq!(made.warnings.len(), 1, "{:?}", made.warnings);
    assert!(
        made.warnings[0].contains("along the body") && made.warnings[0].contains("2.000 mm against 4.000")
    );
}
