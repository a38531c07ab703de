//! `difftumor evaluate` with tiny autoencoders of random weights, whose figures are poor but can be computed otherwise.

use crate::phantom::*;
use burn::tensor::Device;
use difftumor::autoencoder::whole_volume::Tiling;
use difftumor::autoencoder::{Autoencoder, AutoencoderConfig};
use difftumor::evaluate::similarity::{mean_squared_error, psnr_db, seam_ratio};
use difftumor::run::{Model, NewRun, Run};
use difftumor::tensor::{from_crop, to_crop};
use difftumor::train::scans::read_at_1mm;
use difftumor_ct::intensity::HuWindow;
use ndarray::Array3;
use std::path::{Path, PathBuf};

fn tiny_run(dir: &Path) -> PathBuf {
    let config = AutoencoderConfig {
        base_channels: 4,
        latent_channels: 4,
        codes: 64,
        norm_groups: 2,
        ..AutoencoderConfig::default()
    };
    let model = Model::Autoencoder(config);
    let tensors = drawn(&model, 3);
    let new =
        NewRun { licence: "none".into(), origin: None, training: None, tensors, model, autoencoder: None };
    let run = dir.join("run");
    Run::create(&run, &new, false).unwrap();
    run
}

/// The phantom is 94 x 78 x 95 mm between the centres of its outermost voxels.
const SHAPE_VOX: [usize; 3] = [95, 79, 96];

fn image_of(files: &Files) -> Array3<f32> {
    read_at_1mm(&files.ct).unwrap().data.mapv_into(|hu| HuWindow::default().to_signed(hu))
}

fn evaluate(run: &Path, ct: &[&Path], report: &Path, threads: &str, more: &[&str]) -> (i32, String, String) {
    let mut all = vec!["evaluate", "autoencoder", "--model", text(run), "--report", text(report), "--ct"];
    all.extend(ct.iter().map(|p| text(p)));
    all.extend(more);
    let output = command(&all).env("RAYON_NUM_THREADS", threads).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn one_tile_gives_the_figures_of_the_model_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (run, files) = (tiny_run(dir.path()), standard(dir.path(), "a"));
    let (report, pictures) = (dir.path().join("r.json"), dir.path().join("pictures"));
    let more = ["--tile-vox", "96", "--pictures", text(&pictures)];
    let (code, stdout, stderr) = evaluate(&run, &[&files.ct], &report, "2", &more);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("PSNR") && stdout.contains("a.nii.gz"), "{stdout}");
    let report = json(&report);
    let file = &report["files"][0];
    let figures = &file["figures"];
    let get = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("{name} in {figures}"));
    assert_eq!(figures["shape_vox"], serde_json::json!(SHAPE_VOX));

    let image = image_of(&files);
    let model = Autoencoder::open(&Run::open(&run).unwrap(), &Device::flex()).unwrap();
    let padded = difftumor_ct::patch::crop(&image, [0; 3], [96, 80, 96], difftumor_ct::patch::Fill::Edge);
    let z = model.encode(from_crop(&padded, &Device::flex()));
    let back = |decoded| -> Array3<f32> {
        let whole: Array3<f32> = to_crop(decoded);
        whole.slice(ndarray::s![..95, ..79, ..96]).mapv(|v| v.clamp(-1.0, 1.0))
    };
    let [decoded, unquantised] = [back(model.decode(z.clone())), back(model.decode_quantised(z))];
    // The same arithmetic: a weight of one.
    let psnr = |other: &Array3<f32>| psnr_db(mean_squared_error(&image, other), 2.0);
    assert!((get("psnr_db") - psnr(&decoded)).abs() < 1e-9);
    assert!((get("psnr_unquantised_db") - psnr(&unquantised)).abs() < 1e-9);
    assert!((-1.0..=1.0).contains(&get("ssim")));
    // Averages of 4³ keep most of an organ; random weights keep nothing.
    assert!(get("psnr_pool4_db") > get("psnr_db") + 5.0 && get("psnr_pool4_db") < 40.0, "{figures}");
    assert!(get("mae_hu") > 0.0 && get("mae_hu") < 425.0);
    // Uniform noise of ±15 HU has a deviation of 8.9 HU; linear interpolation to 1 mm averages much of it away.
    assert!((0.5..8.9).contains(&get("noise_hu")), "{figures}");
    assert!(
        get("psnr_noise_bound_db") > get("psnr_noise_free_db") && get("psnr_noise_free_db") > get("psnr_db")
    );
    assert!(figures["seam_ratio"].is_null());
    let usage = &figures["codebook_usage"];
    let used = usage["used"].as_u64().unwrap();
    assert!((1..=64).contains(&used) && usage["used_share"].as_f64().unwrap() == used as f64 / 64.0);
    assert!((1.0..=used as f64 + 1e-9).contains(&usage["perplexity"].as_f64().unwrap()));
    assert_eq!((report["done"].as_u64(), report["failed"].as_u64()), (Some(1), Some(0)));
    assert_eq!(report["mean"]["psnr_db"], figures["psnr_db"]);
    assert_eq!(report["model"]["config"]["base_channels"], 4);
    assert!(file["seconds"].as_f64().unwrap() > 0.0);

    let names: Vec<_> = tree(&pictures).into_keys().collect();
    assert_eq!(names.len(), 2, "{names:?}");
    for (name, path) in names.iter().zip(file["pictures"].as_array().unwrap()) {
        assert!(Path::new(path.as_str().unwrap()).ends_with(name));
        let decoder =
            png::Decoder::new(std::io::BufReader::new(std::fs::File::open(pictures.join(name)).unwrap()));
        let size = decoder.read_info().unwrap().info().size();
        assert!(size.0 as usize > 3 * 95 && size.1 as usize > 3 * 79, "{size:?}");
    }
}

#[test]
fn figures_do_not_depend_on_threads() {
    let dir = tempfile::tempdir().unwrap();
    let (run, files) = (tiny_run(dir.path()), standard(dir.path(), "a"));
    let reports = ["1", "3"].map(|threads| {
        let report = dir.path().join(format!("{threads}.json"));
        let (code, _, stderr) = evaluate(&run, &[&files.ct], &report, threads, &["--tile-vox", "32"]);
        assert_eq!(code, 0, "{stderr}");
        json(&report)["files"][0]["figures"].clone()
    });
    assert_eq!(reports[0], reports[1]);
    assert!(reports[0]["seam_ratio"].as_f64().unwrap() > 0.0);
}

#[test]
fn tiles_that_differ_leave_no_seams() {
    let dir = tempfile::tempdir().unwrap();
    let image = image_of(&standard(dir.path(), "a"));
    // As norms do: what comes back depends on the tile's mean. A tenth of the scan's noise is in the error.
    let seams = [Tiling::with_side(32), Tiling { side_vox: 32, overlap_vox: 0 }].map(|tiling| {
        let work = |t: &Array3<f32>| [t.mapv(|v| 0.9 * v + 0.05 * t.mean().unwrap())];
        let [back] = tiling.join(&image, 4, work, &|_, _| ());
        seam_ratio(&(back - &image), &tiling.borders(&image, 4), 4).unwrap()
    });
    println!("seams: {:.3} faded, {:.3} side by side", seams[0], seams[1]);
    // Side by side, steps of up to 0.05 between tiles stand against noise of 0.005.
    assert!(seams[0] < 1.1 && seams[1] > 1.5, "{seams:?}");
}

#[test]
fn one_bad_scan_is_reported_and_stops_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let run = tiny_run(dir.path());
    let [a, b] = ["a", "b"].map(|name| standard(&dir.path().join(name), name));
    let bytes = std::fs::read(&b.ct).unwrap();
    std::fs::write(&b.ct, &bytes[..bytes.len() / 2]).unwrap();
    let missing = dir.path().join("c/c.nii.gz");
    let report = dir.path().join("r.json");
    let (code, stdout, stderr) =
        evaluate(&run, &[&b.ct, &a.ct, &missing], &report, "2", &["--tile-vox", "48"]);
    assert_eq!(code, 1, "{stderr}");
    assert_eq!((stdout.lines().count(), stderr.matches("failed: ").count()), (1, 2), "{stdout}{stderr}");
    let report = json(&report);
    assert_eq!((report["done"].as_u64(), report["failed"].as_u64()), (Some(1), Some(2)));
    for (i, name) in [(1, "b.nii.gz"), (2, "c.nii.gz")] {
        assert!(report["files"][i]["message"].as_str().unwrap().contains(name), "{report}");
        assert!(report["files"][i]["figures"].is_null());
    }
    assert!(report["files"][0]["figures"]["psnr_db"].is_f64() && report["mean"]["psnr_db"].is_f64());

    std::fs::remove_file(&a.ct).unwrap();
    let report = dir.path().join("none.json");
    let (code, _, _) = evaluate(&run, &[&a.ct], &report, "2", &[]);
    assert_eq!(code, 1);
    assert!(json(&report)["mean"].is_null());
}

#[test]
fn arguments_that_cannot_be_met_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (run, files) = (tiny_run(dir.path()), standard(dir.path(), "a"));
    let report = dir.path().join("r.json");
    for (more, code, says) in [
        (&["--tile-vox", "30"][..], 2, "multiple of 4"),
        (&["--tile-vox", "0"], 2, "multiple of 4"),
        (&["--tile-vox", "4096"], 2, "up to 512"),
        (&["--device", "abacus"], 2, "cpu"),
        (&["--no-such-flag"], 2, "unexpected argument"),
        (&["--pictures", text(&files.ct)], 1, "a.nii.gz"),
    ] {
        let (found, _, stderr) = evaluate(&run, &[&files.ct], &report, "2", more);
        assert!(found == code && stderr.contains(says), "{more:?}: {found}: {stderr}");
        assert!(!report.exists());
    }
    let (code, _, stderr) = evaluate(&dir.path().join("none"), &[&files.ct], &report, "2", &[]);
    assert!(code == 1 && stderr.contains("run.toml"), "{stderr}");
    assert_eq!(self::run(&["evaluate", "autoencoder", "--model", text(&run)]).0, 2);
    assert_eq!(self::run(&["evaluate"]).0, 2);
}
