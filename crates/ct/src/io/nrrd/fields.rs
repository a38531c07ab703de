//! The text of a header: `field: value` and `key:=value`, line by line, up to an empty line.
use crate::io::problem::{Problem, problem};
use std::collections::BTreeMap;

/// A longer header is none: those of segmentations with a hundred segments have 60 kB.
const MAX_HEADER_BYTES: usize = 1 << 20;

const MAGIC: &[u8] = b"NRRD000";
const NEWEST: u8 = b'5';

const DAMAGED: &str = "the header is damaged; export the image again";

/// A header, not understood yet.
#[derive(Debug)]
pub(super) struct Fields {
    /// By name in lower case without spaces: the format's other spellings differ in nothing else.
    fields: BTreeMap<String, String>,
    /// What programs add, by key.
    pub keys: BTreeMap<String, String>,
    /// Bytes up to and with the empty line; all of the file where there is none.
    pub bytes: usize,
}

impl Fields {
    /// Reads a file's beginning. Values are trimmed; nothing is said yet about what they must be.
    pub fn parse(file: &[u8]) -> Result<Self, Problem> {
        require_magic(file)?;
        let head = &file[..file.len().min(MAX_HEADER_BYTES)];
        let mut parsed = Self { fields: BTreeMap::new(), keys: BTreeMap::new(), bytes: 0 };
        let mut first = true;
        loop {
            let rest = &head[parsed.bytes..];
            let end = rest.iter().position(|&b| b == b'\n');
            if end.is_none() && head.len() < file.len() {
                let expected = format!("an empty line within {MAX_HEADER_BYTES} bytes");
                return Err(problem("end of the header", expected, "none", DAMAGED));
            }
            let line = &rest[..end.unwrap_or(rest.len())];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            parsed.bytes += end.map_or(rest.len(), |end| end + 1);
            match (line, first) {
                (_, true) => {}
                ([], _) => return Ok(parsed),
                ([b'#', ..], _) => {}
                (line, _) => parsed.add(&String::from_utf8_lossy(line))?,
            }
            first = false;
            if parsed.bytes == file.len() {
                return Ok(parsed);
            }
        }
    }

    fn add(&mut self, line: &str) -> Result<(), Problem> {
        let colon = line.find(':').ok_or_else(|| {
            problem("line of the header", "'field: value' or 'key:=value'", shown(line), DAMAGED)
        })?;
        let (name, value) = (line[..colon].trim(), &line[colon + 1..]);
        let (map, name, value) = match value.strip_prefix('=') {
            Some(value) => (&mut self.keys, unescaped(name), unescaped(value)),
            None => (&mut self.fields, key(name), value.trim().to_string()),
        };
        match map.insert(name.clone(), value) {
            None => Ok(()),
            Some(_) => Err(problem(name, "once in the header", "twice", DAMAGED)),
        }
    }

    /// What a field holds. An empty one counts as missing.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(&key(name)).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn require(&self, name: &'static str, expected: &str) -> Result<&str, Problem> {
        self.get(name).ok_or_else(|| problem(name, expected, "none", DAMAGED))
    }
}

fn key(name: &str) -> String {
    name.to_lowercase().replace(' ', "")
}

fn require_magic(file: &[u8]) -> Result<(), Problem> {
    let expected = "NRRD0001 to NRRD0005";
    match file.strip_prefix(MAGIC) {
        Some([b'1'..=NEWEST, b'\n' | b'\r', ..]) => Ok(()),
        Some(_) => {
            Err(problem("version", expected, shown_bytes(file), "save it in an older version of NRRD"))
        }
        None => Err(problem("first line", expected, shown_bytes(file), "give an NRRD file (.nrrd or .nhdr)")),
    }
}

fn shown_bytes(file: &[u8]) -> String {
    format!("\"{}\"", file[..file.len().min(12)].escape_ascii())
}

/// A line of any length, for a message.
fn shown(line: &str) -> String {
    format!("'{}'", line.chars().take(60).collect::<String>())
}

/// Keys and values have `\n` for a line break and `\\` for a backslash.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('\\') | None => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
        }
    }
    out
}

/// The reverse of [`unescaped`]; line breaks of other kinds become spaces.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_keys_are_told_apart() {
        let text = b"NRRD0004\r\n# a: comment\r\nData File: a b.raw\r\nSegment0_Tags:=A~x: y\\n\\\\|\r\ncontent: a:=b\r\n\r\nrest";
        let fields = Fields::parse(text).unwrap_or_else(|_| panic!("a good header"));
        assert_eq!(fields.get("datafile"), Some("a b.raw"));
        assert_eq!(fields.get("content"), Some("a:=b"));
        assert_eq!(fields.keys["Segment0_Tags"], "A~x: y\n\\|");
        assert_eq!(&text[fields.bytes..], b"rest");
        assert_eq!(unescaped(&escaped("a\\n\nb\\")), "a\\n\nb\\");
    }
}
