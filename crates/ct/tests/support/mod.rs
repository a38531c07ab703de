//! Writes NIfTI files by the letter of `nifti1.h`/`nifti2.h`, independently of the code under test.

/// Everything a test may want to set.
#[derive(Debug, Clone)]
pub struct Spec {
    pub two: bool,
    pub big_endian: bool,
    pub dim: Vec<i64>,
    pub code: i16,
    pub bytes: usize,
    pub slope: f64,
    pub inter: f64,
    pub sform: Option<[[f64; 4]; 3]>,
    /// Code, (b, c, d), offset, pixdim[0..4].
    pub qform: Option<([f64; 3], [f64; 3], [f64; 4])>,
    pub units: u8,
    pub extension: Vec<u8>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            two: false,
            big_endian: false,
            dim: vec![3, 4, 3, 2],
            code: 4,
            bytes: 2,
            slope: 0.0,
            inter: 0.0,
            sform: Some([[-0.75, 0.0, 0.0, 90.0], [0.0, -0.75, 0.0, 80.0], [0.0, 0.0, 5.0, -40.0]]),
            qform: None,
            units: 10,
            extension: vec![],
        }
    }
}

fn put(out: &mut [u8], at: usize, little: &[u8], big_endian: bool) {
    let slot = &mut out[at..at + little.len()];
    slot.copy_from_slice(little);
    if big_endian {
        slot.reverse();
    }
}

impl Spec {
    pub fn voxels(&self) -> usize {
        self.dim[1..].iter().take(3).map(|&n| n.max(0) as usize).product()
    }

    pub fn vox_offset(&self) -> usize {
        (if self.two { 544 } else { 352 }) + self.extension.len()
    }

    /// The header, extension flag and extensions. Every byte that has no meaning here is 0xA5 & position: it must survive.
    pub fn head(&self) -> Vec<u8> {
        let mut h: Vec<u8> = (0..if self.two { 540 } else { 348 }).map(|i| (0xA5 & i) as u8).collect();
        let be = self.big_endian;
        let int = |h: &mut [u8], at1: usize, n1: usize, at2: usize, n2: usize, v: i64| {
            let (at, n) = if self.two { (at2, n2) } else { (at1, n1) };
            put(h, at, &v.to_le_bytes()[..n], be);
        };
        let float = |h: &mut [u8], at1: usize, at2: usize, v: f64| {
            if self.two {
                put(h, at2, &v.to_le_bytes(), be)
            } else {
                put(h, at1, &(v as f32).to_le_bytes(), be)
            }
        };
        int(&mut h, 0, 4, 0, 4, if self.two { 540 } else { 348 });
        for i in 0..8 {
            int(&mut h, 40 + 2 * i, 2, 16 + 8 * i, 8, self.dim.get(i).copied().unwrap_or(1));
        }
        int(&mut h, 70, 2, 12, 2, i64::from(self.code));
        int(&mut h, 72, 2, 14, 2, 8 * self.bytes as i64);
        if self.two {
            put(&mut h, 168, &(self.vox_offset() as i64).to_le_bytes(), be);
        } else {
            put(&mut h, 108, &(self.vox_offset() as f32).to_le_bytes(), be);
        }
        float(&mut h, 112, 176, self.slope);
        float(&mut h, 116, 184, self.inter);
        int(&mut h, 123, 1, 500, 4, i64::from(self.units));
        int(&mut h, 252, 2, 344, 4, i64::from(self.qform.is_some()));
        int(&mut h, 254, 2, 348, 4, i64::from(self.sform.is_some()));
        let (bcd, offset, pixdim) = self.qform.unwrap_or(([0.0; 3], [0.0; 3], [1.0, 0.75, 0.75, 5.0]));
        (0..4).for_each(|i| float(&mut h, 76 + 4 * i, 104 + 8 * i, pixdim[i]));
        (0..3).for_each(|i| float(&mut h, 256 + 4 * i, 352 + 8 * i, bcd[i]));
        (0..3).for_each(|i| float(&mut h, 268 + 4 * i, 376 + 8 * i, offset[i]));
        for (i, v) in self.sform.unwrap_or_default().iter().flatten().enumerate() {
            float(&mut h, 280 + 4 * i, 400 + 8 * i, *v);
        }
        let magic: (usize, &[u8]) = if self.two { (4, b"n+2\0\r\n\x1a\n") } else { (344, b"n+1\0") };
        h[magic.0..magic.0 + magic.1.len()].copy_from_slice(magic.1);
        h.extend([u8::from(!self.extension.is_empty()), 0, 0, 0]);
        h.extend(&self.extension);
        h
    }

    /// A file whose stored voxels are `values` (little-endian bytes each, `self.bytes` long), x fastest.
    pub fn file<const N: usize>(&self, values: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
        let mut out = self.head();
        for mut raw in values {
            if self.big_endian {
                raw.reverse();
            }
            out.extend(raw);
        }
        out
    }

    /// An int16 file with stored values 0, 1, 2, …
    pub fn counting(&self) -> Vec<u8> {
        self.file((0..self.voxels()).map(|i| (i as i16).to_le_bytes()))
    }
}

/// One gzip member at a level that is not the one under test.
pub fn gz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(9));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
