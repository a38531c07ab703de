//! Coefficients of the interpolating cubic B-spline (Unser, Aldroubi & Eden 1993), mirror boundary
//! (`c b | a b c | b a`: the edge voxel is not repeated), as `scipy.ndimage.spline_filter(order=3, mode="mirror")`.
use ndarray::{Array3, Axis, Zip};
use rayon::prelude::*;

/// Coefficients such that their B-spline passes through the data, along the chosen axes.
pub(super) fn coefficients(data: &Array3<f32>, axes: [bool; 3]) -> Array3<f64> {
    let mut out = Array3::zeros(data.dim());
    Zip::from(&mut out).and(data).par_for_each(|to, from| *to = f64::from(*from));
    for axis in (0..3).filter(|a| axes[*a]) {
        // Planes that hold whole lines of this axis; within them the filter runs over rows or along each row.
        let across = if axis == 0 { 1 } else { 0 };
        out.axis_iter_mut(Axis(across)).into_par_iter().for_each_init(
            Vec::new,
            |work: &mut Vec<f64>, mut plane| {
                let width = plane.ncols();
                work.clear();
                plane.iter().for_each(|v| work.push(*v));
                match axis {
                    2 => work.chunks_mut(width.max(1)).for_each(|line| filter_rows(line, 1)),
                    _ => filter_rows(work, width),
                }
                plane.iter_mut().zip(&*work).for_each(|(to, from)| *to = *from);
            },
        );
    }
    out
}

/// The recursive filter over rows of `width` values, for each column on its own: causal, then anti-causal.
fn filter_rows(c: &mut [f64], width: usize) {
    let n = c.len() / width.max(1);
    if n < 2 {
        return;
    }
    let pole = 3.0_f64.sqrt() - 2.0;
    let gain = (1.0 - pole) * (1.0 - 1.0 / pole);
    c.iter_mut().for_each(|v| *v *= gain);
    // The first causal value is the closed sum over the mirrored, endless line.
    let last = pole.powi(n as i32 - 1);
    let (first, rest) = c.split_at_mut(width);
    add_scaled(first, &rest[(n - 2) * width..], last);
    let mut power = pole;
    // After 64 terms the power is below 1e-36 and adds nothing.
    for i in 1..(n - 1).min(64) {
        add_scaled(first, &rest[(i - 1) * width..i * width], power);
        add_scaled(first, &rest[(n - 2 - i) * width..(n - 1 - i) * width], power * last);
        power *= pole;
    }
    first.iter_mut().for_each(|v| *v /= 1.0 - last * last);
    for i in 1..n {
        let (before, row) = c.split_at_mut(i * width);
        add_scaled(&mut row[..width], &before[(i - 1) * width..], pole);
    }
    let (before, row) = c.split_at_mut((n - 1) * width);
    for (v, b) in row.iter_mut().zip(&before[(n - 2) * width..]) {
        *v = (pole * b + *v) * pole / (pole * pole - 1.0);
    }
    for i in (0..n - 1).rev() {
        let (before, after) = c.split_at_mut((i + 1) * width);
        for (v, a) in before[i * width..].iter_mut().zip(&after[..width]) {
            *v = pole * (a - *v);
        }
    }
}

/// `row += factor * other`.
fn add_scaled(row: &mut [f64], other: &[f64], factor: f64) {
    row.iter_mut().zip(other).for_each(|(r, o)| *r += factor * o);
}
