//! `difftumor study make`.
use crate::cli::{bad, print};
use difftumor::study::sources;
use difftumor_ct::label::OrganSpec;
use difftumor_study::format::Kind;
use difftumor_study::make::{Made, MakeOptions, make};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What readers are asked
    #[arg(long, default_value = "turing")]
    kind: KindName,
    /// Tables of cases with real tumors (columns id, ct and labels, maybe patient)
    #[arg(long, value_name = "CSV", num_args = 1..)]
    real: Vec<PathBuf>,
    /// Output folders of `synthesize`, or tables of cases with synthetic tumors alone
    #[arg(long, value_name = "DIR|CSV", num_args = 1..)]
    synthetic: Vec<PathBuf>,
    /// Values of the tables' labels, as in liver=1:tumor=2; once for each organ
    #[arg(long = "organ", value_name = "NAME=VALUE:tumor=VALUE")]
    organs: Vec<String>,
    /// A reader's name; once for each
    #[arg(long = "reader", value_name = "NAME", required = true)]
    readers: Vec<String>,
    /// Different tumors to show, at most
    #[arg(long, value_name = "N", default_value_t = MakeOptions::default().items)]
    items: usize,
    /// Share of them that is shown twice, to see how far readers agree with themselves
    #[arg(long, value_name = "SHARE", default_value_t = MakeOptions::default().repeats)]
    repeats: f64,
    /// Shown above the page; must not give anything away
    #[arg(long, default_value = "Reader study")]
    title: String,
    /// Side of the box that is shown around a tumor, in mm; larger tumors are left out
    #[arg(long, value_name = "MM", default_value_t = MakeOptions::default().field_mm)]
    field_mm: f64,
    /// How much stays around a tumor when the organ is asked, in mm
    #[arg(long, value_name = "MM", default_value_t = MakeOptions::default().rim_mm)]
    rim_mm: f64,
    /// Leave out tumors of a larger equivalent diameter
    #[arg(long, value_name = "MM")]
    max_diameter_mm: Option<f64>,
    /// What the choice of tumors, ids and orders follow from [default: drawn]
    #[arg(long)]
    seed: Option<u64>,
    /// The study's folder: may be seen by readers
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The truth, kept apart [default: DIR-key.json]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The readers' links, kept apart [default: DIR-links.json]
    #[arg(long, value_name = "FILE")]
    links: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum KindName {
    /// Real or synthetic?
    Turing,
    /// Which organ is the tumor in? Only the tumor and a thin rim are shown
    Organs,
}

pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    let organs = a.organs.iter().map(|text| text.parse::<OrganSpec>().map_err(bad));
    let organs = organs.collect::<Result<Vec<_>, _>>()?;
    let mut all = vec![];
    for (paths, synthetic) in [(&a.real, false), (&a.synthetic, true)] {
        for path in paths {
            all.extend(sources(path, &organs, synthetic)?);
        }
    }
    let beside = |given: &Option<PathBuf>, what: &str| given.clone().unwrap_or_else(|| beside(&a.out, what));
    let options = MakeOptions {
        kind: if a.kind == KindName::Turing { Kind::VisualTuring } else { Kind::OrganRecognition },
        title: a.title.clone(),
        readers: a.readers.clone(),
        items: a.items,
        repeats: a.repeats,
        // With a known seed and the scans at hand, whoever has this program could make the study again.
        seed: a.seed.map_or_else(difftumor_study::make::drawn_seed, Ok)?,
        field_mm: a.field_mm,
        rim_mm: a.rim_mm,
        max_diameter_mm: a.max_diameter_mm,
        window_hu: None,
        out: a.out.clone(),
        key: beside(&a.key, "key"),
        links: beside(&a.links, "links"),
    };
    let made = make(&all, &options)?;
    tell(&made, &options)?;
    Ok(ExitCode::SUCCESS)
}

/// `DIR-key.json`.
fn beside(out: &Path, what: &str) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(format!("-{what}.json"));
    out.with_file_name(name)
}

fn tell(made: &Made, options: &MakeOptions) -> anyhow::Result<()> {
    for warning in &made.warnings {
        eprintln!("warning: {warning}");
    }
    for skipped in &made.skipped {
        eprintln!("left out: {}: {}", skipped.case, skipped.reason);
    }
    let mut text = format!(
        "{} tumors, {} of them shown twice, for {} readers\n",
        made.items,
        made.repeats,
        options.readers.len()
    );
    for g in &made.groups {
        let kind = match g.synthetic {
            Some(true) => ", synthetic",
            Some(false) => ", real",
            None => "",
        };
        let [low, median, high] = g.diameters_mm;
        text += &format!(
            "{}{kind}: {} of {} tumors, {median:.1} mm ({low:.1} to {high:.1})\n",
            g.organ, g.tumors, g.found
        );
    }
    text += &format!(
        "study {}; keep apart: key {}, links {}\n",
        options.out.display(),
        options.key.display(),
        options.links.display()
    );
    print(&text)
}
