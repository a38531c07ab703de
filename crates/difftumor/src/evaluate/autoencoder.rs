//! What is left of scans that go through the autoencoder (paper 3.1): whole volumes at 1 mm, RAS, window −175..250 HU, in tiles
//! whose codes are their own ([`Tiling`]).
use super::bounds::{Noise, noise, pooled};
use super::similarity::{mean_absolute_error, mean_squared_error, psnr_db, seam_ratio, ssim};

use crate::autoencoder::whole_volume::{Tiling, WholeReconstruction};
use crate::autoencoder::{Autoencoder, AutoencoderConfig};
use crate::error::{Error, Result, caught};
use crate::memory;
use crate::run::{Run, Training};
use crate::train::pictures;
use crate::train::scans::{TrainingScan, read_at_1mm};
use burn::tensor::Device;
use difftumor_ct::Affine;
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::io::write_atomically;
use difftumor_ct::realism::band_sd_hu;
use ndarray::{Array3, ArrayView2, Axis};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// −1..1: the window as the network sees it.
const DATA_RANGE: f64 = 2.0;

/// What is written beside figures.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How scans are cut.
    pub tiling: Tiling,
    /// Folder for pictures of each scan; `None` for none.
    pub pictures: Option<PathBuf>,
}

/// How well one scan came back. Figures that are infinite (equal images) are null in JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Voxels at 1 mm.
    pub shape_vox: [usize; 3],
    /// Peak signal-to-noise ratio of the scan decoded from codes; the window is the data range.
    pub psnr_db: f64,
    /// Structural similarity with a Gaussian window of 1.5 voxels in three dimensions; none for scans below 11 mm.
    pub ssim: Option<f64>,
    /// Mean absolute error inside of the window.
    pub mae_hu: f64,
    /// PSNR of the scan decoded from latents as they are: what is lost besides the replacement by codes.
    pub psnr_unquantised_db: f64,
    /// PSNR of 4³ averages brought back by cubic splines: a network must beat it.
    pub psnr_pool4_db: f64,
    /// What the scan's noise lets codes of as many bits reach ([`Noise::psnr_bound_db`]); none without noise.
    pub psnr_noise_bound_db: Option<f64>,
    /// PSNR of the scan without its noise against the scan: what a network reaches that keeps all anatomy and no noise. The
    /// same bound for no bits at all; none without noise.
    pub psnr_noise_free_db: Option<f64>,
    /// Standard deviation of the scan's noise at 1 mm ([`Noise::deviation`]).
    pub noise_hu: Option<f64>,
    /// Standard deviation of what came back over that of the scan, for structures in the axial plane finer than 1 mm, of 1 to
    /// 2 mm, and of 2 to 4 mm, where the scan is inside of the window: how much grain the codes keep. Robust, so that borders
    /// do not count; none for scans without such tissue.
    pub texture_kept: Option<[f64; 3]>,
    /// Mean |jump| of the error where tiles begin or end, over that beside it ([`seam_ratio`]); none for a single tile.
    pub seam_ratio: Option<f64>,
    /// How many of the codes the scan needs.
    pub codebook_usage: CodebookUsage,
}

/// How many of the codes are in use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CodebookUsage {
    /// Codes that were chosen at least once.
    pub used: usize,
    /// The same as a share of all codes.
    pub used_share: f64,
    /// Exponential of the entropy of the codes' frequencies: as many codes as if used equally.
    pub perplexity: f64,
}

/// What became of one scan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileReport {
    /// The scan.
    pub ct: PathBuf,
    /// Why it has no figures.
    pub message: Option<String>,
    /// How well it came back.
    pub figures: Option<Figures>,
    /// Pictures that were written.
    pub pictures: Vec<PathBuf>,
    /// Time that it took.
    pub seconds: f64,
    /// Largest memory that the process has had until the scan was done; none where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
}

/// What `--report` writes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Scans with figures, and without.
    pub done: usize,
    /// Scans that could not be read, or whose pictures could not be written.
    pub failed: usize,
    /// Means over the scans with figures, of what every scan has.
    pub mean: Option<Means>,
    /// The autoencoder.
    pub model: Evaluated,
    /// How scans were cut.
    pub tiling: Tiling,
    /// Wall clock time of all.
    pub seconds: f64,
    /// Every scan, in the order of their names.
    pub files: Vec<FileReport>,
}

/// Means over scans.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "as in `Figures`")]
pub struct Means {
    pub psnr_db: f64,
    pub mae_hu: f64,
    pub psnr_unquantised_db: f64,
    pub psnr_pool4_db: f64,
}

/// The model that was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluated {
    /// Its Run directory.
    pub run: PathBuf,
    /// Hash of its weights.
    pub weights_sha256: String,
    /// Its architecture.
    pub config: AutoencoderConfig,
    /// How it was trained.
    pub training: Option<Training>,
}

/// An opened model.
pub struct Evaluator {
    model: Autoencoder,
    evaluated: Evaluated,
}

impl Evaluator {
    /// Opens the autoencoder of a Run.
    ///
    /// # Errors
    /// When there is no Run of an autoencoder, or its weights are not what its description says.
    pub fn open(run: &Path, device: &Device) -> Result<Self> {
        let run = Run::open(run)?;
        let evaluated = Evaluated {
            run: run.dir().into(),
            weights_sha256: run.manifest().weights.sha256.clone(),
            config: run.autoencoder_config()?.clone(),
            training: run.manifest().training.clone(),
        };
        Ok(Self { model: Autoencoder::open(&run, device)?, evaluated })
    }

    /// Checks that the model can take such tiles.
    ///
    /// # Errors
    /// [`difftumor_ct::Error::Argument`] with the sides that are possible.
    pub fn check(&self, tiling: Tiling) -> Result<()> {
        let (unit, side) = (self.model.unit_vox(), tiling.side_vox);
        if (unit..=MOST_VOX).contains(&side) && side.is_multiple_of(unit) && tiling.overlap_vox < side {
            return Ok(());
        }
        let expected = format!("a multiple of {unit} up to {MOST_VOX}");
        Err(difftumor_ct::Error::Argument { what: "side of tiles".into(), expected, found: side.to_string() }
            .into())
    }

    /// Evaluates each scan. One that cannot be read is told in the report and stops no other. `watch` sees the scan, and the
    /// number of tiles done and of all.
    ///
    /// # Errors
    /// When the tiles are impossible or the folder for pictures cannot be made.
    pub fn run(
        &self,
        scans: &[TrainingScan],
        options: &Options,
        watch: &dyn Fn(&TrainingScan, usize, usize),
    ) -> Result<Report> {
        let start = Instant::now();
        self.check(options.tiling)?;
        if let Some(folder) = &options.pictures {
            std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        }
        let files: Vec<FileReport> =
            scans.iter().map(|scan| self.file(scan, options, &|done, all| watch(scan, done, all))).collect();
        let done: Vec<&Figures> = files.iter().filter_map(|f| f.figures.as_ref()).collect();
        let mean = |of: fn(&Figures) -> f64| done.iter().map(|f| of(f)).sum::<f64>() / done.len() as f64;
        let means = Means {
            psnr_db: mean(|f| f.psnr_db),
            mae_hu: mean(|f| f.mae_hu),
            psnr_unquantised_db: mean(|f| f.psnr_unquantised_db),
            psnr_pool4_db: mean(|f| f.psnr_pool4_db),
        };
        Ok(Report {
            done: done.len(),
            failed: files.len() - done.len(),
            mean: (!done.is_empty()).then_some(means),
            model: self.evaluated.clone(),
            tiling: options.tiling,
            seconds: start.elapsed().as_secs_f64(),
            files,
        })
    }

    fn file(&self, scan: &TrainingScan, options: &Options, watch: &dyn Fn(usize, usize)) -> FileReport {
        let start = Instant::now();
        let (figures, pictures, message) = match caught(&scan.id, || self.scan(scan, options, watch)) {
            Ok((figures, pictures)) => (Some(figures), pictures, None),
            Err(error) => (None, vec![], Some(error.to_string())),
        };
        FileReport {
            ct: scan.ct.clone(),
            message,
            figures,
            pictures,
            seconds: start.elapsed().as_secs_f64(),
            peak_memory_bytes: memory::peak_bytes(),
        }
    }

    fn scan(
        &self,
        scan: &TrainingScan,
        options: &Options,
        watch: &dyn Fn(usize, usize),
    ) -> Result<(Figures, Vec<PathBuf>)> {
        let mut image = read_at_1mm(&scan.ct)?.data;
        let window = HuWindow::default();
        image.par_mapv_inplace(|hu| window.to_signed(hu));
        let whole = self.model.reconstruct_whole(&image, options.tiling, watch);
        // Activations of tiles, before images of the scan's size are made.
        memory::give_back();
        let pictures = match &options.pictures {
            None => vec![],
            Some(folder) => draw(folder, &scan.id, &image, &whole.decoded)?,
        };
        Ok((self.figures(&image, whole, options.tiling)?, pictures))
    }

    fn figures(&self, image: &Array3<f32>, whole: WholeReconstruction, tiling: Tiling) -> Result<Figures> {
        let WholeReconstruction { decoded, unquantised, code_counts } = whole;
        let psnr = |other: &Array3<f32>| psnr_db(mean_squared_error(image, other), DATA_RANGE);
        let psnr_unquantised_db = psnr(&unquantised);
        drop(unquantised);
        let noise = noise(image);
        let bound = |bits: f64| noise.as_ref().map(|n| n.psnr_bound_db(bits, DATA_RANGE));
        let window = HuWindow::default();
        let hu_per_unit = f64::from(window.max_hu - window.min_hu) / DATA_RANGE;
        let unit = self.model.unit_vox();
        let bits_per_voxel = (code_counts.len() as f64).log2() / unit.pow(3) as f64;
        let (nx, ny, nz) = image.dim();
        let tissue = image.mapv(|v| v > -1.0 && v < 1.0);
        let grid = Affine::from_spacing_mm([1.0; 3]);
        let texture_kept = match (band_sd_hu(&decoded, &tissue, &grid), band_sd_hu(image, &tissue, &grid)) {
            (Some(back), Some(scan)) => Some(std::array::from_fn(|i| back[i] / scan[i])),
            _ => None,
        };
        Ok(Figures {
            texture_kept: texture_kept.filter(|t: &[f64; 3]| t.iter().all(|v| v.is_finite())),
            shape_vox: [nx, ny, nz],
            psnr_db: psnr(&decoded),
            ssim: ssim(image, &decoded, DATA_RANGE),
            mae_hu: mean_absolute_error(image, &decoded) * hu_per_unit,
            psnr_unquantised_db,
            psnr_pool4_db: psnr(&pooled(image)?),
            psnr_noise_bound_db: bound(bits_per_voxel),
            psnr_noise_free_db: bound(0.0),
            noise_hu: noise.as_ref().map(|n: &Noise| n.deviation() * hu_per_unit),
            seam_ratio: seam_ratio(&(decoded - image), &tiling.borders(image, unit), unit),
            codebook_usage: CodebookUsage::of(&code_counts),
        })
    }
}

/// Longest side of a tile: its activations would not fit into any machine's memory.
const MOST_VOX: usize = 512;

impl CodebookUsage {
    fn of(counts: &[u64]) -> Self {
        let total = counts.iter().sum::<u64>() as f64;
        let used = counts.iter().filter(|n| **n > 0).count();
        let share = counts.iter().filter(|n| **n > 0).map(|n| *n as f64 / total);
        let entropy: f64 = share.map(|p| -p * p.ln()).sum();
        Self { used, used_share: used as f64 / counts.len() as f64, perplexity: entropy.exp() }
    }
}

impl Report {
    /// Writes the report as JSON.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).expect("a report is made of texts and numbers");
        text.push('\n');
        Ok(write_atomically(path, |file| file.write_all(text.as_bytes()))?)
    }
}

/// Slices of a scan at a quarter, the half and three quarters of its length, beside what came back and the difference.
fn draw(folder: &Path, id: &str, image: &Array3<f32>, decoded: &Array3<f32>) -> Result<Vec<PathBuf>> {
    let name = id.trim_matches('/').replace('/', "-");
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let name = name.strip_suffix(".nii").unwrap_or(name);
    let mut written = vec![];
    for (plane, axis) in [("axial", Axis(2)), ("coronal", Axis(1))] {
        let places = [1, 2, 3].map(|quarter| quarter * (image.len_of(axis) - 1) / 4);
        let [scan, back] = [image, decoded].map(|i| places.map(|p| i.index_axis(axis, p)));
        let differences: Vec<_> = scan.iter().zip(&back).map(|(a, b)| 4.0 * (b - a)).collect();
        let rows: Vec<Vec<ArrayView2<f32>>> =
            (0..places.len()).map(|i| vec![scan[i], back[i], differences[i].view()]).collect();
        let (_, png) = pictures::grid(&["scan", "decoded", "4 x difference"], &rows, 1);
        let path = folder.join(format!("{name}-{plane}.png"));
        write_atomically(&path, |file| file.write_all(&png))?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_counts_codes() {
        let usage = CodebookUsage::of(&[3, 0, 3, 3, 3, 0, 0, 0]);
        assert_eq!((usage.used, usage.used_share), (4, 0.5));
        assert!((usage.perplexity - 4.0).abs() < 1e-12);
        assert_eq!(CodebookUsage::of(&[0, 7]).perplexity, 1.0);
    }
}
