//! `difftumor segment`.
use super::{argument, bad, print};
use difftumor::batch::{Also, Existing, Status};
use difftumor::dataset::{Dataset, Scans};
use difftumor::device;
use difftumor::objects::{fetch, is_folder, is_one_scan};
use difftumor::segmentation::batch::{self, BatchOptions, BatchReport, ScanReport, Watch};
use difftumor::segmentation::segmenter::{Segmenter, SegmenterOptions};
use difftumor::segmentation::sliding_window::SlidingWindow;
use difftumor::shard::Shard;
use difftumor_ct::label::OrganSpec;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("input").required(true).args(["ct", "cases"]))]
pub struct Arguments {
    /// Run directory of a segmentation
    #[arg(long, value_name = "RUN")]
    model: PathBuf,
    /// Scans (.nii, .nii.gz, or the folder of a DICOM series) or folders of scans
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1..)]
    ct: Vec<PathBuf>,
    /// Labels that hold the organ, for one scan: a file, or a folder with one mask an organ (liver.nii.gz, …). For one
    /// folder of scans: a folder with the labels of each under the same name
    #[arg(long, value_name = "FILE|FOLDER", requires = "ct", requires = "organ", conflicts_with = "cases")]
    labels: Option<PathBuf>,
    /// A table of scans with the columns id, ct and, for --organ, labels (comma-separated; paths relative to the table)
    #[arg(long, value_name = "CSV")]
    cases: Option<PathBuf>,
    /// The organ in the labels (TotalSegmentator's name and, where it must be said, its value). Tumors outside of it are
    /// dropped, and the rest of it is labelled as organ; without, the model's own organ stays
    #[arg(long, value_name = "NAME[=VALUE]")]
    organ: Option<String>,
    /// Output folder. One scan goes right into it, several into a folder each
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Share of its side that a window has in common with the next one, from 0 to less than 1
    #[arg(long, value_name = "SHARE", default_value_t = SlidingWindow::default().overlap)]
    overlap: f64,
    /// Side of a window [default: that of the crops that the model was trained on; 96 for published ones]
    #[arg(long, value_name = "N")]
    window_vox: Option<usize>,
    /// Average over the eight mirror images of each window: eight times the work
    #[arg(long)]
    mirror: bool,
    /// Also write the probabilities of organ and tumor
    #[arg(long)]
    probabilities: bool,
    /// Also write the labels as seg (a DICOM segmentation of the scan's series) or nrrd (for 3D Slicer)
    #[arg(long, value_name = "KIND", num_args = 1.., value_delimiter = ',')]
    also: Vec<FurtherName>,
    /// Drop tumors whose ball of the same volume has a smaller radius
    #[arg(long, value_name = "R")]
    smallest_radius_mm: Option<f64>,
    /// Segment only the part I (from 0) of N of all scans; auto, or auto/N: the one that the scheduler of a job array says
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,
    /// Keep outputs that are there, if they were made from the same inputs with the same settings
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Replace outputs that are there
    #[arg(long)]
    force: bool,
    /// Write what became of each scan, volumes, tumors, times and peak memory as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where the model runs: cpu, or wgpu[:n] in builds with GPUs
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Further files of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FurtherName {
    /// labels.dcm
    Seg,
    /// labels.seg.nrrd
    Nrrd,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let mut options = SegmenterOptions {
        window: SlidingWindow { overlap: a.overlap, mirror: a.mirror, ..SlidingWindow::default() },
        smallest_radius_mm: a.smallest_radius_mm,
        probabilities: a.probabilities,
    };
    // Bad arguments are told before anything is read.
    options.check().map_err(bad)?;
    let organ = a.organ.as_ref().map(|text| text.parse::<OrganSpec>().map_err(bad)).transpose()?;
    let device = device::parse(&a.device).map_err(bad)?;
    let mut scans = a.scans()?;
    if let Some(text) = &a.shard {
        let shard: Shard = text.parse().map_err(bad)?;
        let mut positions = 0..;
        scans.scans.retain(|_| positions.next().is_some_and(|position| shard.has(position)));
        scans.single = false;
    }
    let run = fetch(&a.model)?;
    let segmenter = Segmenter::open(run.path(), &device).map_err(|e| run.explain(e))?;
    options.window.roi_vox = a.window_vox.map_or(segmenter.window_vox(), |side| [side; 3]);
    segmenter.backbone().check_sides(options.window.roi_vox).map_err(bad)?;
    let existing = match (a.resume, a.force) {
        (true, _) => Existing::Resume,
        (_, true) => Existing::Replace,
        _ => Existing::Refuse,
    };
    let also = [(FurtherName::Seg, Also::Seg), (FurtherName::Nrrd, Also::Nrrd)];
    let also = also.into_iter().filter(|(name, _)| a.also.contains(name)).map(|(_, kind)| kind).collect();
    let batch = BatchOptions { out: a.out.clone(), organ, existing, also, device: a.device.clone() };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} windows, {eta} left")
        .expect("the template is well-formed");
    let bar = bars.add(ProgressBar::new(0).with_style(style));
    let number = scans.scans.len();
    let settled = std::cell::Cell::new(0);
    let watch = Watch {
        windows: &|id, done, all| {
            if done == 1 {
                bar.reset();
                bar.set_length(all as u64);
                bar.set_message(format!("{id} ({} of {number})", settled.get() + 1));
            }
            bar.set_position(done as u64);
        },
        settled: &|case| {
            tracing::info!("{}: {:?}, {:.1} s", case.case, case.status, case.seconds);
            settled.set(settled.get() + 1);
        },
    };
    let report = batch::run(scans, &segmenter, &options, &batch, &watch)?;
    bar.finish_and_clear();
    summarise(&report)?;
    if let Some(path) = &a.report {
        report.write(path)?;
    }
    Ok(if report.totals.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Arguments {
    fn scans(&self) -> anyhow::Result<Scans> {
        if let Some(table) = &self.cases {
            return Ok(match self.organ {
                Some(_) => Dataset::table(table)?.into(),
                None => Scans::table(table)?,
            });
        }
        match (&self.labels, &self.ct[..]) {
            (None, _) if self.organ.is_some() => {
                Err(argument("--organ", "labels that hold it, with --labels or --cases", "none").into())
            }
            (None, files) => Ok(Scans::files(files)?),
            (Some(labels), [ct]) if is_one_scan(ct)? => Ok(Dataset::single(ct, labels)?.into()),
            (Some(labels), [ct]) if is_folder(labels) => Ok(Dataset::folders(ct, labels)?.into()),
            (Some(labels), [_]) => {
                Err(argument("--labels", "a folder, as --ct is one", labels.display()).into())
            }
            (Some(_), several) => {
                let expected = "one scan or one folder with --labels; for several, a table with --cases";
                Err(argument("--ct", expected, several.len()).into())
            }
        }
    }
}

/// A line on stdout for each scan and one for all; failed ones on stderr.
fn summarise(report: &BatchReport) -> anyhow::Result<()> {
    for case in &report.cases {
        match &case.message {
            Some(message) => eprintln!("failed: {}: {message}", case.case),
            None => print(&line(case))?,
        }
    }
    let totals = report.totals;
    let memory =
        report.peak_memory_bytes.map(|b| format!(", peak memory {} MB", b >> 20)).unwrap_or_default();
    print(&format!(
        "{} done, {} skipped, {} failed; {} with tumors; {:.1} s{memory}\n",
        totals.done, totals.skipped, totals.failed, totals.with_tumors, report.seconds,
    ))
}

fn line(case: &ScanReport) -> String {
    let Some(found) = &case.findings else { return String::new() };
    let ml = |mm3: f64| mm3 / 1000.0;
    let longest = found.tumors.iter().map(|t| t.longest_axial_diameter_mm).fold(0.0, f64::max);
    let longest = if found.tumors.is_empty() { String::new() } else { format!(", longest {longest:.0} mm") };
    let kept = if case.status == Status::Skipped { " (kept)" } else { "" };
    format!(
        "{}{kept}: organ {:.1} ml, {} tumors of {:.2} ml{longest}\n",
        case.case,
        ml(found.organ_volume_mm3),
        found.tumor_count,
        ml(found.tumor_volume_mm3),
    )
}
