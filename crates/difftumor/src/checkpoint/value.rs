//! What a pickle says, as data: a tree of values in an arena.
//!
//! Values name each other by index, so shared and cyclic values (which pickles may hold) need no counting, and neither
//! building nor dropping a deeply nested one can exhaust the stack.
use std::sync::Arc;

/// Index of a value in its [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ValueId(pub(super) u32);

/// All values of a pickle.
#[derive(Debug, Clone)]
pub struct Tree {
    pub(super) values: Vec<Value>,
    pub(super) root: ValueId,
}

/// One value of a pickle.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A longer integer: two's complement, little endian.
    BigInt(Vec<u8>),
    /// A float, also one that numpy wrapped as a scalar.
    Float(f64),
    /// A string.
    Str(Arc<str>),
    /// `bytes` or `bytearray`.
    Bytes(Vec<u8>),
    /// A list or a deque.
    List(Vec<ValueId>),
    /// A tuple or a `torch.Size`.
    Tuple(Vec<ValueId>),
    /// A set or frozenset, in the file's order.
    Set(Vec<ValueId>),
    /// A dict, OrderedDict or defaultdict, in the file's order. Keys may be of any type and may repeat (the last wins).
    Dict(Vec<(ValueId, ValueId)>),
    /// A class or function, by name: `torch.FloatStorage`. Nothing of that name is looked up or called.
    Class(Arc<str>),
    /// A tensor.
    Tensor(TensorRef),
    /// The bytes behind tensors. `dtype` is `None` for element types that this program does not read.
    Storage {
        /// Name of the storage in the file.
        key: Arc<str>,
        /// Element type, where it is one that can be read.
        dtype: Option<Dtype>,
        /// Elements that the pickle says it has.
        elements: usize,
        /// First element of the storage that this one shows (views of the oldest files).
        offset: usize,
    },
    /// Anything else that the pickle asks to be made: recorded, never made.
    Object(Box<Object>),
}

/// A pickled object whose class is foreign to this program.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The class or function, a [`Value::Class`] in sound files.
    pub class: ValueId,
    /// What it would have been called with.
    pub args: ValueId,
    /// What its `__setstate__` would have been given; with `__slots__` a tuple (None, dict).
    pub state: Option<ValueId>,
    /// What would have been appended to it or added.
    pub items: Vec<ValueId>,
    /// What would have been set in it by key.
    pub entries: Vec<(ValueId, ValueId)>,
}

/// Where a tensor's elements are: a strided view of a storage. Nothing is read before it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorRef {
    /// Sides, outermost first. Empty: a scalar.
    pub shape: Vec<usize>,
    /// Elements of the storage from one index to the next, for each side.
    pub strides: Vec<usize>,
    /// Element type.
    pub dtype: Dtype,
    /// Name of the storage in the file.
    pub storage: Arc<str>,
    /// First element.
    pub offset: usize,
}

/// Element types that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

/// Storage class, dtype name, safetensors name.
const DTYPES: [(Dtype, &str, &str, &str); 10] = [
    (Dtype::F64, "DoubleStorage", "float64", "F64"),
    (Dtype::F32, "FloatStorage", "float32", "F32"),
    (Dtype::F16, "HalfStorage", "float16", "F16"),
    (Dtype::Bf16, "BFloat16Storage", "bfloat16", "BF16"),
    (Dtype::I64, "LongStorage", "int64", "I64"),
    (Dtype::I32, "IntStorage", "int32", "I32"),
    (Dtype::I16, "ShortStorage", "int16", "I16"),
    (Dtype::I8, "CharStorage", "int8", "I8"),
    (Dtype::U8, "ByteStorage", "uint8", "U8"),
    (Dtype::Bool, "BoolStorage", "bool", "BOOL"),
];

impl Dtype {
    /// The type of a class such as `torch.FloatStorage` (also `torch.cuda.FloatStorage`), a dtype such as
    /// `torch.float32`, or a safetensors type such as `F32`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let last = name.rsplit('.').next()?;
        if last == "UntypedStorage" {
            return Some(Self::U8);
        }
        DTYPES.iter().find(|(_, a, b, c)| [*a, *b, *c].contains(&last)).map(|row| row.0)
    }

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }
}

impl TensorRef {
    /// Number of elements of the tensor, and how many elements of the storage it reaches over. `None` on overflow.
    pub(super) fn extent(&self) -> Option<(usize, usize)> {
        let elements = self.shape.iter().try_fold(1_usize, |n, &side| n.checked_mul(side))?;
        if elements == 0 {
            return Some((0, 0));
        }
        let last =
            self.shape.iter().zip(&self.strides).try_fold(self.offset, |at, (&side, &stride)| {
                at.checked_add((side - 1).checked_mul(stride)?)
            })?;
        Some((elements, last.checked_add(1)?))
    }
}

impl Tree {
    /// The outermost value.
    pub fn root(&self) -> ValueId {
        self.root
    }

    /// The value of that index.
    pub fn get(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// What a dict holds under a string key (the last of equal keys, as in Python).
    pub fn entry(&self, dict: ValueId, key: &str) -> Option<ValueId> {
        let Value::Dict(entries) = self.get(dict) else { return None };
        let is_key = |id: ValueId| matches!(self.get(id), Value::Str(s) if &**s == key);
        entries.iter().rev().find(|(k, _)| is_key(*k)).map(|(_, v)| *v)
    }

    /// The value under one string key after another, from the outermost dict inwards. `None` where one is not there.
    pub fn find(&self, keys: &[&str]) -> Option<&Value> {
        keys.iter().try_fold(self.root, |dict, key| self.entry(dict, key)).map(|id| self.get(id))
    }

    /// The string entries of a dict, in the file's order. Nothing for any other value.
    pub(super) fn string_entries(&self, id: ValueId) -> impl Iterator<Item = (&Arc<str>, ValueId)> {
        let entries = match self.get(id) {
            Value::Dict(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().filter_map(|(k, v)| match self.get(*k) {
            Value::Str(name) => Some((name, *v)),
            _ => None,
        })
    }

    /// Names of the classes and functions that the pickle asks for and that were not made or called.
    pub fn foreign_classes(&self) -> std::collections::BTreeSet<&str> {
        let class = |value: &Value| match value {
            Value::Object(object) => Some(match self.get(object.class) {
                Value::Class(name) => &**name,
                _ => "(not a class)",
            }),
            _ => None,
        };
        self.values.iter().filter_map(class).collect()
    }
}
