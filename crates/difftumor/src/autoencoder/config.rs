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
    /// Groups of every group norm: 32, authors' code (`num_groups`). With 32 channels a group is one channel.
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
