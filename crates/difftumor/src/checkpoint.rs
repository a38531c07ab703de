//! Reads checkpoint files of PyTorch (zip and legacy format) and safetensors files, without Python and without
//! executing what they hold.
//!
//! A checkpoint is a tree of values ([`Tree`]) and a file full of numbers. The tree is parsed at once; tensors are read
//! from the file when asked for ([`Checkpoint::load_f32`]). Files hold state dicts either directly (names to tensors)
//! or one level down, side by side with other things: `{state_dict: {…}, epoch: 12}`, `{model: {…}, ema: {…}}`. Each such
//! dict is a *section*.
//!
//! ```text
//! pickle.rs     the pickle machine              construct.rs  the few constructors it understands
//! value.rs      what it produces                storage.rs    bytes → numbers
//! cursor.rs     bytes from front to back
//! zip.rs        torch.save since 1.6            legacy.rs     torch.save before
//! ```
mod construct;
mod cursor;
mod legacy;
mod pickle;
mod storage;
mod value;
mod zip;

pub use value::{Dtype, Object, TensorRef, Tree, Value, ValueId};

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{Extent, Storages};

/// An opened checkpoint: everything but the numbers.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    tree: Tree,
    storages: Storages,
}

/// Opens a checkpoint. The format is recognised by the content, not by the name.
///
/// # Errors
/// When the file cannot be read, is of no known format, or is damaged: everything the pickle says is checked, but the
/// tensors' own bytes only when they are loaded.
pub fn read(path: impl AsRef<Path>) -> Result<Checkpoint> {
    let path = path.as_ref();
    let mut head = vec![];
    let file = File::open(path).map_err(Error::io(path, "read"))?;
    file.take(512).read_to_end(&mut head).map_err(Error::io(path, "read"))?;
    let (tree, storages) = if head.starts_with(b"PK\x03\x04") {
        let (bytes, storages) = zip::read(path)?;
        let (tree, _) = pickle::parse(&bytes).map_err(|found| {
            Error::format(path, "data.pkl", "a sound pickle", found, "the file is damaged: get it again")
        })?;
        (tree, storages)
    } else if head.starts_with(&legacy::MAGIC) {
        legacy::read(path)?
    } else if head.get(8) == Some(&b'{') {
        read_safetensors(path)?
    } else {
        let (found, hint) = if head.get(257..262) == Some(b"ustar") {
            (
                "a tar archive",
                "PyTorch wrote these before 0.1.10: load it with an old PyTorch and save it again",
            )
        } else if head.is_empty() {
            ("an empty file", "get it again")
        } else {
            ("none of these", "name the file itself, not a web page or a git-lfs pointer in its place")
        };
        let expected = "a PyTorch checkpoint (zip or legacy format) or a safetensors file";
        return Err(Error::format(path, "first bytes", expected, found, hint));
    };
    Ok(Checkpoint { path: path.to_path_buf(), tree, storages })
}

fn read_safetensors(path: &Path) -> Result<(Tree, Storages)> {
    let damaged = |found: String| {
        let hint = "the file is damaged or cut short: get it again";
        Error::format(path, "safetensors header", "a sound header", found, hint)
    };
    const MAX_HEADER_BYTES: u64 = 32 << 20;
    let mut file = File::open(path).map_err(Error::io(path, "read"))?;
    let length = file.metadata().map_err(Error::io(path, "read"))?.len();
    let mut count = [0; 8];
    file.read_exact(&mut count).map_err(Error::io(path, "read"))?;
    let header_bytes = u64::from_le_bytes(count);
    if header_bytes > MAX_HEADER_BYTES.min(length - 8) {
        return Err(damaged(format!("a header of {header_bytes} bytes in a file of {length}")));
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_exact(&mut header).map_err(Error::io(path, "read"))?;
    let metadata: safetensors::tensor::Metadata =
        serde_json::from_slice(&header).map_err(|e| damaged(e.to_string()))?;

    let mut tree = Tree { values: vec![], root: ValueId(0) };
    let (mut entries, mut storages) = (vec![], Storages::default());
    let mut push = |value| {
        tree.values.push(value);
        ValueId(tree.values.len() as u32 - 1) // a header of 32 MB cannot hold 2^32 names
    };
    for (name, info) in metadata.tensors() {
        let Some(dtype) = Dtype::from_name(&info.dtype.to_string()) else { continue };
        let mut strides = vec![1_usize; info.shape.len()];
        for axis in (1..info.shape.len()).rev() {
            strides[axis - 1] = strides[axis].saturating_mul(info.shape[axis]);
        }
        let storage: Arc<str> = name.as_str().into();
        let tensor =
            TensorRef { shape: info.shape.clone(), strides, dtype, storage: storage.clone(), offset: 0 };
        entries.push((push(Value::Str(storage)), push(Value::Tensor(tensor))));
        let (begin, end) = info.data_offsets;
        let extent =
            Extent::plain((8 + header_bytes).saturating_add(begin as u64), end.saturating_sub(begin) as u64);
        storages.extents.insert(name, extent);
    }
    tree.root = push(Value::Dict(entries));
    Ok((tree, storages))
}

impl Checkpoint {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that the file says, apart from numbers.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Names of the sections that the outermost dict may hold: "" for itself, and every string key whose value is a dict.
    pub fn section_names(&self) -> Vec<&str> {
        let is_dict = |id| matches!(self.tree.get(id), Value::Dict(_));
        let inner = self.tree.string_entries(self.tree.root()).filter(|(_, id)| is_dict(*id));
        [""].into_iter().chain(inner.map(|(name, _)| &**name)).collect()
    }

    /// The tensors of a section by name; none when there is no such section. Entries that are no tensors are left out.
    pub fn section(&self, name: &str) -> BTreeMap<String, TensorRef> {
        let root = self.tree.root();
        let dict = if name.is_empty() { Some(root) } else { self.tree.entry(root, name) };
        let tensor = |(name, id): (&Arc<str>, ValueId)| match self.tree.get(id) {
            Value::Tensor(tensor) => Some((name.to_string(), tensor.clone())),
            _ => None,
        };
        dict.into_iter().flat_map(|dict| self.tree.string_entries(dict)).filter_map(tensor).collect()
    }

    /// A whole number beside the state dicts, such as `step`.
    pub fn integer(&self, key: &str) -> Option<i64> {
        match self.tree.find(&[key]) {
            Some(Value::Int(n)) => Some(*n),
            _ => None,
        }
    }

    /// Elements of a tensor in C order, as f32: narrower floats and small integers exactly, f64 and large integers rounded.
    /// `name` is for the error's text.
    ///
    /// # Errors
    /// When the file is damaged (wrong checksum, storage shorter than the tensor) or unreadable.
    pub fn load_f32(&self, name: &str, tensor: &TensorRef) -> Result<Vec<f32>> {
        self.storages.load_f32(&self.path, name, tensor)
    }
}
