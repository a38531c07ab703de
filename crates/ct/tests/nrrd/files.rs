//! Small NRRD files, written by the letter of the format and independently of the code under test.
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file: header lines by field, and data.
#[derive(Debug, Clone)]
pub struct File {
    pub magic: &'static str,
    /// Field and value; a later one replaces an earlier one, and an empty one removes it.
    pub fields: Vec<(String, String)>,
    /// Keys of programs.
    pub keys: Vec<(String, String)>,
    pub data: Vec<u8>,
}

/// What a file stores at x, y, z.
pub fn stored(x: usize, y: usize, z: usize) -> i16 {
    let [x, y, z] = [x, y, z].map(|v| v as i16);
    -1000 + 300 * x - 37 * y * y + 100 * z
}

/// 4 × 3 × 2 voxels of int16, raw and little-endian, in LPS.
pub fn good() -> File {
    let voxels = (0..24).map(|i| stored(i % 4, i / 4 % 3, i / 12));
    let fields = [
        ("type", "short"),
        ("dimension", "3"),
        ("space", "left-posterior-superior"),
        ("sizes", "4 3 2"),
        ("space directions", "(0.5,0,0) (0,0.75,0) (0,0,2.5)"),
        ("kinds", "domain domain domain"),
        ("endian", "little"),
        ("encoding", "raw"),
        ("space origin", "(-10,20,30.5)"),
    ];
    File {
        magic: "NRRD0004",
        fields: fields.map(|(name, value)| (name.into(), value.into())).to_vec(),
        keys: vec![],
        data: voxels.flat_map(i16::to_le_bytes).collect(),
    }
}

/// Labels of one byte a voxel with segments of 3D Slicer.
pub fn segmentation(data: &[u8], keys: &[(&str, &str)]) -> File {
    let mut file = good().set("type", "unsigned char").set("encoding", "gzip").set("endian", "");
    file.keys = keys.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    File { data: gz(data), ..file }
}

impl File {
    pub fn set(mut self, field: &str, value: &str) -> Self {
        self.fields.retain(|(name, _)| name != field);
        if !value.is_empty() {
            self.fields.push((field.into(), value.into()));
        }
        self
    }

    pub fn data(self, data: Vec<u8>) -> Self {
        Self { data, ..self }
    }

    pub fn header(&self) -> String {
        let fields = self.fields.iter().map(|(name, value)| format!("{name}: {value}\n"));
        let keys = self.keys.iter().map(|(key, value)| format!("{key}:={value}\n"));
        format!("{}\n# text\n{}\n", self.magic, fields.chain(keys).collect::<String>())
    }

    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, [self.header().as_bytes(), &self.data].concat()).unwrap();
        path
    }
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
