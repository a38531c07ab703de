//! `difftumor analyze organs`.
use crate::cli::annotation::AnnotationArguments;
use crate::cli::{argument, bad, print};
use difftumor::analyze::organs::{OrganStudy, Tumors, run as study};
use difftumor::dataset::Dataset;
use difftumor::device;
use difftumor::organ_classifier::{CropOptions, TrainingOptions, crops};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A table of cases with the columns id, ct and labels; once for each group of tumors
    #[arg(long, value_name = "CSV", required = true)]
    cases: Vec<PathBuf>,
    /// The organ with its tumors, as liver=1:tumor=2; once for each --cases, in the same order. Its name is the group's
    #[arg(long = "organ", value_name = "NAME[=VALUE:tumor=VALUE]", required = true)]
    organs: Vec<String>,
    /// Output folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace a study that is in the output folder
    #[arg(long)]
    force: bool,
    /// Side of a crop in voxels of 1 mm
    #[arg(long, value_name = "N", default_value_t = CropOptions::default().side_vox)]
    side_vox: usize,
    /// Width of the organ's rim that stays around a tumor
    #[arg(long, value_name = "MM", default_value_t = CropOptions::default().rim_mm)]
    rim_mm: f64,
    /// Random splits of the patients; each trains both networks anew
    #[arg(long, value_name = "N", default_value_t = TrainingOptions::default().repeats)]
    repeats: usize,
    /// Share of the patients that are tested on
    #[arg(long, value_name = "SHARE", default_value_t = TrainingOptions::default().test_share)]
    test_share: f64,
    /// Passes over the training crops
    #[arg(long, value_name = "N", default_value_t = TrainingOptions::default().epochs)]
    epochs: usize,
    /// Everything that is drawn follows from it
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the networks run: cpu, or wgpu[:n] in builds with GPUs
    #[arg(long, default_value = "cpu")]
    device: String,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    if a.cases.len() != a.organs.len() {
        let expected = format!("one for each of the {} --cases", a.cases.len());
        return Err(argument("--organ", &expected, a.organs.len()).into());
    }
    let device = device::parse(&a.device).map_err(bad)?;
    let options = CropOptions { side_vox: a.side_vox, rim_mm: a.rim_mm };
    let mut tumors = Tumors { crops: vec![], options, left_out: vec![] };
    for (table, organ) in a.cases.iter().zip(&a.organs) {
        let annotation = AnnotationArguments { organ: Some(organ.clone()), tumor: None }.parse()?;
        let dataset = Dataset::table(table)?;
        let style =
            ProgressStyle::with_template("{wide_bar} {pos}/{len} cases, {eta} left").expect("a template");
        let bar = bars.add(ProgressBar::new(dataset.cases.len() as u64).with_style(style));
        let found = crops(&dataset, &annotation, annotation.name(), options, &|_| bar.inc(1))?;
        bar.finish_and_clear();
        tumors.crops.extend(found.crops);
        tumors.left_out.extend(found.left_out);
    }
    let training = TrainingOptions {
        repeats: a.repeats,
        test_share: a.test_share,
        epochs: a.epochs,
        seed: a.seed,
        ..TrainingOptions::default()
    };
    let all = (training.architectures.len() * a.repeats * a.epochs) as u64;
    let style =
        ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} epochs, {eta} left").expect("a template");
    let bar = bars.add(ProgressBar::new(all).with_style(style));
    let found = study(tumors, &training, &device, (&a.out, a.force), &|network, repeat, epoch, loss| {
        bar.set_message(format!("{} {}", network.name(), repeat + 1));
        bar.inc(1);
        tracing::info!("{} {}, epoch {}: loss {loss:.3}", network.name(), repeat + 1, epoch + 1);
    })?;
    bar.finish_and_clear();
    for (id, reason) in &found.left_out {
        eprintln!("left out: {id}: {reason}");
    }
    print(&lines(&found))?;
    Ok(if found.left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lines(study: &OrganStudy) -> String {
    let e = &study.experiment;
    let groups: Vec<String> = e.groups.iter().map(|g| format!("{} {}", g.tumors, g.name)).collect();
    let mut text = format!("{}; chance {:.2}\n", groups.join(", "), e.chance.macro_score);
    for c in &e.classifiers {
        let (precision, recall) = (c.test.precision.mean, c.test.recall.mean);
        text += &format!("{:<9} precision {precision:.2}, recall {recall:.2} in the test\n", c.name);
    }
    text
}
