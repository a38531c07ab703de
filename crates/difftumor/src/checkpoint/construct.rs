//! The constructors that are understood: containers, tensors and scalars. They are recognised by name and turned into
//! data here; nothing of Python is called. What is not in [`Machine::construct`]'s table stays an inert object.
use super::pickle::{Fault, Machine};
use super::value::{Dtype, TensorRef, Value, ValueId};
use std::sync::Arc;

/// No weight has more sides; unlimited ones would let a short pickle fill the memory.
const MAX_SIDES: usize = 16;

impl Machine<'_> {
    /// The value of a call, or `None` when the class is foreign.
    pub(super) fn construct(&self, class: ValueId, args: ValueId) -> Result<Option<Value>, Fault> {
        let (Value::Class(class), Value::Tuple(args)) = (self.value(class), self.value(args)) else {
            return Ok(None);
        };
        match &**class {
            "collections.OrderedDict" | "builtins.dict" | "__builtin__.dict" => self.dict(args).map(Some),
            "collections.defaultdict" => Ok(Some(Value::Dict(vec![]))), // its entries follow as items
            "collections.deque" | "builtins.list" | "__builtin__.list" => {
                Ok(Some(Value::List(self.copied_items(args)?)))
            }
            "builtins.set" | "__builtin__.set" | "builtins.frozenset" | "__builtin__.frozenset" => {
                Ok(Some(Value::Set(self.copied_items(args)?)))
            }
            "torch.Size" => Ok(Some(Value::Tuple(self.copied_items(args)?))),
            "_codecs.encode" => self.encoded(args),
            "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => self.tensor(args, None),
            "torch._utils._rebuild_tensor_v3" => {
                let dtype = match args.get(6).map(|id| self.value(*id)) {
                    Some(Value::Class(name)) => Dtype::from_name(name),
                    _ => None,
                };
                match dtype {
                    Some(dtype) => self.tensor(args, Some(dtype)),
                    None => Ok(None),
                }
            }
            "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
                // a parameter is its tensor
                Ok(args.first().map(|id| self.value(*id)).filter(|v| matches!(v, Value::Tensor(_))).cloned())
            }
            "numpy.core.multiarray.scalar" | "numpy._core.multiarray.scalar" => Ok(self.numpy_scalar(args)),
            _ => Ok(None),
        }
    }

    /// Items of the container that is the first argument (none when there is no argument).
    fn copied_items(&self, args: &[ValueId]) -> Result<Vec<ValueId>, Fault> {
        let items = match args.first().map(|id| self.value(*id)) {
            None => vec![],
            Some(Value::List(items) | Value::Tuple(items) | Value::Set(items)) => {
                self.charge_copy(items.len())?;
                items.clone()
            }
            Some(_) => return Err("a container is made from something that is not one".into()),
        };
        Ok(items)
    }

    /// `OrderedDict([(key, value), …])`; usually without arguments, the entries following as items.
    fn dict(&self, args: &[ValueId]) -> Result<Value, Fault> {
        let pairs = self.copied_items(args)?;
        let entry = |id: &ValueId| match self.value(*id) {
            Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err("an entry of a dict is not a pair".to_string()),
        };
        Ok(Value::Dict(pairs.iter().map(entry).collect::<Result<_, _>>()?))
    }

    /// `encode(text, 'latin1')`: how protocol 2 writes bytes.
    fn encoded(&self, args: &[ValueId]) -> Result<Option<Value>, Fault> {
        let Some(Value::Str(text)) = args.first().map(|id| self.value(*id)) else { return Ok(None) };
        self.charge_copy(text.len())?;
        let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<_>>();
        Ok(bytes.map(Value::Bytes))
    }

    /// `scalar(dtype, bytes)`, the dtype being an object of class `numpy.dtype` made from 'f8', 'i4', …
    fn numpy_scalar(&self, args: &[ValueId]) -> Option<Value> {
        let (Value::Object(dtype), Value::Bytes(bytes)) =
            (self.value(*args.first()?), self.value(*args.get(1)?))
        else {
            return None;
        };
        let Value::Tuple(made_from) = self.value(dtype.args) else { return None };
        let Value::Str(code) = self.value(*made_from.first()?) else { return None };
        let Value::Tuple(state) = self.value(dtype.state?) else { return None };
        let mut bytes = bytes.get(..bytes.len().min(8))?.to_vec(); // no scalar read here is longer
        if matches!(self.value(*state.get(1)?), Value::Str(order) if &**order == ">") {
            bytes.reverse();
        }
        Some(match (&**code, bytes.as_slice()) {
            ("f8", b) => Value::Float(f64::from_le_bytes(b.try_into().ok()?)),
            ("f4", b) => Value::Float(f32::from_le_bytes(b.try_into().ok()?).into()),
            ("i8", b) => Value::Int(i64::from_le_bytes(b.try_into().ok()?)),
            ("i4", b) => Value::Int(i32::from_le_bytes(b.try_into().ok()?).into()),
            ("b1", [b]) => Value::Bool(*b != 0),
            _ => return None,
        })
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, …)`. `None` for element types that cannot be read.
    fn tensor(&self, args: &[ValueId], dtype: Option<Dtype>) -> Result<Option<Value>, Fault> {
        let [storage, offset, shape, strides, ..] = *args else {
            return Err("a tensor is made from too few arguments".into());
        };
        let Value::Storage { key, dtype: stored, elements, offset: first } = self.value(storage) else {
            return Err("a tensor is made from something that is not a storage".into());
        };
        let Some(stored) = *stored else { return Ok(None) };
        let offset = self.size(offset)?.checked_add(*first).ok_or("a tensor's offset is too large")?;
        let tensor = TensorRef {
            shape: self.sizes(shape)?,
            strides: self.sizes(strides)?,
            dtype: dtype.unwrap_or(stored),
            storage: Arc::clone(key),
            offset,
        };
        if tensor.shape.len() != tensor.strides.len() {
            return Err(format!("a tensor of shape {:?} has strides {:?}", tensor.shape, tensor.strides));
        }
        let bytes = |elements: usize, dtype: Dtype| elements.checked_mul(dtype.bytes());
        let needed = tensor.extent().and_then(|(_, reach)| bytes(reach, tensor.dtype));
        let promised = first.checked_add(*elements).and_then(|elements| bytes(elements, stored));
        match (needed, promised) {
            (Some(needed), Some(promised)) if needed <= promised => Ok(Some(Value::Tensor(tensor))),
            _ => Err(format!(
                "a tensor of shape {:?}, strides {:?} and offset {} reaches over the {elements} elements of storage '{key}'",
                tensor.shape, tensor.strides, tensor.offset
            )),
        }
    }

    /// `('storage', class, key, location, elements[, (view key, offset, elements) or None])`. The location
    /// (`cpu`, `cuda:0`) is where the tensor once was and means nothing here.
    pub(super) fn persistent(&self, id: ValueId) -> Result<Value, Fault> {
        const FAULT: &str = "a persistent id is not that of a storage";
        let Value::Tuple(parts) = self.value(id) else { return Err(FAULT.into()) };
        let [tag, class, key, _location, elements, view @ ..] = parts.as_slice() else {
            return Err(FAULT.into());
        };
        let (Value::Str(tag), Value::Class(class), Value::Str(key)) =
            (self.value(*tag), self.value(*class), self.value(*key))
        else {
            return Err(FAULT.into());
        };
        if &**tag != "storage" {
            return Err(FAULT.into());
        }
        let (mut offset, mut elements) = (0, self.size(*elements)?);
        if let Some(Value::Tuple(view)) = view.first().map(|id| self.value(*id)) {
            let [_key, first, shown] = view.as_slice() else { return Err(FAULT.into()) };
            (offset, elements) = (self.size(*first)?, self.size(*shown)?);
        }
        Ok(Value::Storage { key: Arc::clone(key), dtype: Dtype::from_name(class), elements, offset })
    }

    fn size(&self, id: ValueId) -> Result<usize, Fault> {
        match self.value(id) {
            Value::Int(n) => usize::try_from(*n).map_err(|_| format!("{n} is not a size")),
            _ => Err("a size is not an integer".into()),
        }
    }

    fn sizes(&self, id: ValueId) -> Result<Vec<usize>, Fault> {
        match self.value(id) {
            Value::Tuple(items) | Value::List(items) if items.len() <= MAX_SIDES => {
                items.iter().map(|id| self.size(*id)).collect()
            }
            Value::Tuple(items) | Value::List(items) => Err(format!("a tensor has {} sides", items.len())),
            _ => Err("a shape is not a tuple".into()),
        }
    }
}
