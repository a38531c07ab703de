//! The pickle machine: reads Python's pickle protocols 2 to 5 into a [`Tree`] and executes nothing.
//!
//! Why our own: a pickle is a program that may call anything, and checkpoints of trainers hold objects of many foreign
//! classes. A reader for tensors must neither run them nor stumble over them. The known Rust readers of PyTorch files
//! fail on a `defaultdict`, a `deque`, or an object with `__slots__`. Here only the harmless constructors of
//! [`super::construct`] are understood; everything else becomes an inert [`Value::Object`].
//!
//! The stack, the marks and the memo hold indices of values. Lengths are compared with the bytes that are left before
//! anything is allocated, and each opcode makes at most one value, so memory is bounded by the pickle's size.
use super::cursor::Cursor;
use super::value::{Object, Tree, Value, ValueId};
use std::cell::Cell;
use std::collections::HashMap;

/// A pickle that is longer than this is refused: that of a full training state of 466 tensors has about 200 kB.
pub(super) const MAX_PICKLE_BYTES: usize = 32 << 20;
/// More values than this are refused: together with their sizes this bounds memory at some hundred megabytes.
const MAX_VALUES: usize = 4 << 20;

/// Why a pickle cannot be read, for a person.
pub(super) type Fault = String;

/// The machine while it runs.
pub(super) struct Machine<'a> {
    input: Cursor<'a>,
    stack: Vec<ValueId>,
    marks: Vec<usize>,
    memo: HashMap<u32, ValueId>,
    /// How much may still be copied from value to value (items, characters): each is copied about once in sound files,
    /// and a bomb copies one over and over.
    copies_left: Cell<usize>,
    values: Vec<Value>,
}

/// Reads one pickle from the start of `bytes`; returns how many bytes it took.
pub(super) fn parse(bytes: &[u8]) -> Result<(Tree, usize), Fault> {
    let mut machine = Machine {
        input: Cursor { bytes, at: 0 },
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
        copies_left: Cell::new(2 * bytes.len()),
        values: vec![],
    };
    let root = machine.run().map_err(|fault| format!("{fault} (before byte {})", machine.input.at))?;
    Ok((Tree { values: machine.values, root }, machine.input.at))
}

impl Machine<'_> {
    fn run(&mut self) -> Result<ValueId, Fault> {
        loop {
            let op = self.input.byte()?;
            if op == b'.' {
                return self.pop();
            }
            let known = self.scalar(op)? || self.container(op)? || self.memoize(op)? || self.object(op)?;
            if !known {
                return Err(format!("opcode 0x{op:02x} is not of the binary protocols 2 to 5"));
            }
        }
    }

    /// Numbers, strings and other values without parts.
    fn scalar(&mut self, op: u8) -> Result<bool, Fault> {
        let value = match op {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            b'K' => Value::Int(self.input.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.input.array()?).into()),
            b'G' => Value::Float(f64::from_be_bytes(self.input.array()?)),
            0x8a => long(self.input.counted(1)?), // LONG1
            0x8b => long(self.input.counted(4)?), // LONG4
            b'X' => utf8(self.input.counted(4)?),
            0x8c => utf8(self.input.counted(1)?),
            0x8d => utf8(self.input.counted(8)?),
            b'U' => latin1(self.input.counted(1)?), // Python 2's str: its bytes are text in practice
            b'T' => latin1(self.input.counted(4)?),
            b'B' => Value::Bytes(self.input.counted(4)?.to_vec()),
            b'C' => Value::Bytes(self.input.counted(1)?.to_vec()),
            0x8e | 0x96 => Value::Bytes(self.input.counted(8)?.to_vec()), // BINBYTES8, BYTEARRAY8
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                Value::Class(format!("{module}.{name}").into())
            }
            _ => return Ok(false),
        };
        self.push_new(value)?;
        Ok(true)
    }

    /// Lists, tuples, sets and dicts.
    fn container(&mut self, op: u8) -> Result<bool, Fault> {
        match op {
            b'(' => self.marks.push(self.stack.len()),
            b']' => self.push_new(Value::List(vec![]))?,
            b')' => self.push_new(Value::Tuple(vec![]))?,
            b'}' => self.push_new(Value::Dict(vec![]))?,
            0x8f => self.push_new(Value::Set(vec![]))?,
            0x85..=0x87 => {
                let parts = self.pop_n(usize::from(op - 0x84))?;
                self.push_new(Value::Tuple(parts))?;
            }
            b't' => {
                let parts = self.pop_mark()?;
                self.push_new(Value::Tuple(parts))?;
            }
            b'l' => {
                let parts = self.pop_mark()?;
                self.push_new(Value::List(parts))?;
            }
            0x91 => {
                let parts = self.pop_mark()?;
                self.push_new(Value::Set(parts))?; // FROZENSET
            }
            b'd' => {
                let parts = self.pop_mark()?;
                self.push_new(Value::Dict(pairs(&parts)?))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?; // APPENDS, ADDITEMS
                self.extend(items)?;
            }
            b's' => {
                let pair = self.pop_n(2)?;
                self.set_items(pair)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The memo, and opcodes that only move things.
    fn memoize(&mut self, op: u8) -> Result<bool, Fault> {
        match op {
            0x80 => {
                let protocol = self.input.byte()?;
                if !(2..=5).contains(&protocol) {
                    return Err(format!("pickle protocol {protocol} is not one of 2 to 5"));
                }
            }
            0x95 => drop(self.input.array::<8>()?), // FRAME: only a hint for buffering
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'q' => {
                let slot = self.input.byte()?.into();
                self.memo.insert(slot, self.top()?);
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.input.array()?);
                self.memo.insert(slot, self.top()?);
            }
            0x94 => {
                let slot = u32::try_from(self.memo.len()).map_err(|_| "the memo is full")?;
                self.memo.insert(slot, self.top()?);
            }
            b'h' => {
                let slot = self.input.byte()?.into();
                self.recall(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.input.array()?);
                self.recall(slot)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Everything that would import, call or construct something in Python.
    fn object(&mut self, op: u8) -> Result<bool, Fault> {
        match op {
            0x93 => {
                let names = self.pop_n(2)?; // STACK_GLOBAL
                let (Value::Str(module), Value::Str(name)) = (self.value(names[0]), self.value(names[1]))
                else {
                    return Err("the name of a class is not a string".into());
                };
                self.charge_copy(module.len() + name.len())?;
                let class = Value::Class(format!("{module}.{name}").into());
                self.push_new(class)?;
            }
            b'R' | 0x81 => {
                let call = self.pop_n(2)?; // REDUCE, NEWOBJ
                self.call(call[0], call[1])?;
            }
            0x92 => {
                let call = self.pop_n(3)?; // NEWOBJ_EX: class, positional and named arguments
                let args = self.new_value(Value::Tuple(vec![call[1], call[2]]))?;
                self.call(call[0], args)?;
            }
            b'o' => {
                let parts = self.pop_mark()?;
                let (&class, args) = parts.split_first().ok_or("an object without a class")?;
                let args = self.new_value(Value::Tuple(args.to_vec()))?;
                self.call(class, args)?;
            }
            b'b' => {
                let state = self.pop()?;
                // The state of what is understood (a dict's or tensor's attributes) carries no weights.
                let top = self.top()?;
                if let Value::Object(object) = self.value_mut(top) {
                    object.state = Some(state);
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.persistent(id)?;
                self.push_new(storage)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn call(&mut self, class: ValueId, args: ValueId) -> Result<(), Fault> {
        let value = match self.construct(class, args)? {
            Some(value) => value,
            None => {
                Value::Object(Box::new(Object { class, args, state: None, items: vec![], entries: vec![] }))
            }
        };
        self.push_new(value)
    }

    fn extend(&mut self, new: Vec<ValueId>) -> Result<(), Fault> {
        let top = self.top()?;
        match self.value_mut(top) {
            Value::List(items) | Value::Set(items) => items.extend(new),
            Value::Object(object) => object.items.extend(new),
            _ => return Err("items are appended to something that is not a list".into()),
        }
        Ok(())
    }

    fn set_items(&mut self, new: Vec<ValueId>) -> Result<(), Fault> {
        let (top, new) = (self.top()?, pairs(&new)?);
        match self.value_mut(top) {
            Value::Dict(entries) => entries.extend(new),
            Value::Object(object) => object.entries.extend(new),
            _ => return Err("a key is set in something that is not a dict".into()),
        }
        Ok(())
    }

    pub(super) fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0 as usize]
    }

    /// Call before copying so many items or bytes from one value to another.
    pub(super) fn charge_copy(&self, size: usize) -> Result<(), Fault> {
        let left = self.copies_left.get().checked_sub(size);
        self.copies_left.set(left.ok_or("one value is copied over and over: a decompression bomb")?);
        Ok(())
    }

    fn new_value(&mut self, value: Value) -> Result<ValueId, Fault> {
        if self.values.len() == MAX_VALUES {
            return Err(format!("more than {MAX_VALUES} values"));
        }
        self.values.push(value);
        Ok(ValueId(self.values.len() as u32 - 1)) // MAX_VALUES fits
    }

    fn push_new(&mut self, value: Value) -> Result<(), Fault> {
        let id = self.new_value(value)?;
        self.stack.push(id);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), Fault> {
        let id = self.memo.get(&slot).ok_or_else(|| format!("memo slot {slot} was never filled"))?;
        self.stack.push(*id);
        Ok(())
    }

    /// Values above the last mark are all that may be popped.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<ValueId, Fault> {
        if self.stack.len() <= self.floor() {
            return Err("the stack is empty".into());
        }
        Ok(self.stack[self.stack.len() - 1])
    }

    fn pop(&mut self) -> Result<ValueId, Fault> {
        Ok(self.pop_n(1)?[0])
    }

    fn pop_n(&mut self, n: usize) -> Result<Vec<ValueId>, Fault> {
        if self.stack.len() - self.floor() < n {
            return Err("the stack is empty".into());
        }
        Ok(self.stack.split_off(self.stack.len() - n))
    }

    fn pop_mark(&mut self) -> Result<Vec<ValueId>, Fault> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark))
    }
}

fn pairs(items: &[ValueId]) -> Result<Vec<(ValueId, ValueId)>, Fault> {
    if !items.len().is_multiple_of(2) {
        return Err("a dict's key without a value".into());
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::BigInt(bytes.to_vec());
    }
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut all = if negative { [0xff; 8] } else { [0; 8] };
    all[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(all))
}

/// Python writes lone surrogates, which UTF-8 has not; they become U+FFFD, since names of tensors never hold them.
fn utf8(bytes: &[u8]) -> Value {
    Value::Str(String::from_utf8_lossy(bytes).into())
}

fn latin1(bytes: &[u8]) -> Value {
    Value::Str(bytes.iter().map(|&b| char::from(b)).collect::<String>().into())
}
