//! Crops as the diffusion model sees them: encoded once and kept on the disk, or anew at each step (spec/diffusion.md sections
//! 1 and 7).
use crate::autoencoder::Autoencoder;
use crate::diffusion::{Condition, LatentScale, ScaleOf};
use crate::error::{Error, Result};
use crate::run::{Precision, read_tensors, write_tensors};
use crate::tensor::from_crop;
use crate::train::cache::Cache;
use crate::train::tumors::{self, TumorCrop, TumorCropSettings, TumorScan};
use burn::tensor::{Device, Tensor, TensorData};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A crop as the model sees it.
#[derive(Debug, Clone)]
pub(super) struct Encoded {
    /// Latents of the scan with its tumor, `[1, C, d, h, w]`.
    pub(super) z0: Tensor<5>,
    /// `[1, C + 1, d, h, w]`.
    pub(super) condition: Tensor<5>,
    pub(super) origin: String,
}

/// Turns crops into latents.
pub(super) struct Encoder {
    pub(super) autoencoder: Autoencoder,
    pub(super) device: Device,
    pub(super) cases: Cache<TumorScan>,
    pub(super) crops: TumorCropSettings,
    pub(super) scale: ScaleOf,
    pub(super) seed: u64,
    /// Where encoded crops are kept.
    pub(super) dir: PathBuf,
}

impl Encoder {
    /// Item number `item` of all batches.
    pub(super) fn item(&self, item: u64) -> Result<Encoded> {
        let (scan, number) = tumors::choose(&self.cases, &self.crops, self.seed, item)?;
        if self.crops.encoded_per_case == 0 {
            return Ok(self.encode(&tumors::crop(&scan, &self.crops, self.seed, number)));
        }
        let path = self.dir.join(format!("{}-{number:05}.safetensors", scan.id));
        if path.is_file() {
            // One that a full disk or a cut wire has damaged is made again.
            if let Ok(encoded) = self.kept(&path) {
                return Ok(encoded);
            }
        }
        let encoded = self.encode(&tumors::crop(&scan, &self.crops, self.seed, number));
        std::fs::create_dir_all(&self.dir).map_err(Error::io(&self.dir, "create"))?;
        let of = |t: &Tensor<5>| (t.dims().to_vec(), values(t));
        let kept = BTreeMap::from([
            ("z0".to_string(), of(&encoded.z0)),
            ("condition".to_string(), of(&encoded.condition)),
            (encoded.origin.clone(), (vec![0], vec![])),
        ]);
        write_tensors(&path, &kept, Precision::F32)?;
        Ok(encoded)
    }

    fn kept(&self, path: &Path) -> Result<Encoded> {
        let mut tensors = read_tensors(path)?;
        let bad = |found: &str| {
            Error::format(path, "encoded crop", "z0, condition and origin", found, "remove the file")
        };
        let mut take = |name: &str| {
            let (shape, values) = tensors.remove(name).ok_or_else(|| bad("less"))?;
            let shape: [usize; 5] = shape.try_into().map_err(|_| bad("another shape"))?;
            Ok::<_, Error>(Tensor::from_data(TensorData::new(values, shape), &self.device))
        };
        let (z0, condition) = (take("z0")?, take("condition")?);
        let origin = tensors.into_keys().next().ok_or_else(|| bad("no origin"))?;
        Ok(Encoded { z0, condition, origin })
    }

    pub(super) fn encode(&self, crop: &TumorCrop) -> Encoded {
        let mask = crop.mask.mapv(|m| f32::from(u8::from(m)));
        let (image, mask) = (from_crop(&crop.image, &self.device), from_crop(&mask, &self.device));
        let scale = LatentScale::of(&self.autoencoder, self.scale);
        let z0 = scale.normalise(self.autoencoder.encode(image.clone()));
        let Condition(condition) = Condition::new(&self.autoencoder, &scale, image, mask);
        Encoded { z0, condition, origin: crop.origin.clone() }
    }
}

fn values(t: &Tensor<5>) -> Vec<f32> {
    t.to_data().convert::<f32>().try_to_vec::<f32>().expect("a float tensor")
}
