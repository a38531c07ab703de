//! Sizes and proportions in millimetres, with the statistics of real tumors.
//!
//! Source: 227 tumors of the 210 public KiTS19 cases (Heller et al., arXiv:1904.00445), fitted by
//! `reference/fit_kidney_tumor_shapes.py`. They are surgical kidney tumors; small ones are under-represented (13 with a
//! longest axis of 20 mm or less). Axes are full axes of the moment-equivalent ellipsoid, see [`crate::measure`].
use crate::draws::Draws;
use crate::error::{Error, Result};

/// The longest axis that a user asks for: drawn uniformly between the two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiameterRange {
    min_mm: f64,
    max_mm: f64,
}

/// Largest longest axis that can be asked for; the largest of KiTS19 is below 200 mm.
const LARGEST_MM: f64 = 250.0;

impl DiameterRange {
    /// A range of longest axes.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `0 < min_mm <= max_mm <= 250`.
    pub fn new(min_mm: f64, max_mm: f64) -> Result<Self> {
        if min_mm > 0.0 && min_mm <= max_mm && max_mm <= LARGEST_MM {
            return Ok(Self { min_mm, max_mm });
        }
        Err(Error::Argument {
            what: "diameter range in mm".into(),
            expected: format!("0 < smallest <= largest <= {LARGEST_MM}"),
            found: format!("{min_mm}..{max_mm}"),
        })
    }

    /// Draws a longest axis.
    pub fn draw_mm(&self, draws: &mut impl Draws) -> f64 {
        draws.uniform(self.min_mm, self.max_mm)
    }

    /// Its lower end.
    pub fn min_mm(&self) -> f64 {
        self.min_mm
    }

    /// Its upper end.
    pub fn max_mm(&self) -> f64 {
        self.max_mm
    }
}

/// An ellipsoid in space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EllipsoidMm {
    /// Full axes, longest first.
    pub axes_mm: [f64; 3],
    /// Row `i` is the direction of axis `i` (a rotation matrix).
    pub directions: [[f64; 3]; 3],
}

/// The fitted numbers of one class of longest axes.
struct ProportionClass {
    /// Longest axis up to which the class holds.
    up_to_mm: f64,
    /// Second axis / longest at `LEVELS`.
    second_over_first: [f64; 5],
    /// Third axis / second at `LEVELS`.
    third_over_second: [f64; 5],
}

/// Levels of the fitted quantiles.
const LEVELS: [f64; 5] = [0.05, 0.25, 0.50, 0.75, 0.95];

/// Quantiles of the axis ratios. The two ratios of a tumor are nearly independent (correlation 0.07 and -0.06 in the
/// two classes with enough tumors), so they are drawn independently.
const PROPORTIONS: [ProportionClass; 3] = [
    ProportionClass {
        up_to_mm: 20.0,
        second_over_first: [0.667, 0.841, 0.906, 0.949, 0.958],
        third_over_second: [0.515, 0.735, 0.801, 0.917, 0.937],
    },
    ProportionClass {
        up_to_mm: 50.0,
        second_over_first: [0.699, 0.801, 0.857, 0.916, 0.965],
        third_over_second: [0.678, 0.838, 0.889, 0.931, 0.972],
    },
    ProportionClass {
        up_to_mm: f64::INFINITY,
        second_over_first: [0.690, 0.771, 0.852, 0.916, 0.968],
        third_over_second: [0.709, 0.807, 0.879, 0.935, 0.954],
    },
];

/// Mean of ln(equivalent diameter in mm).
const LN_EQUIVALENT_MEAN: f64 = 3.61;
/// Standard deviation of ln(equivalent diameter in mm).
const LN_EQUIVALENT_SD: f64 = 0.57;
/// Median of longest axis / equivalent diameter: gives the class of a tumor of which only the latter is known.
const LONGEST_OVER_EQUIVALENT: f64 = 1.19;
/// Median of volume / volume of the moment-equivalent ellipsoid.
pub(super) const FILL: f64 = 0.94;

/// Draws ellipsoids with the sizes and proportions of the KiTS19 tumors, in random orientation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KitsShape;

impl KitsShape {
    /// An ellipsoid with a given longest axis and drawn proportions.
    pub fn with_longest_axis(longest_mm: f64, draws: &mut impl Draws) -> EllipsoidMm {
        Self::ellipsoid(longest_mm, |_, _| longest_mm, draws)
    }

    /// An ellipsoid whose equivalent diameter (of a tumor that fills 0.94 of it) is drawn from KiTS19's log-normal
    /// distribution, cut at two standard deviations (11.8 to 115 mm).
    pub fn draw(draws: &mut impl Draws) -> EllipsoidMm {
        let equivalent_mm = loop {
            let mut z = [0.0];
            draws.normals(&mut z);
            if z[0].abs() <= 2.0 {
                break libm::exp(LN_EQUIVALENT_MEAN + LN_EQUIVALENT_SD * z[0]);
            }
        };
        // equivalent³ = FILL * longest³ * second/longest * third/longest
        let longest = |second: f64, third: f64| equivalent_mm / libm::cbrt(FILL * second * third);
        Self::ellipsoid(LONGEST_OVER_EQUIVALENT * equivalent_mm, longest, draws)
    }

    /// `longest_mm` gives the longest axis from the two others relative to it.
    fn ellipsoid(class_mm: f64, longest_mm: impl Fn(f64, f64) -> f64, draws: &mut impl Draws) -> EllipsoidMm {
        let class = PROPORTIONS.iter().find(|c| class_mm <= c.up_to_mm).unwrap_or(&PROPORTIONS[2]);
        let second = quantile(&class.second_over_first, draws.uniform(0.0, 1.0));
        let third = second * quantile(&class.third_over_second, draws.uniform(0.0, 1.0));
        let longest = longest_mm(second, third);
        EllipsoidMm {
            axes_mm: [longest, longest * second, longest * third],
            directions: draw_rotation(draws),
        }
    }
}

/// The value at `level`, linear between the fitted quantiles. Beyond 5 and 95 percent it stays at those, so that no
/// outlier of 13 tumors becomes a disc.
fn quantile(values: &[f64; 5], level: f64) -> f64 {
    let level = level.clamp(LEVELS[0], LEVELS[4]);
    let i = LEVELS[1..4].iter().filter(|l| level >= **l).count();
    values[i] + (values[i + 1] - values[i]) * (level - LEVELS[i]) / (LEVELS[i + 1] - LEVELS[i])
}

/// A uniformly distributed rotation: that of a unit quaternion uniform on its sphere.
fn draw_rotation(draws: &mut impl Draws) -> [[f64; 3]; 3] {
    let q = loop {
        let mut q = [0.0; 4];
        draws.normals(&mut q);
        let norm = q.iter().map(|v| v * v).sum::<f64>().sqrt();
        // A zero quaternion has no direction.
        if norm > 1e-6 {
            break q.map(|v| v / norm);
        }
    };
    let [w, x, y, z] = q;
    [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Stream;

    fn at_levels(mut values: Vec<f64>) -> [f64; 3] {
        values.sort_by(f64::total_cmp);
        [0.05, 0.5, 0.95].map(|l| values[(l * (values.len() - 1) as f64).round() as usize])
    }

    #[test]
    fn axis_ratios_follow_the_table_of_each_class() {
        // KiTS19 table: median and 5-95 % of axis2/axis1 and axis3/axis1.
        let table = [
            (15.0, [0.667, 0.906, 0.958], [0.368, 0.732, 0.886]),
            (35.0, [0.699, 0.857, 0.965], [0.551, 0.759, 0.897]),
            (80.0, [0.690, 0.852, 0.968], [0.561, 0.724, 0.889]),
        ];
        for (longest_mm, second, third) in table {
            let mut draws = Stream::new(5, 0, "ratios", 0);
            let shapes: Vec<_> =
                (0..4000).map(|_| KitsShape::with_longest_axis(longest_mm, &mut draws).axes_mm).collect();
            assert!(
                shapes
                    .iter()
                    .all(|a| a[0] == longest_mm && a[0] >= a[1] && a[1] >= a[2] && a[2] > 0.3 * a[0])
            );
            let found = at_levels(shapes.iter().map(|a| a[1] / a[0]).collect());
            // Sampling error of 4000 draws is about 0.005 at these quantiles.
            assert!(found.iter().zip(second).all(|(f, t)| (f - t).abs() < 0.015), "{found:?}");
            let found = at_levels(shapes.iter().map(|a| a[2] / a[0]).collect());
            // The product of two independent ratios; the smallest class has 13 tumors, whose two ratios do correlate
            // (0.57, by one flat tumor), so its 5 % quantile comes out higher.
            let tolerance = if longest_mm < 20.0 { [0.13, 0.03, 0.03] } else { [0.03; 3] };
            for i in 0..3 {
                assert!((found[i] - third[i]).abs() < tolerance[i], "{longest_mm}: {found:?}");
            }
        }
    }

    #[test]
    fn equivalent_diameters_are_log_normal() {
        let mut draws = Stream::new(6, 0, "diameters", 0);
        let logs: Vec<f64> = (0..20_000)
            .map(|_| (FILL * KitsShape::draw(&mut draws).axes_mm.iter().product::<f64>()).cbrt().ln())
            .collect();
        let n = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / n;
        let sd = (logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n).sqrt();
        // Cutting a normal at two standard deviations leaves 0.880 of its standard deviation.
        assert!((mean - 3.61).abs() < 0.02 && (sd - 0.880 * 0.57).abs() < 0.02, "{mean} {sd}");
    }

    #[test]
    fn directions_are_rotations_and_look_everywhere() {
        let mut draws = Stream::new(7, 0, "rotations", 0);
        let mut mean_square = [0.0; 3];
        for _ in 0..3000 {
            let r = draw_rotation(&mut draws);
            for a in 0..3 {
                for b in 0..3 {
                    let dot: f64 = (0..3).map(|k| r[a][k] * r[b][k]).sum();
                    assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-12);
                }
                mean_square[a] += r[0][a].powi(2) / 3000.0;
            }
        }
        // 1/3 each; standard deviation of a squared component is 0.3, of the mean 0.0054.
        assert!(mean_square.iter().all(|m| (m - 1.0 / 3.0).abs() < 0.027), "{mean_square:?}");
    }

    #[test]
    fn impossible_ranges_are_refused() {
        for (min, max) in [(0.0, 5.0), (-1.0, 5.0), (6.0, 5.0), (5.0, 1e9), (f64::NAN, 5.0), (5.0, f64::NAN)]
        {
            let text = DiameterRange::new(min, max).unwrap_err().to_string();
            assert!(text.contains("diameter range in mm"), "{text}");
        }
        let range = DiameterRange::new(5.0, 20.0).unwrap();
        let mut draws = Stream::new(8, 0, "range", 0);
        assert!((0..1000).all(|_| (5.0..20.0).contains(&range.draw_mm(&mut draws))));
    }
}
