//! Grey levels from intensities, as PyRadiomics 3.0.1 (`imageoperations.getBinEdges`).
use super::levels::HIGHEST_LEVEL;
use super::settings::Bins;

/// Level (from 1) of each value. Levels beyond [`HIGHEST_LEVEL`] are given as one more, which [`super::levels::Levels::new`] refuses.
///
/// Values are compared with edges as numpy computes them, so that values on an edge fall on the same side.
pub(super) fn levels(values: &[f64], bins: Bins) -> Vec<u32> {
    let minimum = values.iter().copied().fold(f64::INFINITY, f64::min);
    let maximum = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match bins {
        Bins::WidthHu(width) => {
            let low = minimum - minimum.rem_euclid(width);
            // numpy.arange's own step.
            let step = (low + width) - low;
            values.iter().map(|v| level(*v, low, step, HIGHEST_LEVEL)).collect()
        }
        Bins::Count(count) => {
            let flat = minimum == maximum;
            let (low, high) = if flat { (minimum - 0.5, maximum + 0.5) } else { (minimum, maximum) };
            let step = (high - low) / f64::from(count);
            values.iter().map(|v| level(*v, low, step, count - 1)).collect()
        }
    }
}

/// One more than the last edge `low + k * step`, k up to `last`, that is not above the value.
fn level(value: f64, low: f64, step: f64, last: u32) -> u32 {
    let edge = |k: f64| low + k * step;
    let mut k = ((value - low) / step).floor().clamp(0.0, f64::from(last));
    if k > 0.0 && edge(k) > value {
        k -= 1.0;
    } else if k < f64::from(last) && edge(k + 1.0) <= value {
        k += 1.0;
    }
    k as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_start_at_a_multiple() {
        let found = levels(&[-30.0, -25.0, -0.1, 0.0, 24.9, 25.0], Bins::WidthHu(25.0));
        assert_eq!(found, [1, 2, 2, 3, 3, 4]);
        // np.digitize(v, np.arange(0.3, 1.1, 0.1)): 0.3 + 3 * 0.1 is 0.6000000000000001, above 0.6.
        assert_eq!(levels(&[0.3, 0.6, 0.7], Bins::WidthHu(0.1)).len(), 3);
        assert_eq!(levels(&[7.0, 7.0], Bins::WidthHu(25.0)), [1, 1]);
        assert_eq!(levels(&[0.0, 1e30], Bins::WidthHu(1.0)), [1, HIGHEST_LEVEL + 1]);
    }

    #[test]
    fn counts_hold_the_maximum_in_the_last_bin() {
        assert_eq!(levels(&[0.0, 2.4, 2.5, 9.9, 10.0], Bins::Count(4)), [1, 1, 2, 4, 4]);
        assert_eq!(levels(&[3.0, 3.0], Bins::Count(8)), [5, 5]);
        assert_eq!(levels(&[0.0, 1.0], Bins::Count(1)), [1, 1]);
    }
}
