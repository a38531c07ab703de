//! Convolutions of channels-last activations by minimal filtering (`minimal.rs`), with what stands around them folded in:
//! norm, SiLU and padding on the way in (`rows.rs`); bias, residual and the moments for the next norm on the way out.
//!
//! A task makes a strip of rows of tiles, layer after layer of tiles along D. It keeps the input planes that a layer
//! needs in a ring, mapped along W already, and goes through the W points one at a time: map along H and D, multiply,
//! map the products back along D and H. So its buffers stay in the second-level cache, and each input is read from
//! memory about once.
mod lanes;
mod task;
#[cfg(test)]
mod tests;

use super::channels_last::{ChannelsLast, Moments};
use super::minimal::{Axis, Down, Four, MOST, MOST_TAPS, Two, Up};
use super::rows::Rows;
use super::tile::{Shared, block};
use rayon::prelude::*;
use task::convolve;

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Kernel 3, stride 1, weights `[Co, Ci, 3, 3, 3]`.
    Same,
    /// Kernel 4, stride 2, weights `[Co, Ci, 4, 4, 4]`.
    Down,
    /// Transposed, kernel 4, stride 2, weights `[Ci, Co, 4, 4, 4]`.
    Up,
}

/// A layer whose weights are mapped and packed.
pub struct Layer {
    kind: Kind,
    /// `[W product][column block][D product][H product][run][input channel][block]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl Layer {
    /// Maps the weights. The numbers of output channels must fill blocks, those of input channels vectors.
    pub fn new(kind: Kind, weight: &[f32], bias: &[f32]) -> Self {
        match kind {
            Kind::Same => Self::mapped::<Two, Two, Four>(kind, weight, bias),
            Kind::Down => Self::mapped::<Down, Down, Down>(kind, weight, bias),
            Kind::Up => Self::mapped::<Up, Up, Up>(kind, weight, bias),
        }
    }

    fn mapped<D: Axis, H: Axis, W: Axis>(kind: Kind, weight: &[f32], bias: &[f32]) -> Self {
        let (outputs, taps, width) = (bias.len(), D::TAPS * H::TAPS * W::TAPS, block());
        let inputs = weight.len() / (outputs * taps);
        assert!(outputs.is_multiple_of(width) && weight.len() == inputs * outputs * taps);
        let runs = D::RUNS * H::RUNS * W::RUNS;
        let block_len = D::PRODUCTS * H::PRODUCTS * runs * inputs * width;
        let mut packed = vec![0f32; W::PRODUCTS * outputs / width * block_len];
        let shared = Shared::new(&mut packed);
        (0..inputs).into_par_iter().for_each(|i| {
            for o in 0..outputs {
                let first = if kind == Kind::Up { i * outputs + o } else { o * inputs + i };
                let points = kernel_points::<D, H, W>(&weight[first * taps..][..taps]);
                points.into_iter().enumerate().for_each(|(at, v)| {
                    // `at` counts [W product][D product][H product][run].
                    let (pw, rest) = (at / (block_len / inputs / width), at % (block_len / inputs / width));
                    let to = (pw * (outputs / width) + o / width) * block_len
                        + (rest * inputs + i) * width
                        + o % width;
                    // SAFETY: inside of `packed`; input channel `i` belongs to this task alone.
                    unsafe { *shared.at(to) = v };
                });
            }
        });
        Self { kind, weights: packed, bias: bias.to_vec(), inputs }
    }

    /// Input and output channels.
    pub fn channels(&self) -> [usize; 2] {
        [self.inputs, self.bias.len()]
    }

    /// Computes the voxels of `out`'s box; with `add`, adds to what it holds. Returns their moments.
    pub fn run(&self, rows: &Rows, out: &mut ChannelsLast, add: bool) -> Moments {
        match self.kind {
            Kind::Same => convolve::<Two, Two, Four>(self, rows, out, add),
            Kind::Down => convolve::<Down, Down, Down>(self, rows, out, add),
            Kind::Up => convolve::<Up, Up, Up>(self, rows, out, add),
        }
    }
}

/// One kernel's values, `[W product][D product][H product][run]`.
fn kernel_points<D: Axis, H: Axis, W: Axis>(w: &[f32]) -> Vec<f32> {
    let line = |n: usize, at: &dyn Fn(usize) -> f64| {
        let mut taps = [0.0; MOST_TAPS];
        (0..n).for_each(|t| taps[t] = at(t));
        taps
    };
    // Along W, then H, then D; tables by tap and then product and run.
    let along_w: Vec<_> = (0..D::TAPS * H::TAPS)
        .map(|dh| W::kernel(line(W::TAPS, &|t| f64::from(w[dh * W::TAPS + t]))))
        .collect();
    let mut out = Vec::with_capacity(MOST * MOST * MOST * 8);
    for pw in 0..W::PRODUCTS {
        let along_h: Vec<Vec<_>> = (0..W::RUNS)
            .map(|rw| {
                let taps = |d: usize| line(H::TAPS, &|t| along_w[d * H::TAPS + t][pw][rw]);
                (0..D::TAPS).map(|d| H::kernel(taps(d))).collect()
            })
            .collect();
        let along_d = |rw: usize, ph: usize, rh: usize| D::kernel(line(D::TAPS, &|t| along_h[rw][t][ph][rh]));
        for pd in 0..D::PRODUCTS {
            for ph in 0..H::PRODUCTS {
                for run in 0..D::RUNS * H::RUNS * W::RUNS {
                    let [rd, rh, rw] = split_run::<H, W>(run);
                    out.push(along_d(rw, ph, rh)[pd][rd] as f32);
                }
            }
        }
    }
    out
}

#[inline(always)]
fn split_run<H: Axis, W: Axis>(run: usize) -> [usize; 3] {
    [run / (H::RUNS * W::RUNS), run / W::RUNS % H::RUNS, run % W::RUNS]
}
