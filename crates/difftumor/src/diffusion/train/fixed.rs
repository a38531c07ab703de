//! How well the diffusion model does on crops that are always the same, with the same noise.
use super::encoder::{Encoded, Encoder};
use crate::autoencoder::Autoencoder;
use crate::diffusion::objective::{Objective, denoising_loss};
use crate::diffusion::{Condition, DiffusionConfig, LatentScale, NoiseSource, Schedule, Unet3d, sample};
use crate::error::Result;
use crate::tensor::to_crop;
use crate::train::pictures;
use crate::train::tumors::{self, TumorCropSettings};
use burn::tensor::{Device, Tensor, TensorData};
use difftumor_ct::draws::Stream;
use ndarray::{Array3, Axis};

/// Crops of the validation, and of its pictures.
const FIXED_CROPS: u64 = 8;
const FIXED_PICTURES: usize = 4;

/// Crops that are measured on: always the same, with the same noise.
pub(super) struct Fixed {
    encoded: Vec<Encoded>,
    /// Crop and mask of the first of them, for pictures.
    shown: Vec<(Array3<f32>, Array3<bool>)>,
    autoencoder: Autoencoder,
    device: Device,
    seed: u64,
}

impl Fixed {
    pub(super) fn new(encoder: &Encoder) -> Result<Self> {
        let (mut encoded, mut shown) = (vec![], vec![]);
        let crops =
            TumorCropSettings { encoded_per_case: 0, tumor_share: 1.0, rotated_share: 0.0, ..encoder.crops };
        let encoder_seed = encoder.seed ^ 0x5A5A;
        for item in 0..FIXED_CROPS {
            let (scan, number) = tumors::choose(&encoder.cases, &crops, encoder_seed, item)?;
            let crop = tumors::crop(&scan, &crops, encoder_seed, number);
            encoded.push(encoder.encode(&crop));
            if shown.len() < FIXED_PICTURES {
                shown.push((crop.image, crop.mask));
            }
        }
        Ok(Self {
            encoded,
            shown,
            autoencoder: encoder.autoencoder.clone(),
            device: encoder.device.clone(),
            seed: encoder_seed,
        })
    }

    /// Mean loss, with steps spread evenly over the schedule.
    pub(super) fn loss(&self, model: &Unet3d, objective: Objective, schedule: &Schedule) -> f64 {
        let n = self.encoded.len();
        let of = |(i, e): (usize, &Encoded)| {
            let t = (2 * i + 1) * schedule.timesteps() / (2 * n);
            let mut noise = Stream::new(self.seed, i as u64, "validation", 0);
            let drawn = TensorData::new(noise.normal(e.z0.dims().iter().product()), e.z0.dims());
            let noise = Tensor::from_data(drawn, &self.device);
            let (z0, condition) = (e.z0.clone(), e.condition.clone());
            let loss = denoising_loss(model, objective, schedule, z0, condition, &[t], noise);
            f64::from(loss.into_scalar::<f32>())
        };
        self.encoded.iter().enumerate().map(of).sum::<f64>() / n as f64
    }

    /// Tumors painted where real ones are: the scan, the region that is painted, what the model paints there.
    pub(super) fn picture(&self, model: &Unet3d, config: &DiffusionConfig) -> ([usize; 2], Vec<u8>) {
        let paint = |(i, (image, mask)): (usize, &(Array3<f32>, Array3<bool>))| {
            let mut noise = Stream::new(self.seed, i as u64, "picture", 0);
            let condition = Condition(self.encoded[i].condition.clone());
            let x = sample(model, config, &condition, &mut noise);
            let painted =
                to_crop(self.autoencoder.decode(LatentScale::of(&self.autoencoder, config.scale).restore(x)));
            let blank = ndarray::Zip::from(image).and(mask).map_collect(|v, m| if *m { 0.0 } else { *v });
            let mixed = ndarray::Zip::from(image)
                .and(mask)
                .and(&painted)
                .map_collect(|v, m, p| if *m { *p } else { *v });
            // The slice with most tumor.
            let area = |z: &usize| mask.index_axis(Axis(2), *z).iter().filter(|m| **m).count();
            let z = (0..mask.dim().2).max_by_key(area).unwrap_or(0);
            [image.clone(), blank, painted, mixed].map(|a| a.index_axis(Axis(2), z).to_owned())
        };
        let painted: Vec<_> = self.shown.iter().enumerate().map(paint).collect();
        let rows: Vec<Vec<_>> = painted.iter().map(|row| row.iter().map(|a| a.view()).collect()).collect();
        pictures::grid(&["real tumor", "region", "painted", "put into the scan"], &rows, 2)
    }
}
