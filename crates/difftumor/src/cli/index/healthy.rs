//! `difftumor index --select-healthy`.
use super::super::{argument, bad, print};
use super::Arguments;
use difftumor::batch::Existing;
use difftumor::dataset::{Dataset, Scans};
use difftumor::device;
use difftumor::index::healthy::{HealthyRule, Selection, Verdict, select};
use difftumor::segmentation::batch::{BatchOptions, Watch};
use difftumor::segmentation::segmenter::{Segmenter, SegmenterOptions};
use difftumor::segmentation::sliding_window::SlidingWindow;
use difftumor_ct::label::OrganSpec;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

/// What --stage does not need.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --select-healthy")]
pub struct HealthyArguments {
    /// Run directory of a segmentation
    #[arg(long, value_name = "RUN", requires = "select_healthy")]
    model: Option<PathBuf>,
    /// Scans (.nii, .nii.gz, or the folder of a DICOM series) or folders of scans, in place of --cases
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1.., requires = "select_healthy", conflicts_with = "cases")]
    ct: Vec<PathBuf>,
    /// Volume of the organ below which it does not count as there
    #[arg(long, value_name = "ML", requires = "select_healthy", default_value_t = HealthyRule::default().least_organ_ml)]
    least_organ_ml: f64,
    /// Predicted tumors whose ball of the same volume has a smaller radius do not count
    #[arg(long, value_name = "R", requires = "select_healthy")]
    smallest_radius_mm: Option<f64>,
    /// Share of its side that a window has in common with the next one, from 0 to less than 1
    #[arg(long, value_name = "SHARE", requires = "select_healthy", default_value_t = SlidingWindow::default().overlap)]
    overlap: f64,
    /// Go on with a selection: segmentations that are there are kept, if they were made with the same settings
    #[arg(long, requires = "select_healthy", conflicts_with = "force")]
    resume: bool,
    /// Replace segmentations, or FOLDER's table, that are there
    #[arg(long, conflicts_with = "stage")]
    pub(super) force: bool,
    /// Where the model runs: cpu, or wgpu[:n] in builds with GPUs
    #[arg(long, requires = "select_healthy", default_value = "cpu")]
    device: String,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let h = &a.healthy;
    let rule = HealthyRule { least_organ_ml: h.least_organ_ml };
    let mut options = SegmenterOptions {
        window: SlidingWindow { overlap: h.overlap, ..SlidingWindow::default() },
        smallest_radius_mm: h.smallest_radius_mm,
        probabilities: false,
    };
    options.check().map_err(bad)?;
    rule.check().map_err(bad)?;
    let organ = a.organ.as_ref().map(|text| text.parse::<OrganSpec>().map_err(bad)).transpose()?;
    let device = device::parse(&h.device).map_err(bad)?;
    let Some(model) = &h.model else { return Err(argument("--model", "a Run", "none").into()) };
    let scans = match (&a.cases, &organ) {
        (Some(table), Some(_)) => Dataset::table(table)?.into(),
        (Some(table), None) => Scans::table(table)?,
        (None, None) if !h.ct.is_empty() => Scans::files(&h.ct)?,
        (None, None) => return Err(argument("scans", "--ct or --cases", "none").into()),
        (None, Some(_)) => {
            return Err(argument("--organ", "a table with labels, with --cases", "--ct").into());
        }
    };
    let segmenter = Segmenter::open(model, &device)?;
    options.window.roi_vox = segmenter.window_vox();
    let existing = match (h.resume, h.force) {
        (true, _) => Existing::Resume,
        (_, true) => Existing::Replace,
        _ => Existing::Refuse,
    };
    let batch = BatchOptions { out: a.out.clone(), organ, existing, also: vec![], device: h.device.clone() };
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} scans, {eta} left").expect("a template");
    let bar = bars.add(ProgressBar::new(scans.scans.len() as u64).with_style(style));
    let watch = Watch { windows: &|_, _, _| (), settled: &|_| bar.inc(1) };
    let selection = select(scans, &segmenter, &options, &batch, &rule, &watch)?;
    bar.finish_and_clear();
    told(&selection, a)
}

fn told(selection: &Selection, a: &Arguments) -> anyhow::Result<ExitCode> {
    for scan in &selection.scans {
        match scan.verdict {
            Verdict::Healthy => print(&format!("{}: {}\n", scan.id, scan.reason))?,
            Verdict::LeftOut => eprintln!("left out: {}: {}", scan.id, scan.reason),
            Verdict::Failed => eprintln!("failed: {}: {}", scan.id, scan.reason),
        }
    }
    let list = if selection.healthy > 0 { "cases.csv" } else { "healthy.json" };
    print(&format!(
        "{} healthy, {} left out, {} failed; {}\n",
        selection.healthy,
        selection.left_out,
        selection.failed,
        a.out.join(list).display()
    ))?;
    Ok(if selection.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
