//! From HU to stored numbers.
use crate::error::{Error, Result};
use crate::io::dicom::pixels::Stored;
use crate::volume::Volume;

/// HU = stored · slope + intercept, in 16 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub slope: f64,
    pub intercept: f64,
    pub signed: bool,
}

/// Stored numbers of a slice, row by row.
#[derive(Debug)]
pub(super) struct Words {
    pub words: Vec<u16>,
    /// Voxels whose HU did not fit.
    pub clamped: usize,
}

/// HU beyond are taken for damage: no substance has them, and 16 bits could not tell tissue apart.
const MAX_HU: f32 = 1e6;

/// Smallest slope that is chosen: 1/256 HU, far below any noise. It and its multiples are short decimals.
const MIN_SLOPE: f64 = 1.0 / 256.0;

impl Scale {
    /// Whole numbers that fit are stored as they are. Others in steps of a power of two, as small as the range of HU allows: multiples of
    /// the step stay exact, all else is rounded by half of a step at most.
    pub fn for_volume(volume: &Volume) -> Self {
        let whole = volume.data.iter().all(|hu| hu.fract() == 0.0);
        let (low, high) = range(volume);
        if whole && low >= f64::from(i16::MIN) && high <= f64::from(i16::MAX) {
            return Self { slope: 1.0, intercept: 0.0, signed: true };
        }
        let mut slope = MIN_SLOPE;
        // One step is left for the intercept's rounding.
        while (high - low) / slope > f64::from(u16::MAX - 1) {
            slope *= 2.0;
        }
        Self { slope, intercept: (low / slope).floor() * slope, signed: false }
    }

    fn nearest(&self, hu: f64) -> (u16, bool) {
        let stored = ((hu - self.intercept) / self.slope).round();
        // `as` clamps.
        match self.signed {
            true => ((stored as i16) as u16, f64::from(stored as i16) == stored),
            false => (stored as u16, f64::from(stored as u16) == stored),
        }
    }

    /// Slice z. Where `source` has the same HU, its stored number stays.
    pub fn words(&self, volume: &Volume, z: usize, source: Option<&Stored>) -> Words {
        let (nx, ny, _) = volume.data.dim();
        let mut before = source.map(Stored::numbers);
        let mut clamped = 0;
        let words = (0..nx * ny).map(|i| {
            let hu = volume.data[[i % nx, i / nx, z]];
            let stored = before.as_mut().and_then(Iterator::next);
            if let Some(v) = stored.filter(|v| (f64::from(*v) * self.slope + self.intercept) as f32 == hu) {
                return v as u16;
            }
            let (word, fits) = self.nearest(f64::from(hu));
            clamped += usize::from(!fits);
            word
        });
        let words = words.collect();
        Words { words, clamped }
    }
}

fn range(volume: &Volume) -> (f64, f64) {
    let (low, high) =
        volume.data.iter().fold((f32::MAX, f32::MIN), |(low, high), hu| (low.min(*hu), high.max(*hu)));
    (f64::from(low), f64::from(high))
}

/// All voxels are HU that can be.
pub(super) fn require_hu(volume: &Volume) -> Result<()> {
    let wrong = |hu: f32| hu.is_nan() || hu.abs() > MAX_HU;
    match volume.data.indexed_iter().find(|(_, hu)| wrong(**hu)) {
        None => Ok(()),
        Some((at, hu)) => Err(Error::Argument {
            what: "voxels of a scan to write as DICOM".into(),
            expected: format!("finite HU within ±{MAX_HU}"),
            found: format!("{hu} at {at:?}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;
    use ndarray::Array3;

    fn volume(values: &[f32]) -> Volume {
        let data = Array3::from_shape_vec((values.len(), 1, 1), values.to_vec()).unwrap();
        Volume { data, affine: Affine::from_spacing_mm([1.0; 3]) }
    }

    #[test]
    fn whole_numbers_and_steps_stay_exact_and_others_within_half_a_step() {
        for (values, slope) in [
            (vec![-1024.0, 3071.0, 0.0], 1.0),
            (vec![-1024.0, 0.5, 1200.25], 1.0 / 16.0),
            (vec![0.0, 0.1, 0.7], 1.0 / 256.0),
            (vec![-1000.0, 40_000.0], 1.0),
            (vec![-1000.0, 900_000.3], 16.0),
        ] {
            let volume = volume(&values);
            let scale = Scale::for_volume(&volume);
            assert!(scale.slope <= slope, "{values:?}: {scale:?}");
            let Words { words, clamped } = scale.words(&volume, 0, None);
            assert_eq!(clamped, 0);
            for (hu, word) in values.iter().zip(words) {
                let stored = if scale.signed { f64::from(word as i16) } else { f64::from(word) };
                let off = (stored * scale.slope + scale.intercept - f64::from(*hu)).abs();
                let exact = (f64::from(*hu) / scale.slope).fract() == 0.0;
                assert!(off <= if exact { 0.0 } else { scale.slope / 2.0 }, "{hu}: {off}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_clamped_and_counted() {
        let scale = Scale { slope: 1.0, intercept: -1024.0, signed: false };
        let Words { words, clamped } = scale.words(&volume(&[-2000.0, 70_000.0, 0.4]), 0, None);
        assert_eq!((words, clamped), (vec![0, u16::MAX, 1024], 2));
        assert!(require_hu(&volume(&[f32::NAN])).is_err() && require_hu(&volume(&[1e7])).is_err());
    }
}
