//! The default preset: one tumor at a time, well inside the organ, blended, and labelled where it shows.
use super::gate::{GateRecord, MOST_REJECTED, TumorGate, judge};
use super::landing::Landed;
use super::painting::PaintedTumor;
use super::proposal::{Proposal, fits_crop, propose, replaces_typical_tissue};
use super::push::Pushed;
use super::record::TumorRecord;
use super::site::Site;
use super::visibility::contrast_hu;
use super::{Case, Generator, Synthesis, Synthesizer, Task};
use crate::error::Result;
use difftumor_ct::analysis::ranges::Grade;
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::measure::HuStatistics;
use difftumor_ct::tumor_mask::fit::{OrganSite, PlacedMask};
use ndarray::Array3;
use std::ops::RangeInclusive;

/// Shapes drawn for one tumor before it is given up.
const ATTEMPTS: usize = 40;
/// Number of tumors per organ unless the user says otherwise: the paper's for early ones.
const TUMORS: (i64, i64) = (1, 3);

pub(super) fn fill_organ(synthesizer: &Synthesizer, state: &mut Synthesis, task: &Task) -> Result<()> {
    let Task { organ, variant, .. } = *task;
    let (low, high) = synthesizer.options.tumors.unwrap_or(TUMORS);
    let wanted = synthesizer.stream(&state.case, organ, variant, 0).integer(low, high) as u64;
    let name = state.case.organs[organ].name.clone();
    // All sizes of a growth series must see the same scan, whatever was painted into it since.
    let seen = if task.variant.grown_to_mm.is_some() { task.case } else { &state.case };
    let mut numbers = 1..=wanted;
    let hu = HuStatistics::of(&seen.ct.data, &seen.organs[organ].organ.data);
    loop {
        let site = Site::new(&state.case.ct.grid(), &state.case.organs[organ], 1.0)?;
        let hu = hu.expect("a site has organ voxels");
        let place = OrganSite::new(&site.organ, &name)?;
        let ground = Ground { synthesizer, task, hu, place, site: &site };
        // Where a tumor has pushed its organ, the next one's place is looked for anew.
        if !ground.fill(state, wanted, &mut numbers)? {
            return Ok(());
        }
    }
}

/// What the gate had against a tumor that was given up.
fn rejections(said: &GateRecord) -> String {
    if said.rejected == 0 {
        return String::new();
    }
    let reasons: Vec<String> = said.reasons.iter().map(|(figure, n)| format!("{figure} {n} times")).collect();
    format!(
        "; the gate rejected {} of {} that were painted ({})",
        said.rejected,
        said.judged,
        reasons.join(", ")
    )
}

/// A tumor that may go into the scan.
struct Tumor {
    /// What it needs at the end of its growth.
    room: PlacedMask,
    landed: Landed,
    pushed: Option<Pushed>,
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
    /// Puts in the tumors of those numbers, up to the first that pushes its organ; whether there was one.
    fn fill(&self, state: &mut Synthesis, wanted: u64, numbers: &mut RangeInclusive<u64>) -> Result<bool> {
        let (synthesizer, &Task { organ, variant, .. }) = (self.synthesizer, self.task);
        let name = state.case.organs[organ].name.clone();
        let mut occupied = self.site.occupied.clone();
        for n in numbers {
            let mut draws = synthesizer.stream(&state.case, organ, variant, n);
            let mut said = GateRecord::default();
            let tumor = self.one_tumor(&state.case, &occupied, &mut draws, &mut said)?;
            if let Some(gate) = &mut state.gate {
                gate.add(&said);
            }
            let Some(tumor) = tumor else {
                state.not_placed.push(format!(
                    "tumor {n} of {wanted} in the {name}: {ATTEMPTS} shapes found no place where at least {:.0} % of them lie inside the organ, clear of other tumors, in tissue typical of the organ, and show{}",
                    100.0 * synthesizer.options.fit.min_inside,
                    rejections(&said)
                ));
                continue;
            };
            tumor.room.paste_into(&mut occupied);
            let mass_effect = tumor.pushed.map(|pushed| state.make_room(pushed)).transpose()?;
            let pushes = mass_effect.is_some();
            let record = TumorRecord {
                number: state.records.len() as u16 + 1,
                organ: name.clone(),
                method: synthesizer.generator.name().into(),
                stream: [synthesizer.options.seed, variant.copy, n],
                mass_effect,
                ..tumor.record
            };
            state.commit(organ, &tumor.landed, record);
            if pushes {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Draws shapes and places until one holds a tumor that shows. Painting comes last: it is what costs.
    fn one_tumor(
        &self,
        case: &Case,
        occupied: &Array3<bool>,
        draws: &mut Stream,
        said: &mut GateRecord,
    ) -> Result<Option<Tumor>> {
        let synthesizer = self.synthesizer;
        let seen = if self.task.variant.grown_to_mm.is_some() { self.task.case } else { case };
        for attempt in 1..=ATTEMPTS {
            if said.rejected >= MOST_REJECTED {
                return Ok(None);
            }
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
                contrast_hu(tumor.ground(seen), self.task.organ, &tumor.landed)
                    >= synthesizer.options.min_contrast_hu
            };
            if !shows(&tumor) {
                continue;
            }
            let Some(gate) = self.passes(seen, &tumor, said) else { continue };
            let Some(size_mm) = self.task.variant.grown_to_mm else {
                return Ok(Some(Tumor::new(tumor, &p, p.placed.clone(), (attempt, gate))));
            };
            let at = |longest_mm| p.growing.at(&p, &self.place, longest_mm);
            let Some(smallest) = at(synthesizer.options.growth_mm[0])? else { continue };
            let small = self.painted(seen, &smallest, &p, &mut same_draws.clone())?;
            if !small.is_some_and(|small| shows(&small)) {
                continue;
            }
            let Some(own) = at(size_mm)? else { continue };
            if let Some(tumor) = self.painted(case, &own, &p, &mut same_draws.clone())? {
                return Ok(Some(Tumor::new(tumor, &own, p.placed, (attempt, gate))));
            }
        }
        Ok(None)
    }

    /// Asks the gate. `None`: the tumor failed. A tumor that cannot be judged, as one of its voxels is no number, fails too.
    fn passes(&self, seen: &Case, tumor: &PaintedTumor, said: &mut GateRecord) -> Option<Option<TumorGate>> {
        let Some(gate) = &self.synthesizer.options.gate else { return Some(None) };
        let rejected = said.rejected;
        let verdict = judge(gate, tumor.ground(seen), self.task.organ, &tumor.landed)?;
        said.count(&verdict);
        (verdict.grade < Grade::Fail).then(|| Some(TumorGate::new(&verdict, rejected)))
    }

    /// Whether a model paints, which sees a crop.
    pub(super) fn is_cropped(&self) -> bool {
        matches!(self.synthesizer.generator, Generator::Diffusion(_))
    }
}

impl Tumor {
    fn new(
        painted: PaintedTumor,
        p: &Proposal,
        room: PlacedMask,
        (attempts, gate): (usize, Option<TumorGate>),
    ) -> Self {
        let PaintedTumor { landed, contrast_hu, weights_sha256, pushed } = painted;
        let record = TumorRecord {
            size: p.size.into(),
            attempts,
            edge_sigma_mm: p.edge_sigma_vox,
            contrast_hu,
            weights_sha256,
            gate,
            ..TumorRecord::unmeasured()
        };
        Self { room, landed, pushed, record }
    }
}
