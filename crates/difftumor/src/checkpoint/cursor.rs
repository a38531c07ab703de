//! Reads a byte string from front to back; every promised length is compared with what is left.
use super::pickle::Fault;

/// Where in the bytes the reader is.
pub(super) struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    /// The next bytes, if there are so many.
    fn take(&mut self, n: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.bytes.len());
        let end =
            end.ok_or_else(|| format!("{n} bytes are promised, {} are left", self.bytes.len() - self.at))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    /// The next N bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        Ok(self.take(N)?.try_into().expect("take gives as many as asked for"))
    }

    /// Bytes preceded by their number, itself of `width` bytes.
    pub fn counted(&mut self, width: usize) -> Result<&'a [u8], Fault> {
        let count = self.take(width)?.iter().rev().fold(0_u64, |n, &b| n << 8 | u64::from(b));
        self.take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Text up to the end of the line.
    pub fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or("a line without an end")?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| "a class name that is not text".into())
    }
}
