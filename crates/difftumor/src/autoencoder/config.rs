//! Numbers of the autoencoder's architecture (paper 3.1).
use serde::{Deserialize, Serialize};

/// Architecture of the 3-D VQ-GAN. The default is the published model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoencoderConfig {
    /// Channels of the image: 1 (CT), authors' code.
    pub input_channels: usize,
    /// Channels of the first convolution, doubled by each downsampling: 16, authors' code (`n_hiddens`).
    pub base_channels: usize,
    /// Halvings per axis: 2, so latents have a quarter of the image's side. Authors' code (`downsample: [4, 4, 4]`).
    pub downsamplings: usize,
    /// Channels of the latents, and numbers in each code: 8 (paper Fig. 6; authors' code `embedding_dim`).
    pub latent_channels: usize,
    /// Codes in the codebook: 16384, authors' code (`n_codes`).
    pub codes: usize,
    /// Groups of every group norm: 32, authors' code (`num_groups`). With 32 channels a group is one channel. 0 puts a weight and
    /// a bias of each channel in the place of every norm: no voxel then depends on what else is in the crop, so that nothing
    /// is lost of a crop's own brightness, tiles have no seams, and small crops train what large ones need.
    pub norm_groups: usize,
}

impl Default for AutoencoderConfig {
    fn default() -> Self {
        Self {
            input_channels: 1,
            base_channels: 16,
            downsamplings: 2,
            latent_channels: 8,
            codes: 16384,
            norm_groups: 32,
        }
    }
}

impl AutoencoderConfig {
    /// Checks that a model of these numbers can exist.
    ///
    /// # Errors
    /// Names the first number that is out of its range.
    pub fn check(&self) -> difftumor_ct::Result<()> {
        check_range("input_channels", self.input_channels, 1, 64)?;
        check_range("base_channels", self.base_channels, 1, 4096)?;
        check_range("downsamplings", self.downsamplings, 1, 6)?;
        check_range("latent_channels", self.latent_channels, 1, 4096)?;
        check_range("codes", self.codes, 1, 1 << 24)?;
        check_range("norm_groups", self.norm_groups, 0, 2 * self.base_channels)
    }
}

/// Numbers out of a file are kept small enough that sizes computed from them cannot overflow.
pub(crate) fn check_range(what: &str, value: usize, min: usize, max: usize) -> difftumor_ct::Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let (expected, found) = (format!("{min} to {max}"), value.to_string());
    Err(difftumor_ct::Error::Argument { what: what.into(), expected, found })
}
