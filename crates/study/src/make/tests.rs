use super::*;
use crate::Error;
use crate::format::{Key, Links, Readers, Study};
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::{Affine, Labels, Volume};
use ndarray::Array3;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

mod bad_input;
mod blinding;
mod shown;

/// HU of tumors in the tests' scans; nothing else has it.
const TUMOR_HU: f32 = 77.0;

/// A scan to be written: axes L, P, S as scanners have them.
struct Scan {
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    datatype: Datatype,
    /// Middle in voxels and radius in mm of each tumor.
    balls: Vec<([usize; 3], f64)>,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            shape: [44, 40, 36],
            spacing_mm: [3.0, 3.0, 4.0],
            datatype: Datatype::I16,
            balls: vec![([20, 18, 16], 9.0)],
        }
    }
}

impl Scan {
    fn affine(&self) -> Affine {
        let mut affine = Affine::from_spacing_mm(self.spacing_mm);
        for axis in 0..2 {
            affine.0[axis][axis] *= -1.0;
            affine.0[axis][3] = 131.5;
        }
        affine
    }

    fn is_inside(&self, at: [usize; 3], (middle, radius_mm): ([usize; 3], f64)) -> bool {
        let mm = |a: usize| (at[a] as f64 - middle[a] as f64) * self.spacing_mm[a];
        (0..3).map(|a| mm(a).powi(2)).sum::<f64>() <= radius_mm * radius_mm
    }

    /// Writes `NAME_ct.nii.gz` and `NAME_tumors.nii.gz`; values of tumors are 1, 2, ..
    fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (ct, tumors) =
            (folder.join(format!("{name}_ct.nii.gz")), folder.join(format!("{name}_tumors.nii.gz")));
        let value = |at: [usize; 3]| {
            let ball = self.balls.iter().position(|ball| self.is_inside(at, *ball));
            ball.map_or(0, |i| i as u16 + 1)
        };
        let labels = Array3::from_shape_fn(self.shape, |(x, y, z)| value([x, y, z]));
        // Tissue with a pattern, and a scanner's padding in a corner.
        let data = Array3::from_shape_fn(self.shape, |(x, y, z)| match value([x, y, z]) {
            0 if x + y < 4 => -3024.0,
            0 => {
                ((x * 7 + y * 13 + z * 29) % 31) as f32
                    + if self.datatype == Datatype::F32 { 0.3 } else { 0.0 }
            }
            _ => TUMOR_HU,
        });
        let affine = self.affine();
        NiftiImage::from_volume(&Volume { data, affine }, self.datatype, "ct").write(&ct).unwrap();
        NiftiImage::from_labels(&Labels { data: labels, affine }, "tumors").write(&tumors).unwrap();
        (ct, tumors)
    }

    fn source(&self, folder: &Path, case: &str, organ: &str, synthetic: bool) -> Source {
        let (ct, tumors) = self.write(folder, &format!("{case}_{organ}_{synthetic}"));
        Source { case: case.into(), ct, tumors, tumor_values: Vec::new(), organ: organ.into(), synthetic }
    }
}

/// Two organs, of each 3 real tumors and 5 synthetic ones, one a case. Radii in mm are 6, 9, 12 and 6, 8, 9, 11, 13.
fn sources(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    for organ in ["liver", "pancreas"] {
        for (synthetic, radii) in [(false, &[6.0, 9.0, 12.0][..]), (true, &[6.0, 8.0, 9.0, 11.0, 13.0])] {
            for (i, radius_mm) in radii.iter().enumerate() {
                let datatype = if synthetic { Datatype::F32 } else { Datatype::I16 };
                let scan = Scan { balls: vec![([14 + i, 18, 16], *radius_mm)], datatype, ..Scan::default() };
                let case = format!("{}{organ}Case{i}", if synthetic { "Made" } else { "Found" });
                sources.push(scan.source(folder, &case, organ, synthetic));
            }
        }
    }
    sources
}

fn options(folder: &Path, name: &str) -> MakeOptions {
    MakeOptions {
        readers: vec!["R1".into(), "R2".into(), "R3".into()],
        seed: 11,
        repeats: 0.25,
        out: folder.join(name),
        key: folder.join(format!("{name}_key.json")),
        links: folder.join(format!("{name}_links.json")),
        ..MakeOptions::default()
    }
}

fn read<T: serde::de::DeserializeOwned>(path: impl AsRef<Path>) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn numbers_are_equal_sizes_alike_and_cases_apart() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), "study");
    let made = make(&sources(dir.path()), &options).unwrap();
    assert_eq!((made.items, made.repeats), (12, 3));
    assert_eq!((made.skipped.as_slice(), made.warnings.as_slice()), (&[][..], &[][..]));
    let numbers: Vec<_> =
        made.groups.iter().map(|g| (g.organ.as_str(), g.synthetic, g.tumors, g.found)).collect();
    let of = |organ, synthetic, found| (organ, Some(synthetic), 3, found);
    assert_eq!(
        numbers,
        [of("liver", false, 3), of("liver", true, 5), of("pancreas", false, 3), of("pancreas", true, 5)]
    );

    let study: Study = read(options.out.join("study.json"));
    let key: Key = read(&options.key);
    assert_eq!(key.study_sha256, made.study_sha256);
    assert_eq!(
        (study.choices.as_slice(), study.window_hu),
        (&["real".into(), "synthetic".into()][..], [40.0, 400.0])
    );
    assert!(study.items.windows(2).all(|pair| pair[0].id < pair[1].id));
    assert!(study.items.iter().map(|item| &item.id).eq(key.items.keys()));
    assert!(key.items.keys().all(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    let first: Vec<_> = key.items.values().filter(|truth| truth.repeats.is_none()).collect();
    assert_eq!(first.iter().map(|truth| &truth.case).collect::<BTreeSet<_>>().len(), 12);
    for organ in ["liver", "pancreas"] {
        let sizes = |synthetic| {
            let of = first.iter().filter(|t| t.organ == organ && t.synthetic == synthetic);
            let mut sizes: Vec<f64> = of.map(|t| t.equivalent_diameter_mm).collect();
            sizes.sort_by(f64::total_cmp);
            sizes
        };
        // Balls of 6, 9 and 12 mm are met by those of 6, 9 and 11 or 13 mm: within 12 % in log size.
        for (real, synthetic) in sizes(false).iter().zip(sizes(true)) {
            assert!((real / synthetic).ln().abs() < 0.12, "{organ}: {real} against {synthetic}");
        }
    }
}

#[test]
fn a_repeat_is_its_original_in_all_but_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), "study");
    make(&sources(dir.path()), &options).unwrap();
    let key: Key = read(&options.key);
    let study: Study = read(options.out.join("study.json"));
    let items: BTreeMap<_, _> = study.items.iter().map(|item| (item.id.as_str(), item)).collect();
    let mut repeated = 0;
    for (id, truth) in &key.items {
        let Some(original) = &truth.repeats else { continue };
        repeated += 1;
        assert_eq!(key.items[original], crate::format::Truth { repeats: None, ..truth.clone() });
        let (a, b) = (items[id.as_str()], items[original.as_str()]);
        assert_eq!((&a.sha256, a.centre_vox), (&b.sha256, b.centre_vox));
    }
    assert_eq!(repeated, 3);
}

#[test]
fn each_reader_has_an_order_in_which_repeats_lie_apart() {
    let dir = tempfile::tempdir().unwrap();
    let sources = sources(dir.path());
    for repeats in [0.0, 0.1, 0.25, 0.5] {
        let options = MakeOptions { repeats, ..options(dir.path(), &format!("study{repeats}")) };
        let made = make(&sources, &options).unwrap();
        let key: Key = read(&options.key);
        let readers: Readers = read(options.out.join("readers.json"));
        let mut orders = BTreeSet::new();
        for reader in &readers.readers {
            let order = &reader.order;
            assert_eq!(order.len(), made.items + made.repeats);
            assert!(order.iter().collect::<BTreeSet<_>>().into_iter().eq(key.items.keys()));
            let place = |id: &String| order.iter().position(|other| other == id).unwrap();
            for (id, truth) in key.items.iter().filter(|(_, truth)| truth.repeats.is_some()) {
                let original = place(truth.repeats.as_ref().unwrap());
                assert!(place(id) >= original + order.len().div_ceil(3), "{original} and {}", place(id));
            }
            orders.insert(order.clone());
        }
        assert_eq!(orders.len(), 3, "readers share an order");
    }
}

#[test]
fn a_case_gives_a_second_tumor_only_when_there_are_no_more_cases() {
    let dir = tempfile::tempdir().unwrap();
    let twice = Scan { balls: vec![([12, 12, 10], 9.0), ([30, 28, 26], 9.0)], ..Scan::default() };
    let mut sources = vec![twice.source(dir.path(), "two", "liver", false)];
    sources.push(Scan::default().source(dir.path(), "one", "liver", false));
    for i in 0..3 {
        sources.push(Scan::default().source(dir.path(), &format!("made{i}"), "liver", true));
    }
    // A synthetic tumor in a scan whose real one is shown comes after those in other scans.
    sources.push(Scan::default().source(dir.path(), "one", "liver", true));
    let cases = |items: usize, seed: u64| -> [Vec<String>; 2] {
        let name = format!("{items} of {seed}");
        let options = MakeOptions { items, seed, repeats: 0.0, ..options(dir.path(), &name) };
        make(&sources, &options).unwrap();
        let key: Key = read(&options.key);
        [false, true].map(|synthetic| {
            let of = key.items.values().filter(|truth| truth.synthetic == synthetic);
            let mut cases: Vec<String> = of.map(|truth| truth.case.clone()).collect();
            cases.sort();
            cases
        })
    };
    // Two of three real tumors drawn at random would be of two cases for all six seeds with a probability of (2/3)^6 = 9 %, and two of
    // four synthetic ones would leave that scan out with 1/2^6.
    for seed in 0..6 {
        let [real, synthetic] = cases(4, seed);
        assert_eq!(real, ["one", "two"], "seed {seed}");
        assert!(synthetic.iter().all(|case| case.starts_with("made")), "seed {seed}: {synthetic:?}");
    }
    assert_eq!(cases(5, 0)[0], ["one", "two"]);
    assert_eq!(cases(6, 0), [vec!["one", "two", "two"], vec!["made0", "made1", "made2"]]);
    assert_eq!(cases(60, 0)[0], ["one", "two", "two"]);
}

#[test]
fn bytes_follow_from_the_seed_and_tokens_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let sources = sources(dir.path());
    let options = |name: &str, seed| MakeOptions { seed, ..options(dir.path(), name) };
    let on_threads = |threads: usize, options: &MakeOptions| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| make(&sources, options)).unwrap()
    };
    let (a, b, c) = (options("a", 5), options("b", 5), options("c", 6));
    assert_eq!(on_threads(1, &a), on_threads(4, &b));
    on_threads(4, &c);
    let study = |options: &MakeOptions| fs::read(options.out.join("study.json")).unwrap();
    assert_eq!(study(&a), study(&b));
    assert_eq!(fs::read(&a.key).unwrap(), fs::read(&b.key).unwrap());
    for entry in fs::read_dir(a.out.join("volumes")).unwrap() {
        let path = entry.unwrap().path();
        let other = b.out.join("volumes").join(path.file_name().unwrap());
        assert_eq!(fs::read(&path).unwrap(), fs::read(other).unwrap());
    }
    let (a_key, c_key): (Key, Key) = (read(&a.key), read(&c.key));
    assert!(a_key.items.keys().all(|id| !c_key.items.contains_key(id)), "ids of different seeds meet");
    let d = MakeOptions { title: "Another".into(), ..options("d", 5) };
    on_threads(4, &d);
    let d_key: Key = read(&d.key);
    assert!(a_key.items.keys().all(|id| !d_key.items.contains_key(id)), "ids of different titles meet");

    let (a_readers, b_readers): (Readers, Readers) =
        (read(a.out.join("readers.json")), read(b.out.join("readers.json")));
    let links: Links = read(&a.links);
    for (a, b) in a_readers.readers.iter().zip(&b_readers.readers) {
        assert_eq!((&a.name, &a.order), (&b.name, &b.order));
        assert_ne!(a.token_sha256, b.token_sha256);
        assert_eq!(links.tokens[&a.name].len(), 32);
    }
    assert_eq!(links.tokens.values().collect::<BTreeSet<_>>().len(), 3);
}
