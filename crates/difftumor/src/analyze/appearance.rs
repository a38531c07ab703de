//! How one tumor looks against the tissue around it: HU, contrast, grain and edge.
//!
//! Ours: the paper shows that readers cannot tell its tumors apart, and gives no figures of this kind.
use super::texture::{LEAST_PLACES, LEAST_TISSUE, LEAST_VOXELS, bands, median_of_each, places};
use difftumor_ct::distance::distance_mm;
use difftumor_ct::measure::HuStatistics;
use difftumor_ct::patch::{VoxelBox, bounding_box};
use difftumor_ct::{Labels, Volume};
use ndarray::{Array3, ArrayView3, Axis, Zip, s};
use serde::Serialize;

/// Tissue around is measured from here to there, from the tumor's border on: beyond most of the blur, and near enough to be the
/// same tissue.
const AROUND_MM: (f32, f32) = (3.0, 12.0);
/// The inside is measured from here on, if enough is left.
const CORE_MM: f32 = 2.0;
/// Where no organ is labelled, tissue around is what is neither fat nor bone.
const SOFT_TISSUE_HU: (f32, f32) = (-20.0, 200.0);
/// Reach of the edge's profile, and its bins.
const PROFILE_MM: f32 = 12.0;
const BIN_MM: f32 = 0.5;
/// An edge cannot be measured when the two sides differ by less.
const LEAST_CONTRAST_HU: f64 = 15.0;

/// Figures of one tumor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Appearance {
    /// Diameter of the ball of its volume.
    pub equivalent_diameter_mm: f64,
    /// Mean, 2 mm inside of its border (everywhere inside of tumors too small for that).
    pub inside_hu: f64,
    /// Standard deviation there.
    pub inside_sd_hu: f64,
    /// Mean of the organ (of soft tissue where no organ is labelled) 3 to 12 mm outside of its border; none without such voxels.
    pub around_hu: Option<f64>,
    /// Standard deviation there.
    pub around_sd_hu: Option<f64>,
    /// Inside less around.
    pub contrast_hu: Option<f64>,
    /// Standard deviation inside over that around, for structures in the axial plane finer than 1 mm, of 1 to 2 mm, and of 2 to
    /// 4 mm (differences of Gaussian blurs). Robust, so that a vessel or a calcification does not count. Below 0.8 the tumor is
    /// over 20 % smoother than its organ.
    pub texture_ratio: Option<[f64; 3]>,
    /// Places of the organ where its texture was measured with the tumor's own outline, since a small outline loses coarse
    /// structures (median of the places). 0: too few were free, and the whole tissue around was measured.
    pub texture_places: usize,
    /// Distance across the border over which the mean HU goes from 10 to 90 % of the difference; none for faint tumors.
    pub edge_mm: Option<f64>,
}

/// What is measured on: a scan, and labels on its grid.
pub struct Site<'a> {
    /// The scan.
    pub ct: &'a Volume,
    /// 0 or the number of a tumor.
    pub tumors: &'a Labels,
    /// Where the organ is, its tumors left out or not; none where it is not labelled.
    pub organ: Option<&'a Array3<bool>>,
}

impl Site<'_> {
    /// Measures the tumor of that number within `bounds`. `None` when it has no voxel.
    pub fn measure(&self, number: u16, bounds: &VoxelBox) -> Option<Appearance> {
        let spacing_mm = self.ct.affine.spacing_mm();
        let margin = spacing_mm.map(|s| (f64::from(PROFILE_MM) / s).ceil() as usize + 1);
        let b = bounds.grown(margin, self.ct.data.dim().into());
        let region = s![b.start[0]..b.end[0], b.start[1]..b.end[1], b.start[2]..b.end[2]];
        let hu = self.ct.data.slice(region).to_owned();
        let labels = self.tumors.data.slice(region);
        let inside = labels.mapv(|l| l == number);
        bounding_box(&inside)?;
        let signed_mm = signed_distance_mm(&inside, spacing_mm);
        let tissue = self.tissue(&hu, labels, region);
        let near = |low: f32, high: f32| signed_mm.mapv(|d| (low..=high).contains(&d));
        let mut core = near(f32::NEG_INFINITY, -CORE_MM);
        if count(&core) < LEAST_VOXELS {
            core.clone_from(&inside);
        }
        let around = Zip::from(&near(AROUND_MM.0, AROUND_MM.1)).and(&tissue).map_collect(|n, t| *n && *t);
        let within = HuStatistics::of(&hu, &core)?;
        let around_hu = HuStatistics::of(&hu, &around).filter(|s| s.voxels >= LEAST_VOXELS);
        let contrast_hu = around_hu.map(|o| within.mean_hu - o.mean_hu);
        let texture = around_hu.and_then(|_| self.texture(&hu, &core, &around, b.start));
        let volume_mm3 = count(&inside) as f64 * self.ct.affine.determinant().abs();
        Some(Appearance {
            equivalent_diameter_mm: 2.0 * (3.0 * volume_mm3 / (4.0 * std::f64::consts::PI)).cbrt(),
            inside_hu: within.mean_hu,
            inside_sd_hu: within.sd_hu,
            around_hu: around_hu.map(|s| s.mean_hu),
            around_sd_hu: around_hu.map(|s| s.sd_hu),
            contrast_hu,
            texture_ratio: texture.map(|(ratio, _)| ratio),
            texture_places: texture.map_or(0, |(_, places)| places),
            edge_mm: contrast_hu
                .filter(|c| c.abs() >= LEAST_CONTRAST_HU)
                .and_then(|_| edge_mm(&hu, &signed_mm, &inside, &tissue)),
        })
    }

    /// See [`Appearance::texture_ratio`] and [`Appearance::texture_places`]. `hu` begins at voxel `start` of the scan.
    fn texture(
        &self,
        hu: &Array3<f32>,
        core: &Array3<bool>,
        around: &Array3<bool>,
        start: [usize; 3],
    ) -> Option<([f64; 3], usize)> {
        let tumor = bands(hu, core, &self.ct.affine)?;
        let elsewhere = self.texture_elsewhere(core, start);
        let (organ, places) = match elsewhere.len() {
            n if n < LEAST_PLACES => (bands(hu, around, &self.ct.affine)?, 0),
            n => (median_of_each(elsewhere), n),
        };
        let ratio: [f64; 3] = std::array::from_fn(|i| tumor[i] / organ[i]);
        ratio.iter().all(|r| r.is_finite()).then_some((ratio, places))
    }

    /// The organ's texture, measured with the tumor's outline in other places.
    fn texture_elsewhere(&self, core: &Array3<bool>, start: [usize; 3]) -> Vec<[f64; 3]> {
        let Some(own) = bounding_box(core) else { return vec![] };
        let outline =
            core.slice(s![own.start[0]..own.end[0], own.start[1]..own.end[1], own.start[2]..own.end[2]]);
        let first: [usize; 3] = std::array::from_fn(|a| start[a] + own.start[a]);
        let (spacing_mm, shape) = (self.ct.affine.spacing_mm(), <[usize; 3]>::from(self.ct.data.dim()));
        places(first, own.shape(), spacing_mm, shape)
            .filter_map(|[x, y, z]| {
                let [nx, ny, nz] = own.shape();
                let region = s![x..x + nx, y..y + ny, z..z + nz];
                let hu = self.ct.data.slice(region).to_owned();
                let tissue = self.tissue(&hu, self.tumors.data.slice(region), region);
                let here = Zip::from(&tissue).and(&outline).map_collect(|t, o| *t && *o);
                let enough = count(&here) as f64 >= LEAST_TISSUE * count(core) as f64;
                enough.then(|| bands(&hu, &here, &self.ct.affine)).flatten()
            })
            .collect()
    }

    /// Healthy tissue that the tumor can be compared with.
    fn tissue<I: ndarray::SliceArg<ndarray::Ix3, OutDim = ndarray::Ix3>>(
        &self,
        hu: &Array3<f32>,
        labels: ArrayView3<u16>,
        region: I,
    ) -> Array3<bool> {
        let mut tissue = match self.organ {
            Some(organ) => organ.slice(region).to_owned(),
            None => hu.mapv(|v| (SOFT_TISSUE_HU.0..=SOFT_TISSUE_HU.1).contains(&v)),
        };
        tissue.zip_mut_with(&labels, |t, l| *t &= *l == 0);
        tissue
    }
}

fn count(mask: &Array3<bool>) -> usize {
    mask.iter().filter(|v| **v).count()
}

/// Distance of voxel centres to the border between voxels, negative inside.
fn signed_distance_mm(inside: &Array3<bool>, spacing_mm: [f64; 3]) -> Array3<f32> {
    // From centre to centre of the nearest voxel of the other side: the border is half a voxel before it.
    let half = spacing_mm.iter().copied().fold(f64::INFINITY, f64::min) as f32 / 2.0;
    let inner = distance_mm(inside, spacing_mm);
    let outer = distance_mm(&inside.mapv(|v| !v), spacing_mm);
    Zip::from(&inner).and(&outer).map_collect(|i, o| if *i > 0.0 { half - i } else { o - half })
}

/// From the mean HU at each distance from the border: how far apart 10 and 90 % of the difference lie.
fn edge_mm(
    hu: &Array3<f32>,
    signed_mm: &Array3<f32>,
    inside: &Array3<bool>,
    tissue: &Array3<bool>,
) -> Option<f64> {
    let bins = (2.0 * PROFILE_MM / BIN_MM) as usize;
    let mut sums = vec![(0.0_f64, 0_usize); bins];
    Zip::from(hu).and(signed_mm).and(inside).and(tissue).for_each(|v, d, i, t| {
        let bin = ((d + PROFILE_MM) / BIN_MM).floor();
        if (*i || *t) && bin >= 0.0 && (bin as usize) < bins {
            let (sum, n) = &mut sums[bin as usize];
            *sum += f64::from(*v);
            *n += 1;
        }
    });
    let profile: Vec<(f64, f64)> = sums
        .iter()
        .enumerate()
        .filter(|(_, (_, n))| *n >= 10)
        .map(|(i, (sum, n))| ((i as f64 + 0.5) * f64::from(BIN_MM) - f64::from(PROFILE_MM), sum / *n as f64))
        .collect();
    let plateau = |low: f64, high: f64| {
        let part: Vec<f64> =
            profile.iter().filter(|(d, _)| (low..high).contains(d)).map(|(_, v)| *v).collect();
        (!part.is_empty()).then(|| part.iter().sum::<f64>() / part.len() as f64)
    };
    let deepest = profile.first()?.0;
    let inner = plateau(deepest, (deepest + 3.0).min(-1.0))?;
    let outer = plateau(4.0, 9.0)?;
    let share = |v: f64| (v - inner) / (outer - inner);
    // From the border outwards on both sides, so that structure far away does not count.
    let border = profile.iter().position(|(d, _)| *d > 0.0)?;
    let crossing = |a: (f64, f64), b: (f64, f64), level: f64| {
        let (from, to) = (share(a.1), share(b.1));
        a.0 + (level - from) / (to - from) * (b.0 - a.0)
    };
    let low = (1..=border).rev().find(|&i| share(profile[i - 1].1) <= 0.1 && share(profile[i].1) > 0.1)?;
    let high = (low..profile.len()).find(|&i| share(profile[i - 1].1) < 0.9 && share(profile[i].1) >= 0.9)?;
    let at = |i: usize, level: f64| crossing(profile[i - 1], profile[i], level);
    Some(at(high, 0.9) - at(low, 0.1))
}

/// The slice with most voxels of the mask along the third axis, and its number.
pub(super) fn widest_slice(mask: &Array3<bool>) -> usize {
    let sizes = mask.axis_iter(Axis(2)).map(|slice| slice.iter().filter(|v| **v).count());
    sizes.enumerate().max_by_key(|(i, n)| (*n, usize::MAX - i)).map_or(0, |(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::NoiseSource;
    use difftumor_ct::Affine;
    use difftumor_ct::draws::Stream;
    use difftumor_ct::filter::gaussian;

    const SIDE: usize = 64;

    /// A ball of 12 mm radius, 60 HU in tissue of 110 HU, with an edge and noise of these standard deviations.
    fn phantom(edge_sigma_mm: f64, noise_hu: [f32; 2]) -> (Volume, Labels) {
        let radius = |(x, y, z): (usize, usize, usize)| {
            [x, y, z].iter().map(|v| (*v as f64 - 31.5).powi(2)).sum::<f64>().sqrt()
        };
        let affine = Affine::from_spacing_mm([1.0; 3]);
        let ball =
            Array3::from_shape_fn((SIDE, SIDE, SIDE), |p| if radius(p) < 12.0 { 1.0_f32 } else { 0.0 });
        let soft = gaussian(&ball, [edge_sigma_mm; 3]);
        let noise = Stream::new(3, 0, "noise", 0).normal(SIDE * SIDE * SIDE);
        let noise = Array3::from_shape_vec(ball.dim(), noise).unwrap();
        let data = Zip::from(&soft)
            .and(&ball)
            .and(&noise)
            .map_collect(|s, b, n| 110.0 - 50.0 * s + n * if *b > 0.0 { noise_hu[0] } else { noise_hu[1] });
        (Volume { data, affine }, Labels { data: ball.mapv(|b| b as u16), affine })
    }

    fn measured(edge_sigma_mm: f64, noise_hu: [f32; 2], organ: bool) -> Appearance {
        let (ct, tumors) = phantom(edge_sigma_mm, noise_hu);
        let organ = organ.then(|| Array3::from_elem(ct.data.dim(), true));
        let site = Site { ct: &ct, tumors: &tumors, organ: organ.as_ref() };
        site.measure(1, &VoxelBox { start: [19; 3], end: [45; 3] }).unwrap()
    }

    #[test]
    fn a_known_ball_is_measured() {
        let a = measured(1.5, [5.0, 10.0], true);
        assert!((a.equivalent_diameter_mm - 24.0).abs() < 0.1, "{a:?}");
        // Blur of 1.5 mm leaves 1 % of the difference in the mean 2 mm inside and less 3 mm outside.
        assert!((a.inside_hu - 61.3).abs() < 1.0 && (a.around_hu.unwrap() - 110.0).abs() < 0.6, "{a:?}");
        assert!((a.contrast_hu.unwrap() + 48.7).abs() < 1.2, "{a:?}");
        assert!((a.around_sd_hu.unwrap() - 10.0).abs() < 0.3, "{a:?}");
        // Half the noise; the finest band has some 4000 voxels inside, the coarsest few independent ones.
        for (ratio, tolerance) in a.texture_ratio.unwrap().into_iter().zip([0.04, 0.08, 0.25]) {
            assert!((ratio - 0.5).abs() < tolerance, "{a:?}");
        }
        // 10 to 90 % of a Gaussian edge: 2.563 standard deviations; voxels and bins widen it a little.
        assert!((a.edge_mm.unwrap() - 3.84).abs() < 0.5, "{a:?}");
        let sharper = measured(0.5, [5.0, 10.0], true).edge_mm.unwrap();
        assert!(sharper < 2.2 && sharper > 1.0, "{sharper}");
    }

    #[test]
    fn a_small_tumor_is_compared_with_places_as_small() {
        // The same coarse noise everywhere: blurs that see 2 mm of it lose most of what is coarser.
        let affine = Affine::from_spacing_mm([1.0; 3]);
        let noise = Stream::new(5, 0, "noise", 0).normal(SIDE * SIDE * SIDE);
        let noise = gaussian(&Array3::from_shape_vec((SIDE, SIDE, SIDE), noise).unwrap(), [2.0; 3]);
        let data = noise.mapv(|n| 100.0 + 200.0 * n);
        let mut labels = Array3::zeros(data.dim());
        labels.slice_mut(s![30..35, 30..35, 28..36]).fill(1_u16);
        let (ct, tumors) = (Volume { data, affine }, Labels { data: labels, affine });
        let organ = Array3::from_elem(ct.data.dim(), true);
        let bounds = VoxelBox { start: [30, 30, 28], end: [35, 35, 36] };
        let site = Site { ct: &ct, tumors: &tumors, organ: Some(&organ) };
        let a = site.measure(1, &bounds).unwrap();
        assert_eq!(a.texture_places, 124);
        // 200 voxels of noise that is 2 voxels coarse are some 10 independent ones: 1 / sqrt(20) of a standard deviation, twice.
        for ratio in a.texture_ratio.unwrap() {
            assert!((0.55..1.8).contains(&ratio), "{a:?}");
        }
        // An organ that leaves no room: the shell around is measured, which has more of what is coarse.
        let shell =
            Array3::from_shape_fn(ct.data.dim(), |(x, y, z)| [x, y, z].iter().all(|v| (24..41).contains(v)));
        let b = Site { ct: &ct, tumors: &tumors, organ: Some(&shell) }.measure(1, &bounds).unwrap();
        assert_eq!(b.texture_places, 0);
        assert!(b.texture_ratio.unwrap()[2] < 0.9 * a.texture_ratio.unwrap()[2], "{b:?}");
    }

    #[test]
    fn soft_tissue_stands_in_for_an_organ() {
        let (with, without) = (measured(1.0, [8.0; 2], true), measured(1.0, [8.0; 2], false));
        assert!((with.around_hu.unwrap() - without.around_hu.unwrap()).abs() < 0.2);
    }

    #[test]
    fn what_cannot_be_measured_is_none() {
        let (ct, tumors) = phantom(1.0, [5.0; 2]);
        let organ = tumors.data.mapv(|l| l == 1);
        let all = VoxelBox { start: [19; 3], end: [45; 3] };
        let site = Site { ct: &ct, tumors: &tumors, organ: Some(&organ) };
        let a = site.measure(1, &all).unwrap();
        assert_eq!((a.around_hu, a.contrast_hu, a.texture_ratio, a.edge_mm), (None, None, None, None));
        assert_eq!(site.measure(2, &all), None);
    }
}
