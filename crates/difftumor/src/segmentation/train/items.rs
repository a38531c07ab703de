//! The stream of crops that a segmentation model learns from: real tumors as they are, healthy scans with or without synthetic
//! tumors (paper 3.3; spec/synthesis.md section 1).
use super::augment::{Augmentation, augment};
use super::order::Order;
use super::pool::Pool;
use super::scans::{LabelledScan, ORGAN, TUMOR};
use crate::error::Result;
use crate::synthesis::{Case, Synthesizer};
use crate::train::cache::Cache;
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::label::OrganMask;
use difftumor_ct::{Affine, Mask, Volume};
use ndarray::{Array3, s};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Voxels tried to find one of the background.
const TRIES: usize = 1000;
/// Organ voxels below which a crop gets no synthetic tumor: the smallest radius that the published crops accept, 5 mm.
const LEAST_ORGAN_VOX: usize = 523;

/// Healthy scans that are tried for a crop with tumors.
const SCANS_TRIED: usize = 4;

/// How crops are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentationCrops {
    /// Side: 96 (paper E.2).
    pub side_vox: usize,
    /// Share of crops centred on organ or tumor; the others are centred on tissue outside of both: 1/2, authors' code.
    pub foreground_share: f64,
}

impl Default for SegmentationCrops {
    fn default() -> Self {
        Self { side_vox: 96, foreground_share: 0.5 }
    }
}

/// A crop with its labels, `[x, y, z]`.
#[derive(Debug, Clone)]
pub struct Item {
    /// 0 to 1 of the HU window (after augmentation somewhat beyond).
    pub image: Array3<f32>,
    /// 0 background, 1 organ, 2 tumor.
    pub labels: Array3<u8>,
    /// Case and first voxel (1 mm RAS), for messages.
    pub origin: String,
    /// Whether a synthetic tumor is in it.
    pub synthetic: bool,
}

/// Keeps the pool's crops coming.
pub struct Painter(Arc<Items>);

impl Drop for Painter {
    fn drop(&mut self) {
        if let Some(tumors) = &self.0.tumors {
            tumors.pool.close();
        }
    }
}

/// Puts tumors into healthy crops.
pub struct Tumors {
    /// What paints them.
    pub synthesizer: Synthesizer,
    /// Share of healthy crops that get tumors.
    pub share: f64,
    /// Crops with tumors that may be used again. One is none where no healthy scan can be used.
    pub pool: Pool<Option<Crop>>,
}

/// A part of a scan in HU.
#[derive(Debug, Clone)]
pub struct Crop {
    image_hu: Array3<f32>,
    labels: Array3<u8>,
    origin: String,
    synthetic: bool,
}

/// Everything that items follow from.
pub struct Items {
    /// The scans.
    pub scans: Cache<LabelledScan>,
    /// Which one an item is cut from.
    pub order: Order,
    /// How they are cut.
    pub crops: SegmentationCrops,
    /// How crops are changed.
    pub augmentation: Augmentation,
    /// What is put into healthy ones.
    pub tumors: Option<Tumors>,
    /// Everything that is drawn follows from it.
    pub seed: u64,
}

impl Items {
    /// Item number `n` of all batches, the same for any number of threads.
    ///
    /// # Errors
    /// When no scan can be used.
    pub fn item(&self, n: u64) -> Result<Item> {
        let order = self.order.of_item(n);
        let mut draws = Stream::new(self.seed, n, "segmentation item", 0);
        let healthy = order.first().is_some_and(|i| self.scans.source(*i).case.healthy);
        let crop = match &self.tumors {
            Some(tumors) if healthy && draws.uniform(0.0, 1.0) < tumors.share => {
                self.painted(tumors, n, &mut draws)?
            }
            _ => Arc::new(None),
        };
        // Scans are read for the crops that are cut from them alone.
        let crop = match &*crop {
            Some(_) => crop,
            None => {
                let scan = self.scans.first_usable(order.into_iter())?;
                Arc::new(Some(self.cut(&scan, &mut draws)))
            }
        };
        let Some(Crop { image_hu, labels, origin, synthetic }) = &*crop else { unreachable!("cut above") };
        let window = HuWindow::default();
        let image = image_hu.mapv(|hu| window.to_unit(hu));
        let (image, labels) = augment(image, labels.clone(), &self.augmentation.shares(), &mut draws);
        Ok(Item { image, labels, origin: origin.clone(), synthetic: *synthetic })
    }

    /// The crop with tumors that item `n` gets: its own one, or one of the pool.
    fn painted(&self, tumors: &Tumors, n: u64, draws: &mut impl Draws) -> Result<Arc<Option<Crop>>> {
        if !tumors.pool.reuses() {
            return Ok(Arc::new(self.with_tumors(tumors, n, &self.order.of_item(n))?));
        }
        let number = tumors.pool.number(needed(&self.order, tumors.share, n), draws);
        self.pooled(tumors, number)
    }

    fn pooled(&self, tumors: &Tumors, number: u64) -> Result<Arc<Option<Crop>>> {
        tumors.pool.get(number, || self.with_tumors(tumors, number, &self.order.of_crop(number)))
    }

    /// Starts a thread that makes the pool's crops ahead, until the result is dropped.
    pub fn paint_ahead(self: &Arc<Self>) -> Painter {
        let items = self.clone();
        if items.tumors.as_ref().is_some_and(|tumors| tumors.pool.reuses()) {
            std::thread::spawn(move || {
                let Some(tumors) = &items.tumors else { return };
                let mut next = 0;
                while let Some(number) = tumors.pool.due(next) {
                    // Who draws the crop meets the same error.
                    let _ = items.pooled(tumors, number);
                    next = number + 1;
                }
            });
        }
        Painter(self.clone())
    }

    /// Crop number `number` with tumors, of the first healthy scan of `order` in which they find a place. `None` when none can be
    /// used.
    fn with_tumors(&self, tumors: &Tumors, number: u64, order: &[usize]) -> Result<Option<Crop>> {
        let healthy = order.iter().filter(|i| self.scans.source(**i).case.healthy);
        let mut first = None;
        for scan in healthy.filter_map(|i| self.scans.usable(*i)).take(SCANS_TRIED) {
            let mut draws = Stream::new(self.seed, number, "healthy crop", 0);
            let mut crop = self.on_organ(&scan, &mut draws);
            if put_tumors(&mut crop, &scan, &tumors.synthesizer, number)? {
                return Ok(Some(crop));
            }
            first.get_or_insert(crop);
        }
        // Nothing fits anywhere: a healthy crop as it is.
        Ok(first)
    }

    fn cut(&self, scan: &LabelledScan, draws: &mut impl Draws) -> Crop {
        match draws.uniform(0.0, 1.0) < self.crops.foreground_share {
            true => self.on_organ(scan, draws),
            false => self.around(scan, background(scan, draws)),
        }
    }

    fn on_organ(&self, scan: &LabelledScan, draws: &mut impl Draws) -> Crop {
        let foreground = scan.foreground();
        self.around(scan, foreground[draws.index(foreground.len())] as usize)
    }

    fn around(&self, scan: &LabelledScan, centre: usize) -> Crop {
        let (nx, ny, nz) = scan.labels().dim();
        let centre = [centre / (ny * nz), centre / nz % ny, centre % nz];
        let side = self.crops.side_vox;
        let start: [usize; 3] =
            std::array::from_fn(|a| centre[a].saturating_sub(side / 2).min([nx, ny, nz][a] - side));
        let [x, y, z] = start.map(|v| v..v + side);
        let region = s![x, y, z];
        Crop {
            image_hu: scan.image_hu().slice(region).to_owned(),
            labels: scan.labels().slice(region).to_owned(),
            origin: format!("{} at {start:?}", scan.id),
            synthetic: false,
        }
    }
}

/// Crops with tumors that the items before `n` need: their expected number, so that it follows from `n` alone.
pub fn needed(order: &Order, share: f64, n: u64) -> u64 {
    (n as f64 * order.healthy_share() * share) as u64
}

/// A voxel outside of organ and tumor that is no air; any voxel where such ones are rare.
fn background(scan: &LabelledScan, draws: &mut impl Draws) -> usize {
    let air_hu = HuWindow::default().min_hu;
    let (image, labels) = (scan.image_hu(), scan.labels());
    let (image, labels) =
        image.to_slice().zip(labels.to_slice()).expect("prepared scans are in standard layout");
    let mut at = draws.index(labels.len());
    for _ in 0..TRIES {
        if labels[at] == 0 && image[at] > air_hu {
            break;
        }
        at = draws.index(labels.len());
    }
    at
}

/// Puts tumors into a healthy crop. `false` when none found a place.
fn put_tumors(crop: &mut Crop, scan: &LabelledScan, synthesizer: &Synthesizer, copy: u64) -> Result<bool> {
    let affine = Affine::from_spacing_mm([1.0; 3]);
    let organ = crop.labels.mapv(|l| l == ORGAN);
    if organ.iter().filter(|o| **o).count() < LEAST_ORGAN_VOX {
        return Ok(false);
    }
    let case = Case {
        id: scan.id.clone(),
        ct: Volume { data: std::mem::take(&mut crop.image_hu), affine },
        hu_step: None,
        organs: vec![OrganMask {
            name: scan.organ.clone(),
            organ: Mask { data: organ, affine },
            tumor: None,
            cyst: None,
            sources: vec![],
        }],
    };
    match synthesizer.synthesize(&case, copy) {
        Ok(made) => {
            crop.image_hu = made.case.ct.data;
            let tumor = made.case.organs.into_iter().next().and_then(|o| o.tumor);
            let tumor = tumor.expect("a synthesis without an error has a tumor");
            crop.labels.zip_mut_with(&tumor.data, |l, t| {
                if *t {
                    *l = TUMOR;
                }
            });
            crop.synthetic = true;
            Ok(true)
        }
        Err(crate::Error::Ct(difftumor_ct::Error::Placement { .. })) => {
            crop.image_hu = case.ct.data;
            Ok(false)
        }
        Err(other) => Err(other),
    }
}
