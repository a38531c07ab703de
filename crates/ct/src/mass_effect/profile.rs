//! The push along one direction, in the cube of the radius.
//!
//! With v = r³ the push sends v to `v' = v + q T(v)`, where q is the pushed volume per direction (for a ball `s R³`) and T falls
//! smoothly from 1 to 0. Directions are kept, so the Jacobian determinant of the 3-D map is `dv'/dv = 1 + q T'(v)`, whatever
//! the shape of the tumor and however q, the core and the reach change from direction to direction: in spherical
//! coordinates the volume element is `dv/3 dΩ`, and the derivatives across directions are below the triangle's diagonal.
//!
//! Monotone: T is the product of a fall from 1 to 0 between core and reach and one from 1 to the share that moves outside of the
//! organ, between `core share × surface` and the surface. A cubic step over a width w is nowhere steeper than
//! 3/(2w), so `T' >= -3/2 (1/w1 + (1 - outside)/w2)`. [`Profile::new`] cuts q down until `q |T'| <= compression < 1`: the determinant
//! is at least `1 - compression > 0` everywhere, at most 1, and 1 exactly within the core.

/// Steepest slope of the cubic step over a unit width.
const STEEPEST: f64 = 1.5;

/// The push along one direction. Volumes are cubes of radii (mm³).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Profile {
    /// q: what v grows by in the core.
    pub push_mm3: f64,
    core_mm3: f64,
    reach_mm3: f64,
    /// Where the fall towards the organ's surface begins and ends.
    surface_mm3: [f64; 2],
    /// What is left of the push outside of the organ.
    outside: f64,
}

/// What is the same for all directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shared {
    /// Where a fall begins, as a share of the radius where it ends.
    pub core_share: f64,
    /// What is left of the push outside of the organ, 0 to 1.
    pub outside: f64,
    /// Largest loss of volume anywhere, below 1.
    pub compression: f64,
}

impl Profile {
    /// The push of `asked_mm3`, or as much of it as the compression allows, that ends at `reach_mm3` and is damped at the
    /// organ's surface.
    pub(super) fn new(asked_mm3: f64, reach_mm3: f64, surface_mm3: f64, shared: Shared) -> Self {
        let begins = shared.core_share.powi(3);
        let mut slope = 1.0 / ((1.0 - begins) * reach_mm3);
        if begins * surface_mm3 < reach_mm3 {
            slope += (1.0 - shared.outside) / ((1.0 - begins) * surface_mm3);
        }
        // At a reach of 0 the slope is infinite and the push 0.
        let allowed_mm3 = shared.compression / (STEEPEST * slope);
        Self {
            push_mm3: asked_mm3.min(allowed_mm3),
            core_mm3: begins * reach_mm3,
            reach_mm3,
            surface_mm3: [begins * surface_mm3, surface_mm3],
            outside: shared.outside,
        }
    }

    /// Whether a point at `v` is moved, or lies in the hole that the push opens.
    pub(super) fn reaches(&self, v: f64) -> bool {
        self.push_mm3 > 0.0 && v < self.reach_mm3
    }

    /// Whether an output point has no source: tissue was pushed away and the tumor alone is here.
    pub(super) fn is_hole(&self, v: f64) -> bool {
        v < self.push_mm3
    }

    /// T and T'.
    fn share(&self, v: f64) -> (f64, f64) {
        let (a, da) = fall(v, [self.core_mm3, self.reach_mm3]);
        let (b, db) = fall(v, self.surface_mm3);
        let (b, db) = (self.outside + (1.0 - self.outside) * b, (1.0 - self.outside) * db);
        (a * b, a * db + b * da)
    }

    /// v' of v.
    pub(super) fn forward(&self, v: f64) -> f64 {
        if self.reaches(v) { v + self.push_mm3 * self.share(v).0 } else { v }
    }

    /// `dv'/dv` at v: the Jacobian determinant of the 3-D map.
    pub(super) fn jacobian(&self, v: f64) -> f64 {
        if self.reaches(v) { 1.0 + self.push_mm3 * self.share(v).1 } else { 1.0 }
    }

    /// v of v'; 0 in the hole. Newton's method, kept between bounds by bisection: v' grows with v.
    pub(super) fn backward(&self, to: f64) -> f64 {
        if !self.reaches(to) {
            return to;
        }
        let (mut low, mut high) = ((to - self.push_mm3).max(0.0), to);
        let mut v = low;
        for _ in 0..60 {
            let excess = self.forward(v) - to;
            if excess.abs() <= 4.0 * f64::EPSILON * to {
                break;
            }
            if excess > 0.0 {
                high = v
            } else {
                low = v
            }
            let step = v - excess / self.jacobian(v);
            v = if step > low && step < high { step } else { 0.5 * (low + high) };
        }
        v
    }
}

/// 1 up to the first bound, 0 from the second on, a cubic step between; and its slope.
fn fall(v: f64, [from, to]: [f64; 2]) -> (f64, f64) {
    if v <= from {
        return (1.0, 0.0);
    }
    if v >= to {
        return (0.0, 0.0);
    }
    let t = (v - from) / (to - from);
    (1.0 - t * t * (3.0 - 2.0 * t), -6.0 * t * (1.0 - t) / (to - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: Shared = Shared { core_share: 0.6, outside: 0.7, compression: 0.35 };

    #[test]
    fn a_ball_is_pushed_by_the_incompressible_formula() {
        let (radius_mm, strength) = (20.0_f64, 0.8);
        let push = strength * radius_mm.powi(3);
        let profile = Profile::new(push, (2.5 * radius_mm).powi(3), f64::INFINITY, SHARED);
        assert_eq!(profile.push_mm3, push);
        for i in 1..=300 {
            let r = 0.1 * f64::from(i); // up to 30 mm: the core
            let expected = (r.powi(3) + strength * radius_mm.powi(3)).cbrt();
            assert!((profile.forward(r.powi(3)).cbrt() - expected).abs() < 1e-9);
            assert_eq!(profile.jacobian(r.powi(3)), 1.0);
        }
    }

    #[test]
    fn every_profile_is_monotone_and_inverted() {
        for (reach, surface) in
            [(50.0, f64::INFINITY), (50.0, 22.0), (50.0, 20.0), (21.0, 30.0), (8.0, 20.0), (0.0, 20.0)]
        {
            let (reach, surface) = (f64::powi(reach, 3), f64::powi(surface, 3));
            let profile = Profile::new(8000.0, reach, surface, SHARED);
            assert!((0.0..=8000.0).contains(&profile.push_mm3), "{profile:?}");
            let mut before = -1.0;
            for i in 0..6000 {
                let r = 0.01 * f64::from(i);
                let to = profile.forward(r * r * r);
                assert!(to > before, "{profile:?} folds at {r}");
                before = to;
                let jacobian = profile.jacobian(r * r * r);
                assert!((0.65 - 1e-12..=1.0).contains(&jacobian), "{profile:?}: {jacobian} at {r}");
                let back = profile.backward(to);
                assert!((profile.forward(back).cbrt() - to.cbrt()).abs() < 1e-9, "{profile:?} at {r}");
                // Below 1 mm the cube root magnifies the rounding of v.
                assert!(r < 1.0 || (back.cbrt() - r).abs() < 1e-6, "{profile:?} at {r}: {}", back.cbrt());
            }
        }
    }
}
