//! Activations of one item as `[d][h][w][channel]`, whole or a box of a volume, and what is known of their channels.
//!
//! Layers that keep this order need no transposes, and each can read its predecessor's voxels as vectors of channels.
use std::ops::Range;
use std::sync::Mutex;

/// A box of a volume, in voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Sides of the volume.
    pub volume: [usize; 3],
    /// First voxel of the box.
    pub start: [usize; 3],
    /// Behind its last voxel.
    pub end: [usize; 3],
}

impl Frame {
    /// The whole volume.
    pub fn whole(volume: [usize; 3]) -> Self {
        Self { volume, start: [0; 3], end: volume }
    }

    /// Sides of the box.
    pub fn sides(&self) -> [usize; 3] {
        std::array::from_fn(|a| self.end[a] - self.start[a])
    }

    /// Voxels in the box.
    pub fn voxels(&self) -> usize {
        self.sides().iter().product()
    }

    /// The box with `by` more voxels on each side, cut to the volume.
    pub fn grown(&self, by: usize) -> Self {
        Self {
            volume: self.volume,
            start: self.start.map(|s| s.saturating_sub(by)),
            end: std::array::from_fn(|a| (self.end[a] + by).min(self.volume[a])),
        }
    }

    /// Whether every voxel of `other` is one of this box.
    pub fn contains(&self, other: &Self) -> bool {
        self.volume == other.volume
            && (0..3).all(|a| self.start[a] <= other.start[a] && other.end[a] <= self.end[a])
    }

    /// The box begun earlier, at multiples of `unit`, so that tiles lie in it as they do in the whole volume.
    pub fn aligned(&self, unit: usize) -> Self {
        Self { start: self.start.map(|s| s / unit * unit), ..*self }
    }
}

/// Activations of the voxels of a box.
pub struct ChannelsLast {
    /// `[d][h][w][channel]`; may be longer.
    pub data: Vec<f32>,
    /// Channels.
    pub channels: usize,
    /// Which voxels.
    pub frame: Frame,
}

impl ChannelsLast {
    /// Where in `data` the voxels `w` of the row (d, h) lie; all are coordinates of the volume.
    #[inline(always)]
    pub fn row(&self, d: usize, h: usize, w: Range<usize>) -> Range<usize> {
        let (f, [_, nh, nw]) = (&self.frame, self.frame.sides());
        let first = ((d - f.start[0]) * nh + h - f.start[1]) * nw;
        (first + w.start - f.start[2]) * self.channels..(first + w.end - f.start[2]) * self.channels
    }

    /// The voxels of the box `frame` alone, in the same buffer.
    pub fn cut(mut self, frame: Frame) -> Self {
        assert!(self.frame.contains(&frame), "a box within the source's");
        let mut to = 0;
        for d in frame.start[0]..frame.end[0] {
            for h in frame.start[1]..frame.end[1] {
                // Rows only move towards the front, and never over one that is still to be read.
                let row = self.row(d, h, frame.start[2]..frame.end[2]);
                let len = row.len();
                self.data.copy_within(row, to);
                to += len;
            }
        }
        Self { frame, ..self }
    }
}

/// Buffers that are free to be used again. Their old content stays: whoever takes one writes every element.
#[derive(Default)]
pub struct Pool(Mutex<Vec<Vec<f32>>>);

impl Pool {
    /// A buffer for a box, its content undefined (but initialised). The smallest that is large enough, else a new one.
    pub fn take(&self, channels: usize, frame: Frame) -> ChannelsLast {
        let n = channels * frame.voxels();
        let mut free = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let best = (0..free.len()).filter(|i| free[*i].len() >= n).min_by_key(|i| free[*i].len());
        // A new one comes as pages that are zeroed when a task first writes them, not by one thread here.
        let data = best.map_or_else(|| vec![0.0; n], |i| free.swap_remove(i));
        ChannelsLast { data, channels, frame }
    }

    /// Frees all buffers that are free to be used, and gives them back to the system.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        crate::memory::give_back();
    }

    /// Gives a buffer back.
    pub fn give(&self, x: ChannelsLast) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(x.data);
    }
}

/// Number, mean and sum of squared deviations of each channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Values of each channel.
    pub count: f64,
    /// Means.
    pub mean: Vec<f64>,
    /// Sums of squared deviations from the means.
    pub squares: Vec<f64>,
}

impl Moments {
    /// From sums of `x - shift` and of its square.
    pub fn from_sums(count: f64, shift: &[f32], sums: &[f64], squares: &[f64]) -> Self {
        let mean = shift.iter().zip(sums).map(|(k, s)| f64::from(*k) + s / count).collect();
        let squares = sums.iter().zip(squares).map(|(s, q)| (q - s * s / count).max(0.0)).collect();
        Self { count, mean, squares }
    }

    /// Those of both (Chan et al. 1979).
    pub fn join(mut self, other: &Self) -> Self {
        if self.count == 0.0 {
            return other.clone();
        }
        let count = self.count + other.count;
        for c in 0..self.mean.len() {
            let delta = other.mean[c] - self.mean[c];
            self.mean[c] += delta * other.count / count;
            self.squares[c] += other.squares[c] + delta * delta * self.count * other.count / count;
        }
        self.count = count;
        self
    }

    /// What a group norm does to each channel: `x * scale + shift`.
    pub fn group_norm(&self, groups: usize, eps: f64, weight: &[f32], bias: &[f32]) -> [Vec<f32>; 2] {
        let channels = self.mean.len();
        let per = channels / groups;
        let (mut scales, mut shifts) = (vec![], vec![]);
        for g in 0..groups {
            let range = g * per..(g + 1) * per;
            let mean = self.mean[range.clone()].iter().sum::<f64>() / per as f64;
            let between: f64 = self.mean[range.clone()].iter().map(|m| (m - mean).powi(2)).sum();
            let within = self.squares[range.clone()].iter().sum::<f64>() / self.count;
            let inverse = 1.0 / ((between + within) / per as f64 + eps).sqrt();
            for c in range {
                let scale = f64::from(weight[c]) * inverse;
                scales.push(scale as f32);
                shifts.push((f64::from(bias[c]) - mean * scale) as f32);
            }
        }
        [scales, shifts]
    }
}
