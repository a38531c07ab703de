//! Annotated tumors as the diffusion model learns from them (paper 3.2; spec/diffusion.md section 7): crops of the scan with
//! the tumor's mask.
use super::cache::{Cache, Folder, Inputs, Scan};
use super::crops::{rotated, turn};
use super::prepared::{Arrays, Prepared};
use super::scans::model_grid;
use crate::dataset::CaseSource;
use crate::error::{Error, Result};
use crate::index::LEAST_VOXELS;
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::io::read_scan;
use difftumor_ct::patch::{Fill, spatial_pad};
use difftumor_ct::resample::{Outside, linear, nearest};
use ndarray::{Array3, s};
use serde::{Deserialize, Serialize};

/// How crops are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TumorCropSettings {
    /// Side: 96 (paper E.2).
    pub side_vox: usize,
    /// Share of crops centred on a tumor voxel; the others are centred on an organ voxel: 1/2, authors' code. A case without
    /// organ labels gives tumor voxels only.
    pub tumor_share: f64,
    /// Share of crops turned by 90 degrees in the axial plane: 0.1, authors' code.
    pub rotated_share: f64,
    /// Crops of each case that are drawn and encoded once, and kept on the disk; a step then chooses among them. 0 draws new
    /// ones at each step (authors' code), at the price of two encodings each.
    pub encoded_per_case: u64,
}

impl Default for TumorCropSettings {
    fn default() -> Self {
        Self { side_vox: 96, tumor_share: 0.5, rotated_share: 0.1, encoded_per_case: 200 }
    }
}

/// Label values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TumorLabels {
    /// Of the organ.
    pub organ: u16,
    /// Of its tumors.
    pub tumor: u16,
}

impl Default for TumorLabels {
    /// 1 and 2, as `index` writes them and as MSD has them.
    fn default() -> Self {
        Self { organ: 1, tumor: 2 }
    }
}

/// A case with what it is prepared for.
#[derive(Debug)]
pub struct Source {
    case: CaseSource,
    values: TumorLabels,
    side_vox: usize,
}

/// A case that is ready, 1 mm RAS: the image from −1 to 1, at least as large as a crop, 1 where the tumor is, and flat indices of
/// organ voxels (list 0) and of tumor voxels (list 1) that are not air.
#[derive(Debug)]
pub struct TumorScan {
    /// The case's id.
    pub id: String,
    prepared: Prepared,
}

/// A crop with its tumor mask, `[x, y, z]`.
pub struct TumorCrop {
    /// −1 to 1.
    pub image: Array3<f32>,
    /// Where the tumor is.
    pub mask: Array3<bool>,
    /// Case and first voxel (1 mm RAS), for messages.
    pub origin: String,
}

/// A cache of the cases.
pub fn cache(
    cases: Vec<CaseSource>,
    labels: TumorLabels,
    side_vox: usize,
    folder: &Folder,
) -> Cache<TumorScan> {
    Cache::new(cases.into_iter().map(|case| Source { case, values: labels, side_vox }), folder)
}

impl Scan for TumorScan {
    type Source = Source;

    fn name(source: &Source) -> &str {
        &source.case.id
    }

    fn inputs(Source { case, values, side_vox }: &Source) -> Inputs<'_> {
        Inputs { how: format!("tumors, {values:?}, {side_vox} voxels"), files: vec![&case.ct, &case.labels] }
    }

    fn prepare(Source { case, values, side_vox }: &Source) -> Result<Arrays> {
        prepare(case, *values, *side_vox)
    }

    fn new(source: &Source, prepared: Prepared) -> Self {
        Self { id: source.case.id.clone(), prepared }
    }
}

fn prepare(case: &CaseSource, values: TumorLabels, side_vox: usize) -> Result<Arrays> {
    let volume = read_scan(&case.ct)?.to_volume()?;
    let labels = NiftiImage::read(&case.labels)?.to_labels()?;
    let (ct_name, labels_name) = (case.ct.display().to_string(), case.labels.display().to_string());
    volume.grid().require_same(&ct_name, &labels.grid(), &labels_name)?;
    let found = labels.data.iter().filter(|v| **v == values.tumor).count();
    if found < LEAST_VOXELS {
        let expected = format!("at least {LEAST_VOXELS} voxels of value {}", values.tumor);
        let hint = "leave the case out, or name the tumors' value with --tumor-label";
        return Err(Error::format(&case.labels, "tumor", expected, format!("{found}"), hint));
    }
    let grid = model_grid(&volume.grid())?;
    let window = HuWindow::default();
    let mut image = linear(&volume, &grid, Outside::Edge)?;
    image.data.par_mapv_inplace(|hu| window.to_signed(hu));
    // Mid grey, as the authors' code pads.
    let image = spatial_pad(&image, [side_vox; 3], Fill::Constant(0.0)).data;
    let labels = nearest(&labels, &grid, Outside::Constant(0))?;
    let labels = spatial_pad(&labels, [side_vox; 3], Fill::Constant(0)).data;
    let voxels_of = |value: u16| -> Vec<u32> {
        let both = labels.iter().zip(&image).enumerate();
        both.filter(|(_, (l, v))| **l == value && **v > -1.0).map(|(i, _)| i as u32).collect()
    };
    let (organ_vox, tumor_vox) = (voxels_of(values.organ), voxels_of(values.tumor));
    if tumor_vox.is_empty() {
        let hint = "leave the case out";
        let found = "none is left at 1 mm that is not air";
        return Err(Error::format(
            &case.labels,
            "tumor",
            "tumor voxels with tissue in the scan",
            found,
            hint,
        ));
    }
    let tumor = labels.mapv(|l| u8::from(l == values.tumor));
    Ok(Arrays { image, labels: Some(tumor), lists: [organ_vox, tumor_vox] })
}

/// Which crop an item of a batch is: the case, and the number of its stream of draws.
pub fn choose(
    cases: &Cache<TumorScan>,
    settings: &TumorCropSettings,
    seed: u64,
    item: u64,
) -> Result<(std::sync::Arc<TumorScan>, u64)> {
    let scan = cases.first_usable(turn(cases.len(), seed, item))?;
    let number = match settings.encoded_per_case {
        0 => item,
        n => Stream::new(seed, item, "choice of crop", 0).index(n as usize) as u64,
    };
    Ok((scan, number))
}

/// Crop number `number` of a case.
pub fn crop(scan: &TumorScan, settings: &TumorCropSettings, seed: u64, number: u64) -> TumorCrop {
    let mut draws = Stream::new(seed, number, &scan.id, 0);
    let (image, tumor) = (scan.prepared.image(), scan.prepared.labels());
    let [organ_vox, tumor_vox] = [0, 1].map(|n| scan.prepared.list(n));
    let shape = <[usize; 3]>::from(image.dim());
    let flat = |i: usize| [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]];
    let on_tumor = draws.uniform(0.0, 1.0) < settings.tumor_share || organ_vox.is_empty();
    let among = if on_tumor { tumor_vox } else { organ_vox };
    let centre = flat(among[draws.index(among.len())] as usize);
    let side = settings.side_vox;
    let start: [usize; 3] = std::array::from_fn(|a| centre[a].saturating_sub(side / 2).min(shape[a] - side));
    let turns = usize::from(draws.uniform(0.0, 1.0) < settings.rotated_share);
    let [x, y, z] = start.map(|v| v..v + side);
    let region = s![x, y, z];
    TumorCrop {
        image: rotated(image.slice(region).to_owned(), turns),
        mask: rotated(tumor.slice(region).mapv(|t| t > 0), turns),
        origin: format!("{} at {start:?}", scan.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan() -> TumorScan {
        let image =
            Array3::from_shape_fn((40, 40, 40), |(x, y, z)| (x * 1600 + y * 40 + z) as f32 / 64_000.0);
        let tumor = Array3::from_shape_fn((40, 40, 40), |(x, y, z)| {
            u8::from(x == 20 && y == 21 && (22..24).contains(&z))
        });
        let index = |x: u32, y: u32, z: u32| (x * 40 + y) * 40 + z;
        let lists = [vec![index(3, 3, 3)], vec![index(20, 21, 22), index(20, 21, 23)]];
        TumorScan { id: "a".into(), prepared: Arrays { image, labels: Some(tumor), lists }.into() }
    }

    #[test]
    fn half_of_the_crops_are_centred_on_the_tumor_and_all_fit() {
        let settings = TumorCropSettings { side_vox: 16, rotated_share: 0.0, ..TumorCropSettings::default() };
        let mut with_tumor = 0;
        for n in 0..200 {
            let c = crop(&scan(), &settings, 9, n);
            assert_eq!((c.image.dim(), c.mask.dim()), ((16, 16, 16), (16, 16, 16)));
            let voxels = c.mask.iter().filter(|m| **m).count();
            if voxels > 0 {
                with_tumor += 1;
                assert!(c.mask[[8, 8, 8]], "{}", c.origin);
            } else {
                assert!(c.origin.ends_with("[0, 0, 0]"));
            }
        }
        // 100 expected, standard deviation 7.
        assert!((79..=121).contains(&with_tumor), "{with_tumor}");
    }

    #[test]
    fn image_and_mask_turn_together() {
        let settings = TumorCropSettings {
            side_vox: 16,
            rotated_share: 1.0,
            tumor_share: 1.0,
            ..TumorCropSettings::default()
        };
        let plain = TumorCropSettings { rotated_share: 0.0, ..settings };
        let value = |c: &TumorCrop| -> Vec<f32> {
            c.image.iter().zip(&c.mask).filter(|(_, m)| **m).map(|(v, _)| *v).collect()
        };
        for n in 0..5 {
            let (turned, straight) = (crop(&scan(), &settings, 1, n), crop(&scan(), &plain, 1, n));
            assert_eq!(value(&turned), value(&straight));
            assert_ne!(turned.image, straight.image);
        }
    }
}
