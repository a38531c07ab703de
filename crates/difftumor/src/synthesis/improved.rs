//! The default preset: one tumor at a time, well inside the organ, blended, and labelled where it shows.
use super::contrast::draw_contrast_hu;
use super::grain;
use super::landing::{LabelRule, Landed, Painted};
use super::options::CROP_VOX;
use super::record::TumorRecord;
use super::site::Site;
use super::visibility::contrast_hu;
use super::{Case, Generator, Preset, SizeChoice, Synthesis, Synthesizer};
use crate::error::Result;
use difftumor_ct::blend::{change_hu, weight_in_organ};
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::filter::gaussian_f64;
use difftumor_ct::handcrafted::texture;
use difftumor_ct::measure::HuStatistics;
use difftumor_ct::patch::{Fill, VoxelBox, bounding_box, crop};
use difftumor_ct::tumor_mask::fit::{OrganSite, PlacedMask};
use difftumor_ct::tumor_mask::size::Size;
use difftumor_ct::tumor_mask::sizes_mm::{DiameterRange, KitsShape};
use difftumor_ct::tumor_mask::smooth::draw_shape;
use difftumor_ct::{Grid, Volume};
use ndarray::{Array3, Zip};

/// Shapes drawn for one tumor before it is given up.
const ATTEMPTS: usize = 40;
/// Number of tumors per organ unless the user says otherwise: the paper's for early ones.
const TUMORS: (i64, i64) = (1, 3);
/// Blur of a tumor's edge: the paper draws 0..4, which makes tiny tumors vanish (pitfall B16). Here it is bounded by a
/// third of the shortest half axis, so that the centre keeps nearly its full weight. Where that allows it, edges are no sharper than
/// those of real tumors: sarcomas have 3.2 to 9.1 mm from 10 to 90 % (models/compact-v1), and 3.2 mm is a blur of 1.25.
const EDGE_SIGMA_VOX: (f64, f64) = (1.25, 4.0);
const EDGE_OF_HALF_AXIS: f64 = 0.35;
/// A scanner's edges are never sharper.
const LEAST_EDGE_SIGMA_VOX: f64 = 0.5;
/// A model paints where the blurred mask has at least this weight, and not in the shape alone: else its tumor ends where half of the
/// blur is still to come, and the edge is half as wide as drawn.
const PAINTED_FROM: f32 = 0.1;
/// Tumors displace vessels, and do not let them shine through: this part of what is brighter than the organ by more
/// than its standard deviation is taken away…
const DISPLACED: f64 = 0.7;
/// …after smoothing, so that noise stays.
const NOISE_SIGMA_VOX: f64 = 1.0;
/// How far the tissue that a tumor replaces may be darker or brighter than the organ, in standard deviations of the
/// organ: else it would lie in a renal sinus, a fissure or a large vessel, and hardly show.
const TYPICAL_SD: (f64, f64) = (0.5, 1.0);
/// Rounding of means, so that an organ of one value has typical tissue.
const TYPICAL_SLACK_HU: f64 = 0.5;

/// A tumor's shape in its place, not painted yet.
struct Proposal {
    placed: PlacedMask,
    size: &'static str,
    class: Option<Size>,
    edge_sigma_vox: f64,
}

pub(super) fn fill_organ(
    synthesizer: &Synthesizer,
    state: &mut Synthesis,
    organ: usize,
    copy: u64,
) -> Result<()> {
    let site = Site::new(&state.case.ct.grid(), &state.case.organs[organ], 1.0)?;
    let (low, high) = synthesizer.options.tumors.unwrap_or(TUMORS);
    let wanted = synthesizer.stream(&state.case, organ, copy, 0).integer(low, high) as u64;
    let name = state.case.organs[organ].name.clone();
    let hu = HuStatistics::of(&state.case.ct.data, &state.case.organs[organ].organ.data)
        .expect("a site has organ voxels");
    let ground = Ground { synthesizer, organ, hu, place: OrganSite::new(&site.organ, &name)?, site: &site };
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
        tumor.placed.paste_into(&mut occupied);
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
    placed: PlacedMask,
    landed: Landed,
    record: TumorRecord,
}

/// What all tumors of one organ share.
struct Ground<'a> {
    synthesizer: &'a Synthesizer,
    /// Index of the organ in the case.
    organ: usize,
    hu: HuStatistics,
    site: &'a Site,
    place: OrganSite<'a>,
}

impl Ground<'_> {
    /// Draws shapes and places until one holds a tumor that shows. Painting comes last: it is what costs.
    fn one_tumor(&self, case: &Case, occupied: &Array3<bool>, draws: &mut Stream) -> Result<Option<Tumor>> {
        let (synthesizer, ct) = (self.synthesizer, &case.ct);
        let within = Some(&case.organs[self.organ].organ.data);
        for attempt in 1..=ATTEMPTS {
            let Some(p) = propose(synthesizer, &self.place, occupied, draws)? else { continue };
            let cropped = matches!(synthesizer.generator, Generator::Diffusion(_));
            if (cropped && !fits_crop(self.site, &p))
                || !replaces_typical_tissue(self.site, ct, &p.placed, &self.hu)?
            {
                continue;
            }
            let (painted, texture_hu, weights_sha256) =
                paint(synthesizer, self.site, ct, &p, &self.hu, draws)?;
            let Some(mut landed) = painted.land(&ct.grid(), within, LabelRule::Visible)? else { continue };
            if cropped {
                grain::give_back(ct, &mut landed);
            }
            if contrast_hu(case, self.organ, &landed) < synthesizer.options.min_contrast_hu {
                continue;
            }
            let record = TumorRecord {
                size: p.size.into(),
                attempts: attempt,
                edge_sigma_mm: p.edge_sigma_vox,
                contrast_hu: texture_hu,
                weights_sha256,
                ..TumorRecord::unmeasured()
            };
            return Ok(Some(Tumor { placed: p.placed, landed, record }));
        }
        Ok(None)
    }
}

/// Whether a model's crop holds the tumor with the visible part of its blurred edge (2 sigma, where 2 % are left), so
/// that no crop border cuts it. Where the crop ends with the scan there is nothing to cut.
fn fits_crop(site: &Site, p: &Proposal) -> bool {
    let margin = (2.0 * p.edge_sigma_vox).ceil() as i64;
    let start = site.crop_start(p.placed.centre_vox(), CROP_VOX);
    let side = <[usize; 3]>::from(p.placed.mask.dim());
    (0..3).all(|a| {
        let (crop_first, crop_end) = (start[a], start[a] + CROP_VOX as i64);
        let (first, end) = (p.placed.offset[a] as i64, (p.placed.offset[a] + side[a]) as i64);
        let scan_first = -site.start[a];
        let scan_end = scan_first + site.scan_grid.shape[a] as i64;
        (first - margin >= crop_first || crop_first <= scan_first)
            && (end + margin <= crop_end || crop_end >= scan_end)
    })
}

/// Draws a shape and a place for it.
fn propose(
    synthesizer: &Synthesizer,
    place: &OrganSite,
    occupied: &Array3<bool>,
    draws: &mut Stream,
) -> Result<Option<Proposal>> {
    let options = &synthesizer.options;
    let class = options.size.draw_class(Preset::Default, draws);
    // The published deformations cut shapes off straight at the border of their array; these have smooth, measured
    // forms for classes too, whose semi-axes become the range of the longest axis.
    let (range, size) = match (class, options.size) {
        (None, SizeChoice::DiameterMm(range)) => (range, "diameter"),
        (Some(c), _) => {
            let (low, high) = c.semi_axis_vox;
            (DiameterRange::new(2.0 * low as f64, 2.0 * high as f64)?, name(c.size))
        }
        (None, _) => unreachable!("every class choice draws a class"),
    };
    let ellipsoid = KitsShape::with_longest_axis(range.draw_mm(draws), draws);
    // Drawing a shape of 150 mm takes seconds: not for one that cannot fit by its volume alone.
    let volume_mm3 = std::f64::consts::PI / 6.0 * ellipsoid.axes_mm.iter().product::<f64>();
    if volume_mm3 * options.fit.min_inside > place.voxel_count() as f64 {
        return Ok(None);
    }
    let shape = draw_shape(&ellipsoid, 1.0, draws)?;
    let Some(placed) = place.fit(&shape, occupied, &options.fit, draws) else { return Ok(None) };
    let half_axis =
        difftumor_ct::measure::principal_axes_mm(&placed.mask, [1.0; 3]).map_or(0.0, |a| a[2] / 2.0);
    let (low, high) = EDGE_SIGMA_VOX;
    let high = (EDGE_OF_HALF_AXIS * half_axis).clamp(LEAST_EDGE_SIGMA_VOX, high);
    let low = low.min(high);
    Ok(Some(Proposal {
        placed,
        size,
        class: class.map(|c| c.size),
        edge_sigma_vox: draws.uniform(low, high),
    }))
}

/// The class's name on the command line and in records.
pub fn name(size: Size) -> &'static str {
    match size {
        Size::Tiny => "tiny",
        Size::Small => "small",
        Size::Medium => "medium",
        Size::Large => "large",
    }
}

/// Paints on the 1 mm grid. Also gives the contrast (handcrafted) and the hash of the weights (diffusion).
fn paint(
    synthesizer: &Synthesizer,
    site: &Site,
    ct: &Volume,
    p: &Proposal,
    organ_hu: &HuStatistics,
    draws: &mut Stream,
) -> Result<(Painted, Option<f64>, Option<String>)> {
    match &synthesizer.generator {
        Generator::Handcrafted => {
            let reach = (4.0 * p.edge_sigma_vox + 0.5) as i64 + 1;
            let (nx, ny, nz) = p.placed.mask.dim();
            let start = p.placed.offset.map(|o| o as i64 - reach);
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
            let start = site.crop_start(p.placed.centre_vox(), CROP_VOX);
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

/// Whether the tumor would replace tissue that is like the rest of its organ.
fn replaces_typical_tissue(
    site: &Site,
    ct: &Volume,
    placed: &PlacedMask,
    organ: &HuStatistics,
) -> Result<bool> {
    let before = site.scan_on(ct, placed.offset.map(|o| o as i64), placed.mask.dim().into())?;
    let Some(here) = HuStatistics::of(&before, &placed.mask) else { return Ok(false) };
    let (darker, brighter) = TYPICAL_SD;
    let low_hu = -darker * organ.sd_hu - TYPICAL_SLACK_HU;
    let high_hu = brighter * organ.sd_hu + TYPICAL_SLACK_HU;
    Ok((low_hu..=high_hu).contains(&(here.mean_hu - organ.mean_hu)))
}

/// The masks of one proposal on one box of the 1 mm grid.
struct View {
    grid: Grid,
    mask: Array3<bool>,
    weight: Array3<f32>,
}

impl View {
    fn new(site: &Site, p: &Proposal, start: [i64; 3], shape: [usize; 3]) -> Self {
        let at: [i64; 3] = std::array::from_fn(|a| start[a] - p.placed.offset[a] as i64);
        let mask = crop(&p.placed.mask, at, shape, Fill::Constant(false));
        let organ = crop(&site.organ, start, shape, Fill::Constant(false));
        let weight = weight_in_organ(&mask, &organ, p.edge_sigma_vox);
        Self { grid: site.grid(start, shape), mask, weight }
    }

    fn painted(self, change_hu: Array3<f32>) -> Painted {
        Painted { grid: self.grid, change_hu, weight: self.weight, mask: self.mask }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tumor of that box in a scan of 200 voxels that is all organ.
    fn fits(offset: usize, side: usize) -> bool {
        let shape = [200; 3];
        let scan_grid = Grid { shape, affine: difftumor_ct::Affine::from_spacing_mm([1.0; 3]) };
        let none = Array3::from_elem((0, 0, 0), false);
        let site = Site { scan_grid, start: [0; 3], organ: none.clone(), occupied: none };
        let mask = Array3::from_elem((side, 5, 5), true);
        let placed = PlacedMask { offset: [offset, 50, 50], mask };
        fits_crop(&site, &Proposal { placed, size: "large", class: None, edge_sigma_vox: 4.0 })
    }

    #[test]
    fn no_crop_cuts_a_tumor() {
        // 96 voxels less 8 on each side for the edge.
        assert!(fits(60, 79) && !fits(60, 82));
        // At the scan's border the crop need not reach further.
        assert!(fits(0, 87) && fits(113, 87) && !fits(0, 90));
    }
}
