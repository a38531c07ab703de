//! `difftumor import`.
use super::print;
use clap::ValueEnum;
use difftumor::import::{ImportOptions, ImportReport, import};
use difftumor::segmentation::Architecture;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A checkpoint as it is published: AutoencoderModel.ckpt, ORGAN_early.pt, ORGAN_noearly.pt,
    /// a segmentation by U-Net, nnU-Net or Swin UNETR, or torchvision's VGG16 (vgg16-397923af.pth) for the autoencoder's training
    file: PathBuf,
    /// The Run directory to write
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Replace an existing Run
    #[arg(long)]
    force: bool,
    /// Also keep what only the autoencoder's training needs: discriminators and perceptual network
    #[arg(long)]
    keep_training_parts: bool,
    /// LPIPS' linear heads (vgg.pth), which torchvision's VGG16 is imported with
    #[arg(long, value_name = "FILE")]
    lpips_heads: Option<PathBuf>,
    /// The network that a segmentation must be of; found out from the file without this
    #[arg(long, value_enum)]
    backbone: Option<BackboneName>,
    /// Terms of use that their publisher gives the weights; checkpoints do not hold them
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Also write what was imported as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BackboneName {
    Unet,
    Nnunet,
    SwinUnetr,
}

impl From<BackboneName> for Architecture {
    fn from(name: BackboneName) -> Self {
        match name {
            BackboneName::Unet => Self::Unet,
            BackboneName::Nnunet => Self::Nnunet,
            BackboneName::SwinUnetr => Self::SwinUnetr,
        }
    }
}

pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    let options = ImportOptions {
        force: a.force,
        keep_training_parts: a.keep_training_parts,
        lpips_heads: a.lpips_heads.clone(),
        backbone: a.backbone.map(Architecture::from),
        licence: a.licence.clone(),
    };
    let report = import(&a.file, &a.out, &options)?;
    if let Some(path) = &a.report {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        difftumor_ct::io::write_atomically(path, |f| std::io::Write::write_all(f, text.as_bytes()))?;
    }
    print(&text(&report))?;
    Ok(ExitCode::SUCCESS)
}

fn text(report: &ImportReport) -> String {
    let steps = report.timesteps.map(|t| format!(", {t} diffusion steps")).unwrap_or_default();
    let network = report.backbone.map(|name| format!(" ({name})")).unwrap_or_default();
    let section = if report.section.is_empty() { "outermost" } else { &report.section };
    let mut text = format!(
        "{}: {}{network} of {} tensors (state dict: {section}{steps})\n",
        report.run.display(),
        report.kind,
        report.tensors
    );
    if !report.skipped_tensors.is_empty() {
        text += &format!("not needed and left out: {} tensors\n", report.skipped_tensors.len());
    }
    if !report.foreign_classes.is_empty() {
        text += &format!("Python objects not made: {}\n", report.foreign_classes.join(", "));
    }
    for note in &report.notes {
        text += &format!("note: {note}\n");
    }
    text
}
