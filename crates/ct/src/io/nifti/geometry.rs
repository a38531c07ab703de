//! `world_from_voxel` out of a NIfTI header (sform, else qform, else voxel sizes), in RAS+ mm, and into one.
//!
//! Rules and formulas: `nifti1.h`, "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE", methods 3, 2 and 1.
use super::header::{Layout, PIXDIM, QFORM_CODE, QOFFSET, QUATERN, SFORM_CODE, SROW, XYZT_UNITS};
use super::{Problem, problem};
use crate::volume::Affine;

/// Spatial unit codes (the low three bits of `xyzt_units`) and their length in mm. 0 is "not said": mm in practice.
const UNITS_MM: [(i64, f64); 4] = [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001)];

/// Smallest |determinant| of the direction matrix (columns scaled to length 1) that is taken for an image:
/// 1e-3 means axes within 0.06 degrees of one plane, which no scanner makes.
const MIN_DIRECTION_DETERMINANT: f64 = 1e-3;

/// Reads the affine. `path` is only for the warning about a file without any.
pub(super) fn read_affine(layout: Layout, header: &[u8], path: &std::path::Path) -> Result<Affine, Problem> {
    let (source, mut affine) = if layout.int(header, &SFORM_CODE, 0) > 0 {
        ("sform", sform(layout, header))
    } else if layout.int(header, &QFORM_CODE, 0) > 0 {
        ("qform", qform(layout, header)?)
    } else {
        tracing::warn!(
            "{}: neither sform nor qform is set; taking the axes as R, A, S with the origin at voxel 0",
            path.display()
        );
        ("pixdim", Affine::from_spacing_mm(std::array::from_fn(|a| layout.float(header, &PIXDIM, a + 1))))
    };
    let unit = layout.int(header, &XYZT_UNITS, 0) & 7;
    let unit_mm = UNITS_MM.iter().find(|row| row.0 == unit).map(|row| row.1).ok_or_else(|| {
        problem("xyzt_units", "a length: 0 (mm), 1 (m), 2 (mm) or 3 (micrometre)", unit, "correct the header")
    })?;
    for row in affine.0.iter_mut().take(3) {
        row.iter_mut().for_each(|v| *v *= unit_mm);
    }
    check(&affine, source)?;
    Ok(affine)
}

/// Refuses an affine that is not finite or that folds space flat. `source` is where it is from, for messages.
pub(in crate::io) fn check(affine: &Affine, source: &str) -> Result<(), Problem> {
    let what = format!("affine ({source})");
    let hint = "set a valid affine, for instance the one of the scan that this file belongs to";
    if !affine.0.iter().flatten().all(|v| v.is_finite()) {
        return Err(problem(what, "finite numbers", format!("{:?}", affine.0), hint));
    }
    let relative = affine.determinant().abs() / affine.spacing_mm().iter().product::<f64>();
    if relative.is_nan() || relative < MIN_DIRECTION_DETERMINANT || affine.inverse().is_none() {
        let found = format!("a singular matrix {:?}", affine.0);
        return Err(problem(what, "three independent axes of non-zero length", found, hint));
    }
    Ok(())
}

fn sform(layout: Layout, header: &[u8]) -> Affine {
    let mut m = [[0.0; 4]; 4];
    for r in 0..3 {
        for c in 0..4 {
            m[r][c] = layout.float(header, &SROW, 4 * r + c);
        }
    }
    m[3][3] = 1.0;
    Affine(m)
}

fn qform(layout: Layout, header: &[u8]) -> Result<Affine, Problem> {
    let [mut b, mut c, mut d]: [f64; 3] = std::array::from_fn(|i| layout.float(header, &QUATERN, i));
    let norm2 = b * b + c * c + d * d;
    // Header rounding leaves |(b, c, d)| a few 1e-7 above 1 for half turns; 1e-4 is far more than that.
    if !norm2.is_finite() || norm2 > 1.0 + 1e-4 {
        let found = format!("({b}, {c}, {d})");
        return Err(problem(
            "affine (qform)",
            "a quaternion of length 1",
            found,
            "set a valid qform or sform",
        ));
    }
    // A half turn has a = 0, where the root would amplify rounding (nifti1_io.c, nifti_quatern_to_mat44).
    let mut a = (1.0 - norm2).max(0.0);
    if a < 1e-7 {
        let scale = norm2.sqrt().recip();
        (a, b, c, d) = (0.0, b * scale, c * scale, d * scale);
    } else {
        a = a.sqrt();
    }
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    let qfac = if layout.float(header, &PIXDIM, 0) < 0.0 { -1.0 } else { 1.0 };
    let mut m = [[0.0; 4]; 4];
    for col in 0..3 {
        let size = layout.float(header, &PIXDIM, col + 1);
        if size.is_nan() || size <= 0.0 {
            let what = format!("pixdim[{}]", col + 1);
            return Err(problem(what, "a voxel size above 0", size, "set the voxel sizes in the header"));
        }
        let sign = if col == 2 { qfac } else { 1.0 };
        for r in 0..3 {
            m[r][col] = rotation[r][col] * size * sign;
        }
    }
    for r in 0..3 {
        m[r][3] = layout.float(header, &QOFFSET, r);
    }
    m[3][3] = 1.0;
    Ok(Affine(m))
}

/// Writes an affine as sform with code 1 ("scanner"), voxel sizes as `pixdim`, unit mm, and no qform: a
/// quaternion cannot hold a sheared affine, and one source of truth cannot contradict itself.
pub(super) fn write_affine(layout: Layout, header: &mut [u8], affine: &Affine) {
    layout.set(header, &QFORM_CODE, 0, 0.0);
    layout.set(header, &SFORM_CODE, 0, 1.0);
    layout.set(header, &XYZT_UNITS, 0, 2.0);
    layout.set(header, &PIXDIM, 0, 1.0);
    for (a, size_mm) in affine.spacing_mm().into_iter().enumerate() {
        layout.set(header, &PIXDIM, a + 1, size_mm);
    }
    for r in 0..3 {
        for c in 0..4 {
            layout.set(header, &SROW, 4 * r + c, affine.0[r][c]);
        }
    }
}
