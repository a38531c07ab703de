//! The default preset: one tumor at a time, well inside the organ, blended, and labelled where it shows.
use super::landing::Landed;
use super::painting::PaintedTumor;
use super::proposal::{Proposal, fits_crop, propose, replaces_typical_tissue};
use super::record::TumorRecord;
use super::site::Site;
use super::visibility::contrast_hu;
use super::{Case, Generator, Synthesis, Synthesizer, Task};
use crate::error::Result;
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::measure::HuStatistics;
use difftumor_ct::tumor_mask::fit::{OrganSite, PlacedMask};
use ndarray::Array3;

/// Shapes drawn for one tumor before it is given up.
const ATTEMPTS: usize = 40;
/// Number of tumors per organ unless the user says otherwise: the paper's for early ones.
const TUMORS: (i64, i64) = (1, 3);

pub(super) fn fill_organ(synthesizer: &Synthesizer, state: &mut Synthesis, task: &Task) -> Result<()> {
    let Task { organ, copy, .. } = *task;
    let site = Site::new(&state.case.ct.grid(), &state.case.organs[organ], 1.0)?;
    let (low, high) = synthesizer.options.tumors.unwrap_or(TUMORS);
    let wanted = synthesizer.stream(&state.case, organ, copy, 0).integer(low, high) as u64;
    let name = state.case.organs[organ].name.clone();
    // All sizes of a growth series must see the same scan, whatever was painted into it since.
    let seen = if task.grown_to_mm.is_some() { task.case } else { &state.case };
    let hu =
        HuStatistics::of(&seen.ct.data, &seen.organs[organ].organ.data).expect("a site has organ voxels");
    let ground = Ground { synthesizer, task, hu, place: OrganSite::new(&site.organ, &name)?, site: &site };
    let mut occupied = site.occupied.clone();
    for n in 1..=wanted {
        let mut draws = synthesizer.stream(&state.case, organ, copy, n);
        let Some(tumor) = ground.one_tumor(&state.case, &occupied, &mut draws)? else {
            state.not_placed.push(format!(
                "tumor {n} of {wanted} in the {name}: {ATTEMPTS} shapes found no place where at least {:.0} % of them lie inside the organ, clear of other tumors, in tissue typical of the organ, and show",
                100.0 * synthesizer.options.fit.min_inside
            ));
            continue;
        };
        tumor.room.paste_into(&mut occupied);
        let record = TumorRecord {
            number: state.records.len() as u16 + 1,
            organ: name.clone(),
            method: synthesizer.generator.name().into(),
            stream: [synthesizer.options.seed, copy, n],
            ..tumor.record
        };
        state.commit(organ, &tumor.landed, record);
    }
    Ok(())
}

/// A tumor that may go into the scan.
struct Tumor {
    /// What it needs at the end of its growth.
    room: PlacedMask,
    landed: Landed,
    record: TumorRecord,
}

/// What all tumors of one organ share.
pub(super) struct Ground<'a> {
    pub(super) synthesizer: &'a Synthesizer,
    pub(super) task: &'a Task<'a>,
    pub(super) hu: HuStatistics,
    pub(super) site: &'a Site,
    place: OrganSite<'a>,
}

impl Ground<'_> {
    /// Draws shapes and places until one holds a tumor that shows. Painting comes last: it is what costs.
    fn one_tumor(&self, case: &Case, occupied: &Array3<bool>, draws: &mut Stream) -> Result<Option<Tumor>> {
        let synthesizer = self.synthesizer;
        let seen = if self.task.grown_to_mm.is_some() { self.task.case } else { case };
        for attempt in 1..=ATTEMPTS {
            let Some(p) = propose(synthesizer, &self.place, occupied, draws)? else { continue };
            if (self.is_cropped() && !fits_crop(self.site, &p))
                || !replaces_typical_tissue(self.site, &seen.ct, &p.placed, &self.hu)?
            {
                continue;
            }
            // Every size is painted from the same draws.
            let same_draws = draws.clone();
            let Some(tumor) = self.painted(seen, &p, &p, draws)? else { continue };
            let shows = |tumor: &PaintedTumor| {
                contrast_hu(seen, self.task.organ, &tumor.landed) >= synthesizer.options.min_contrast_hu
            };
            if !shows(&tumor) {
                continue;
            }
            let Some(size_mm) = self.task.grown_to_mm else {
                return Ok(Some(Tumor::new(tumor, &p, p.placed.clone(), attempt)));
            };
            let at = |longest_mm| p.growing.at(&p, &self.place, longest_mm);
            let Some(smallest) = at(synthesizer.options.growth_mm[0])? else { continue };
            let small = self.painted(seen, &smallest, &p, &mut same_draws.clone())?;
            if !small.is_some_and(|small| shows(&small)) {
                continue;
            }
            let Some(own) = at(size_mm)? else { continue };
            if let Some(tumor) = self.painted(case, &own, &p, &mut same_draws.clone())? {
                return Ok(Some(Tumor::new(tumor, &own, p.placed, attempt)));
            }
        }
        Ok(None)
    }

    /// Whether a model paints, which sees a crop.
    pub(super) fn is_cropped(&self) -> bool {
        matches!(self.synthesizer.generator, Generator::Diffusion(_))
    }
}

impl Tumor {
    fn new(painted: PaintedTumor, p: &Proposal, room: PlacedMask, attempts: usize) -> Self {
        let PaintedTumor { landed, contrast_hu, weights_sha256 } = painted;
        let record = TumorRecord {
            size: p.size.into(),
            attempts,
            edge_sigma_mm: p.edge_sigma_vox,
            contrast_hu,
            weights_sha256,
            ..TumorRecord::unmeasured()
        };
        Self { room, landed, record }
    }
}
