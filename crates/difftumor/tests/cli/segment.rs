//! `difftumor segment` with tiny networks of random weights: they find nothing of sense, but everything around them can be
//! computed otherwise.

use crate::phantom::*;
use burn::tensor::Device;
use difftumor::autoencoder::AutoencoderConfig;
use difftumor::run::{Model, NewRun, Run, Tensors};
use difftumor::segmentation::findings::DESCRIBED;
use difftumor::segmentation::sliding_window::SlidingWindow;
use difftumor::segmentation::{Backbone, SegmentationNetwork, UnetConfig};
use difftumor::train::scans::read_at_1mm;
use difftumor_ct::components::{Connectivity, components};
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::orient::{AxisCodes, reorient};
use difftumor_ct::patch::{Fill, VoxelBox, spatial_pad, spatial_pad_box};
use difftumor_ct::resample::{Outside, linear};
use difftumor_ct::{Affine, Labels, Volume};
use ndarray::Array3;
use std::path::{Path, PathBuf};
use std::process::Output;

fn write_run(dir: &Path, model: Model, tensors: Tensors) -> PathBuf {
    let new =
        NewRun { licence: "none".into(), origin: None, training: None, tensors, model, autoencoder: None };
    let run = dir.join("run");
    Run::create(&run, &new, true).unwrap();
    run
}

fn tiny_unet() -> Model {
    Model::Segmentation(Backbone::Unet(UnetConfig { widths: vec![4, 6, 8], ..UnetConfig::default() }))
}

fn tiny_run(dir: &Path) -> PathBuf {
    let model = tiny_unet();
    write_run(dir, model.clone(), drawn(&model, 5))
}

fn output(run: &Path, out: &Path, threads: &str, more: &[&str]) -> Output {
    let mut all = vec!["segment", "--model", text(run), "--out", text(out)];
    all.extend(more);
    command(&all).env("RAYON_NUM_THREADS", threads).output().unwrap()
}

/// Exit code and stderr.
fn segment(run: &Path, out: &Path, more: &[&str]) -> (i32, String) {
    let found = output(run, out, "2", more);
    (found.status.code().unwrap(), String::from_utf8_lossy(&found.stderr).into_owned())
}

fn segmented(run: &Path, ct: &Path, out: &Path, more: &[&str]) -> Labels {
    let (code, stderr) = segment(run, out, &[&["--ct", text(ct)], more].concat());
    assert_eq!(code, 0, "{stderr}");
    labels_of(&out.join("labels.nii.gz"))
}

/// The labels without slabs, parts and turns: the whole scan's logits, brought to its grid at once.
fn expected(run: &Path, ct: &Path, overlap: f64) -> Array3<u16> {
    let device = Device::flex();
    let network = SegmentationNetwork::open(&Run::open(run).unwrap(), &device).unwrap();
    let mut image = read_at_1mm(ct).unwrap();
    let grid = image.grid();
    image.data.mapv_inplace(|hu| HuWindow::default().to_unit(hu));
    let padded = spatial_pad(&image, [96; 3], Fill::Minimum);
    let whole = VoxelBox { start: [0; 3], end: padded.grid().shape };
    let window = SlidingWindow { overlap, ..SlidingWindow::default() };
    let logits = window.run(&padded.data, whole, &device, |x| network.forward(x), &|_, _| ());
    let before = spatial_pad_box(grid.shape, [96; 3]).0.map(|v| -v);
    let scan = NiftiImage::read(ct).unwrap().grid();
    let brought: Vec<Array3<f32>> = logits
        .classes
        .iter()
        .map(|class| {
            let data = difftumor_ct::patch::crop(class, before, grid.shape, Fill::Edge);
            linear(&Volume { data, affine: grid.affine }, &scan, Outside::Edge).unwrap().data
        })
        .collect();
    Array3::from_shape_fn(scan.shape, |at| {
        let [b, o, t] = [brought[0][at], brought[1][at], brought[2][at]];
        if t > b && t > o { 2 } else { u16::from(o > b) }
    })
}

fn count(labels: &Array3<u16>, value: u16) -> usize {
    labels.iter().filter(|v| **v == value).count()
}

#[test]
fn scans_of_any_size_and_direction_keep_their_grid() {
    let dir = tempfile::tempdir().unwrap();
    let run = tiny_run(dir.path());
    // Thin slices in several windows, thick ones in one, a scan of a few millimetres, and an oblique one.
    let thin =
        Affine([[-1.3, 0.0, 0.0, 9.0], [0.0, -1.1, 0.0, 8.0], [0.0, 0.0, 0.7, -4.0], [0.0, 0.0, 0.0, 1.0]]);
    for (name, shape, affine, overlap) in [
        ("thin", (60, 41, 150), thin, 0.5),
        ("thick", SHAPE, LPS, 0.75),
        ("few", (6, 5, 3), RAS, 0.75),
        ("oblique", SHAPE, oblique(), 0.75),
    ] {
        let files = write(dir.path(), name, &phantom(shape, affine, 3), Datatype::I16);
        let (out, report) = (dir.path().join(format!("{name}-out")), dir.path().join("report.json"));
        let overlap_text = overlap.to_string();
        let found =
            segmented(&run, &files.ct, &out, &["--overlap", &overlap_text, "--report", text(&report)]);
        // Numbers that differ in their last bits (sums of a part's own planes) may decide ties otherwise.
        let want = expected(&run, &files.ct, overlap);
        let differing = found.data.iter().zip(&want).filter(|(a, b)| a != b).count();
        assert!(differing * 10_000 <= want.len(), "{name}: {differing} of {}", want.len());
        assert!((0..3).all(|value| count(&want, value) > 0), "{name}: the weights find everything");

        let (scan, labels) =
            (NiftiImage::read(&files.ct).unwrap(), NiftiImage::read(out.join("labels.nii.gz")).unwrap());
        for field in [40..56, 76..108, 123..124, 252..328] {
            assert_eq!(labels.as_bytes()[field.clone()], scan.as_bytes()[field], "{name}");
        }
        let record = json(&out.join("record.json"));
        let findings = &record["findings"];
        let voxel_mm3 = scan.grid().affine.determinant().abs();
        let volume = |key: &str| findings[key].as_f64().unwrap() / voxel_mm3;
        assert!((volume("organ_volume_mm3") - count(&found.data, 1) as f64).abs() < 1e-6, "{name}");
        assert!((volume("tumor_volume_mm3") - count(&found.data, 2) as f64).abs() < 1e-6, "{name}");
        let parts = components(&found.data.mapv(|v| v == 2), Connectivity::Corners).parts;
        let described = findings["tumors"].as_array().unwrap().iter();
        let mut sizes: Vec<usize> = described.map(|t| t["voxels"].as_u64().unwrap() as usize).collect();
        let mut want: Vec<usize> = parts.iter().map(|p| p.voxels).collect();
        assert_eq!(findings["tumor_count"], want.len(), "{name}");
        // The largest are described.
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        want.sort_unstable_by(|a, b| b.cmp(a));
        want.truncate(DESCRIBED);
        assert_eq!(sizes, want, "{name}");
        assert_eq!(record["labels"], serde_json::json!({"1": "organ", "2": "tumor"}));
        assert_eq!(json(&report)["cases"][0]["findings"], *findings);
        assert_eq!(record["settings"]["model"]["backbone"], "unet");
    }
}

#[test]
fn the_order_of_a_files_axes_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let run = tiny_run(dir.path());
    let (ct, labels) = phantom((50, 40, 24), RAS, 8);
    let as_ras = write(dir.path(), "ras", &(ct.clone(), labels.clone()), Datatype::I16);
    let want = segmented(&run, &as_ras.ct, &dir.path().join("out-ras"), &[]);
    assert!(count(&want.data, 2) > 100);
    for codes in ["LPS", "PIR", "SLA"] {
        let codes: AxisCodes = codes.parse().unwrap();
        let turned = (reorient(&ct, codes).unwrap(), reorient(&labels, codes).unwrap());
        let files = write(dir.path(), &codes.to_string(), &turned, Datatype::I16);
        let out = dir.path().join(format!("out-{codes}"));
        let found = segmented(&run, &files.ct, &out, &[]);
        assert_eq!(found.grid(), NiftiImage::read(&files.ct).unwrap().grid());
        // Whole numbers of mm: the same voxels at 1 mm, to the bit.
        assert_eq!(reorient(&found, AxisCodes::RAS).unwrap().data, want.data, "{codes}");
        // Tumors are measured in the world, not in voxels: the same set.
        let tumors = |out: &Path| {
            let record = json(&out.join("record.json"));
            let mut rows: Vec<Vec<i64>> = record["findings"]["tumors"]
                .as_array()
                .unwrap()
                .iter()
                .map(|t| {
                    let key = |v: &serde_json::Value| (v.as_f64().unwrap() * 1e6).round() as i64;
                    let centre = t["centre_mm"].as_array().unwrap().iter().map(key);
                    centre.chain([key(&t["longest_axial_diameter_mm"]), key(&t["volume_mm3"])]).collect()
                })
                .collect();
            rows.sort();
            rows
        };
        assert_eq!(tumors(&out), tumors(&dir.path().join("out-ras")), "{codes}");
    }
    // The same voxels on a turned grid: headers of single precision move positions by 1e-5 voxels.
    let files = write(dir.path(), "turned", &(Volume { affine: oblique(), ..ct }, labels), Datatype::I16);
    let found = segmented(&run, &files.ct, &dir.path().join("out-turned"), &[]);
    let differing = found.data.iter().zip(&want.data).filter(|(a, b)| a != b).count();
    assert!(differing * 1000 < want.data.len(), "{differing} of {}", want.data.len());
}

#[test]
fn with_an_organ_nothing_outside_of_it_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let run = tiny_run(dir.path());
    // Larger than a window, and an organ in a corner: most windows are left out.
    let files = write(dir.path(), "a", &phantom((80, 50, 40), LPS, 4), Datatype::I16);
    let free = segmented(&run, &files.ct, &dir.path().join("free"), &["--probabilities"]);
    let out = dir.path().join("organ");
    let more = ["--labels", text(&files.labels), "--organ", "spleen=2", "--probabilities"];
    let found = segmented(&run, &files.ct, &out, &more);
    let organ = labels_of(&files.labels).data.mapv(|v| v == 2);
    assert!(free.data.iter().zip(&organ).any(|(l, o)| *l == 2 && *o));
    for ((at, label), inside) in found.data.indexed_iter().zip(&organ) {
        // The network's answer in the organ is that of the whole scan.
        let want = match (inside, free.data[at]) {
            (false, _) => 0,
            (true, 2) => 2,
            (true, _) => 1,
        };
        assert_eq!(*label, want, "{at:?}");
    }
    let record = json(&out.join("record.json"));
    assert_eq!(record["labels"], serde_json::json!({"1": "spleen", "2": "tumor"}));
    assert_eq!(record["settings"]["organ"], "spleen=2");
    assert_eq!(record["sources"][1]["role"], "labels");

    let share = |out: &str, name: &str| {
        let image =
            NiftiImage::read(dir.path().join(out).join(format!("{name}_probability.nii.gz"))).unwrap();
        assert_eq!(image.grid(), found.grid());
        image.to_volume().unwrap().data
    };
    let [organ_free, tumor_free] = ["organ", "tumor"].map(|name| share("free", name));
    let tumor = share("organ", "tumor");
    for (at, label) in free.data.indexed_iter() {
        let (o, t) = (organ_free[at], tumor_free[at]);
        assert!((0.0..=1.0).contains(&o) && (0.0..=1.0).contains(&t) && o + t <= 1.0 + 2.0 / 65535.0);
        // Half a step on each.
        let least = 1.5 / 65535.0;
        let likeliest = o.max(t).max(1.0 - o - t);
        let own = [1.0 - o - t, o, t][usize::from(*label)];
        assert!(own >= likeliest - least, "{at:?}: {label} of {o} and {t}");
        if organ[at] {
            assert!((tumor[at] - t).abs() <= least);
        }
    }
}

#[test]
fn small_tumors_are_dropped_by_radius() {
    let dir = tempfile::tempdir().unwrap();
    let run = tiny_run(dir.path());
    let files = standard(dir.path(), "a");
    let sizes = |out: &Path| -> Vec<f64> {
        let record = json(&out.join("record.json"));
        let tumors = record["findings"]["tumors"].as_array().unwrap().clone();
        tumors.iter().map(|t| t["equivalent_diameter_mm"].as_f64().unwrap() / 2.0).collect()
    };
    let (all, kept) = (dir.path().join("all"), dir.path().join("kept"));
    let before = segmented(&run, &files.ct, &all, &[]);
    let after = segmented(&run, &files.ct, &kept, &["--smallest-radius-mm", "3"]);
    let large: Vec<f64> = sizes(&all).into_iter().filter(|r| *r >= 3.0).collect();
    assert!(!large.is_empty() && large.len() < sizes(&all).len(), "{:?}", sizes(&all));
    assert_eq!(sizes(&kept), large);
    assert!(before.data.iter().zip(&after.data).all(|(b, a)| b == a || (*b == 2 && *a < 2)));
    let record = json(&kept.join("record.json"));
    assert_eq!(record["findings"]["small_tumors_dropped"], sizes(&all).len() - large.len());
}

#[test]
fn threads_do_not_matter_and_mirroring_does() {
    let dir = tempfile::tempdir().unwrap();
    let run = tiny_run(dir.path());
    let files = write(dir.path(), "a", &phantom((60, 50, 20), LPS, 4), Datatype::I16);
    let outs = ["1", "3"].map(|threads| {
        let out = dir.path().join(threads);
        let found = output(&run, &out, threads, &["--ct", text(&files.ct), "--probabilities"]);
        assert!(found.status.success(), "{found:?}");
        out
    });
    assert_same(&outs[0], &outs[1]);
    assert_eq!(tree(&outs[0]).len(), 4);
    let mirrored = segmented(&run, &files.ct, &dir.path().join("m"), &["--mirror", "--overlap", "0"]);
    assert_ne!(mirrored.data, labels_of(&outs[0].join("labels.nii.gz")).data);
}

#[test]
fn one_bad_case_is_reported_and_a_batch_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let run = tiny_run(dir.path());
    let [a, b] = ["a", "b"].map(|name| standard(dir.path(), name));
    let other = write(dir.path(), "other", &phantom((30, 30, 30), RAS, 1), Datatype::I16);
    let gone = dir.path().join("gone.nii.gz");
    let cases = table(
        &dir.path().join("cases.csv"),
        &[
            ("one", &a.ct, &a.labels),
            ("grid", &b.ct, &other.labels),
            ("gone", &gone, &b.labels),
            ("two", &b.ct, &b.labels),
        ],
    );
    let (out, report) = (dir.path().join("out"), dir.path().join("report.json"));
    let arguments = ["--cases", text(&cases), "--organ", "liver=1", "--report", text(&report)];
    let found = output(&run, &out, "2", &arguments);
    let (stdout, stderr) = (String::from_utf8_lossy(&found.stdout), String::from_utf8_lossy(&found.stderr));
    assert_eq!(found.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("failed: grid") && stderr.contains("same grid"), "{stderr}");
    assert!(stderr.contains("failed: gone") && stderr.contains("gone.nii.gz"), "{stderr}");
    assert!(stdout.contains("one: organ") && stdout.contains("2 done, 0 skipped, 2 failed"), "{stdout}");
    let totals = &json(&report)["totals"];
    assert_eq!((&totals["done"], &totals["failed"]), (&2.into(), &2.into()));
    let first = tree(&out);
    assert!(
        first.keys().all(|path| path.starts_with("one") || path.starts_with("two")),
        "{:?}",
        first.keys()
    );

    let again = |more: &[&str]| segment(&run, &out, &[&arguments, more].concat());
    let (code, stderr) = again(&[]);
    assert!(code == 1 && stderr.contains("--resume"), "{stderr}");
    table(&cases, &[("one", &a.ct, &a.labels), ("two", &b.ct, &b.labels)]);
    let (code, stderr) = again(&["--resume"]);
    assert_eq!((code, &json(&report)["totals"]["skipped"]), (0, &2.into()), "{stderr}");
    assert_eq!(tree(&out), first);
    let (code, stderr) = again(&["--resume", "--overlap", "0.5"]);
    assert!(code == 1 && stderr.contains("settings.overlap was 0.75 and is 0.5"), "{stderr}");
    let (code, stderr) = again(&["--force", "--overlap", "0.5"]);
    assert_eq!(code, 0, "{stderr}");
    assert_ne!(tree(&out), first);

    // Without an organ a table needs no labels, and several files no table.
    std::fs::write(&cases, format!("id,ct\nx,{}\n", text(&a.ct))).unwrap();
    let (code, stderr) = segment(&run, &dir.path().join("table"), &["--cases", text(&cases)]);
    assert_eq!(code, 0, "{stderr}");
    let files = dir.path().join("files");
    let (code, stderr) = segment(&run, &files, &["--ct", text(&a.ct), text(&b.ct)]);
    assert_eq!(code, 0, "{stderr}");
    for name in ["a", "b"] {
        assert!(files.join(name).join("labels.nii.gz").is_file());
    }
    assert_eq!(
        std::fs::read(files.join("a/labels.nii.gz")).unwrap(),
        std::fs::read(dir.path().join("table/x/labels.nii.gz")).unwrap()
    );
    // A part of them has the same names and bytes as in the whole.
    let part = dir.path().join("part");
    let (code, stderr) = segment(&run, &part, &["--ct", text(&a.ct), text(&b.ct), "--shard", "1/2"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(!part.join("a").exists());
    assert_same(&part.join("b"), &files.join("b"));
}

#[test]
fn arguments_and_runs_that_will_not_do_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let run = tiny_run(&dir.path().join("good"));
    let files = standard(dir.path(), "a");
    let out = dir.path().join("out");
    let (ct, labels) = (text(&files.ct), text(&files.labels));
    for (more, code, says) in [
        (&["--ct", ct, "--overlap", "1"][..], 2, "overlap"),
        (&["--ct", ct, "--overlap=-0.5"], 2, "overlap"),
        (&["--ct", ct, "--overlap", "NaN"], 2, "overlap"),
        (&["--ct", ct, "--smallest-radius-mm", "0"], 2, "smallest radius"),
        (&["--ct", ct, "--organ", "liver"], 2, "--organ"),
        (&["--ct", ct, "--labels", labels], 2, "--organ"),
        (&["--ct", ct, "--labels", labels, "--organ", "livr"], 2, "livr"),
        (&["--ct", ct, ct, "--labels", labels, "--organ", "liver=1"], 2, "--cases"),
        (&["--ct", ct, "--resume", "--force"], 2, "cannot be used with"),
        (&["--ct", ct, "--device", "abacus"], 2, "cpu"),
        (&["--labels", labels, "--organ", "liver=1"], 2, "--ct"),
        (&[], 2, "--ct"),
        (&["--ct", ct, ct], 1, "each once"),
        (&["--ct", text(dir.path().join("none.nii").as_path())], 1, "none.nii"),
        (&["--ct", ct, "--labels", labels, "--organ", "liver=7"], 1, "liver=7"),
        (&["--cases", ct], 1, "a.nii.gz"),
    ] {
        let (found, stderr) = segment(&run, &out, more);
        assert!(found == code && stderr.contains(says), "{more:?}: {found}: {stderr}");
        assert!(!out.exists(), "{more:?}");
    }

    let told = |model: Model, tensors: Tensors, says: &str| {
        let run = write_run(&dir.path().join("bad"), model, tensors);
        let (code, stderr) = segment(&run, &out, &["--ct", ct]);
        assert!(code == 1 && stderr.contains(says), "{code}: {stderr}");
        assert!(!out.exists());
    };
    let config = AutoencoderConfig {
        base_channels: 4,
        latent_channels: 4,
        codes: 64,
        norm_groups: 2,
        ..AutoencoderConfig::default()
    };
    let model = Model::Autoencoder(config);
    told(model.clone(), drawn(&model, 1), "expected a Run of kind 'segmentation', found 'autoencoder'");
    let two = UnetConfig { widths: vec![4, 6], classes: 2, ..UnetConfig::default() };
    let model = Model::Segmentation(Backbone::Unet(two));
    told(model.clone(), drawn(&model, 1), "3 classes");
    let deep = UnetConfig { widths: vec![2; 8], ..UnetConfig::default() };
    let model = Model::Segmentation(Backbone::Unet(deep));
    told(model.clone(), drawn(&model, 1), "sides of the patch");
    let mut damaged = drawn(&tiny_unet(), 5);
    damaged.values_mut().for_each(|(_, values)| values[0] = f32::NAN);
    told(tiny_unet(), damaged, "NaN or infinite");
    assert_eq!(self::run(&["segment", "--ct", ct, "--out", text(&out)]).0, 2);
    assert_eq!(segment(&dir.path().join("nowhere"), &out, &["--ct", ct]).0, 1);
}
