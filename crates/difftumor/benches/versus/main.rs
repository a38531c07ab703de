//! Our side of `just bench` (`reference/bench.py`), which alternates it with PyTorch, scipy and nibabel.
//!
//! Reads lines `STAGE REPS` from the standard input and answers each with one line of JSON: the stage, its times in
//! ms and the peak memory in MB above what the process held at its start. The first line of a stage also prepares it
//! and runs it once. Stages and their arguments are the ones of `STAGES` in that script; a first argument names the
//! folder with its scan.
//!
//! Weights and inputs are random: times do not depend on them.
mod layers;
mod networks;
mod training;
mod voxels;
mod windows;

use burn::tensor::{Device, Distribution, Tensor};
use difftumor::segmentation::{Architecture, Backbone};
use layers::{gradients, inference, layer};
use networks::network;
use std::hint::black_box;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Instant;
use training::train;
use voxels::voxels;
use windows::windows;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A prepared stage.
type Run = Box<dyn FnMut()>;

/// The CPU, or the device that `DIFFTUMOR_DEVICE` names (as `--device`).
fn device() -> Device {
    let name = std::env::var("DIFFTUMOR_DEVICE").unwrap_or("cpu".into());
    difftumor::device::parse(&name).unwrap_or_else(|e| panic!("{e}"))
}

fn random(shape: [usize; 5], device: &Device) -> Tensor<5> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}

/// `24x24x24`.
fn sides(text: &str) -> [usize; 3] {
    let all: Vec<usize> = text.split('x').map(number).collect();
    all.try_into().unwrap_or_else(|_| panic!("{text:?} are not three sides"))
}

/// A segmentation network of the published sizes.
fn segmentation(name: &str) -> Option<Backbone> {
    let architecture = match name {
        "unet" => Architecture::Unet,
        "nnunet" => Architecture::Nnunet,
        "swinunetr" => Architecture::SwinUnetr,
        _ => return None,
    };
    Some(architecture.published())
}

fn run(mut f: impl FnMut() -> Tensor<5> + 'static) -> Run {
    Box::new(move || drop(black_box(f())))
}

fn prepare(stage: &str, case: Option<&Path>) -> Run {
    let parts: Vec<&str> = stage.split(':').collect();
    let found = match (parts[0], case) {
        ("ct", Some(case)) => voxels(parts[1], case),
        ("train", _) => train(parts[1]),
        ("windows", _) => windows(parts[1], number(parts[2])),
        ("grad", _) => layer(parts[1], &parts[2..], &device().autodiff()).map(gradients),
        (kind, _) => layer(kind, &parts[1..], &device()).map(inference).or_else(|| network(stage)),
    };
    found.unwrap_or_else(|| panic!("no stage {stage:?}"))
}

/// A line of the process's status on Linux, in MB: `VmRSS` is its memory, `VmHWM` the peak of that.
fn memory_mb(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn main() {
    if std::io::stdin().is_terminal() {
        return eprintln!("started by `just bench`: reads lines `STAGE REPS`");
    }
    // `cargo bench` adds options of its own.
    let case = std::env::args().skip(1).find(|a| !a.starts_with('-')).map(PathBuf::from);
    let device = device();
    let mut current: Option<(String, Run)> = None;
    let start_mb = memory_mb("VmRSS");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("text");
        let (stage, reps) = line.split_once(' ').expect("a line `STAGE REPS`");
        if current.as_ref().is_none_or(|(name, _)| name != stage) {
            let mut f = prepare(stage, case.as_deref());
            f();
            current = Some((stage.into(), f));
            // Forgets the peak of the preparation, where that is allowed.
            let _ = std::fs::write("/proc/self/clear_refs", "5");
        }
        let Some((_, f)) = &mut current else { unreachable!() };
        let times_ms: Vec<f64> = (0..number(reps))
            .map(|_| {
                let start = Instant::now();
                f();
                device.sync().expect("the device's work");
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        let peak_mb = memory_mb("VmHWM") - start_mb;
        println!("{}", serde_json::json!({"stage": stage, "times_ms": times_ms, "peak_mb": peak_mb}));
    }
}
