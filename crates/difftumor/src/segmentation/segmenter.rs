//! A scan's organ and tumors: preparation, sliding window, and the way back to the scan's own grid (paper E.1, E.2;
//! spec/segmentation.md sections 4 to 6).
//!
//! ```text
//! scan (any grid, HU) ─ RAS, 1 mm, -175..250 HU to 0..1, padded to a window ─▶ windows ─▶ logits at 1 mm
//!      ─ linear interpolation, slab by slab ─▶ logits on the scan's grid ─ argmax, organ mask, small ones ─▶ labels
//! ```
//!
//! Memory: the logits at 1 mm of three classes are the most (12 bytes a voxel of 1 mm³); on the scan's own grid there is one
//! byte a voxel until the labels. With an organ mask only the organ's box is worked on.
use super::findings::{Class, Findings, finish};
use super::sliding_window::{Logits, SlidingWindow};
use super::{Backbone, SegmentationNetwork};
use crate::error::{Error, Result};
use crate::memory::give_back;
use crate::run::{MANIFEST, Run};
use crate::train::scans::model_grid;
use burn::tensor::Device;
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::orient::{AxisCodes, Reorientation};
use difftumor_ct::patch::{Fill, VoxelBox, bounding_box, spatial_pad, spatial_pad_box};
use difftumor_ct::resample::{Outside, linear};
use difftumor_ct::{Grid, Labels, Mask, Volume};
use ndarray::{Array3, Zip, s};
use std::path::Path;

/// Planes of the scan that are brought back at one time: 60 MB of logits of a scan with 512 x 1000 voxels in a plane.
const SLAB_PLANES: usize = 10;
/// Background, organ, tumor.
const CLASSES: usize = 3;

/// How scans are segmented.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SegmenterOptions {
    /// Windows and mirroring.
    pub window: SlidingWindow,
    /// Tumors (26-connected components) are dropped when the ball of their volume has a smaller radius. The published optional
    /// post-processing takes 3 mm; none as published for the results.
    pub smallest_radius_mm: Option<f64>,
    /// Also give the probabilities.
    pub probabilities: bool,
}

/// A segmentation Run, ready to work.
pub struct Segmenter {
    network: SegmentationNetwork,
    backbone: Backbone,
    device: Device,
    window_hu: HuWindow,
    window_vox: [usize; 3],
    weights_sha256: String,
}

/// Softmax of the logits on the scan's grid, in steps of 1/65535. With an organ mask 0 outside of the organ's box, where the
/// network was not asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Probabilities {
    /// Of the organ without tumors.
    pub organ: Array3<u16>,
    /// Of tumors.
    pub tumor: Array3<u16>,
}

/// What was found, on the scan's own grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// 0 background, 1 organ, 2 tumor.
    pub labels: Labels,
    /// When asked for.
    pub probabilities: Option<Probabilities>,
    /// Volumes and tumors.
    pub findings: Findings,
}

impl SegmenterOptions {
    /// # Errors
    /// [`difftumor_ct::Error::Argument`] when the overlap or the radius is out of range.
    pub fn check(&self) -> difftumor_ct::Result<()> {
        self.window.check()?;
        match self.smallest_radius_mm {
            Some(radius) if !(radius.is_finite() && radius > 0.0) => Err(difftumor_ct::Error::Argument {
                what: "smallest radius in mm".into(),
                expected: "a number above 0".into(),
                found: radius.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

impl Segmenter {
    /// Opens a Run.
    ///
    /// # Errors
    /// When it is no segmentation, is damaged, or wants another preprocessing than this program does.
    pub fn open(dir: &Path, device: &Device) -> Result<Self> {
        let run = Run::open(dir)?;
        let backbone = run.segmentation_backbone()?.clone();
        let preprocessing = &run.manifest().preprocessing;
        if preprocessing.spacing_mm != 1.0 || preprocessing.axes != "RAS" {
            return Err(Error::format(
                &run.dir().join(MANIFEST),
                "preprocessing",
                "spacing_mm = 1.0 and axes = \"RAS\"",
                format!("spacing_mm = {} and axes = {:?}", preprocessing.spacing_mm, preprocessing.axes),
                "segmentation cannot use models made for other voxels yet",
            ));
        }
        let (path, found) = (run.dir().join(MANIFEST), ends(&backbone));
        if found != [1, CLASSES] {
            let expected = "1 input, 3 classes (background, organ, tumor)";
            let found = format!("{} and {}", found[0], found[1]);
            return Err(Error::format(&path, "model", expected, found, "name another Run"));
        }
        let trained = run.manifest().training.as_ref().and_then(|t| t.crop_vox);
        let window_vox = trained.map_or(SlidingWindow::default().roi_vox, |side| [side; 3]);
        backbone.check_sides(window_vox)?;
        let [low, high] = preprocessing.window_hu;
        Ok(Self {
            network: SegmentationNetwork::open(&run, device)?,
            backbone,
            device: device.clone(),
            window_hu: HuWindow::new(low, high)?,
            window_vox,
            weights_sha256: run.manifest().weights.sha256.clone(),
        })
    }

    /// The network and its sizes, for records.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// Hash of the weights, for records.
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
    }

    /// Sides of the crops that it was trained on; 96³, the published ones, where that is not known.
    pub fn window_vox(&self) -> [usize; 3] {
        self.window_vox
    }

    /// The HU window that becomes 0 to 1.
    pub fn window_hu(&self) -> HuWindow {
        self.window_hu
    }

    /// Segments a scan in HU; it is taken because its memory is needed.
    ///
    /// With a mask of the organ (tumors and cysts included) on the scan's grid, predictions outside of it are dropped and all of
    /// it is organ or tumor (published rule; spec section 6). Then only windows that touch the organ's box are worked on:
    /// the others have no weight in it. `watch` sees the number of windows done and of all.
    ///
    /// # Errors
    /// When the scan's grid is impossible, the organ empty, or the network gives numbers that are not finite.
    ///
    /// # Panics
    /// When the mask has not the scan's shape.
    pub fn segment(
        &self,
        ct: Volume,
        organ: Option<&Mask>,
        options: &SegmenterOptions,
        watch: &dyn Fn(usize, usize),
    ) -> Result<Segmentation> {
        options.check()?;
        let scan = ct.grid();
        let organ_box = organ.map(|mask| box_of(mask, &scan)).transpose()?;
        let grid = model_grid(&scan)?;
        let wanted = match &organ_box {
            // One voxel more for the interpolation on the way back.
            Some(found) => grid.covering_box(&scan, found, 1)?,
            None => whole(grid.shape),
        };
        let roi = options.window.roi_vox;
        let image = self.prepare(ct, &grid, roi)?;
        // Logits of the padding are never needed.
        let before = spatial_pad_box(grid.shape, roi).0.map(|v| v.unsigned_abs() as usize);
        let padded = |at: [usize; 3]| std::array::from_fn(|a| at[a] + before[a]);
        let part = VoxelBox { start: padded(wanted.start), end: padded(wanted.end) };
        give_back();
        let logits = options.window.run(&image, part, &self.device, |x| self.network.forward(x), watch);
        drop(image);
        give_back();
        let logits = at_1mm(logits, &grid.crop(wanted.start.map(|v| v as i64), wanted.shape()))?;

        let turn = Reorientation::new(&scan, AxisCodes::RAS)?;
        let ras = turn.target();
        let within = match &organ_box {
            Some(found) => ras.covering_box(&scan, found, 0)?,
            None => whole(ras.shape),
        };
        let found = on_scan(&logits, &ras, &within, options.probabilities)?;
        drop(logits);
        give_back();
        let own = |data| turn.back(&difftumor_ct::Image { data, affine: ras.affine }).data;
        let probabilities = found.probabilities.map(|[organ, tumor]| {
            let organ = own(organ);
            Probabilities { organ, tumor: own(tumor) }
        });
        let classes = turn.back(&difftumor_ct::Image { data: found.classes, affine: ras.affine });
        let (labels, findings) = finish(&classes, organ, options.smallest_radius_mm)?;
        Ok(Segmentation { labels, probabilities, findings })
    }

    /// The scan as the network sees it (paper E.1, authors' code): 1 mm, the HU window to 0..1, padded with its minimum.
    fn prepare(&self, ct: Volume, grid: &Grid, roi_vox: [usize; 3]) -> Result<Array3<f32>> {
        let mut image = linear(&ct, grid, Outside::Edge)?;
        drop(ct);
        image.data.par_mapv_inplace(|hu| self.window_hu.to_unit(hu));
        if (0..3).all(|a| grid.shape[a] >= roi_vox[a]) {
            return Ok(image.data); // padding would copy it
        }
        Ok(spatial_pad(&image, roi_vox, Fill::Minimum).data)
    }
}

/// Channels of the scan and classes.
fn ends(backbone: &Backbone) -> [usize; 2] {
    match backbone {
        Backbone::Unet(c) => [c.inputs, c.classes],
        Backbone::Nnunet(c) => [c.inputs, c.classes],
        Backbone::SwinUnetr(c) => [c.inputs, c.classes],
    }
}

fn whole(shape: [usize; 3]) -> VoxelBox {
    VoxelBox { start: [0; 3], end: shape }
}

fn box_of(organ: &Mask, scan: &Grid) -> Result<VoxelBox> {
    assert_eq!(organ.grid().shape, scan.shape, "mask and scan");
    let empty = || difftumor_ct::Error::Argument {
        what: "organ mask".into(),
        expected: "at least one voxel".into(),
        found: "none".into(),
    };
    Ok(bounding_box(&organ.data).ok_or_else(empty)?)
}

/// The logits as images, once they are found usable.
fn at_1mm(logits: Logits, grid: &Grid) -> Result<[Volume; CLASSES]> {
    let not_finite = |data: &Array3<f32>| {
        Zip::from(data).par_fold(|| 0, |n, v| n + usize::from(!v.is_finite()), |a, b| a + b)
    };
    let bad: usize = logits.classes.iter().map(not_finite).sum();
    if bad > 0 {
        let found =
            format!("{bad} that are NaN or infinite; the weights are damaged, or their training failed");
        let (what, expected) = ("the network's logits".into(), "finite numbers".into());
        return Err(difftumor_ct::Error::Argument { what, expected, found }.into());
    }
    let volumes = logits.classes.into_iter().map(|data| Volume { data, affine: grid.affine });
    Ok(volumes
        .collect::<Vec<_>>()
        .try_into()
        .expect("the number of classes was checked when the Run was opened"))
}

/// What is on the scan's grid turned to RAS: its planes then lie as those of the logits, which are read in order.
struct OnScan {
    classes: Array3<Class>,
    /// Organ and tumor.
    probabilities: Option<[Array3<u16>; 2]>,
}

/// Brings logits to the scan and decides, `SLAB_PLANES` planes at a time.
fn on_scan(
    logits: &[Volume; CLASSES],
    ras: &Grid,
    within: &VoxelBox,
    probabilities: bool,
) -> difftumor_ct::Result<OnScan> {
    let mut classes = Array3::from_elem(ras.shape, Class::Background);
    let mut shares = probabilities.then(|| [Array3::zeros(ras.shape), Array3::zeros(ras.shape)]);
    let [from, to] = [within.start, within.end];
    let mut x = from[0];
    while x < to[0] {
        let end = (x + SLAB_PLANES).min(to[0]);
        let slab = VoxelBox { start: [x, from[1], from[2]], end: [end, to[1], to[2]] };
        let grid = ras.crop(slab.start.map(|v| v as i64), slab.shape());
        let bring = |class: usize| linear(&logits[class], &grid, Outside::Edge);
        let [background, organ, tumor] = [bring(0)?.data, bring(1)?.data, bring(2)?.data];
        let region = s![x..end, from[1]..to[1], from[2]..to[2]];
        Zip::from(classes.slice_mut(region))
            .and(&background)
            .and(&organ)
            .and(&tumor)
            .par_for_each(|class, b, o, t| *class = Class::of([*b, *o, *t]));
        if let Some([organs, tumors]) = &mut shares {
            Zip::from(organs.slice_mut(region))
                .and(tumors.slice_mut(region))
                .and(&background)
                .and(&organ)
                .and(&tumor)
                .par_for_each(|po, pt, b, o, t| [*po, *pt] = steps([*b, *o, *t]));
        }
        x = end;
    }
    Ok(OnScan { classes, probabilities: shares })
}

/// Softmax of organ and tumor in steps of 1/65535.
fn steps(logits: [f32; CLASSES]) -> [u16; 2] {
    let most = logits.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let [b, o, t] = logits.map(|v| f64::from(v - most).exp());
    let step = |p: f64| (p / (b + o + t) * f64::from(u16::MAX)).round() as u16;
    [step(o), step(t)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_the_softmax() {
        assert_eq!(steps([0.0; 3]), [21845; 2]);
        assert_eq!(steps([-200.0, -200.0, 300.0]), [0, 65535]);
        let p = 1.0 / (1.0 + 2.0 + 5.0);
        let found = steps([1.0, 2f32.ln() + 1.0, 5f32.ln() + 1.0]);
        for (found, p) in found.into_iter().zip([2.0 * p, 5.0 * p]) {
            // Half a step, and f32 logits.
            assert!((f64::from(found) / 65535.0 - p).abs() < 8e-6, "{found}");
        }
    }

    #[test]
    fn options_out_of_range_are_told() {
        let good = SegmenterOptions::default();
        assert!(good.check().is_ok());
        for radius in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let bad = SegmenterOptions { smallest_radius_mm: Some(radius), ..good };
            assert!(bad.check().unwrap_err().to_string().contains("smallest radius"), "{radius}");
        }
        let bad = SegmenterOptions { window: SlidingWindow { overlap: 1.0, ..good.window }, ..good };
        assert!(bad.check().unwrap_err().to_string().contains("overlap"));
    }
}
