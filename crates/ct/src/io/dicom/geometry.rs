//! From slices in any order to a stack on a grid, or why they are none.
use super::slice::Slice;
use super::{Unfit, file_name, problem};
use crate::grid::MAX_VOXELS;
use crate::volume::{Affine, Grid};

/// Slices closer than this lie at one place.
const SAME_PLACE_MM: f64 = 0.01;

/// A gap may differ from the others by as much, in parts of it or in mm, whichever is more: positions are often written with one or two
/// decimals.
const GAP_TOLERANCE: (f64, f64) = (0.01, 0.05);

/// A slice may lie as far from where an even stack has it, in the shortest voxel side; as [`Grid::require_same`] has it.
const PLACE_TOLERANCE_VOX: f64 = 0.1;

/// Slices follow each other along their normal up to this angle. Half of a voxel over 400 slices of 1 mm at 0.7 mm.
const MAX_TILT_DEGREES: f64 = 0.05;

/// Direction cosines may differ by as much: 0.006 degrees, 0.05 mm over a slice.
const MAX_DIRECTION_DIFFERENCE: f64 = 1e-4;

/// Distances of pixels may differ by as much, in parts.
const MAX_SPACING_DIFFERENCE: f64 = 1e-4;

/// Slices in the order of z, and where they lie.
pub(super) struct Arrangement {
    pub slices: Vec<Slice>,
    /// RAS+ mm.
    pub grid: Grid,
}

/// Sorts slices by place and checks that they are one even stack.
pub(super) fn arrange(mut slices: Vec<Slice>, warnings: &mut Vec<String>) -> Result<Arrangement, Unfit> {
    alike(&slices)?;
    if slices.len() < 2 {
        let hint = "name the folder that holds all slices of the series";
        return Err(Unfit::Stack(problem("slices", "at least 2", slices.len(), hint)));
    }
    let normal = slices[0].normal();
    slices.sort_by(|a, b| {
        along(normal, a.position_mm)
            .total_cmp(&along(normal, b.position_mm))
            .then_with(|| a.file.cmp(&b.file))
    });
    let positions: Vec<f64> = slices.iter().map(|s| along(normal, s.position_mm)).collect();
    if let Some(i) = positions.windows(2).position(|p| p[1] - p[0] < SAME_PLACE_MM) {
        return Err(Unfit::Doubled(Box::new([slices[i].clone(), slices[i + 1].clone()])));
    }
    upright(&slices, normal)?;
    even(&slices, &positions)?;
    let step_mm = step(&slices);
    in_line(&slices, step_mm)?;
    if let Some(tilt) = slices[0].tilt_degrees.filter(|t| t.abs() > MAX_TILT_DEGREES) {
        warnings.push(format!(
            "the header tells of a gantry tilt of {tilt} degrees, but the slices lie straight above each other"
        ));
    }
    let grid = Grid { shape: shape(&slices)?, affine: affine(&slices[0], step_mm) };
    Ok(Arrangement { slices, grid })
}

fn along(direction: [f64; 3], v: [f64; 3]) -> f64 {
    (0..3).map(|i| direction[i] * v[i]).sum()
}

fn length(v: [f64; 3]) -> f64 {
    along(v, v).sqrt()
}

/// From the first slice to the last, a slice's share of it.
fn step(slices: &[Slice]) -> [f64; 3] {
    let (first, last) = (slices[0].position_mm, slices[slices.len() - 1].position_mm);
    std::array::from_fn(|i| (last[i] - first[i]) / (slices.len() - 1) as f64)
}

/// All slices have the size, orientation and spacing of the first.
fn alike(slices: &[Slice]) -> Result<(), Unfit> {
    let first = &slices[0];
    let numbers = |s: &Slice| s.directions.concat();
    let size = |s: &Slice| [s.columns, s.rows];
    let differs = |s: &Slice| {
        let turned =
            numbers(s).iter().zip(numbers(first)).any(|(a, b)| (a - b).abs() > MAX_DIRECTION_DIFFERENCE);
        let scaled =
            (0..2).any(|i| (s.spacing_mm[i] / first.spacing_mm[i] - 1.0).abs() > MAX_SPACING_DIFFERENCE);
        let told = |s: &Slice, which| match which {
            0 => format!("{} x {}", s.columns, s.rows),
            1 => format!("{:?}", s.directions),
            _ => format!("{:?} mm", s.spacing_mm),
        };
        let rows = [(size(s) != size(first), "size"), (turned, "orientation"), (scaled, "pixel spacing")];
        let which = rows.iter().position(|(differs, _)| *differs)?;
        Some((rows[which].1, told(s, which), told(first, which)))
    };
    let Some((slice, (what, found, expected))) = slices.iter().find_map(|s| Some((s, differs(s)?))) else {
        return Ok(());
    };
    let others = slices.iter().filter(|s| differs(s).is_some()).count();
    let expected = format!("{expected}, as {} has it", first.shown());
    let found = format!("{found} in {} of {} slices, as in {}", others, slices.len(), slice.shown());
    let hint =
        "these are several stacks (localizers, reformats?): put the slices of one into a folder of its own";
    Err(Unfit::Slice(slice.file.clone(), problem(what, expected, found, hint)))
}

/// Slices follow each other along their normal.
fn upright(slices: &[Slice], normal: [f64; 3]) -> Result<(), Unfit> {
    let step = step(slices);
    let forward = along(normal, step);
    let aside: [f64; 3] = std::array::from_fn(|i| step[i] - forward * normal[i]);
    let degrees = length(aside).atan2(forward).to_degrees();
    if degrees <= MAX_TILT_DEGREES {
        return Ok(());
    }
    let told = slices[0].tilt_degrees.map(|t| format!(", the header says {t}")).unwrap_or_default();
    let found = format!("{degrees:.2} degrees between them{told} (a tilted gantry)");
    let hint = "such a stack is sheared: have it reformatted to straight slices, for instance by dcm2niix";
    Err(Unfit::Stack(problem("slices", "each straight above the last", found, hint)))
}

/// All gaps are equal.
fn even(slices: &[Slice], positions: &[f64]) -> Result<(), Unfit> {
    let gaps: Vec<f64> = positions.windows(2).map(|p| p[1] - p[0]).collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    // The lower of two medians: of one good gap and one twice as wide the good one.
    let usual = sorted[(sorted.len() - 1) / 2];
    let tolerance = (GAP_TOLERANCE.0 * usual).max(GAP_TOLERANCE.1);
    let odd: Vec<usize> = (0..gaps.len()).filter(|&i| (gaps[i] - usual).abs() > tolerance).collect();
    let Some(&first) = odd.first() else { return Ok(()) };
    let shown: Vec<String> = odd
        .iter()
        .take(5)
        .map(|&i| {
            let names = [&slices[i], &slices[i + 1]].map(|s| file_name(&s.file));
            format!(
                "{:.3} mm from {:.2} ({}) to {:.2} ({})",
                gaps[i],
                positions[i],
                names[0],
                positions[i + 1],
                names[1]
            )
        })
        .collect();
    let more = if odd.len() > shown.len() {
        format!(" and {} more", odd.len() - shown.len())
    } else {
        String::new()
    };
    let multiple = gaps[first] / usual;
    let hint = if multiple > 1.5 && (multiple - multiple.round()).abs() < 0.02 {
        "slices are missing there: fetch the series again"
    } else {
        "these are several stacks, or the scan has uneven slices: give an even series"
    };
    let expected = format!("{usual:.3} mm between all, as between most");
    Err(Unfit::Stack(problem("gaps between slices", expected, format!("{}{more}", shown.join(", ")), hint)))
}

/// No slice lies beside, before or behind its place in the even stack.
fn in_line(slices: &[Slice], step_mm: [f64; 3]) -> Result<(), Unfit> {
    let first = &slices[0];
    let smallest_mm = first.spacing_mm.into_iter().fold(length(step_mm), f64::min);
    let tolerance = (PLACE_TOLERANCE_VOX * smallest_mm).max(GAP_TOLERANCE.1);
    for (i, slice) in slices.iter().enumerate() {
        let off: [f64; 3] =
            std::array::from_fn(|a| slice.position_mm[a] - first.position_mm[a] - i as f64 * step_mm[a]);
        if length(off) > tolerance {
            let expected = format!("at most {tolerance:.3} mm off the even stack");
            let found = format!("{:.3} mm, at {:?} mm", length(off), slice.position_mm);
            let hint =
                "the slices drift: they are several stacks, or the scan is uneven; give an even series";
            return Err(Unfit::Slice(
                slice.file.clone(),
                problem("place of the slice", expected, found, hint),
            ));
        }
    }
    Ok(())
}

fn shape(slices: &[Slice]) -> Result<[usize; 3], Unfit> {
    let shape = [slices[0].columns, slices[0].rows, slices.len()];
    // Sides are limited, and files were there: this cannot overflow.
    let voxels: u64 = shape.iter().map(|&n| n as u64).product();
    if voxels > MAX_VOXELS {
        let expected = format!("at most {MAX_VOXELS} voxels");
        return Err(Unfit::Stack(problem("size", expected, format!("{shape:?}"), "give a part of the scan")));
    }
    Ok(shape)
}

fn affine(first: &Slice, step_mm: [f64; 3]) -> Affine {
    let [row, column] = first.directions;
    let [dx, dy] = first.spacing_mm;
    let mut m = [[0.0; 4]; 4];
    for r in 0..3 {
        // LPS to RAS.
        let sign = if r < 2 { -1.0 } else { 1.0 };
        // `+ 0.0`: no negative zeros in headers.
        m[r] = [row[r] * dx, column[r] * dy, step_mm[r], first.position_mm[r]].map(|v| sign * v + 0.0);
    }
    m[3][3] = 1.0;
    Affine(m)
}
