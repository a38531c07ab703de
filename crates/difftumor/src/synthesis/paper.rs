//! The published pipeline (spec/synthesis.md): a 96 mm crop, its own number of tumors, blur up to 4 voxels, labels
//! whether visible or not, and the whole crop replaced in the pancreas. With the handcrafted method: Hu et al. 2023 on
//! the whole organ (spec/hu2023.md).
use super::landing::{LabelRule, Painted};
use super::options::CROP_VOX;
use super::proposal::name;
use super::record::TumorRecord;
use super::site::Site;
use super::{DiffusionModel, Generator, Preset, SizeChoice, Synthesis, Synthesizer, Variant};
use crate::error::Result;
use difftumor_ct::Error::Placement;
use difftumor_ct::blend::{published_weight, replace_published};
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::filter::gaussian;
use difftumor_ct::handcrafted::{HandcraftedOptions, texture};
use difftumor_ct::patch::{Fill, VoxelBox, bounding_box, crop};
use difftumor_ct::resample::Outside;
use difftumor_ct::tumor_mask::generate::{HU2023_RULES, OrganRules, PAPER_RULES, generate};
use difftumor_ct::tumor_mask::size::{HU2023, HU2023_MIX, Size, SizeClass};
use ndarray::{Array3, Zip};

/// Crops and masks drawn before giving up: the published code draws one and may train on an empty mask.
const ATTEMPTS: usize = 30;
/// Blur of the edge, voxels (spec/synthesis.md section 5).
const EDGE_SIGMA_VOX: (f64, f64) = (0.0, 4.0);
/// How far the widest blur reaches: scipy's radius, 4 sigma. The blur is drawn after the tumor is painted.
const LONGEST_REACH_VOX: usize = 16;
/// A healthy crop must hold more organ than the ball of this radius (mm); it shrinks with failing tries.
const ORGAN_RADIUS_MM: [(&str, f64); 3] = [("liver", 30.0), ("pancreas", 15.0), ("kidney", 25.0)];

/// The rules of an organ; organs that the paper does not know are treated as its kidney, without leaving the organ.
fn rules_for(organ: &str) -> OrganRules {
    let known = PAPER_RULES.iter().find(|r| organ.starts_with(r.name));
    known.copied().unwrap_or(OrganRules { name: "organ", erode: false, centred: &[], may_leave: &[] })
}

/// Early tumors (tiny, small, or up to 20 mm across) go to the model with the fewest steps, others to the one with
/// the most.
pub(super) fn model_for(
    models: &[DiffusionModel],
    class: Option<Size>,
    shape: (usize, usize, usize),
) -> &DiffusionModel {
    let early = match class {
        Some(size) => matches!(size, Size::Tiny | Size::Small),
        None => shape.0.max(shape.1).max(shape.2) <= 20,
    };
    let by_steps = |m: &&DiffusionModel| m.timesteps();
    if early { models.iter().min_by_key(by_steps) } else { models.iter().max_by_key(by_steps) }
        .expect("at least one model")
}

pub(super) fn fill_organ(
    synthesizer: &Synthesizer,
    state: &mut Synthesis,
    organ: usize,
    variant: Variant,
) -> Result<()> {
    let site = Site::new(&state.case.ct.grid(), &state.case.organs[organ], 1.0)?;
    let mut draws = synthesizer.stream(&state.case, organ, variant, 0);
    let name = state.case.organs[organ].name.clone();
    let painted = match &synthesizer.generator {
        Generator::Diffusion(models) => {
            crop_with_tumors(synthesizer, state, &site, &name, models, &mut draws)?
        }
        Generator::Handcrafted => organ_with_tumors(synthesizer, &site, &mut draws)?,
    };
    let within = matches!(synthesizer.generator, Generator::Handcrafted)
        .then_some(&state.case.organs[organ].organ.data);
    let landed = painted.painted.land(&state.case.ct.grid(), within, LabelRule::Shape)?;
    let Some(landed) = landed.filter(|l| l.label.iter().any(|t| *t)) else {
        state.not_placed.push(format!("{name}: the drawn shapes fall between the scan's voxels"));
        return Ok(());
    };
    let record = TumorRecord {
        number: state.records.len() as u16 + 1,
        organ: name,
        method: synthesizer.generator.name().into(),
        size: painted.size.into(),
        stream: [synthesizer.options.seed, variant.copy, 0],
        attempts: painted.attempts,
        edge_sigma_mm: painted.edge_sigma_vox,
        contrast_hu: painted.contrast_hu,
        weights_sha256: painted.weights_sha256,
        ..TumorRecord::unmeasured()
    };
    state.commit(organ, &landed, record);
    Ok(())
}

/// What the published pipeline made, with what goes into the record.
struct Outcome {
    painted: Painted,
    size: &'static str,
    attempts: usize,
    edge_sigma_vox: f64,
    contrast_hu: Option<f64>,
    weights_sha256: Option<String>,
}

/// A crop around a random organ voxel with enough organ in it (spec/synthesis.md section 6).
fn draw_crop(site: &Site, organ: &str, draws: &mut Stream) -> Result<([i64; 3], Array3<bool>)> {
    let voxels: Vec<[usize; 3]> =
        site.organ.indexed_iter().filter(|(_, v)| **v).map(|((x, y, z), _)| [x, y, z]).collect();
    if voxels.is_empty() {
        return Err(Placement {
            organ: organ.into(),
            reason: "nothing of its mask is left on a 1 mm grid".into(),
            hint: "check the label value".into(),
        }
        .into());
    }
    let radius_mm = ORGAN_RADIUS_MM.iter().find(|(n, _)| organ.starts_with(n)).map_or(15.0, |(_, r)| *r);
    let mut tries = 0;
    loop {
        let centre = voxels[draws.index(voxels.len())].map(|v| v as f64);
        let start = site.crop_start(centre, CROP_VOX);
        let part = crop(&site.organ, start, [CROP_VOX; 3], Fill::Constant(false));
        let radius = (radius_mm - 5.0 * (tries / 5) as f64).max(5.0);
        let needed = 4.0 / 3.0 * std::f64::consts::PI * radius.powi(3);
        if part.iter().filter(|v| **v).count() as f64 > needed || tries >= ATTEMPTS {
            return Ok((start, part));
        }
        tries += 1;
    }
}

fn crop_with_tumors(
    synthesizer: &Synthesizer,
    state: &Synthesis,
    site: &Site,
    organ: &str,
    models: &[DiffusionModel],
    draws: &mut Stream,
) -> Result<Outcome> {
    let rules = rules_for(organ);
    let class = synthesizer.options.size.draw_class(Preset::Paper, draws).expect("checked: no millimetres");
    for attempt in 1..=ATTEMPTS {
        let (start, organ_crop) = draw_crop(site, organ, draws)?;
        let mask = generate(&organ_crop, &rules, &[class], draws)?;
        if !mask.iter().any(|m| *m) {
            continue;
        }
        let model = model_for(models, Some(class.size), (0, 0, 0));
        let window = model.window();
        let ct = &state.case.ct;
        // Published crops of small scans are padded with the scan's minimum.
        let outside = Outside::Constant(ct.data.iter().copied().fold(f32::INFINITY, f32::min));
        let crop01 = site.scan_or(ct, start, [CROP_VOX; 3], outside)?.mapv(|hu| window.to_unit(hu));
        let replaced = rules.name == "pancreas";
        let side = [CROP_VOX; 3];
        let zone = match bounding_box(&mask) {
            Some(bounds) if !replaced => bounds.grown([LONGEST_REACH_VOX; 3], side),
            _ => VoxelBox { start: [0; 3], end: side },
        };
        let decoded = model.paint(&crop01, &mask, &zone, draws);
        let edge_sigma_vox = draws.uniform(EDGE_SIGMA_VOX.0, EDGE_SIGMA_VOX.1);
        let (weight, synthetic01) = if replaced {
            (Array3::ones(mask.dim()), replace_published(&decoded))
        } else {
            (published_weight(&mask, edge_sigma_vox), decoded.mapv(|s| ((s + 1.0) / 2.0).clamp(0.0, 1.0)))
        };
        let change =
            difftumor_ct::blend::change_hu(&crop01, &synthetic01, &weight, [window.min_hu, window.max_hu]);
        return Ok(Outcome {
            painted: Painted { grid: site.grid(start, [CROP_VOX; 3]), change_hu: change, weight, mask },
            size: name(class.size),
            attempts: attempt,
            edge_sigma_vox,
            contrast_hu: None,
            weights_sha256: Some(model.weights_sha256().into()),
        });
    }
    Err(no_mask(organ))
}

fn no_mask(organ: &str) -> crate::Error {
    Placement {
        organ: organ.into(),
        reason: format!("{ATTEMPTS} crops left nothing of the drawn shapes inside of the organ"),
        hint: "use the default preset, which looks for a place, or smaller tumors".into(),
    }
    .into()
}

/// Hu et al. 2023: all tumors of one class (or of all) in the whole organ, one texture.
fn organ_with_tumors(synthesizer: &Synthesizer, site: &Site, draws: &mut Stream) -> Result<Outcome> {
    let (classes, size): (Vec<SizeClass>, &'static str) = match synthesizer.options.size {
        SizeChoice::Class(wanted) => {
            (HU2023.iter().filter(|c| c.size == wanted).copied().collect(), name(wanted))
        }
        SizeChoice::Early => {
            let class = HU2023[draws.index(2)];
            (vec![class], name(class.size))
        }
        // Each class and the mix of all have probability 0.2.
        _ => match draws.index(5) {
            4 => (HU2023_MIX.to_vec(), "mix"),
            i => (vec![HU2023[i]], name(HU2023[i].size)),
        },
    };
    let options = HandcraftedOptions::default();
    for attempt in 1..=ATTEMPTS {
        let mask = generate(&site.organ, &HU2023_RULES, &classes, draws)?;
        if !mask.iter().any(|m| *m) {
            continue;
        }
        let (sigma_a, sigma_b) = texture::SIGMAS_VOX[draws.index(texture::SIGMAS_VOX.len())];
        let edge_sigma_vox = draws.uniform(options.edge_sigma_vox.0, options.edge_sigma_vox.1);
        let contrast_hu = draws.uniform(options.contrast_hu.0, options.contrast_hu.1);
        let (nx, ny, nz) = mask.dim();
        let texture = texture::texture([nx, ny, nz], sigma_a, sigma_b, draws);
        let mut weight = gaussian(&mask.mapv(|m| f32::from(u8::from(m))), [edge_sigma_vox; 3]);
        Zip::from(&mut weight).and(&site.organ).for_each(|w, o| *w = if *o { *w } else { 0.0 });
        let change_hu =
            Zip::from(&weight).and(&texture).map_collect(|w, t| (-contrast_hu * f64::from(*w) * t) as f32);
        return Ok(Outcome {
            painted: Painted { grid: site.grid([0; 3], [nx, ny, nz]), change_hu, weight, mask },
            size,
            attempts: attempt,
            edge_sigma_vox,
            contrast_hu: Some(contrast_hu),
            weights_sha256: None,
        });
    }
    Err(no_mask("organ"))
}
