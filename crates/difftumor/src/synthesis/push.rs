//! Mass effect: a larger tumor pushes its organ away before it is painted ([`difftumor_ct::mass_effect`]).
//!
//! Paper: its F.2 names the missing mass effect of large synthetic tumors as a way to tell them apart.
use super::improved::Ground;
use super::landing::LabelRule;
use super::painting::View;
use super::proposal::Proposal;
use super::{Case, Synthesis, add_change};
use crate::error::Result;
use difftumor_ct::Mask;
use difftumor_ct::mass_effect::{Displacement, Input, Record};
use difftumor_ct::patch::paste;
use ndarray::{Array3, Zip};

/// A case whose tissue has made room for a tumor.
pub(super) struct Pushed {
    pub(super) case: Case,
    pub(super) record: Record,
    displacement: Displacement,
}

impl Ground<'_> {
    /// Makes room for a tumor. `None` without a mass effect, and for tumors too small for one.
    ///
    /// # Errors
    /// When the scan has values that are no numbers near the tumor.
    pub(super) fn pushed(&self, case: &Case, p: &Proposal) -> Result<Option<Pushed>> {
        let Some(options) = &self.synthesizer.options.mass_effect else { return Ok(None) };
        let Some(tumor) = self.shape_on_scan(case, p)? else { return Ok(None) };
        let voxels = tumor.data.iter().filter(|t| **t).count();
        let volume_mm3 = voxels as f64 * case.ct.affine.determinant().abs();
        if 2.0 * (volume_mm3 / (4.0 / 3.0 * std::f64::consts::PI)).cbrt() < options.min_diameter_mm {
            return Ok(None);
        }
        let organ = &case.organs[self.task.organ].organ;
        let input = Input { scan: &case.ct, tumor: &tumor, organ: Some(organ) };
        let displacement = Displacement::of(&input, options)?;
        let case = moved(case, self.task.organ, &displacement)?;
        Ok(Some(Pushed { case, record: displacement.record().clone(), displacement }))
    }

    /// The voxels that the tumor will take, as it will be labelled.
    fn shape_on_scan(&self, case: &Case, p: &Proposal) -> Result<Option<Mask>> {
        let (nx, ny, nz) = p.placed.mask.dim();
        let reach = (4.0 * p.edge_sigma_vox + 0.5) as i64 + 1;
        let start = p.placed.offset.map(|o| o as i64 - reach);
        let view = View::new(self.site, p, start, [nx, ny, nz].map(|n| n + 2 * reach as usize));
        let nothing = Array3::zeros(view.grid.shape);
        let within = Some(&case.organs[self.task.organ].organ.data);
        let landed = view.painted(nothing).land(&case.ct.grid(), within, LabelRule::Visible)?;
        Ok(landed.map(|landed| {
            let mut data = Array3::from_elem(case.ct.data.dim(), false);
            paste(&mut data, &landed.label, landed.start.map(|s| s as i64));
            Mask { data, affine: case.ct.affine }
        }))
    }
}

/// The case with its tissue displaced. Where the tumor alone will be, there is its organ.
fn moved(case: &Case, organ: usize, displacement: &Displacement) -> Result<Case> {
    let mut out = case.clone();
    let mut change_hu = displacement.apply_scan(&case.ct)?.data;
    change_hu -= &case.ct.data;
    // Voxels that are no numbers lie outside of the zone, and stay.
    change_hu.mapv_inplace(|c| if c.is_finite() { c } else { 0.0 });
    add_change(out.ct.data.view_mut(), change_hu.view(), case.hu_step);
    for (i, each) in out.organs.iter_mut().enumerate() {
        each.organ = displacement.apply_mask(&each.organ, i == organ)?.image;
        for known in [&mut each.tumor, &mut each.cyst].into_iter().flatten() {
            *known = displacement.apply_mask(known, false)?.image;
        }
    }
    Ok(out)
}

impl Synthesis {
    /// Takes over a case that has made room, with what was in it already.
    pub(super) fn make_room(&mut self, pushed: Pushed) -> Result<Record> {
        let Pushed { case, record, displacement } = pushed;
        self.instances = displacement.apply_labels(&self.instances, 0)?.image;
        Zip::from(&mut self.blend_zone).and(&displacement.zone()).for_each(|all, zone| *all |= *zone);
        self.case = case;
        Ok(record)
    }
}
