//! Figures of real tumors: the ranges that come with the program, and what the gate says of tumors it has not seen.
//!
//! All of it needs data that is not in the repository.
use difftumor_ct::analysis::ranges::Grade;
use difftumor_ct::components::{Connectivity, components};
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::realism::{FIGURES, Figures, Gate, Input, Reference, Shape, Verdict};
use difftumor_ct::{Labels, Mask, Volume};
use std::path::{Path, PathBuf};

const KITS: &str = "KiTS19 kidney tumors";
const STS: &str = "soft-tissue sarcomas of TCIA";

fn shared(name: &str) -> PathBuf {
    let folder =
        std::env::var("DIFFTUMOR_SHARED_DATA").expect("set DIFFTUMOR_SHARED_DATA to the folder of test data");
    Path::new(&folder).join(name)
}

fn labels(path: &Path) -> Labels {
    NiftiImage::read(path).and_then(|image| image.to_labels()).expect("labels")
}

fn volume(path: &Path) -> Volume {
    NiftiImage::read(path).and_then(|image| image.to_volume()).expect("a scan")
}

fn mask(labels: &Labels, wanted: u16) -> Mask {
    Mask { data: labels.data.mapv(|l| l == wanted), affine: labels.affine }
}

/// Files or folders of a folder, in order.
fn entries(folder: &str) -> Vec<PathBuf> {
    let read = std::fs::read_dir(shared(folder)).expect("a folder of test data");
    let mut paths: Vec<PathBuf> = read.map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn sarcomas() -> Vec<(String, Figures)> {
    let of = |folder: PathBuf| {
        let ct = volume(&folder.join("ct.nii.gz"));
        let tumor = mask(&labels(&folder.join("gtv.nii.gz")), 1);
        let input = Input { ct: &ct, tumor: &tumor, other_lesions: None, organ: None, before: None };
        (folder.file_name().unwrap().to_string_lossy().into_owned(), Figures::of(&input).expect("a tumor"))
    };
    entries("soft_tissue_sarcoma_train").into_iter().map(of).collect()
}

/// The largest part of each of the 40 masks: crops may hold other tumors of the case.
fn kidney_shapes() -> Vec<Shape> {
    let files = entries("kidney_tumor_masks_kits19");
    let masks = files.iter().filter(|path| path.to_string_lossy().ends_with(".nii.gz"));
    let largest = |path: &PathBuf| {
        let all = mask(&labels(path), 2);
        let parts = components(&all.data, Connectivity::Corners);
        let wanted = parts.largest().expect("a tumor").label;
        let data = parts.keep(|part| part.label == wanted);
        Shape::of(&Mask { data, affine: all.affine }).expect("a tumor")
    };
    masks.map(largest).collect()
}

/// Proportions of the 227 tumors, by class of longest axis.
fn kidney_proportions() -> Vec<Reference> {
    let path = shared("kidney_tumor_masks_kits19/all_components_stats.csv");
    let text = std::fs::read_to_string(path).expect("a table");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    let rows: Vec<Vec<&str>> = lines.collect();
    let column = |name: &str| header.iter().position(|h| *h == name).expect("a column");
    let number = |row: &[&str], name: &str| row[column(name)].parse::<f64>().expect("a number");
    let columns = [("elongation", "axis2_over_1"), ("flatness", "axis3_over_1"), ("fill", "ellipsoid_fill")];
    let mut out = vec![];
    for class in [(0.0, Some(20.0)), (20.0, Some(50.0)), (50.0, None)] {
        for (figure, name) in columns {
            let within = |row: &&Vec<&str>| {
                let longest = number(row, "ellipsoid_axis1_mm");
                longest > class.0 && class.1.is_none_or(|most| longest <= most)
            };
            let values: Vec<f64> = rows.iter().filter(within).map(|row| number(row, name)).collect();
            out.push(Reference::of(figure, &values, class, KITS).expect("enough tumors"));
        }
    }
    out
}

fn built() -> Gate {
    let mut ranges = kidney_proportions();
    let shapes = kidney_shapes();
    let any = (0.0, None);
    let mut add = |figure: &str, values: Vec<f64>, source: &str| {
        ranges.push(Reference::of(figure, &values, any, source).expect("enough tumors"));
    };
    add("sphericity", shapes.iter().filter_map(|s| s.sphericity).collect(), KITS);
    add("depth", shapes.iter().map(|s| s.depth).collect(), KITS);
    add("slenderness", shapes.iter().map(|s| s.slenderness).collect(), KITS);
    let sarcomas = sarcomas();
    let of_sarcomas = [
        "band_ratio_below_1mm",
        "band_ratio_1_to_2mm",
        "band_ratio_2_to_4mm",
        "power_ratio_below_4mm",
        "correlation_ratio",
        "slice_jump",
    ];
    for figure in FIGURES.iter().filter(|figure| of_sarcomas.contains(&figure.name)) {
        add(figure.name, sarcomas.iter().filter_map(|(_, f)| (figure.value)(f)).collect(), STS);
    }
    Gate { ranges }
}

fn print(name: &str, verdict: &Verdict) {
    println!("{name}: {:?}", verdict.grade);
    let objections = verdict.checks.iter().filter(|c| c.grade > Grade::Pass);
    objections.for_each(|check| println!("    {:?} {}", check.grade, check.reason));
}

/// Where a file is named by `DIFFTUMOR_WRITE_REFERENCE`, the ranges are written to it.
#[test]
#[ignore = "masks under CC BY-NC: DIFFTUMOR_SHARED_DATA=FOLDER cargo test -p difftumor-ct --test realism -- --ignored --nocapture"]
fn the_built_in_ranges_are_those_of_the_real_tumors() {
    let built = built();
    if let Ok(path) = std::env::var("DIFFTUMOR_WRITE_REFERENCE") {
        let text = serde_json::to_string_pretty(&built).expect("numbers");
        std::fs::write(path, text + "\n").expect("a file that can be written");
        return;
    }
    let shipped = Gate::built_in();
    assert_eq!(shipped.ranges.len(), built.ranges.len());
    for (a, b) in shipped.ranges.iter().zip(&built.ranges) {
        assert_eq!((a.ranges.tumors, a.longest_axis_mm), (b.ranges.tumors, b.longest_axis_mm));
        for (a, b) in a.ranges.ranges.iter().zip(&b.ranges.ranges) {
            assert_eq!(a.feature, b.feature);
            for (a, b) in [(a.usual, b.usual), (a.possible, b.possible)] {
                // Written with all digits; the JSON reader may be off in the last.
                assert!((a.low - b.low).abs() < 1e-9 && (a.high - b.high).abs() < 1e-9, "{a:?} {b:?}");
            }
        }
    }
}

#[test]
#[ignore = "data outside of the repository: DIFFTUMOR_SHARED_DATA=FOLDER cargo test -p difftumor-ct --test realism -- --ignored --nocapture"]
fn most_sarcomas_have_usual_texture() {
    let gate = Gate::built_in();
    let sarcomas = sarcomas();
    for (name, figures) in &sarcomas {
        println!("{}", serde_json::to_string(figures).expect("numbers"));
        print(name, &gate.judge(figures));
    }
    // The ranges are theirs: the ends for 28 tumors are widened extremes, beyond which there is none of them.
    let failed = sarcomas.iter().flat_map(|(_, f)| gate.judge(f).checks);
    let failed = failed.filter(|c| c.grade == Grade::Fail && c.figure.contains("ratio")).count();
    assert_eq!((sarcomas.len(), failed), (28, 0));
}

#[test]
#[ignore = "images under CC BY-NC-ND: DIFFTUMOR_SHARED_DATA=FOLDER cargo test -p difftumor-ct --test realism -- --ignored --nocapture"]
fn two_liver_tumors_are_measured() {
    let folder = shared("liver_tumor_3dircadb17");
    let ct = volume(&folder.join("ct.nii.gz"));
    let organ = mask(&labels(&folder.join("liver.nii.gz")), 1);
    let tumors = labels(&folder.join("tumors.nii.gz"));
    let gate = Gate::built_in();
    // Volumes in ml and mean HU as the data's own description has them; HU of the whole tumor, here 2 mm inside of its border.
    for (number, ml, hu) in [(1, 85.6, 88.0), (2, 78.6, 63.0)] {
        let (tumor, other) = (mask(&tumors, number), mask(&tumors, 3 - number));
        let input =
            Input { ct: &ct, tumor: &tumor, other_lesions: Some(&other), organ: Some(&organ), before: None };
        let figures = Figures::of(&input).expect("a tumor");
        println!("{}", serde_json::to_string(&figures).expect("numbers"));
        print(&format!("liver tumor {number}"), &gate.judge(&figures));
        let volume_ml = std::f64::consts::PI / 6.0 * (figures.shape.equivalent_diameter_mm / 10.0).powi(3);
        assert!((volume_ml - ml).abs() < 0.1, "{volume_ml}");
        assert!((figures.density.inside_hu - hu).abs() < 8.0, "{figures:?}");
        assert!(!gate.judge(&figures).checks.iter().any(|c| {
            c.grade == Grade::Fail && ["sphericity", "flatness", "depth", "slenderness"].contains(&c.figure)
        }));
    }
}
