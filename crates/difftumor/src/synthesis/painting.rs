//! The default preset's tumors as they are painted, and brought onto the scan.
use super::contrast::draw_contrast_hu;
use super::grain;
use super::improved::Ground;
use super::landing::{LabelRule, Landed, Painted};
use super::options::CROP_VOX;
use super::proposal::Proposal;
use super::push::Pushed;
use super::site::Site;
use super::{Case, Generator};
use crate::error::Result;
use difftumor_ct::blend::{change_hu, weight_in_organ};
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::filter::gaussian_f64;
use difftumor_ct::handcrafted::texture;
use difftumor_ct::patch::{Fill, VoxelBox, bounding_box, crop};
use difftumor_ct::{Grid, Volume};
use ndarray::{Array3, Zip};

/// A model paints where the blurred mask has at least this weight, and not in the shape alone: else its tumor ends where half of the
/// blur is still to come, and the edge is half as wide as drawn.
const PAINTED_FROM: f32 = 0.1;
/// Tumors displace vessels, and do not let them shine through: this part of what is brighter than the organ by more
/// than its standard deviation is taken away…
const DISPLACED: f64 = 0.7;
/// …after smoothing, so that noise stays.
const NOISE_SIGMA_VOX: f64 = 1.0;

/// A tumor on the scan's grid.
pub(super) struct PaintedTumor {
    pub(super) landed: Landed,
    /// Contrast of its texture, if it is handcrafted.
    pub(super) contrast_hu: Option<f64>,
    /// Of the weights that painted it, if a model did.
    pub(super) weights_sha256: Option<String>,
    /// The case that it was painted into, if that had to make room.
    pub(super) pushed: Option<Pushed>,
}

impl PaintedTumor {
    /// The case that it was painted into.
    pub(super) fn ground<'a>(&'a self, case: &'a Case) -> &'a Case {
        self.pushed.as_ref().map_or(case, |pushed| &pushed.case)
    }
}

impl Ground<'_> {
    /// Paints a tumor and brings it onto the scan. `largest` is the same tumor at its largest, whose place is that of the texture.
    pub(super) fn painted(
        &self,
        case: &Case,
        p: &Proposal,
        largest: &Proposal,
        draws: &mut Stream,
    ) -> Result<Option<PaintedTumor>> {
        let pushed = self.pushed(case, p)?;
        let case = pushed.as_ref().map_or(case, |pushed| &pushed.case);
        let ct = &case.ct;
        let within = Some(&case.organs[self.task.organ].organ.data);
        let (painted, texture_hu, weights_sha256) = self.paint(ct, p, largest, draws)?;
        let Some(mut landed) = painted.land(&ct.grid(), within, LabelRule::Visible)? else { return Ok(None) };
        if self.is_cropped() {
            grain::give_back(ct, &mut landed);
        }
        Ok(Some(PaintedTumor { landed, contrast_hu: texture_hu, weights_sha256, pushed }))
    }

    /// Paints on the 1 mm grid. Also gives the contrast (handcrafted) and the hash of the weights (diffusion).
    fn paint(
        &self,
        ct: &Volume,
        p: &Proposal,
        largest: &Proposal,
        draws: &mut Stream,
    ) -> Result<(Painted, Option<f64>, Option<String>)> {
        let (site, organ_hu) = (self.site, &self.hu);
        match &self.synthesizer.generator {
            Generator::Handcrafted => {
                let reach = (4.0 * largest.edge_sigma_vox + 0.5) as i64 + 1;
                let (nx, ny, nz) = largest.placed.mask.dim();
                let start = largest.placed.offset.map(|o| o as i64 - reach);
                let view = View::new(site, p, start, [nx, ny, nz].map(|n| n + 2 * reach as usize));
                let contrast_hu = draw_contrast_hu(organ_hu.mean_hu, draws);
                let (sigma_a, sigma_b) = texture::SIGMAS_VOX[draws.index(texture::SIGMAS_VOX.len())];
                let texture = texture::texture(view.grid.shape, sigma_a, sigma_b, draws);
                let smooth_hu = site.scan_on(ct, start, view.grid.shape)?.mapv(f64::from);
                let smooth_hu = gaussian_f64(&smooth_hu, [NOISE_SIGMA_VOX; 3]);
                let bright_hu = organ_hu.mean_hu + organ_hu.sd_hu;
                let change_hu =
                    Zip::from(&view.weight).and(&texture).and(&smooth_hu).map_collect(|w, t, smooth_hu| {
                        let vessel_hu = (smooth_hu - bright_hu).max(0.0);
                        (-f64::from(*w) * (contrast_hu * t + DISPLACED * vessel_hu)) as f32
                    });
                Ok((view.painted(change_hu), Some(contrast_hu), None))
            }
            Generator::Diffusion(models) => {
                let model = super::paper::model_for(models, p.class, p.placed.mask.dim());
                let start = site.crop_start(largest.placed.centre_vox(), CROP_VOX);
                let view = View::new(site, p, start, [CROP_VOX; 3]);
                let window = model.window();
                let crop01 = site.scan_on(ct, start, [CROP_VOX; 3])?.mapv(|hu| window.to_unit(hu));
                // A mask outside of the organ has no weight anywhere, but draws its noise like others.
                let zone = bounding_box(&view.weight.mapv(|w| w > 0.0))
                    .unwrap_or(VoxelBox { start: [0; 3], end: [1; 3] });
                let to_unit = |s: f32| ((s + 1.0) / 2.0).clamp(0.0, 1.0);
                let painted = view.weight.mapv(|w| w >= PAINTED_FROM);
                let synthetic01 = model.paint(&crop01, &painted, &zone, draws).mapv(to_unit);
                let change = change_hu(&crop01, &synthetic01, &view.weight, [window.min_hu, window.max_hu]);
                Ok((view.painted(change), None, Some(model.weights_sha256().into())))
            }
        }
    }
}

/// The masks of one proposal on one box of the 1 mm grid.
pub(super) struct View {
    pub(super) grid: Grid,
    mask: Array3<bool>,
    weight: Array3<f32>,
}

impl View {
    pub(super) fn new(site: &Site, p: &Proposal, start: [i64; 3], shape: [usize; 3]) -> Self {
        let at: [i64; 3] = std::array::from_fn(|a| start[a] - p.placed.offset[a] as i64);
        let mask = crop(&p.placed.mask, at, shape, Fill::Constant(false));
        let organ = crop(&site.organ, start, shape, Fill::Constant(false));
        let weight = weight_in_organ(&mask, &organ, p.edge_sigma_vox);
        Self { grid: site.grid(start, shape), mask, weight }
    }

    pub(super) fn painted(self, change_hu: Array3<f32>) -> Painted {
        Painted { grid: self.grid, change_hu, weight: self.weight, mask: self.mask }
    }
}
