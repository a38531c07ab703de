//! Where voxels lie: from the header's directions and origin to RAS+ mm.
use super::fields::Fields;
use super::header::Header;
use crate::io::nifti::check_affine;
use crate::io::problem::{Problem, problem};
use crate::volume::Affine;
use std::path::Path;

/// Spaces with a patient in them: name, short name, and the sign of each axis in RAS.
pub(super) const SPACES: [(&str, &str, [f64; 3]); 3] = [
    ("left-posterior-superior", "lps", [-1.0, -1.0, 1.0]),
    ("right-anterior-superior", "ras", [1.0, 1.0, 1.0]),
    ("left-anterior-superior", "las", [-1.0, 1.0, 1.0]),
];

/// Names of the only unit that is read, and what stands for "not said".
const MM: [&str; 6] = ["mm", "millimeter", "millimeters", "millimetre", "millimetres", ""];

const ORIENTATION: &str = "export the image with its orientation, or correct the header";

/// Reads the affine. `path` is only for the warning about a file without any.
pub(super) fn affine(fields: &Fields, header: &Header, path: &Path) -> Result<Affine, Problem> {
    units(fields)?;
    let signs = signs(fields)?;
    let axes = 3 + usize::from(header.layers > 1 || fields.get("dimension") == Some("4"));
    let (source, columns) = match fields.get("space directions") {
        Some(text) => ("space directions", directions(text, axes)?),
        None => ("spacings", spacings(fields, axes)?),
    };
    if signs.is_none() && fields.get("space directions").is_some() {
        let hint =
            "without it nobody can tell left from right: set it, for instance to left-posterior-superior";
        return Err(problem("space", expected_spaces(), "none", hint));
    }
    if signs.is_none() {
        tracing::warn!(
            "{}: no orientation is set; taking the axes as R, A, S with the origin at voxel 0",
            path.display()
        );
    }
    let signs = signs.unwrap_or([1.0; 3]);
    let origin_mm = origin(fields)?;
    let mut m = [[0.0; 4]; 4];
    for r in 0..3 {
        // `+ 0.0`: no negative zeros in headers.
        m[r] = [columns[0][r], columns[1][r], columns[2][r], origin_mm[r]].map(|v| signs[r] * v + 0.0);
    }
    m[3][3] = 1.0;
    let affine = Affine(m);
    check_affine(&affine, source)?;
    // The image keeps it in single precision.
    check_affine(&Affine(m.map(|row| row.map(|v| f64::from(v as f32)))), source)?;
    Ok(affine)
}

/// Signs of the space's axes in RAS; `None` when the header names no space.
fn signs(fields: &Fields) -> Result<Option<[f64; 3]>, Problem> {
    let Some(text) = fields.get("space") else { return Ok(None) };
    let name = text.to_lowercase();
    let row = SPACES.iter().find(|row| row.0 == name || row.1 == name);
    row.map(|row| Some(row.2))
        .ok_or_else(|| problem("space", expected_spaces(), format!("'{text}'"), ORIENTATION))
}

fn expected_spaces() -> String {
    SPACES.map(|row| row.0).join(", ")
}

fn units(fields: &Fields) -> Result<(), Problem> {
    let Some(text) = fields.get("space units") else { return Ok(()) };
    let known = |unit: &str| MM.contains(&unit.trim_matches(['"', ' ']).to_lowercase().as_str());
    match text.split_whitespace().all(known) {
        true => Ok(()),
        false => Err(problem("space units", "\"mm\" for each axis", text, "give the image in mm")),
    }
}

/// The vectors of the last three axes; those before have none.
fn directions(text: &str, axes: usize) -> Result<[[f64; 3]; 3], Problem> {
    let bad = || {
        let expected = "a vector (x,y,z) for each of three axes, and none for any other";
        problem("space directions", expected, format!("'{text}'"), ORIENTATION)
    };
    let found = vectors(text).filter(|found| found.len() == axes).ok_or_else(bad)?;
    let (others, in_space) = found.split_at(axes - 3);
    let columns: Option<Vec<[f64; 3]>> = in_space.iter().copied().collect();
    let columns = columns.filter(|_| others.iter().all(Option::is_none)).ok_or_else(bad)?;
    columns.try_into().map_err(|_| bad())
}

/// Voxel sizes along the last three axes, as vectors along the space's axes.
fn spacings(fields: &Fields, axes: usize) -> Result<[[f64; 3]; 3], Problem> {
    let text = fields.require("spacings", "voxel sizes, or 'space directions'")?;
    let bad = || problem("spacings", format!("{axes} sizes above 0"), format!("'{text}'"), ORIENTATION);
    let sizes: Vec<f64> = text.split_whitespace().map_while(|size| size.parse().ok()).collect();
    if sizes.len() != axes {
        return Err(bad());
    }
    let mut columns = [[0.0; 3]; 3];
    for (a, &size_mm) in sizes[axes - 3..].iter().enumerate() {
        if !(size_mm.is_finite() && size_mm > 0.0) {
            return Err(bad());
        }
        columns[a][a] = size_mm;
    }
    Ok(columns)
}

/// Centre of the first voxel.
fn origin(fields: &Fields) -> Result<[f64; 3], Problem> {
    let Some(text) = fields.get("space origin") else { return Ok([0.0; 3]) };
    match vectors(text).as_deref() {
        Some([Some(origin_mm)]) => Ok(*origin_mm),
        _ => Err(problem("space origin", "one place (x,y,z)", format!("'{text}'"), ORIENTATION)),
    }
}

/// `none (1,0,0) (0,1.5,0)`. `None` when it is anything else, or a number is not finite.
fn vectors(text: &str) -> Option<Vec<Option<[f64; 3]>>> {
    let mut found = vec![];
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("none") {
            found.push(None);
            rest = after.trim_start();
            continue;
        }
        let (vector, after) = rest.strip_prefix('(')?.split_once(')')?;
        let numbers: Vec<f64> = vector
            .split(',')
            .map(|number| number.trim().parse().ok().filter(|v: &f64| v.is_finite()))
            .collect::<Option<_>>()?;
        found.push(Some(numbers.try_into().ok()?));
        rest = after.trim_start();
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::vectors;

    #[test]
    fn vectors_are_read_or_refused() {
        assert_eq!(vectors("none (1,0,-2e-1)"), Some(vec![None, Some([1.0, 0.0, -0.2])]));
        assert_eq!(vectors(" ( 1, 2 ,3 )(4,5,6)"), Some(vec![Some([1.0, 2.0, 3.0]), Some([4.0, 5.0, 6.0])]));
        for bad in ["1,0,0", "(1,0)", "(1,0,0", "(1,nan,0)", "(1,0,x)", "some", "(1,0,0) ,"] {
            assert_eq!(vectors(bad), None, "{bad}");
        }
    }
}
