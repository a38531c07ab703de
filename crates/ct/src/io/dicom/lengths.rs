//! Do the lengths of elements fit into the file? Asked before anything is allocated on their word: a file that was cut off or damaged
//! must not cost gigabytes.
//!
//! This walks over elements without understanding them. What it cannot follow (contents of implicit sequences with a length, deflated
//! data) it leaves to the parser. Encoding: PS3.5 chapter 7.
use super::place::{MAGIC, PREAMBLE_BYTES};
use super::{Problem, problem};

const IMPLICIT: &str = "1.2.840.10008.1.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub(super) const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// Value representations whose length has 16 bits (PS3.5, 7.1.2). All others have 32, and unknown ones too, as the parser has it.
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL",
    b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
];
const UNDEFINED: u32 = u32::MAX;
const ITEMS: u16 = 0xfffe;
const ITEM: u16 = 0xe000;
const SEQUENCE_END: u16 = 0xe0dd;

/// What the file's first elements say of it.
#[derive(Debug, Default)]
pub(super) struct Meta {
    /// UID of how the data set is encoded.
    pub syntax: String,
    /// UID of what kind of object it is.
    pub class: String,
}

/// Checks the lengths in a whole file.
///
/// # Errors
/// When one reaches beyond the end of the file, or the file names no encoding.
pub(super) fn check(bytes: &[u8]) -> Result<Meta, Problem> {
    let mut walk = Walk { bytes, at: PREAMBLE_BYTES + MAGIC.len(), explicit: true, big_endian: false };
    let mut meta = Meta::default();
    while let Some(element) = walk.next(Some(2))? {
        let value = String::from_utf8_lossy(element.value).trim_matches(['\0', ' ']).to_string();
        match element.tag.1 {
            0x0002 => meta.class = value,
            0x0010 => meta.syntax = value,
            _ => {}
        }
    }
    if meta.syntax.is_empty() {
        let hint = "the file is cut off or damaged; copy or export it again";
        return Err(problem("TransferSyntaxUID (0002,0010)", "a UID", "none", hint));
    }
    if meta.syntax != DEFLATED {
        walk.explicit = meta.syntax != IMPLICIT;
        walk.big_endian = meta.syntax == BIG_ENDIAN;
        walk.all()?;
    }
    Ok(meta)
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    explicit: bool,
    big_endian: bool,
}

struct Element<'a> {
    tag: (u16, u16),
    length: u32,
    vr: [u8; 2],
    /// Empty when the length is not defined.
    value: &'a [u8],
    /// Where the value begins.
    start: usize,
}

impl<'a> Walk<'a> {
    fn all(&mut self) -> Result<(), Problem> {
        let mut in_fragments = false;
        while let Some(element) = self.next(None)? {
            let undefined = element.length == UNDEFINED;
            match element.tag {
                (ITEMS, ITEM) if !in_fragments => self.at = element.start,
                (ITEMS, SEQUENCE_END) => in_fragments = false,
                (ITEMS, _) => {}
                (0x7fe0, 0x0010) if undefined => in_fragments = true,
                _ if &element.vr == b"SQ" => self.at = element.start,
                // Of an unknown kind: its contents are encoded in another way.
                _ if undefined && self.explicit => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The next element, of one group only if told; `None` at the end.
    fn next(&mut self, group: Option<u16>) -> Result<Option<Element<'a>>, Problem> {
        let Some(head) = self.bytes.get(self.at..).filter(|rest| rest.len() >= 8) else { return Ok(None) };
        let tag = (self.u16(head, 0), self.u16(head, 2));
        if group.is_some_and(|wanted| wanted != tag.0) {
            return Ok(None);
        }
        let vr = [head[4], head[5]];
        let (header, length) = match self.explicit && tag.0 != ITEMS {
            false => (8, self.u32(head, 4)),
            true if SHORT.contains(&&vr) => (8, u32::from(self.u16(head, 6))),
            true if head.len() < 12 => return Ok(None),
            true => (12, self.u32(head, 8)),
        };
        let start = self.at + header;
        let value = if length == UNDEFINED { 0 } else { length as usize };
        let Some(value) = self.bytes[start..].get(..value) else {
            let what = format!("element ({:04X},{:04X}) at byte {}", tag.0, tag.1, self.at);
            let expected = format!("its {length} bytes");
            let found = format!("{} up to the end of the file", self.bytes.len() - start);
            return Err(problem(
                what,
                expected,
                found,
                "the file is cut off or damaged; copy or export it again",
            ));
        };
        self.at = start + value.len();
        let vr = if self.explicit { vr } else { *b"  " };
        Ok(Some(Element { tag, length, vr, value, start }))
    }

    fn u16(&self, bytes: &[u8], at: usize) -> u16 {
        let raw = [bytes[at], bytes[at + 1]];
        if self.big_endian { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) }
    }

    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let (a, b) = (u32::from(self.u16(bytes, at)), u32::from(self.u16(bytes, at + 2)));
        if self.big_endian { a << 16 | b } else { b << 16 | a }
    }
}
