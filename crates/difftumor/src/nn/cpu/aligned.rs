//! Zeroed buffers whose first element begins a cache line: vectors of 16 numbers that straddle two lines took 1.6 times as
//! long in every part of a convolution.
use std::ops::{Deref, DerefMut};

/// A cache line, and the widest vector, in bytes.
const LINE: usize = 64;

/// Numbers that begin at a cache line.
#[derive(Default)]
pub struct Aligned {
    data: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `n` zeros. Large ones come as pages that the system zeroes when they are first written, by whoever that is.
    pub fn zeros(n: usize) -> Self {
        let data = vec![0f32; n + LINE / size_of::<f32>()];
        let start = data.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>());
        Self { data, start, len: n }
    }

    /// Makes room for `n` numbers; what it held is lost when it has to grow.
    pub fn reserve(&mut self, n: usize) {
        if self.len < n {
            *self = Self::zeros(n);
        }
    }
}

impl Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.data[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..self.start + self.len]
    }
}

impl From<&[f32]> for Aligned {
    fn from(values: &[f32]) -> Self {
        let mut out = Self::zeros(values.len());
        out.copy_from_slice(values);
        out
    }
}
