//! Identifiers that depend on content alone: the same input gives the same files.
//!
//! PS3.5 B.2: `2.25.` and a UUID as one decimal number. The UUID's bits come from a SHA-256 (RFC 9562, version 8).
use sha2::{Digest, Sha256};

/// The program and its version, as it names itself in files. It is part of every identifier: other versions may write other headers.
pub(super) const SOFTWARE: &str = concat!("difftumor ", env!("CARGO_PKG_VERSION"));

/// Collects what an identifier stands for.
pub(super) struct Content(Sha256);

impl Content {
    /// `kind` keeps identifiers of different things apart.
    pub fn new(kind: &str) -> Self {
        Self(Sha256::new()).with(SOFTWARE).with(kind)
    }

    /// Parts are kept apart by their lengths.
    pub fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    pub fn uid(self) -> String {
        let hash = self.0.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        format!("2.25.{}", u128::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::Content;

    #[test]
    fn identifiers_depend_on_every_part() {
        let uid = |a: &str, b: &str| Content::new("series").with(a).with(b).uid();
        assert_eq!(uid("ab", "c"), uid("ab", "c"));
        assert_ne!(uid("ab", "c"), uid("a", "bc"));
        assert_ne!(Content::new("a").uid(), Content::new("b").uid());
        // At most 64 characters of digits and dots, and no leading zero.
        let uid = uid("1", "2");
        assert!(uid.len() <= 64 && uid.starts_with("2.25.") && !uid.starts_with("2.25.0"), "{uid}");
    }
}
