//! NRRD files that are no scan: each is an error that names the file, what was expected and what was found.
use super::files::*;
use difftumor_ct::io::nrrd::read_labels;
use difftumor_ct::io::read_scan;

fn error(file: &File) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = file.write(dir.path(), "bad.nrrd");
    let error = read_scan(&path).unwrap_err().to_string();
    assert!(error.contains("bad.nrrd"), "{error}");
    // As labels the file is no better, and never a panic.
    assert!(read_labels(&path).is_err(), "{error}");
    error
}

#[test]
fn fields_that_are_missing_or_wrong_are_named() {
    let rows: &[(&str, &str, &str)] = &[
        ("type", "", "type: expected the type of the samples, found none"),
        ("type", "block", "type: expected an integer of 8 to 64 bits, float or double, found 'block'"),
        ("dimension", "", "dimension: expected the number of axes, found none"),
        ("dimension", "2", "sizes: expected 2 numbers, as dimension says, found 4 3 2"),
        ("dimension", "99999999999999999999", "sizes: expected"),
        ("sizes", "", "sizes: expected a size for each axis, found none"),
        ("sizes", "4 3 0", "sizes: expected whole numbers above 0, found '4 3 0'"),
        ("sizes", "4 3 -2", "sizes: expected whole numbers above 0"),
        ("sizes", "4 3 1e9", "sizes: expected whole numbers above 0"),
        ("sizes", "4 3 3", "length of the data: expected 72 bytes, found 48 bytes"),
        ("sizes", "4 3 1", "length of the data: expected 24 bytes, found 48 bytes"),
        ("sizes", "4000000000 3000000000 2", "sizes: expected a size that fits in memory"),
        ("sizes", "2000000000 3000000 2", "length of the data: expected"),
        ("encoding", "", "encoding: expected raw or gzip, found none"),
        ("encoding", "ascii", "encoding: expected raw or gzip, found 'ascii'"),
        ("encoding", "bzip2", "encoding: expected raw or gzip, found 'bzip2'"),
        ("encoding", "gzip", "data: expected a gzip stream, found none"),
        ("endian", "", "endian: expected little or big, found none"),
        ("endian", "middle", "endian: expected little or big, found 'middle'"),
        ("kinds", "domain domain", "kinds: expected 3 of them"),
        ("kinds", "domain domain RGB-color", "kinds: expected 'domain' or 'space' for the last three axes"),
        ("space", "", "space: expected left-posterior-superior, right-anterior-superior"),
        ("space", "scanner-xyz", "found 'scanner-xyz'"),
        ("space", "left-posterior-superior-time", "found 'left-posterior-superior-time'"),
        ("space directions", "", "spacings: expected voxel sizes, or 'space directions', found none"),
        ("space directions", "(1,0,0) (0,1,0)", "space directions: expected a vector"),
        ("space directions", "none (0,1,0) (0,0,1)", "space directions: expected a vector"),
        ("space directions", "(1,0,0) (0,1,0) (1,1,0)", "found a singular matrix"),
        ("space directions", "(1,0,0) (0,1,0) (0,0,0)", "found a singular matrix"),
        (
            "space directions",
            "(1,0,0) (0,1,0) (0,0,1e100)",
            "affine (space directions): expected finite numbers",
        ),
        ("space directions", "(1,0,0) (0,1,0) (0,0,1e-60)", "found a singular matrix"),
        ("space directions", "(nan,0,0) (0,1,0) (0,0,1)", "space directions: expected a vector"),
        ("space origin", "(1,2)", "space origin: expected one place (x,y,z), found '(1,2)'"),
        ("space units", "\"um\" \"um\" \"um\"", "space units: expected \"mm\" for each axis"),
        ("line skip", "3", "line skip: expected 0"),
        ("byte skip", "-2", "byte skip: expected -1 or a number of bytes, found '-2'"),
        ("byte skip", "18446744073709551615", "length of the data"),
        ("data file", "../../etc/passwd", "data file: expected one file in the header's folder"),
        ("data file", "/etc/passwd", "data file: expected one file in the header's folder"),
        ("data file", "LIST", "several data files are not supported"),
        ("data file", "s%03d.raw 1 9 1", "several data files are not supported"),
    ];
    for (field, value, expected) in rows {
        let found = error(&good().set(field, value));
        assert!(found.contains(expected), "{field}: {value}: {found}");
    }
}

#[test]
fn spacings_must_be_sizes() {
    for spacings in ["1 1", "1 1 0", "1 1 -1", "1 1 nan", "1 1 x", "1 1 inf"] {
        let file = good().set("space directions", "").set("spacings", spacings);
        assert!(error(&file).contains("spacings: expected 3 sizes above 0"), "{spacings}");
    }
}

#[test]
fn what_is_no_nrrd_file_is_refused() {
    for (magic, expected) in [
        ("NRRD0006", "version: expected NRRD0001 to NRRD0005, found \"NRRD0006"),
        ("NRRD00041", "version: expected"),
        ("P5 4 3", "first line: expected NRRD0001 to NRRD0005, found \"P5 4 3"),
    ] {
        assert!(error(&File { magic, ..good() }).contains(expected), "{magic}");
    }
    let twice = File { fields: [good().fields, good().fields].concat(), ..good() };
    assert!(error(&twice).contains("type: expected once in the header, found twice"));
    let mut no_colon = good();
    no_colon.keys = vec![];
    no_colon.magic = "NRRD0004\nwhat is this";
    assert!(error(&no_colon).contains("line of the header: expected 'field: value' or 'key:=value'"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("a.nhdr")).unwrap();
    assert!(read_labels(&dir.path().join("a.nhdr")).unwrap_err().to_string().contains("found a folder"));
    assert!(read_scan(&dir.path().join("b.nrrd")).unwrap_err().to_string().contains("cannot read"));
}

#[test]
fn an_endless_header_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.nrrd");
    std::fs::write(&path, [b"NRRD0004\n# ".to_vec(), vec![b'x'; 3 << 20]].concat()).unwrap();
    let error = read_scan(&path).unwrap_err().to_string();
    assert!(error.contains("expected an empty line within 1048576 bytes"), "{error}");
    std::fs::write(&path, "#\n".repeat(1 << 20).replacen("#", "NRRD0004", 1)).unwrap();
    assert!(read_scan(&path).unwrap_err().to_string().contains("an empty line within"));
}

#[test]
fn gzip_must_hold_exactly_what_the_header_says() {
    let gzip = |data: Vec<u8>| error(&good().set("encoding", "gzip").data(data));
    let data = good().data;
    assert!(gzip(gz(&data[..40])).contains("length: expected 48 bytes, found 40 bytes after inflating"));
    assert!(gzip(gz(&[&data[..], &[0]].concat())).contains("found 49 bytes or more after inflating"));
    // A bomb: 64 MiB in 64 kB. No more is inflated than was announced.
    assert!(gzip(gz(&vec![0; 64 << 20])).contains("found 49 bytes or more after inflating"));
    let cut = gz(&data);
    assert!(gzip(cut[..cut.len() - 9].to_vec()).contains("gzip stream: expected 48 bytes"));
    let mut broken = gz(&data);
    let at = broken.len() - 6;
    broken[at] ^= 1;
    assert!(gzip(broken).contains("gzip stream"));
    // A header that announces what no such stream can hold.
    let huge = good().set("encoding", "gzip").set("sizes", "200000 200000 2").data(gz(&data));
    assert!(error(&huge).contains("compressed bytes, which cannot hold that"));
}

#[test]
fn a_detached_file_that_is_missing_short_or_long_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let header = good().set("data file", "a.raw").data(vec![]).write(dir.path(), "a.nhdr");
    let error = || read_scan(&header).unwrap_err().to_string();
    assert!(error().contains("cannot read") && error().contains("a.raw"), "{}", error());
    for length in [0, 47, 49] {
        std::fs::write(dir.path().join("a.raw"), vec![0; length]).unwrap();
        let found = error();
        assert!(found.contains("a.raw") && found.contains(&format!("found {length} bytes")), "{found}");
    }
    std::fs::remove_file(dir.path().join("a.raw")).unwrap();
    std::fs::create_dir(dir.path().join("a.raw")).unwrap();
    assert!(error().contains("a.raw"), "{}", error());
}

#[test]
fn voxels_that_are_no_hu_or_labels_are_told() {
    let data: Vec<u8> = (0..24).flat_map(|i| if i == 5 { f32::NAN } else { 0.5 }.to_le_bytes()).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = good().set("type", "float").data(data).write(dir.path(), "a.nrrd");
    let error = read_scan(&path).unwrap().to_volume().unwrap_err().to_string();
    assert!(error.contains("1 of 24 voxels are NaN or infinite, the first NaN at [1, 1, 0]"), "{error}");
    assert!(read_labels(&path).unwrap_err().to_string().contains("0.5 at voxel [0, 0, 0]"));
}

#[test]
fn no_byte_of_a_file_makes_it_panic() {
    let dir = tempfile::tempdir().unwrap();
    let good = good().write(dir.path(), "a.nrrd");
    let bytes = std::fs::read(&good).unwrap();
    for at in 0..bytes.len() {
        for value in [0, b'\n', b':', b'9', b'-', 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            std::fs::write(&good, &changed).unwrap();
            let _ = read_scan(&good).map(|image| image.to_volume());
        }
        std::fs::write(&good, &bytes[..at]).unwrap();
        assert!(read_scan(&good).is_err(), "{at}");
    }
}
