//! Stage 3's heart: healthy scan in, the same scan with tumors out (paper 3.3; spec/synthesis.md).
//!
//! Tumors are drawn and painted on an isotropic 1 mm grid whose axes are the scan's own, turned to RAS; only the
//! generated *change* travels back to the scan's grid and is added to its Hounsfield units. So every output keeps its
//! input's grid and full HU range, and voxels outside of the blend zone are bit-identical.
mod contrast;
mod gate;
mod grain;
mod growth;
mod improved;
mod landing;
mod model;
mod options;
mod painting;
mod paper;
mod proposal;
mod push;
mod record;
mod site;
mod visibility;

pub use gate::{GateRecord, TumorGate};
pub use model::DiffusionModel;
pub use options::{CROP_VOX, LONGEST_AXIS_MM, Preset, SizeChoice, SynthesisOptions};
pub use proposal::name as size_name;
pub use record::{HuRecord, TumorRecord};

use crate::error::Result;
use difftumor_ct::draws::Stream;
use difftumor_ct::label::OrganMask;
use difftumor_ct::{Labels, Volume};
use landing::Landed;
use ndarray::{Array3, ArrayView3, ArrayViewMut3, Zip, s};

/// A scan with its organs, real or synthesized alike. All arrays share the scan's grid.
#[derive(Debug, Clone)]
pub struct Case {
    /// Names the case in files and in the random streams.
    pub id: String,
    /// The scan in HU.
    pub ct: Volume,
    /// Smallest step in HU that the scan's file can store; `None` if it stores floats.
    pub hu_step: Option<f32>,
    /// The organs that matter, each with the tumors known in it.
    pub organs: Vec<OrganMask>,
}

impl Case {
    /// Organs as 1, 2, … in their order and all tumors as the next number: 0/1/2 for one organ, as the paper has it.
    pub fn labels(&self) -> Labels {
        let mut data = Array3::zeros(self.ct.data.dim());
        for (i, organ) in self.organs.iter().enumerate() {
            Zip::from(&mut data).and(&organ.organ.data).for_each(|l, o| {
                if *o {
                    *l = i as u16 + 1;
                }
            });
        }
        let tumor = self.organs.len() as u16 + 1;
        for mask in self.organs.iter().filter_map(|o| o.tumor.as_ref()) {
            Zip::from(&mut data).and(&mask.data).for_each(|l, t| {
                if *t {
                    *l = tumor;
                }
            });
        }
        Labels { data, affine: self.ct.affine }
    }

    /// What each value of [`Case::labels`] means.
    pub fn label_names(&self) -> Vec<(u16, String)> {
        let organs = self.organs.iter().enumerate().map(|(i, o)| (i as u16 + 1, o.name.clone()));
        organs.chain([(self.organs.len() as u16 + 1, "tumor".to_string())]).collect()
    }
}

/// What paints the tumors.
pub enum Generator {
    /// The rules of Hu et al. 2023.
    Handcrafted,
    /// Diffusion models; of two, the one with fewer steps is for early tumors.
    Diffusion(Vec<DiffusionModel>),
}

impl Generator {
    /// The method's name on the command line and in records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Handcrafted => "handcrafted",
            Self::Diffusion(_) => "diffusion",
        }
    }
}

/// The one implementation of tumor synthesis: `Case → Case`.
pub struct Synthesizer {
    /// What is drawn.
    pub options: SynthesisOptions,
    /// What paints it.
    pub generator: Generator,
}

/// A synthesized case and what was done to it.
#[derive(Debug, Clone)]
pub struct Synthesis {
    /// The scan with tumors; `organs[i].tumor` holds old and new ones.
    pub case: Case,
    /// New tumors by number (1, 2, … as in `records`), 0 elsewhere.
    pub instances: Labels,
    /// Voxels that were allowed to change.
    pub blend_zone: Array3<bool>,
    /// One for each new tumor.
    pub records: Vec<TumorRecord>,
    /// Tumors that found no place, in words.
    pub not_placed: Vec<String>,
    /// What the gate said, if there is one.
    pub gate: Option<GateRecord>,
}

/// Which of a case's syntheses it is: all that is drawn follows from it, the seed and the case's id.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Variant {
    /// Tells apart several syntheses of one case.
    pub copy: u64,
    /// How many times one was rejected in a review before: other tumors each time.
    pub redraw: u64,
    /// Size of a growth series; all sizes are of the same tumors.
    pub grown_to_mm: Option<f64>,
}

/// What is to be done to an organ.
struct Task<'a> {
    /// Before any tumor.
    case: &'a Case,
    organ: usize,
    variant: Variant,
}

impl Synthesizer {
    /// Puts tumors into every organ of the case. `copy` tells apart several syntheses of one case; every number drawn
    /// follows from (seed, copy, case id, tumor), so neither threads nor order matter.
    ///
    /// # Errors
    /// When an organ is empty, no tumor at all finds a place, or the options cannot be met by the method.
    ///
    /// Of a growth series it gives the last size.
    pub fn synthesize(&self, case: &Case, copy: u64) -> Result<Synthesis> {
        let grown_to_mm = self.options.growth_mm.last().copied();
        self.synthesize_variant(case, Variant { copy, redraw: 0, grown_to_mm })
    }

    /// The same for any variant; its size is one of [`SynthesisOptions::growth_mm`].
    ///
    /// # Errors
    /// As [`Self::synthesize`].
    ///
    /// # Panics
    /// When the series has no such size.
    pub fn synthesize_variant(&self, case: &Case, variant: Variant) -> Result<Synthesis> {
        let grown_to_mm = variant.grown_to_mm;
        let series = &self.options.growth_mm;
        let known = grown_to_mm.map_or(series.is_empty(), |size| series.contains(&size));
        assert!(known, "{grown_to_mm:?} of the series {series:?}");
        self.options.check(&self.generator)?;
        self.options.check_series(case.organs.len())?;
        let mut state = Synthesis {
            case: case.clone(),
            instances: Labels { data: Array3::zeros(case.ct.data.dim()), affine: case.ct.affine },
            blend_zone: Array3::from_elem(case.ct.data.dim(), false),
            records: vec![],
            not_placed: vec![],
            gate: self.options.gate.as_ref().map(|_| GateRecord::default()),
        };
        for organ in 0..case.organs.len() {
            match self.options.preset {
                Preset::Paper => paper::fill_organ(self, &mut state, organ, variant)?,
                Preset::Default => improved::fill_organ(self, &mut state, &Task { case, organ, variant })?,
            }
        }
        if state.records.is_empty() {
            let organ = case.organs.iter().map(|o| o.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(difftumor_ct::Error::Placement {
                organ,
                reason: state.not_placed.join("; "),
                hint: "ask for smaller tumors, or check that the mask is the organ's".into(),
            }
            .into());
        }
        let before = &case.ct.data;
        for record in &mut state.records {
            record.measure(before, &state.case, &state.instances);
        }
        Ok(state)
    }

    /// The stream of the `n`-th thing drawn for an organ (its name keeps organs of one case apart).
    fn stream(&self, case: &Case, organ: usize, variant: Variant, n: u64) -> Stream {
        let mut key = format!("{}\u{0}{}", case.id, case.organs[organ].name);
        if variant.redraw > 0 {
            key += &format!("\u{0}redraw {}", variant.redraw);
        }
        Stream::new(self.options.seed, variant.copy, &key, n)
    }
}

/// Adds a change to a scan whose file can store steps of `step_hu`.
fn add_change(hu: ArrayViewMut3<f32>, change_hu: ArrayView3<f32>, step_hu: Option<f32>) {
    Zip::from(hu).and(change_hu).for_each(|v, c| {
        // A change too small to be stored is none; adding 0.0 could still turn -0.0 into 0.0.
        let c = step_hu.map_or(*c, |s| (c / s).round() * s);
        if c != 0.0 {
            *v += c;
        }
    });
}

impl Synthesis {
    /// Adds a painted tumor (or the tumors of one crop) to the scan.
    fn commit(&mut self, organ: usize, landed: &Landed, record: TumorRecord) {
        let number = self.records.len() as u16 + 1;
        let [x, y, z] = landed.start;
        let (nx, ny, nz) = landed.change_hu.dim();
        let region = s![x..x + nx, y..y + ny, z..z + nz];
        add_change(self.case.ct.data.slice_mut(region), landed.change_hu.view(), self.case.hu_step);
        Zip::from(self.blend_zone.slice_mut(region)).and(&landed.zone).for_each(|z, n| *z |= *n);
        let target = &mut self.case.organs[organ];
        let affine = self.case.ct.affine;
        let tumor = target.tumor.get_or_insert_with(|| difftumor_ct::Mask {
            data: Array3::from_elem(self.blend_zone.dim(), false),
            affine,
        });
        Zip::from(tumor.data.slice_mut(region)).and(&landed.label).for_each(|t, n| *t |= *n);
        Zip::from(self.instances.data.slice_mut(region)).and(&landed.label).for_each(|i, n| {
            if *n {
                *i = number;
            }
        });
        self.records.push(record);
    }

    /// Voxels outside of the blend zone whose HU differ in any bit from `before`: 0 unless there is a defect.
    pub fn changed_outside_blend_zone(&self, before: &Volume) -> usize {
        let mut count = 0;
        Zip::from(&before.data).and(&self.case.ct.data).and(&self.blend_zone).for_each(|a, b, zone| {
            count += usize::from(!zone && a.to_bits() != b.to_bits());
        });
        count
    }

    /// Voxels whose HU differ in any bit from `before`.
    pub fn changed_voxels(&self, before: &Volume) -> usize {
        let differ = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits();
        before.data.iter().zip(&self.case.ct.data).filter(|p| differ(*p)).count()
    }
}
