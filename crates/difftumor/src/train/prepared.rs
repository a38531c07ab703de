//! A prepared scan: its voxels in memory, or mapped from a file that a training wrote before.
//!
//! The file, all numbers in the order of bytes of the machine that wrote it:
//!
//! ```text
//!   0  8 bytes   magic
//!   8  u32       version of this layout and of what is stored
//!  12  u32       a number that tells the order of bytes
//!  16  32 bytes  key: what the scan was made from, and how (`key.rs`)
//!  48  3 × u64   shape, [x, y, z]
//!  72  u64       labels: as many as voxels, or none
//!  80  2 × u64   lengths of both lists
//!  96  u32       CRC-32C of everything from byte 128 on
//! 100  u32       CRC-32C of bytes 0 to 99
//! 128  f32 …     image, then u32 … both lists, then u8 … labels
//! ```
//!
//! The values stay f32: HU after interpolation are no whole numbers, and a training must not depend on where its scans come
//! from.
use super::key::Key;
use memmap2::Mmap;
use ndarray::{Array3, ArrayView3};
use std::fs::File;
use std::io::{self, Read, Write};

const MAGIC: [u8; 8] = *b"DTscan\r\n";
/// To be raised whenever the layout or the preparation of scans changes.
const VERSION: u32 = 1;
const BYTE_ORDER: u32 = 0x0102_0304;
const HEADER: usize = 128;
const CHECKED: usize = 100;
/// Bytes that are read at a time to check a file.
const CHUNK: usize = 1 << 20;

/// A scan that was made ready, in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrays {
    /// The scan, `[x, y, z]`.
    pub image: Array3<f32>,
    /// A value for each voxel, `[x, y, z]`, if the training needs one.
    pub labels: Option<Array3<u8>>,
    /// Flat indices of voxels around which crops may be centred.
    pub lists: [Vec<u32>; 2],
}

/// A scan that was made ready, wherever it lies.
#[derive(Debug)]
pub struct Prepared(Place);

#[derive(Debug)]
enum Place {
    Memory(Arrays),
    File { map: Mmap, layout: Layout },
}

/// Sizes of the parts of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    shape: [usize; 3],
    labels: usize,
    lists: [usize; 2],
}

impl From<Arrays> for Prepared {
    fn from(arrays: Arrays) -> Self {
        let Arrays { image, labels, lists } = arrays;
        let (image, labels) = (standard(image), labels.map(standard));
        Self(Place::Memory(Arrays { image, labels, lists }))
    }
}

impl Prepared {
    /// The scan, `[x, y, z]`, in standard layout.
    pub fn image(&self) -> ArrayView3<'_, f32> {
        match &self.0 {
            Place::Memory(arrays) => arrays.image.view(),
            Place::File { map, layout } => view(layout.shape, bytemuck::cast_slice(&map[layout.image()])),
        }
    }

    /// Its labels, `[x, y, z]`, in standard layout.
    ///
    /// # Panics
    /// When the scan was prepared without.
    pub fn labels(&self) -> ArrayView3<'_, u8> {
        match &self.0 {
            Place::Memory(arrays) => arrays.labels.as_ref().expect("a scan with labels").view(),
            Place::File { map, layout } => view(layout.shape, &map[layout.labels()]),
        }
    }

    /// A list of flat indices: 0 or 1.
    pub fn list(&self, number: usize) -> &[u32] {
        match &self.0 {
            Place::Memory(arrays) => &arrays.lists[number],
            Place::File { map, layout } => bytemuck::cast_slice(&map[layout.list(number)]),
        }
    }
}

/// In standard layout, as files have them.
fn standard<T: Clone>(array: Array3<T>) -> Array3<T> {
    match array.is_standard_layout() {
        true => array,
        false => array.as_standard_layout().into_owned(),
    }
}

fn view<T>(shape: [usize; 3], values: &[T]) -> ArrayView3<'_, T> {
    ArrayView3::from_shape(shape, values).expect("the layout's sizes are the file's")
}

impl Layout {
    fn of(arrays: &Arrays) -> Self {
        Self {
            shape: arrays.image.dim().into(),
            labels: arrays.labels.as_ref().map_or(0, Array3::len),
            lists: [0, 1].map(|n| arrays.lists[n].len()),
        }
    }

    /// Bytes of the whole file; `None` when no file has so many.
    fn bytes(&self) -> Option<u64> {
        let product = |a: u64, b: usize| a.checked_mul(u64::try_from(b).ok()?);
        let voxels = self.shape.iter().try_fold(1, |a, b| product(a, *b))?;
        if voxels == 0 || ![0, voxels].contains(&(self.labels as u64)) {
            return None;
        }
        let listed = (self.lists[0] as u64).checked_add(self.lists[1] as u64)?;
        let words = voxels.checked_add(listed)?.checked_mul(4)?;
        words.checked_add(self.labels as u64)?.checked_add(HEADER as u64)
    }

    fn image(&self) -> std::ops::Range<usize> {
        HEADER..HEADER + 4 * self.shape.iter().product::<usize>()
    }

    fn list(&self, number: usize) -> std::ops::Range<usize> {
        let start = self.image().end + 4 * self.lists[..number].iter().sum::<usize>();
        start..start + 4 * self.lists[number]
    }

    fn labels(&self) -> std::ops::Range<usize> {
        let start = self.list(1).end;
        start..start + self.labels
    }
}

impl Arrays {
    /// Bytes of the file that [`write`] makes of it.
    pub(super) fn file_bytes(&self) -> u64 {
        Layout::of(self).bytes().expect("arrays in memory have a size")
    }

    /// The parts of a file in their order.
    ///
    /// # Panics
    /// When an array is not in standard layout.
    fn parts(&self) -> [&[u8]; 4] {
        let image = self.image.as_slice().expect("a prepared image is in standard layout");
        let labels = self.labels.as_ref().map_or(&[][..], |l| l.as_slice().expect("so are its labels"));
        let [a, b] = &self.lists;
        [bytemuck::cast_slice(image), bytemuck::cast_slice(a), bytemuck::cast_slice(b), labels]
    }
}

impl Prepared {
    /// The arrays, of a scan that is in memory.
    pub(super) fn in_memory(&self) -> Option<&Arrays> {
        match &self.0 {
            Place::Memory(arrays) => Some(arrays),
            Place::File { .. } => None,
        }
    }
}

/// Writes a scan.
///
/// # Errors
/// When that fails.
pub(super) fn write(to: &mut impl Write, key: &Key, arrays: &Arrays) -> io::Result<()> {
    let layout = Layout::of(arrays);
    let sum = arrays.parts().iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part));
    to.write_all(&header(key, &layout, sum))?;
    arrays.parts().iter().try_for_each(|part| to.write_all(part))
}

fn header(key: &Key, layout: &Layout, sum: u32) -> [u8; HEADER] {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_ne_bytes());
    bytes.extend(BYTE_ORDER.to_ne_bytes());
    bytes.extend(key.0);
    let sizes = layout.shape.iter().chain([&layout.labels]).chain(&layout.lists);
    sizes.for_each(|n| bytes.extend((*n as u64).to_ne_bytes()));
    bytes.extend(sum.to_ne_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_ne_bytes());
    bytes.resize(HEADER, 0);
    bytes.try_into().expect("just resized")
}

/// Maps a file that [`write`] made for that key. `check` reads it through and compares the checksum of what it holds.
///
/// # Errors
/// Tells why the file is not to be trusted. Nothing is mapped or allocated by a size that the file does not have.
pub(super) fn open(file: &mut File, key: &Key, check: bool) -> Result<Prepared, String> {
    let failed = |e: io::Error| e.to_string();
    let mut bytes = [0; HEADER];
    file.read_exact(&mut bytes).map_err(|_| "it ends within its header".to_string())?;
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    if bytes[..8] != MAGIC || word(8) != VERSION || word(12) != BYTE_ORDER {
        return Err("it was not written by this version of the program on such a machine".into());
    }
    if word(CHECKED) != crc32c::crc32c(&bytes[..CHECKED]) || bytes[16..48] != key.0 {
        return Err("its header is damaged, or another file's".into());
    }
    let size = |at: usize| {
        let number = u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        usize::try_from(number).map_err(|_| format!("a size of {number}"))
    };
    let layout =
        Layout { shape: [size(48)?, size(56)?, size(64)?], labels: size(72)?, lists: [size(80)?, size(88)?] };
    let found = file.metadata().map_err(failed)?.len();
    if layout.bytes() != Some(found) {
        return Err(format!("its sizes {layout:?} are not those of its {found} bytes"));
    }
    if check && checksum(file).map_err(failed)? != word(96) {
        return Err("its content is damaged".into());
    }
    // SAFETY: a file under this name is never changed: it is written under another name and renamed, and removed or replaced as a
    // whole, which leaves what is mapped as it is. Whoever else shortens files of this folder can end the program, no more.
    let map = unsafe { Mmap::map(&*file) }.map_err(failed)?;
    // Of a file that was replaced by name only, or grew: what is mapped is what was checked.
    match map.len() as u64 == found {
        true => Ok(Prepared(Place::File { map, layout })),
        false => Err("it has just been changed".into()),
    }
}

/// Of everything after the header, read in pieces: what is mapped would count as this process's memory.
fn checksum(file: &mut File) -> io::Result<u32> {
    let (mut sum, mut chunk) = (0, vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(sum),
            n => sum = crc32c::crc32c_append(sum, &chunk[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom};

    fn arrays(seed: u8) -> Arrays {
        let image =
            Array3::from_shape_fn((5, 4, 3), |(x, y, z)| f32::from(seed) + (x * 12 + y * 3 + z) as f32 / 7.0);
        let labels = Some(image.mapv(|v| u8::from(v > 4.0)));
        Arrays { image, labels, lists: [vec![1, 59], vec![7]] }
    }

    fn file(arrays: &Arrays) -> File {
        let mut file = tempfile::tempfile().unwrap();
        write(&mut file, &Key([3; 32]), arrays).unwrap();
        file
    }

    fn opened(file: &mut File) -> Result<Prepared, String> {
        file.rewind().unwrap();
        open(file, &Key([3; 32]), true)
    }

    #[test]
    fn what_is_mapped_is_what_was_written_to_the_bit() {
        let mut made = arrays(1);
        made.image[[0, 0, 0]] = -0.0;
        made.image[[1, 0, 0]] = f32::MIN_POSITIVE / 2.0;
        for arrays in [made.clone(), Arrays { labels: None, lists: [vec![], vec![4]], ..made }] {
            let mut file = file(&arrays);
            assert_eq!(file.metadata().unwrap().len(), arrays.file_bytes());
            let (mapped, memory) = (opened(&mut file).unwrap(), Prepared::from(arrays.clone()));
            let bits = |p: &Prepared| p.image().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&mapped), bits(&memory));
            for number in [0, 1] {
                assert_eq!(mapped.list(number), memory.list(number));
            }
            if arrays.labels.is_some() {
                assert_eq!(mapped.labels(), memory.labels());
            }
            assert!(mapped.in_memory().is_none() && memory.in_memory().is_some());
        }
    }

    #[test]
    fn no_other_file_is_trusted() {
        let change = |at: u64, bytes: &[u8]| {
            let mut file = file(&arrays(1));
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(bytes).unwrap();
            opened(&mut file).unwrap_err()
        };
        for (at, bytes, says) in [
            (0, &b"X"[..], "not written by this version"),
            (8, &99u32.to_ne_bytes(), "not written by this version"),
            (12, &BYTE_ORDER.swap_bytes().to_ne_bytes(), "not written by this version"),
            (20, &[0], "header is damaged"),
            (48, &u64::MAX.to_ne_bytes(), "header is damaged"),
            (200, &[0xff], "content is damaged"),
        ] {
            let told = change(at, bytes);
            assert!(told.contains(says), "{at}: {told}");
        }
        for bytes in [0, 50, HEADER as u64, arrays(1).file_bytes() - 1, arrays(1).file_bytes() + 1] {
            let mut file = file(&arrays(1));
            file.set_len(bytes).unwrap();
            assert!(opened(&mut file).is_err(), "{bytes}");
        }
        // Sizes that are impossible, with a checksum that is right.
        for shape in [[usize::MAX, 2, 2], [1 << 40, 1 << 40, 1], [0, 4, 3], [5, 4, 4]] {
            let layout = Layout { shape, labels: 0, lists: [0, 0] };
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&header(&Key([3; 32]), &layout, 0)).unwrap();
            file.set_len(4096).unwrap();
            assert!(opened(&mut file).unwrap_err().contains("sizes"), "{shape:?}");
        }
        assert!(opened(&mut file(&arrays(1))).is_ok());
        let mut other = file(&arrays(1));
        other.rewind().unwrap();
        assert!(open(&mut other, &Key([4; 32]), false).is_err());
    }
}
