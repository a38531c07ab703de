//! Rules for what no range of real tumors can say: what a tumor is not, and what a synthesis must not leave behind.

/// A rule of one figure.
pub(super) struct Limit {
    /// The figure's name.
    pub figure: &'static str,
    /// Which side is objected to.
    pub side: Side,
    /// From beyond here on it is a warning.
    pub warn: f64,
    /// From beyond here on it is a failure.
    pub fail: f64,
    /// Why these numbers.
    pub why: &'static str,
}

/// A side of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Less is objected to.
    Below,
    /// More is.
    Above,
}

const fn above(figure: &'static str, [warn, fail]: [f64; 2], why: &'static str) -> Limit {
    Limit { figure, side: Side::Above, warn, fail, why }
}

/// All rules.
pub(super) const LIMITS: [Limit; 11] = [
    Limit {
        figure: "slenderness",
        side: Side::Below,
        warn: 0.4,
        fail: 0.25,
        why: "early tumors of organs are round or oval (paper F.2)",
    },
    Limit {
        figure: "edge_mm",
        side: Side::Below,
        warn: 2.0,
        fail: 1.2,
        why: "a scanner blurs an edge by 1 mm or more (half width), which is 1.1 mm from 10 to 90 %",
    },
    above("parts", [1.0, 3.0], "one tumor is in one piece"),
    above("fat_share", [0.2, 0.5], "tumors of organs are not of fat (paper F.2)"),
    above("fluid", [0.5, 0.5], "tumors have tissue in them; fluid is a cyst (paper F.2)"),
    above("bone_share", [0.1, 0.4], "calcifications are a small part of a tumor"),
    above("air_share", [0.002, 0.02], "there is no air in a solid tumor"),
    above("border_step", [1.0, 1.5], "a step of one noise standard deviation along an edge is seen"),
    above(
        "change_near_hu",
        [8.0, 16.0],
        "an edge as wide as any real one here (9 mm from 10 to 90 %) of 50 HU changes the next 10 mm by 7 HU",
    ),
    above("change_outside_share", [0.2, 0.5], "the tumor and its edge should be what is changed"),
    above("change_far_share", [0.001, 0.05], "nothing so far away belongs to the tumor"),
];
