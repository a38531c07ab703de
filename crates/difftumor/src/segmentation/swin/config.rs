//! Sizes of a Swin UNETR, and which of the published code's peculiarities it has.
use crate::autoencoder::config::check_range;
use crate::nn::RelativeIndex;
use crate::segmentation::blocks::{check_ends, check_sides};
use serde::{Deserialize, Serialize};

/// Stages of the transformer; the decoder has a part of its own for each.
pub(super) const STAGES: usize = 4;

/// Sizes of a [`super::SwinUnetr`]. The default is the published model ("base").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwinUnetrConfig {
    /// Channels of a token of the first stage, doubled by each: 48; the published code also has 24 (small) and 12 (tiny).
    pub feature_size: usize,
    /// Blocks of each stage, every second one shifted: 2 (authors' code).
    pub depths: [usize; STAGES],
    /// Heads of each stage's attention: 3, 6, 12, 24 (authors' code).
    pub heads: [usize; STAGES],
    /// Side of a window in tokens: 7 (authors' code).
    pub window: usize,
    /// As published, or corrected.
    pub variant: SwinVariant,
    /// Channels of the scan: 1.
    pub inputs: usize,
    /// Background, organ, tumor: 3.
    pub classes: usize,
}

/// What a Swin UNETR does where the published code does not do what it means to (spec/segmentation.md section 3). The
/// shapes of the weights are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwinVariant {
    /// As published, which published weights need: merging takes two of eight tokens twice and two never, and windows that
    /// shrink to an axis (at stage 4 of 96³) take the biases of other relative positions.
    #[default]
    Published,
    /// For new trainings: merging takes each of the eight tokens once, and biases are those of the tokens' own positions.
    Corrected,
}

impl SwinVariant {
    /// The offsets (d, h, w) of the tokens that merging puts behind each other.
    pub fn merged(self) -> [[usize; 3]; 8] {
        let [sixth, seventh] = match self {
            Self::Published => [[0, 1, 0], [0, 0, 1]],
            Self::Corrected => [[1, 1, 0], [0, 1, 1]],
        };
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], sixth, seventh, [1, 1, 1]]
    }

    pub(super) fn index(self) -> RelativeIndex {
        match self {
            Self::Published => RelativeIndex::Published,
            Self::Corrected => RelativeIndex::Corrected,
        }
    }
}

impl Default for SwinUnetrConfig {
    fn default() -> Self {
        Self {
            feature_size: 48,
            depths: [2; STAGES],
            heads: [3, 6, 12, 24],
            window: 7,
            variant: SwinVariant::Published,
            inputs: 1,
            classes: 3,
        }
    }
}

impl SwinUnetrConfig {
    /// Channels of a token before stage `i`, and after the last one for 4.
    pub fn width(&self, i: usize) -> usize {
        self.feature_size << i
    }

    /// Checks that a network of these numbers can exist.
    ///
    /// # Errors
    /// Names the first number that is out of its range.
    pub fn check(&self) -> difftumor_ct::Result<()> {
        check_range("feature_size", self.feature_size, 1, 1024)?;
        for i in 0..STAGES {
            check_range("depths", self.depths[i], 1, 64)?;
            check_range("heads", self.heads[i], 1, self.width(i))?;
            if !self.width(i).is_multiple_of(self.heads[i]) {
                let what = format!("heads of stage {}", i + 1);
                let expected = format!("a divisor of its {} channels", self.width(i));
                return Err(difftumor_ct::Error::Argument {
                    what,
                    expected,
                    found: self.heads[i].to_string(),
                });
            }
        }
        check_range("window", self.window, 2, 16)?;
        check_ends(self.inputs, self.classes)
    }

    /// Checks that the network can take patches of these sides: multiples of 32 from 64 on.
    ///
    /// # Errors
    /// Says which sides it takes.
    pub fn check_sides(&self, sides: [usize; 3]) -> difftumor_ct::Result<()> {
        check_sides(sides, 2 << STAGES)
    }
}
