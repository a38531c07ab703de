//! A diffusion model with its autoencoder: paints a tumor into one crop (spec/synthesis.md section 4).
use crate::autoencoder::Autoencoder;
use crate::diffusion::{Condition, DiffusionConfig, LatentScale, Unet3d, sample};
use crate::error::{Error, Result};
use crate::run::Run;
use crate::tensor::{from_crop, to_crop};
use burn::tensor::Device;
use difftumor_ct::draws::Draws;
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::patch::VoxelBox;
use ndarray::{Array3, s};
use std::path::Path;

/// A diffusion Run, ready to paint.
pub struct DiffusionModel {
    config: DiffusionConfig,
    unet: Unet3d,
    autoencoder: Autoencoder,
    scale: LatentScale,
    device: Device,
    window: HuWindow,
    weights_sha256: String,
    autoencoder_sha256: String,
}

impl DiffusionModel {
    /// Opens a diffusion Run and the autoencoder Run that it names.
    ///
    /// # Errors
    /// When either is no such Run, or damaged, or wants another preprocessing than this program does.
    pub fn open(dir: &Path, device: &Device) -> Result<Self> {
        let run = Run::open(dir)?;
        let autoencoder_run = run.autoencoder()?;
        let autoencoder = Autoencoder::open(&autoencoder_run, device)?;
        let config = run.diffusion_config()?.clone();
        for part in [&run, &autoencoder_run] {
            check_preprocessing(part)?;
        }
        let [low, high] = run.manifest().preprocessing.window_hu;
        Ok(Self {
            unet: Unet3d::open(&run, device)?,
            scale: LatentScale::of(&autoencoder, config.scale),
            autoencoder,
            config,
            device: device.clone(),
            window: HuWindow::new(low, high)?,
            weights_sha256: run.manifest().weights.sha256.clone(),
            autoencoder_sha256: autoencoder_run.manifest().weights.sha256.clone(),
        })
    }

    /// T of its schedule: few for early tumors, many for larger ones.
    pub fn timesteps(&self) -> usize {
        self.config.timesteps
    }

    /// Its resolved config, for records.
    pub fn config(&self) -> &DiffusionConfig {
        &self.config
    }

    /// Hash of its autoencoder's weights, for records.
    pub fn autoencoder_sha256(&self) -> &str {
        &self.autoencoder_sha256
    }

    /// Hash of its weights, for records.
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
    }

    /// The window that becomes [-1, 1].
    pub fn window(&self) -> HuWindow {
        self.window
    }

    /// Paints a tumor where `mask` is. `crop01` is the scan in [0, 1] of the window, `[H, W, D]`, 1 mm, RAS, every side
    /// a multiple of 32. The result is the decoder's, about [-1, 1] and not clamped, in the voxels `within` (a box of the
    /// crop that is not empty) and 0 elsewhere.
    pub fn paint(
        &self,
        crop01: &Array3<f32>,
        mask: &Array3<bool>,
        within: &VoxelBox,
        draws: &mut impl Draws,
    ) -> Array3<f32> {
        let image = from_crop(&crop01.mapv(|v| 2.0 * v - 1.0), &self.device);
        let mask = from_crop(&mask.mapv(|m| f32::from(u8::from(m))), &self.device);
        let condition = Condition::new(&self.autoencoder, &self.scale, image, mask);
        let x = sample(&self.unet, &self.config, &condition, draws);
        let z = self.scale.restore(x);
        crate::memory::give_back(); // before the decoder, which needs the most
        // [H, W, D] → [D, H, W]
        let [start, end] = [within.start, within.end].map(|[h, w, d]| [d, h, w]);
        let decoded = to_crop(self.autoencoder.decode_within(z, start, end));
        let mut out = Array3::zeros(crop01.dim());
        let [a, b] = [within.start, within.end];
        out.slice_mut(s![a[0]..b[0], a[1]..b[1], a[2]..b[2]]).assign(&decoded);
        out
    }
}

/// Synthesis works on 1 mm voxels with RAS axes; a model made for others would paint tumors of the wrong size or turned.
fn check_preprocessing(run: &Run) -> Result<()> {
    let found = &run.manifest().preprocessing;
    if found.spacing_mm == 1.0 && found.axes == "RAS" {
        return Ok(());
    }
    Err(Error::format(
        &run.dir().join(crate::run::MANIFEST),
        "preprocessing",
        "spacing_mm = 1.0 and axes = \"RAS\"",
        format!("spacing_mm = {} and axes = {:?}", found.spacing_mm, found.axes),
        "synthesis cannot use models made for other voxels yet",
    ))
}
