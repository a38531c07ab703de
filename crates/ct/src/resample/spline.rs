//! Coefficients of the interpolating cubic B-spline (Unser, Aldroubi & Eden 1993), mirror boundary
//! (`c b | a b c | b a`: the edge voxel is not repeated), as `scipy.ndimage.spline_filter(order=3, mode="mirror")`.
use ndarray::{Array3, Axis};
use rayon::prelude::*;

/// Coefficients such that their B-spline passes through the data, along the chosen axes.
pub(super) fn coefficients(data: &Array3<f32>, axes: [bool; 3]) -> Array3<f64> {
    let mut out = data.mapv(f64::from);
    for axis in (0..3).filter(|a| axes[*a]) {
        // Planes that hold whole lines of this axis, and the axis within them.
        let (across, within) = [(1, 0), (0, 0), (0, 1)][axis];
        out.axis_iter_mut(Axis(across)).into_par_iter().for_each_init(Vec::new, |line, mut plane| {
            for mut lane in plane.lanes_mut(Axis(within)) {
                line.clear();
                line.extend(lane.iter().copied());
                filter_line(line);
                lane.iter_mut().zip(&*line).for_each(|(to, from)| *to = *from);
            }
        });
    }
    out
}

/// The recursive filter for one line: causal, then anti-causal.
fn filter_line(c: &mut [f64]) {
    let n = c.len();
    if n < 2 {
        return;
    }
    let pole = 3.0_f64.sqrt() - 2.0;
    let gain = (1.0 - pole) * (1.0 - 1.0 / pole);
    c.iter_mut().for_each(|v| *v *= gain);
    // The first causal value is the closed sum over the mirrored, endless line.
    let last = pole.powi(n as i32 - 1);
    let mut first = c[0] + last * c[n - 1];
    let mut power = pole;
    for i in 1..n - 1 {
        first += power * (c[i] + last * c[n - 1 - i]);
        power *= pole;
    }
    c[0] = first / (1.0 - last * last);
    for i in 1..n {
        c[i] += pole * c[i - 1];
    }
    c[n - 1] = (pole * c[n - 2] + c[n - 1]) * pole / (pole * pole - 1.0);
    for i in (0..n - 1).rev() {
        c[i] = pole * (c[i + 1] - c[i]);
    }
}
