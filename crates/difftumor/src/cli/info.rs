//! `difftumor info`: what this build can do, and what a Run holds.
use super::print;
use difftumor::device;
use difftumor::run::{Manifest, Run};
use difftumor::synthesis::{LONGEST_AXIS_MM, Preset, size_name};
use difftumor_ct::label::totalsegmentator::CLASSES;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Write JSON
    #[arg(long)]
    json: bool,
    /// Also tell what a Run directory holds; may be given several times
    #[arg(long = "model", value_name = "RUN")]
    models: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Info {
    version: &'static str,
    devices: Vec<&'static str>,
    methods: [&'static str; 2],
    presets: Vec<PresetInfo>,
    /// Longest axis that the diffusion method can paint.
    longest_diffusion_axis_mm: f64,
    /// Names that `--organ` knows besides TotalSegmentator's.
    organ_groups: [&'static str; 3],
    /// TotalSegmentator's classes; the first has label value 1.
    organs: &'static [&'static str],
    models: Vec<RunInfo>,
}

#[derive(Serialize)]
struct PresetInfo {
    name: &'static str,
    sizes: Vec<SizeInfo>,
}

#[derive(Serialize)]
struct SizeInfo {
    name: &'static str,
    probability: f64,
    /// Smallest and largest semi-axis.
    semi_axis_mm: (i64, i64),
}

#[derive(Serialize)]
struct RunInfo {
    run: PathBuf,
    manifest: Manifest,
}

impl Info {
    fn new(models: Vec<RunInfo>) -> Self {
        let preset = |preset: Preset| {
            let sizes = preset.classes().iter().map(|class| SizeInfo {
                name: size_name(class.size),
                probability: class.probability,
                semi_axis_mm: class.semi_axis_vox, // voxels of 1 mm
            });
            PresetInfo { name: preset.name(), sizes: sizes.collect() }
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            devices: device::available(),
            methods: ["handcrafted", "diffusion"],
            presets: [Preset::Default, Preset::Paper].map(preset).into(),
            longest_diffusion_axis_mm: LONGEST_AXIS_MM,
            organ_groups: ["kidney", "lung", "adrenal_gland"],
            organs: &CLASSES,
            models,
        }
    }

    fn text(&self) -> anyhow::Result<String> {
        let mut text = format!(
            "difftumor {}\ndevices: {}\nmethods: {}\n",
            self.version,
            self.devices.join(", "),
            self.methods.join(", ")
        );
        for preset in &self.presets {
            text += &format!("preset {}\n", preset.name);
            for size in &preset.sizes {
                let (low, high) = size.semi_axis_mm;
                let (share, low, high) = (100.0 * size.probability, 2 * low, 2 * high);
                text += &format!("  {:<7} {low} to {high} mm across; {share:.0} % of mixed\n", size.name);
            }
        }
        text += &format!("longest axis by diffusion: {} mm\n", self.longest_diffusion_axis_mm);
        text += &format!(
            "organs: {} (of their parts); {}\n",
            self.organ_groups.join(", "),
            self.organs.join(", ")
        );
        for model in &self.models {
            text += &format!("\n{}\n{}", model.run.display(), toml::to_string(&model.manifest)?);
        }
        Ok(text)
    }
}

pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    let open = |path: &PathBuf| -> anyhow::Result<RunInfo> {
        Ok(RunInfo { run: path.clone(), manifest: Run::open(path)?.manifest().clone() })
    };
    let info = Info::new(a.models.iter().map(open).collect::<anyhow::Result<_>>()?);
    let text = if a.json { serde_json::to_string_pretty(&info)? + "\n" } else { info.text()? };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
