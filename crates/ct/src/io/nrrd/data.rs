//! From a header to the bytes of its samples: behind the header, or in a file beside it.
use super::fields::Fields;
use super::header::{Encoding, Header};
use crate::error::{Error, Result};
use crate::io::gzip;
use crate::io::problem::{Problem, problem};
use std::borrow::Cow;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// An NRRD file in memory.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    pub fields: Fields,
    /// What comes behind the header.
    attached: Vec<u8>,
}

impl File {
    /// Reads a whole file and its header's text.
    pub fn open(path: &Path) -> Result<Self> {
        let mut bytes = read(path)?;
        let fields = Fields::parse(&bytes).map_err(|p| p.of(path))?;
        bytes.drain(..fields.bytes);
        Ok(Self { path: path.to_path_buf(), fields, attached: bytes })
    }

    /// The bytes of all samples, as many as the header says.
    pub fn voxels(&self, header: &Header) -> Result<Cow<'_, [u8]>> {
        let of = |p: Problem| p.of(&self.path);
        let skipped = skip(&self.fields, header).map_err(of)?;
        let Some(name) = self.fields.get("data file") else {
            return cut(Cow::Borrowed(&self.attached), header, skipped).map_err(of);
        };
        let path = beside(&self.path, name).map_err(of)?;
        let size = fs::metadata(&path).map_err(Error::io(&path, "read"))?.len();
        let of = |p: Problem| p.of(&path);
        if header.encoding == Encoding::Raw {
            require_length(header, skipped, size).map_err(of)?;
        }
        cut(Cow::Owned(read(&path)?), header, skipped).map_err(of)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let meta = fs::metadata(path).map_err(Error::io(path, "read"))?;
    if !meta.is_file() {
        let found = if meta.is_dir() { "a folder" } else { "a pipe or device" };
        return Err(problem("input", "a file", found, "give the path of an NRRD file").of(path));
    }
    fs::read(path).map_err(Error::io(path, "read"))
}

/// Bytes before the samples. `None`: the samples are the file's end.
fn skip(fields: &Fields, header: &Header) -> Result<Option<usize>, Problem> {
    let hint = "save the image as one .nrrd file";
    if fields.get("line skip").is_some_and(|lines| lines != "0") {
        return Err(problem("line skip", "0 (others are not supported)", "another", hint));
    }
    match (fields.get("byte skip"), header.encoding) {
        (None | Some("0"), _) => Ok(Some(0)),
        (Some("-1"), Encoding::Raw) => Ok(None),
        (Some(text), Encoding::Raw) => {
            let bad = || problem("byte skip", "-1 or a number of bytes", format!("'{text}'"), hint);
            text.parse().map(Some).map_err(|_| bad())
        }
        (Some(text), Encoding::Gzip) => {
            Err(problem("byte skip", "0 (others are not supported with gzip)", format!("'{text}'"), hint))
        }
    }
}

fn cut<'a>(bytes: Cow<'a, [u8]>, header: &Header, skipped: Option<usize>) -> Result<Cow<'a, [u8]>, Problem> {
    if header.encoding == Encoding::Gzip {
        if !gzip::is_gzip(&bytes) {
            let hint = "the file is cut off, or its encoding is another";
            return Err(problem("data", "a gzip stream", "none", hint));
        }
        return gzip::inflate_exactly(&bytes, header.data_bytes).map(Cow::Owned);
    }
    require_length(header, skipped, bytes.len() as u64)?;
    let start = bytes.len() - header.data_bytes;
    Ok(match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[start..]),
        Cow::Owned(mut bytes) => {
            bytes.drain(..start);
            Cow::Owned(bytes)
        }
    })
}

/// Raw samples fill the file's end, and all of it but for what is skipped.
fn require_length(header: &Header, skipped: Option<usize>, found: u64) -> Result<(), Problem> {
    let samples = header.data_bytes as u64;
    let right = match skipped {
        Some(skipped) => samples.checked_add(skipped as u64) == Some(found),
        None => found >= samples,
    };
    if right {
        return Ok(());
    }
    let hint = "the file is cut off, or sizes and type in its header are wrong";
    let skipped = skipped.filter(|&n| n > 0).map(|n| format!(" after {n} skipped")).unwrap_or_default();
    Err(problem("length of the data", format!("{samples} bytes{skipped}"), format!("{found} bytes"), hint))
}

/// The data file that a header names: in the header's folder or below, so that a header from elsewhere cannot make the program read any
/// file of this machine.
fn beside(header: &Path, name: &str) -> Result<PathBuf, Problem> {
    let expected = "one file in the header's folder";
    let first = name.split_whitespace().next().unwrap_or_default();
    if first == "LIST" || name.contains('%') {
        let hint = "several data files are not supported: save the image as one .nrrd file";
        return Err(problem("data file", expected, format!("'{name}'"), hint));
    }
    let relative = Path::new(name);
    let inside = |c: Component| matches!(c, Component::Normal(_) | Component::CurDir);
    if !relative.components().all(inside) || relative.file_name().is_none() {
        let hint = "move the data file beside its header and correct the name";
        return Err(problem("data file", expected, format!("'{name}'"), hint));
    }
    Ok(header.with_file_name("").join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_files_lie_in_the_headers_folder() {
        let of = |name: &str| beside(Path::new("/a/b.nhdr"), name).ok();
        assert_eq!(of("./b c.raw.gz"), Some("/a/./b c.raw.gz".into()));
        assert_eq!(of("c/d.raw"), Some("/a/c/d.raw".into()));
        for bad in ["../x.raw", "/etc/passwd", "c/../../x", "LIST", "LIST 3", "x%03d.raw 1 9 1", ".."] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(beside(Path::new("b.nhdr"), "x.raw").ok(), Some("x.raw".into()));
    }
}
