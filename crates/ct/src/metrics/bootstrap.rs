//! Confidence limits of figures over many patients by resampling the patients (Efron 1979; percentile interval).
//!
//! Tumors of one patient are not independent, so a figure over tumors is resampled by whole patients too. That works for
//! every figure that is a sum over patients divided by another: a mean, a share of tumors, a number per scan.
//!
//! Where all patients have the same figure, every sample has it as well, and the limits lie on it: with few patients that
//! says little.
use super::interval::{Interval, TAIL};
use crate::draws::{Draws, Stream};

/// What one patient adds to a figure.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Term {
    /// Added above the line: a value, tumors found, false positives.
    pub numerator: f64,
    /// Added below it: 1, tumors, scans. A patient with 0 has no part in the figure.
    pub denominator: f64,
}

/// How patients are resampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bootstrap {
    /// Number of samples.
    pub samples: usize,
    /// All draws follow from it.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { samples: 1000, seed: 0 }
    }
}

impl Term {
    /// A value of which the mean is taken; `None` has no part in it.
    pub fn of_mean(value: Option<f64>) -> Self {
        value.map_or(Self::default(), |numerator| Self { numerator, denominator: 1.0 })
    }

    /// `part` of `whole`.
    pub fn of_share(part: usize, whole: usize) -> Self {
        Self { numerator: part as f64, denominator: whole as f64 }
    }

    /// The figure of these patients. `None` when none has part in it.
    pub fn figure(patients: impl IntoIterator<Item = Self>) -> Option<f64> {
        let (above, below) = (patients.into_iter())
            .fold((0.0, 0.0), |(above, below), t| (above + t.numerator, below + t.denominator));
        (below > 0.0).then(|| above / below)
    }
}

impl Bootstrap {
    /// 95 % limits of [`Term::figure`]: the 2.5th and 97.5th percentile over samples of as many patients, drawn with
    /// replacement from those that have part in the figure. Figures of the same patients are taken over the same samples.
    ///
    /// `None` when fewer than two patients have part in it, or there are no samples.
    pub fn interval(&self, patients: &[Term]) -> Option<Interval> {
        let patients: Vec<Term> = patients.iter().copied().filter(|t| t.denominator > 0.0).collect();
        let number = patients.len();
        if number < 2 || self.samples == 0 {
            return None;
        }
        let mut draws = Stream::new(self.seed, 0, "bootstrap", 0);
        let mut figures: Vec<f64> = (0..self.samples)
            .filter_map(|_| Term::figure((0..number).map(|_| patients[draws.index(number)])))
            .collect();
        figures.sort_by(f64::total_cmp);
        Some(Interval { low: quantile(&figures, TAIL), high: quantile(&figures, 1.0 - TAIL) })
    }
}

/// Linear between the two nearest of the sorted values (type 7 of Hyndman & Fan 1996). `share` is 0 to 1.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len() - 1;
    let place = share * last as f64;
    let (i, part) = (place.floor() as usize, place.fract());
    sorted[i] + part * (sorted[(i + 1).min(last)] - sorted[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(values: impl IntoIterator<Item = f64>) -> Vec<Term> {
        values.into_iter().map(|v| Term::of_mean(Some(v))).collect()
    }

    #[test]
    fn means_have_the_limits_of_the_normal_distribution() {
        let bootstrap = Bootstrap { samples: 20_000, seed: 1 };
        let found = bootstrap.interval(&values((0..100).map(f64::from))).unwrap();
        // 49.5 ± 1.96 standard errors of sqrt((100² - 1) / 12) / 10; a percentile of 20 000 samples is off by 0.055.
        let half = 1.959_964 * (9999.0_f64 / 12.0).sqrt() / 10.0;
        assert!((found.low - (49.5 - half)).abs() < 0.25, "{found:?}");
        assert!((found.high - (49.5 + half)).abs() < 0.25, "{found:?}");
    }

    #[test]
    fn tumors_of_a_patient_stay_together() {
        // One patient with 1 tumor of 1 found, one with 0 of 3: a quarter of the samples have the first twice, a quarter
        // the second. Tumors on their own would rarely be all found.
        let patients = [Term::of_share(1, 1), Term::of_share(0, 3)];
        assert_eq!(Term::figure(patients), Some(0.25));
        let found = Bootstrap::default().interval(&patients).unwrap();
        assert_eq!(found, Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn patients_without_part_do_not_matter() {
        let all = values([0.2, 0.4, 0.9]);
        let mut more = all.clone();
        more.insert(1, Term::of_share(0, 0));
        more.push(Term::of_mean(None));
        let bootstrap = Bootstrap::default();
        assert_eq!(bootstrap.interval(&more), bootstrap.interval(&all));
        assert_eq!(Term::figure(more), Some(0.5));
        assert_eq!(bootstrap.interval(&values([0.3])), None);
        assert_eq!(Bootstrap { samples: 0, seed: 0 }.interval(&all), None);
        assert_eq!(Term::figure([Term::default()]), None);
        assert_eq!(bootstrap.interval(&values([0.25, 0.25, 0.25])), Some(Interval { low: 0.25, high: 0.25 }));
    }

    #[test]
    fn limits_follow_from_the_seed() {
        let values = values((0..17).map(|i| f64::from(i * i)));
        let of = |seed| Bootstrap { samples: 200, seed }.interval(&values).unwrap();
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
    }

    #[test]
    fn quantiles_lie_between_values() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!((quantile(&[5.0], 0.025), quantile(&[1.0, 2.0], 1.0)), (5.0, 2.0));
    }
}
