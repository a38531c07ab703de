//! A small dataset of CT-like phantoms for `experiments/smoke.sh`: `cargo run --release --example phantoms -- OUT [SEED]`.
//!
//! ```text
//! OUT/annotated.csv   cases with one large tumor each (28 to 35 mm): what a clinic has annotated
//! OUT/healthy.csv     cases without tumors
//! OUT/test.csv        held-out cases: small tumors (8 to 14 mm), large ones, and one without
//! OUT/ID.nii.gz, OUT/ID_labels.nii.gz    HU, and 0 background, 1 organ, 2 tumor
//! ```
//!
//! Everything is a formula of millimetres and a seed. A body of muscle in fat holds an organ as bright as an enhanced liver, with
//! veins that the contrast agent has not reached: branching, as dark as tumors, and as wide as small ones (6 to 10 mm). Neither
//! brightness nor width tells a small tumor from a vein: its shape does.
use anyhow::Context;
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::filter::gaussian;
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::{Affine, Labels, Volume};
use ndarray::{Array3, Zip};
use std::path::Path;

/// 128 x 128 x 96 mm.
const SHAPE: [usize; 3] = [64, 64, 48];
const SPACING_MM: f64 = 2.0;
const AFFINE: Affine =
    Affine([[2.0, 0.0, 0.0, -64.0], [0.0, 2.0, 0.0, -64.0], [0.0, 0.0, 2.0, -48.0], [0.0, 0.0, 0.0, 1.0]]);

const AIR_HU: f64 = -1000.0;
const FAT_HU: f64 = -95.0;
const MUSCLE_HU: f64 = 55.0;
/// Touches the organ, and is not it.
const NEIGHBOUR_HU: f64 = 25.0;
/// Mean of the organ, drawn for each case.
const ORGAN_HU: (f64, f64) = (95.0, 110.0);
/// How much darker veins and tumors are than the organ. The ranges overlap.
const VEIN_DARKER_HU: (f64, f64) = (35.0, 60.0);
const TUMOR_DARKER_HU: (f64, f64) = (35.0, 60.0);
/// Radius of a vein where it enters, and at its ends.
const VEIN_RADIUS_MM: (f64, f64) = (5.0, 3.0);
/// Texture of the organ and of tumors (blurred noise), and noise of the scanner: standard deviations.
const TEXTURE_HU: f32 = 5.0;
const NOISE_HU: f32 = 9.0;
/// Blur of the scanner.
const BLUR_VOX: f64 = 0.5;
/// Tumors stay this far from each other.
const GAP_MM: f64 = 6.0;

/// Kind of cases: name, their number, and the diameters in mm of each case's tumors.
type Kind = (&'static str, usize, fn(usize) -> Vec<(f64, f64)>);

const KINDS: [Kind; 3] = [
    ("annotated", 6, |_| vec![(28.0, 35.0)]),
    ("healthy", 6, |_| vec![]),
    ("test", 8, |case| match case {
        0..6 => vec![(8.0, 9.5), (9.5, 11.0), (11.0, 14.0)],
        6 => vec![(28.0, 35.0)],
        _ => vec![],
    }),
];

type Point = [f64; 3];

/// An ellipsoid with a bumpy surface.
struct Blob {
    centre: Point,
    half_mm: Point,
    bumps: f64,
    phase: Point,
}

/// A piece of a vein.
struct Tube {
    ends: [Point; 2],
    radius_mm: f64,
}

fn minus(a: Point, b: Point) -> Point {
    std::array::from_fn(|i| a[i] - b[i])
}

fn length(a: Point) -> f64 {
    a.iter().map(|v| v * v).sum::<f64>().sqrt()
}

impl Blob {
    fn new(centre: Point, half_mm: Point, bumps: f64, draws: &mut impl Draws) -> Self {
        let phase = std::array::from_fn(|_| draws.uniform(0.0, 6.0));
        Self { centre, half_mm, bumps, phase }
    }

    /// Below 1 inside.
    fn level(&self, p: Point) -> f64 {
        let q: Point = std::array::from_fn(|a| (p[a] - self.centre[a]) / self.half_mm[a]);
        let r = length(q);
        // Along the direction, so that a bump is as wide as a part of the surface.
        let wave: f64 = (0..3).map(|a| libm::sin(3.0 * q[a] / r.max(0.3) + self.phase[a])).sum();
        r * (1.0 + self.bumps * wave / 3.0)
    }
}

impl Tube {
    fn holds(&self, p: Point) -> bool {
        let [along, from] = [minus(self.ends[1], self.ends[0]), minus(p, self.ends[0])];
        let dot = |a: Point, b: Point| (0..3).map(|i| a[i] * b[i]).sum::<f64>();
        let t = (dot(from, along) / dot(along, along)).clamp(0.0, 1.0);
        length(std::array::from_fn(|a| from[a] - t * along[a])) < self.radius_mm
    }
}

fn direction(draws: &mut impl Draws) -> Point {
    let mut d = [0.0; 3];
    draws.normals(&mut d);
    d.map(|v| v / length(d))
}

/// Three veins that enter at the organ's middle, bend every 8 mm, and thin out; each has a branch.
fn veins(organ: &Blob, draws: &mut impl Draws) -> Vec<Tube> {
    const PIECES: usize = 6;
    const PIECE_MM: f64 = 8.0;
    let mut tubes = vec![];
    for _ in 0..3 {
        let (mut heads, start) = (vec![(organ.centre, direction(draws))], direction(draws));
        heads[0].0 = std::array::from_fn(|a| organ.centre[a] + 6.0 * start[a]);
        for n in 0..PIECES {
            if n == PIECES / 2 {
                heads.push((heads[0].0, direction(draws)));
            }
            let share = n as f64 / (PIECES - 1) as f64;
            let radius_mm = VEIN_RADIUS_MM.0 + share * (VEIN_RADIUS_MM.1 - VEIN_RADIUS_MM.0);
            for (at, way) in &mut heads {
                let bend = direction(draws);
                let turned: Point = std::array::from_fn(|a| way[a] + 0.4 * bend[a]);
                *way = turned.map(|v| v / length(turned));
                let to = std::array::from_fn(|a| at[a] + PIECE_MM * way[a]);
                tubes.push(Tube { ends: [*at, to], radius_mm });
                *at = to;
            }
        }
    }
    tubes
}

/// Tumors of these diameters, wholly inside of the organ and apart from each other.
fn tumors(organ: &Blob, diameters_mm: &[(f64, f64)], draws: &mut impl Draws) -> anyhow::Result<Vec<Blob>> {
    let mut all: Vec<Blob> = vec![];
    for &(low, high) in diameters_mm {
        let radius = draws.uniform(low, high) / 2.0;
        let free = |centre: &Point, all: &[Blob]| {
            let far = |b: &Blob| length(minus(*centre, b.centre)) > radius + b.half_mm[0] + GAP_MM;
            // The organ's level grows by 1 over its shortest half axis.
            organ.level(*centre) < 0.9 - radius / organ.half_mm[2] && all.iter().all(far)
        };
        let draw = |draws: &mut Stream| -> Point {
            std::array::from_fn(|a| organ.centre[a] + organ.half_mm[a] * draws.uniform(-1.0, 1.0))
        };
        let mut tries = Stream::new(draws.integer(0, i64::MAX) as u64, 0, "places", 0);
        let centre = (0..10_000).map(|_| draw(&mut tries)).find(|c| free(c, &all));
        let centre = centre.with_context(|| format!("no place for a tumor of {:.0} mm", 2.0 * radius))?;
        let half_mm = std::array::from_fn(|_| radius * draws.uniform(0.9, 1.1));
        all.push(Blob::new(centre, half_mm, 0.15, draws));
    }
    Ok(all)
}

/// Scan and labels of one case; equal for equal `id` and `seed`.
fn phantom(id: &str, seed: u64, diameters_mm: &[(f64, f64)]) -> anyhow::Result<(Volume, Labels)> {
    let mut draws = Stream::new(seed, 0, id, 0);
    let near = |draws: &mut Stream, value: f64| value + draws.uniform(-3.0, 3.0);
    let body = Blob::new([64.0, 64.0, 48.0], [62.0, 56.0, 400.0], 0.02, &mut draws);
    let organ_at = [52.0, 62.0, 48.0].map(|v| near(&mut draws, v));
    let organ = Blob::new(organ_at, [40.0, 36.0, 34.0].map(|v| near(&mut draws, v)), 0.12, &mut draws);
    let neighbour = Blob::new([100.0, 66.0, 50.0], [16.0, 22.0, 24.0], 0.1, &mut draws);
    let veins = veins(&organ, &mut draws);
    let tumors = tumors(&organ, diameters_mm, &mut draws)?;
    let organ_hu = draws.uniform(ORGAN_HU.0, ORGAN_HU.1);
    let vein_hu = organ_hu - draws.uniform(VEIN_DARKER_HU.0, VEIN_DARKER_HU.1);
    let tumor_hu: Vec<f64> =
        tumors.iter().map(|_| organ_hu - draws.uniform(TUMOR_DARKER_HU.0, TUMOR_DARKER_HU.1)).collect();

    let [nx, ny, nz] = SHAPE;
    let mut labels = Array3::<u16>::zeros(SHAPE);
    let mut hu = Array3::<f32>::zeros((nx, ny, nz));
    for ((x, y, z), value) in hu.indexed_iter_mut() {
        let p = [x, y, z].map(|i| SPACING_MM * (i as f64 + 0.5));
        let tumor = tumors.iter().position(|t| t.level(p) < 1.0);
        let in_organ = organ.level(p) < 1.0;
        labels[[x, y, z]] = u16::from(in_organ) + u16::from(in_organ && tumor.is_some());
        *value = match body.level(p) {
            // A tumor takes the place of veins.
            _ if in_organ && tumor.is_some() => tumor_hu[tumor.unwrap_or(0)],
            _ if in_organ && veins.iter().any(|v| v.holds(p)) => vein_hu,
            _ if in_organ => organ_hu,
            _ if neighbour.level(p) < 1.0 => NEIGHBOUR_HU,
            level if level < 0.82 => FAT_HU,
            level if level < 0.94 => MUSCLE_HU,
            level if level < 1.0 => FAT_HU,
            _ => AIR_HU,
        } as f32;
    }
    let mut hu = gaussian(&hu, [BLUR_VOX; 3]);
    let mut noise = |blur_vox: f64, sd_hu: f32| {
        let mut drawn = vec![0.0; hu.len()];
        draws.normals(&mut drawn);
        let drawn = Array3::from_shape_vec((nx, ny, nz), drawn).expect("as many as voxels");
        let blurred = gaussian(&drawn.mapv(|v| v as f32), [blur_vox; 3]);
        let sd = (blurred.iter().map(|v| v * v).sum::<f32>() / blurred.len() as f32).sqrt();
        blurred.mapv(|v| v * sd_hu / sd)
    };
    let (texture, grain) = (noise(1.5, TEXTURE_HU), noise(0.4, NOISE_HU));
    Zip::from(&mut hu).and(&texture).and(&grain).for_each(|v, t, g| *v = (*v + t + g).round());
    Ok((Volume { data: hu, affine: AFFINE }, Labels { data: labels, affine: AFFINE }))
}

fn main() -> anyhow::Result<()> {
    let usage = "usage: phantoms OUT [SEED]";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (out, seed) = match &arguments[..] {
        [out] => (Path::new(out), 0),
        [out, seed] => (Path::new(out), seed.parse().with_context(|| format!("{usage}: seed '{seed}'"))?),
        _ => anyhow::bail!(usage),
    };
    std::fs::create_dir_all(out).with_context(|| format!("{}", out.display()))?;
    for (kind, number, diameters_mm) in KINDS {
        let mut table = String::from("id,ct,labels\n");
        for case in 0..number {
            let id = format!("{kind}{case}");
            let (ct, labels) = phantom(&id, seed, &diameters_mm(case))?;
            NiftiImage::from_volume(&ct, Datatype::I16, "ct").write(out.join(format!("{id}.nii.gz")))?;
            NiftiImage::from_labels(&labels, "labels").write(out.join(format!("{id}_labels.nii.gz")))?;
            table += &format!("{id},{id}.nii.gz,{id}_labels.nii.gz\n");
        }
        let path = out.join(format!("{kind}.csv"));
        std::fs::write(&path, table).with_context(|| format!("{}", path.display()))?;
    }
    Ok(())
}
