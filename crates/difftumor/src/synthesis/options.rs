//! What the user may choose, and which choices do not go together.
use super::Generator;
use crate::error::Result;
use difftumor_ct::draws::Draws;
use difftumor_ct::mass_effect;
use difftumor_ct::realism::Gate;
use difftumor_ct::tumor_mask::fit::FitOptions;
use difftumor_ct::tumor_mask::size::{HU2023, PAPER, Size, SizeClass};
use difftumor_ct::tumor_mask::sizes_mm::DiameterRange;
use std::fmt;

/// Side of the crop that a diffusion model sees, in voxels of 1 mm (paper E.2).
pub const CROP_VOX: usize = 96;

/// Longest tumor axis that a diffusion model can paint: the crop less the reach of its blurred edge on both sides.
pub const LONGEST_AXIS_MM: f64 = 80.0;

/// Smallest tumor of a growth series: below, few would show.
const LEAST_GROWN_MM: f64 = 3.0;

/// Most tumors in one organ: numbers of all organs together must fit the 16 bits of `tumors.nii.gz`.
const MOST_TUMORS: i64 = 500;

/// Which pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The published one, including what it does to the pancreas, invisible tumors and clipped shapes.
    Paper,
    /// Ours: always blended, labels only where the tumor shows, no slivers, nothing outside of the organ.
    Default,
}

/// How large tumors shall be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SizeChoice {
    /// One of the classes with the paper's probabilities.
    Mixed,
    /// Tiny or small, half each.
    Early,
    /// One class.
    Class(Size),
    /// Longest axis in mm; shapes follow the statistics of KiTS19.
    DiameterMm(DiameterRange),
}

/// Everything that is drawn follows from this.
#[derive(Debug, Clone, PartialEq)]
pub struct SynthesisOptions {
    /// Which pipeline.
    pub preset: Preset,
    /// How large.
    pub size: SizeChoice,
    /// Longest axes in mm of a growth series, ascending: the same tumors, in the same places and of the same texture, at each
    /// of these sizes. Then `size` is the last of them. Empty for tumors of one size.
    pub growth_mm: Vec<f64>,
    /// Number of tumors in each organ, both ends included; the paper preset draws it itself.
    pub tumors: Option<(i64, i64)>,
    /// The one seed.
    pub seed: u64,
    /// Where a tumor of the default preset may lie.
    pub fit: FitOptions,
    /// Difference in mean HU between a tumor's label and the organ around it below which a tumor of the default preset is
    /// drawn again: what is hardly seen shall not be labelled. Noise of a body CT is 10 to 20 HU.
    pub min_contrast_hu: f64,
    /// What tumors of the default preset must pass; those that fail are drawn again.
    pub gate: Option<Gate>,
    /// How larger tumors of the default preset push the tissue around them; without, they replace it.
    pub mass_effect: Option<mass_effect::Options>,
}

impl Default for SynthesisOptions {
    fn default() -> Self {
        Self {
            preset: Preset::Default,
            size: SizeChoice::Mixed,
            growth_mm: vec![],
            tumors: None,
            seed: 0,
            fit: FitOptions::default(),
            min_contrast_hu: 10.0,
            gate: None,
            mass_effect: None,
        }
    }
}

/// The default preset's classes: the paper's, with large ones of the size in Hu et al. 2023 (80 mm across and not 128,
/// which a 96 mm crop could not hold).
const DEFAULT_CLASSES: [SizeClass; 4] =
    [PAPER[0], PAPER[1], PAPER[2], SizeClass { semi_axis_vox: HU2023[3].semi_axis_vox, ..PAPER[3] }];

impl Preset {
    /// The name on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Default => "default",
        }
    }

    /// The size classes that it draws from.
    pub fn classes(self) -> &'static [SizeClass; 4] {
        match self {
            Self::Paper => &PAPER,
            Self::Default => &DEFAULT_CLASSES,
        }
    }
}

impl fmt::Display for SizeChoice {
    /// As the command line has it: `mixed`, `tiny`, `10..20 mm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mixed => f.write_str("mixed"),
            Self::Early => f.write_str("early"),
            Self::Class(size) => f.write_str(super::size_name(*size)),
            Self::DiameterMm(range) => write!(f, "{}..{} mm", range.min_mm(), range.max_mm()),
        }
    }
}

impl SizeChoice {
    /// Draws a class of the preset's table; `None` for a choice in mm.
    pub(super) fn draw_class(&self, preset: Preset, draws: &mut impl Draws) -> Option<SizeClass> {
        let table = preset.classes();
        let size = match self {
            Self::Mixed => difftumor_ct::tumor_mask::size::draw_class(table, draws).size,
            Self::Early => [Size::Tiny, Size::Small][draws.index(2)],
            Self::Class(size) => *size,
            Self::DiameterMm(_) => return None,
        };
        table.iter().find(|c| c.size == size).copied()
    }
}

impl SynthesisOptions {
    /// Checks that the choices go together.
    ///
    /// # Errors
    /// [`difftumor_ct::Error::Argument`] telling which do not.
    pub fn check(&self, generator: &Generator) -> Result<()> {
        let refuse = |what: &str, expected: String, found: String| {
            Err(difftumor_ct::Error::Argument { what: what.into(), expected, found }.into())
        };
        self.check_growth()?;
        self.mass_effect.as_ref().map_or(Ok(()), mass_effect::Options::check)?;
        if let Some((low, high)) = self.tumors
            && (low < 1 || high < low || high > MOST_TUMORS)
        {
            return refuse(
                "number of tumors",
                format!("1 <= A <= B <= {MOST_TUMORS}"),
                format!("{low}..{high}"),
            );
        }
        if self.preset == Preset::Paper {
            if self.gate.is_some() {
                let expected = "the default preset: the published pipeline keeps all that it draws".into();
                return refuse("gate", expected, "the paper preset".into());
            }
            if self.mass_effect.is_some() {
                let expected = "the default preset: the published pipeline pushes nothing away".into();
                return refuse("mass effect", expected, "the paper preset".into());
            }
            if let Some((low, high)) = self.tumors {
                let expected =
                    "none: the paper preset draws 1 to 3 early tumors or 1 larger one itself".into();
                return refuse("number of tumors", expected, format!("{low}..{high}"));
            }
            if let SizeChoice::DiameterMm(range) = self.size {
                let expected = "a size class: the paper preset knows tiny, small, medium and large".into();
                return refuse("size", expected, format!("{range:?}"));
            }
        }
        if let (SizeChoice::DiameterMm(range), Generator::Diffusion(_)) = (self.size, generator)
            && range.max_mm() > LONGEST_AXIS_MM
        {
            let expected = format!(
                "at most {LONGEST_AXIS_MM} mm: the model sees crops of {CROP_VOX} mm (the handcrafted method has no such limit)"
            );
            return refuse("diameter", expected, format!("{} mm", range.max_mm()));
        }
        Ok(())
    }
}

impl SynthesisOptions {
    /// Checks what depends on the case.
    ///
    /// # Errors
    /// [`difftumor_ct::Error::Argument`] when tumors that push would have to find the same places at every size.
    pub(super) fn check_series(&self, organs: usize) -> Result<()> {
        let one = organs == 1 && self.tumors == Some((1, 1));
        if self.growth_mm.is_empty() || self.mass_effect.is_none() || one {
            return Ok(());
        }
        Err(difftumor_ct::Error::Argument {
            what: "growth series with a mass effect".into(),
            expected:
                "one organ with one tumor: what one pushes away at one size would move the next one's place"
                    .into(),
            found: format!(
                "{organs} organs with {} tumors",
                self.tumors.map_or("1 to 3".into(), |(a, b)| format!("{a} to {b}"))
            ),
        }
        .into())
    }

    fn check_growth(&self) -> Result<()> {
        let Some(largest_mm) = self.growth_mm.last() else { return Ok(()) };
        let ascending = self.growth_mm.windows(2).all(|pair| pair[0] < pair[1]);
        let large_enough = self.growth_mm.iter().all(|size| *size >= LEAST_GROWN_MM);
        let is_size = matches!(self.size, SizeChoice::DiameterMm(range) if [range.min_mm(), range.max_mm()] == [*largest_mm; 2]);
        let expected = match () {
            () if self.growth_mm.len() < 2 || !ascending || !large_enough => {
                format!("two or more lengths in mm from {LEAST_GROWN_MM} on, each larger than the one before")
            }
            () if self.preset == Preset::Paper => "the default preset".into(),
            () if !is_size => "a size that is the largest of them".into(),
            () => return Ok(()),
        };
        let found = format!("{:?}, size {}", self.growth_mm, self.size);
        Err(difftumor_ct::Error::Argument { what: "growth series".into(), expected, found }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_series_ascend() {
        let check = |growth_mm: &[f64], preset| {
            let largest = growth_mm.last().copied().unwrap_or(5.0);
            let size = SizeChoice::DiameterMm(DiameterRange::new(largest, largest).unwrap());
            let options =
                SynthesisOptions { growth_mm: growth_mm.to_vec(), size, preset, ..Default::default() };
            options.check(&Generator::Handcrafted).map_err(|e| e.to_string())
        };
        assert_eq!(check(&[], Preset::Default), Ok(()));
        assert_eq!(check(&[5.0, 8.0, 12.0], Preset::Default), Ok(()));
        for bad in [&[5.0][..], &[8.0, 5.0], &[5.0, 5.0], &[1.0, 5.0], &[f64::NAN, 5.0]] {
            assert!(
                check(bad, Preset::Default).unwrap_err().contains("larger than the one before"),
                "{bad:?}"
            );
        }
        assert!(check(&[5.0, 8.0], Preset::Paper).is_err());
        let mixed = SynthesisOptions { growth_mm: vec![5.0, 8.0], ..Default::default() };
        assert!(mixed.check(&Generator::Handcrafted).unwrap_err().to_string().contains("size mixed"));
    }

    #[test]
    fn both_presets_draw_classes_with_the_papers_probabilities() {
        for preset in [Preset::Paper, Preset::Default] {
            assert_eq!(preset.classes().map(|c| c.probability), [0.4, 0.4, 0.1, 0.1]);
        }
    }
}
