//! How well the autoencoder does on crops that are always the same.
use super::AutoencoderData;
use super::settings::AutoencoderTraining;
use crate::autoencoder::Autoencoder;
use crate::error::Result;
use crate::tensor::{from_crop, to_crop};
use crate::train::cache::Folder;
use crate::train::crops::{self, CropSettings};
use crate::train::pictures;
use crate::train::scans::cache;
use burn::tensor::Device;
use ndarray::{Array3, Axis};

/// Crops of the validation.
const FIXED_CROPS: usize = 6;

pub(super) fn validation_crops(
    data: &AutoencoderData,
    settings: &AutoencoderTraining,
    folder: &Folder,
) -> Result<Vec<Array3<f32>>> {
    let scans = if data.validation.is_empty() { &data.scans } else { &data.validation };
    let scans = cache(scans.clone(), vec![], settings.crops.side_vox, folder);
    let how = CropSettings { scans: 1, per_scan: 1, rotated_share: 0.0, ..settings.crops };
    let mut crops = vec![];
    for k in 1..=FIXED_CROPS as u64 {
        crops.extend(crops::batch(&scans, &how, settings.seed ^ 0x5A5A, k)?.crops);
    }
    Ok(crops)
}

/// PSNR (range 2) of the reconstruction over all crops, and a picture of them.
pub(super) fn validate(
    model: &Autoencoder,
    crops: &[Array3<f32>],
    quantised: bool,
    device: &Device,
) -> (f64, [usize; 2], Vec<u8>) {
    let decoded: Vec<Array3<f32>> = crops
        .iter()
        .map(|crop| {
            let z = model.encode(from_crop(crop, device));
            let image = if quantised { model.decode(z) } else { model.decode_quantised(z) };
            to_crop(image).mapv(|v| v.clamp(-1.0, 1.0))
        })
        .collect();
    let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
    let squares: f64 =
        crops.iter().zip(&decoded).map(|(a, b)| a.iter().zip(b).map(square).sum::<f64>()).sum();
    let voxels: usize = crops.iter().map(Array3::len).sum();
    let psnr_db = 10.0 * (4.0 / (squares / voxels as f64)).log10();
    let differences: Vec<Array3<f32>> = crops.iter().zip(&decoded).map(|(a, b)| 4.0 * (b - a)).collect();
    let middle = |c: &'_ Array3<f32>| c.dim().2 / 2;
    let rows: Vec<Vec<_>> = (0..crops.len())
        .map(|i| [&crops[i], &decoded[i], &differences[i]].map(|c| c.index_axis(Axis(2), middle(c))).to_vec())
        .collect();
    let (size, png) = pictures::grid(&["scan", "decoded", "4 x difference"], &rows, 2);
    (psnr_db, size, png)
}
