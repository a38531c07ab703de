//! The published size classes: how many tumors, how large, how strongly deformed. All lengths are voxels of 1 mm.
//!
//! Source: the authors' code (the paper, Sec. 3.3, refers to it); Hu et al. 2023 for [`HU2023`].
use crate::draws::Draws;

/// Name of a size class. Nominal radii are 4, 8, 16 and 32 mm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    /// Semi-axes of 3 to 5 mm.
    Tiny,
    /// Semi-axes of 6 to 10 mm.
    Small,
    /// Semi-axes of 12 to 20 mm.
    Medium,
    /// Semi-axes of 24 mm and more.
    Large,
}

/// How the strength of the elastic deformation is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SigmaRange {
    /// A uniform real of `[low, high)`.
    Real(f64, f64),
    /// A uniform integer of `low..=high`.
    Integer(i64, i64),
}

/// One row of a table of sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SizeClass {
    /// Which class.
    pub size: Size,
    /// Share of synthesized crops that get tumors of this class.
    pub probability: f64,
    /// Number of tumors, both ends included.
    pub count: (i64, i64),
    /// Each semi-axis, drawn on its own, both ends included.
    pub semi_axis_vox: (i64, i64),
    /// Standard deviation of the displacement at the 3x3 grid points.
    pub sigma_vox: SigmaRange,
}

const fn class(size: Size, probability: f64, count: (i64, i64), semi_axis_vox: (i64, i64)) -> SizeClass {
    let sigma_vox = match size {
        Size::Tiny => SigmaRange::Real(0.5, 1.0),
        Size::Small => SigmaRange::Integer(1, 2),
        Size::Medium => SigmaRange::Integer(3, 6),
        Size::Large => SigmaRange::Integer(5, 10),
    };
    SizeClass { size, probability, count, semi_axis_vox, sigma_vox }
}

/// The paper's classes. "Early" tumors (0.8) are tiny or small, half each.
pub const PAPER: [SizeClass; 4] = [
    class(Size::Tiny, 0.4, (1, 3), (3, 5)),
    class(Size::Small, 0.4, (1, 3), (6, 10)),
    class(Size::Medium, 0.1, (1, 1), (12, 20)),
    class(Size::Large, 0.1, (1, 1), (24, 64)),
];

/// The classes of Hu et al. 2023, one fifth each; the last fifth is [`HU2023_MIX`].
pub const HU2023: [SizeClass; 4] = [
    class(Size::Tiny, 0.2, (3, 10), (3, 5)),
    class(Size::Small, 0.2, (3, 10), (6, 10)),
    class(Size::Medium, 0.2, (2, 5), (12, 20)),
    class(Size::Large, 0.2, (1, 3), (24, 40)),
];

/// All four classes in one scan, as Hu et al. 2023 mix them: generate the rows one after the other.
pub const HU2023_MIX: [SizeClass; 4] = [
    class(Size::Tiny, 0.2, (3, 10), (3, 5)),
    class(Size::Small, 0.2, (5, 10), (6, 10)),
    class(Size::Medium, 0.2, (2, 5), (12, 20)),
    class(Size::Large, 0.2, (1, 3), (24, 40)),
];

impl SizeClass {
    /// Draws the number of tumors. A class that always has one asks for nothing, as the published generator does.
    pub fn draw_count(&self, draws: &mut impl Draws) -> i64 {
        if self.count.0 == self.count.1 { self.count.0 } else { draws.integer(self.count.0, self.count.1) }
    }

    /// Draws the three semi-axes, x first.
    pub fn draw_semi_axes_vox(&self, draws: &mut impl Draws) -> [usize; 3] {
        std::array::from_fn(|_| draws.integer(self.semi_axis_vox.0, self.semi_axis_vox.1) as usize)
    }

    /// Draws the strength of the deformation.
    pub fn draw_sigma_vox(&self, draws: &mut impl Draws) -> f64 {
        match self.sigma_vox {
            SigmaRange::Real(low, high) => draws.uniform(low, high),
            SigmaRange::Integer(low, high) => draws.integer(low, high) as f64,
        }
    }
}

/// Draws a row of a table by the rows' probabilities (they need not sum to 1).
///
/// # Panics
/// When the table is empty.
pub fn draw_class<'a>(table: &'a [SizeClass], draws: &mut impl Draws) -> &'a SizeClass {
    let total: f64 = table.iter().map(|c| c.probability).sum();
    let mut left = draws.uniform(0.0, total);
    for class in table {
        left -= class.probability;
        if left < 0.0 {
            return class;
        }
    }
    table.last().expect("a table of sizes has rows")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Stream;

    #[test]
    fn four_of_five_published_tumors_are_early() {
        let mut draws = Stream::new(3, 0, "sizes", 0);
        let early = (0..10_000)
            .filter(|_| matches!(draw_class(&PAPER, &mut draws).size, Size::Tiny | Size::Small))
            .count();
        // Standard deviation 40.
        assert!(early.abs_diff(8000) < 200, "{early}");
        assert!((PAPER.iter().map(|c| c.probability).sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
