//! `difftumor evaluate`.
mod comparison;
mod segmentation;

use super::{bad, print};
use clap::Subcommand;
use difftumor::autoencoder::whole_volume::Tiling;
use difftumor::device;
use difftumor::evaluate::autoencoder::{Evaluator, Figures, Options, Report};
use difftumor::train::scans;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    model: Evaluated,
}

#[derive(Debug, Subcommand)]
enum Evaluated {
    /// Stage 1: what is left of scans that are turned into codes and back, at 1 mm in the window -175..250 HU
    Autoencoder(AutoencoderArguments),
    /// Stage 3: predicted organs and tumors against the truth: overlap, surfaces, tumors found, with confidence limits
    Segmentation(segmentation::Arguments),
    /// Methods that were measured on the same cases, beside each other and tested in pairs
    Comparison(comparison::Arguments),
}

#[derive(Debug, clap::Args)]
pub struct AutoencoderArguments {
    /// Run directory of an autoencoder
    #[arg(long, value_name = "RUN")]
    model: PathBuf,
    /// Scans (.nii, .nii.gz, or the folder of a DICOM series) or folders of scans that it was not trained on
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1.., required = true)]
    ct: Vec<PathBuf>,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write slices of each scan, what came back, and the difference into this folder
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// Side of the tiles that scans are cut into; they share a quarter
    #[arg(long, value_name = "N", default_value_t = Tiling::default().side_vox)]
    tile_vox: usize,
    /// Where the model runs: cpu, or wgpu[:n] in builds with GPUs
    #[arg(long, default_value = "cpu")]
    device: String,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    match &a.model {
        Evaluated::Autoencoder(a) => autoencoder(a, bars),
        Evaluated::Segmentation(a) => segmentation::run(a, bars),
        Evaluated::Comparison(a) => comparison::run(a),
    }
}

fn autoencoder(a: &AutoencoderArguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let device = device::parse(&a.device).map_err(bad)?;
    let evaluator = Evaluator::open(&a.model, &device)?;
    let options = Options { tiling: Tiling::with_side(a.tile_vox), pictures: a.pictures.clone() };
    evaluator.check(options.tiling).map_err(bad)?;
    let scans = scans::list(&a.ct)?;
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} tiles, {eta} left")
        .expect("the template is well-formed");
    let bar = bars.add(ProgressBar::new(0).with_style(style));
    let report = evaluator.run(&scans, &options, &|scan, done, all| {
        if done == 1 {
            bar.reset();
            bar.set_length(all as u64);
            bar.set_message(scan.id.clone());
        }
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    summarise(&report)?;
    if let Some(path) = &a.report {
        report.write(path)?;
    }
    Ok(if report.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A line on stdout for each scan; failed ones on stderr.
fn summarise(report: &Report) -> anyhow::Result<()> {
    for file in &report.files {
        let name = file.ct.display();
        match (&file.figures, &file.message) {
            (Some(f), _) => {
                print(&format!("{name}: {}, {:.0} s\n", line(f), file.seconds))?;
                if f.psnr_unquantised_db - f.psnr_db > UNUSED_CODES_DB {
                    eprintln!(
                        "note: {name}: codes cost {:.0} dB: they are not those of this encoder's latents; was the training still before quantise_from_step?",
                        f.psnr_unquantised_db - f.psnr_db
                    );
                }
            }
            (None, message) => eprintln!("failed: {name}: {}", message.as_deref().unwrap_or_default()),
        }
    }
    Ok(())
}

/// Trained codes cost 1 to 3 dB.
const UNUSED_CODES_DB: f64 = 8.0;

fn line(f: &Figures) -> String {
    let ssim = f.ssim.map_or(String::new(), |v| format!(", SSIM {v:.3}"));
    let bound = f.psnr_noise_free_db.map_or(String::new(), |v| format!(", without noise {v:.1}"));
    let texture =
        f.texture_kept.map_or(String::new(), |t| format!(", texture {:.2} {:.2} {:.2}", t[0], t[1], t[2]));
    let seams = f.seam_ratio.map_or(String::new(), |v| format!(", seams {v:.2}"));
    format!(
        "PSNR {:.2} dB (unquantised {:.2}, 4x pooling {:.2}{bound}){ssim}, MAE {:.1} HU, {:.1} % of codes used{texture}{seams}",
        f.psnr_db,
        f.psnr_unquantised_db,
        f.psnr_pool4_db,
        f.mae_hu,
        100.0 * f.codebook_usage.used_share,
    )
}
