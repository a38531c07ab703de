//! What is asked for, checked before any scan is read.
use super::{MakeOptions, Source};
use crate::error::Result;
use crate::problem::{argument, file};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Longest name of a case, an organ or a reader, and longest title.
const LONGEST_TEXT: usize = 200;

/// Most readers and items: far above any study, far below what would fill a disk by a slip of the keyboard.
const MOST: usize = 100_000;

/// Checks the options, but for the places to write to.
pub(super) fn options(options: &MakeOptions) -> Result<()> {
    text("title", &options.title)?;
    if !(1..=MOST).contains(&options.readers.len()) {
        return Err(argument("readers", format!("1 to {MOST} names"), options.readers.len()));
    }
    let mut seen = BTreeSet::new();
    for name in &options.readers {
        text("name of a reader", name)?;
        // Two links for R1 and r1 would be mixed up by those who hand them out.
        if !seen.insert(name.to_lowercase()) {
            return Err(argument("readers", "each name once", format!("'{name}' twice")));
        }
    }
    if !(1..=MOST).contains(&options.items) {
        return Err(argument("items", format!("1 to {MOST}"), options.items));
    }
    within("repeats", options.repeats, 0.0..=0.5)?;
    within("field_mm", options.field_mm, 10.0..=500.0)?;
    within("rim_mm", options.rim_mm, 0.0..=50.0)?;
    if let Some(largest_mm) = options.max_diameter_mm {
        within("max_diameter_mm", largest_mm, 1.0..=500.0)?;
    }
    if let Some([centre, width]) = options.window_hu {
        within("centre of window_hu", centre, -1024.0..=3071.0)?;
        within("width of window_hu", width, 1.0..=4096.0)?;
    }
    Ok(())
}

/// Checks names, and that no source is there twice: its items would have the same ids.
pub(super) fn sources(sources: &[Source]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for source in sources {
        text("name of a case", &source.case)?;
        text("name of an organ", &source.organ)?;
        if !seen.insert((&source.case, &source.organ, source.synthetic)) {
            let kind = if source.synthetic { "synthetic" } else { "real" };
            let found = format!("'{}' with {kind} tumors of the {} twice", source.case, source.organ);
            return Err(argument("sources", "each case once for each organ and kind of tumor", found));
        }
    }
    Ok(())
}

/// Checks that nothing is at the places to write to, and that neither key nor links lie within the study or are one file.
pub(super) fn places(options: &MakeOptions) -> Result<()> {
    let out = new_place(&options.out)?;
    let apart = [new_place(&options.key)?, new_place(&options.links)?];
    if let Some(within) = apart.iter().find(|place| place.starts_with(&out) || out.starts_with(place)) {
        let problem = format!("key and links must lie outside of the study's folder {}", out.display());
        return Err(file(within, problem, "keep them where readers and the server do not come"));
    }
    if apart[0] == apart[1] {
        return Err(file(&apart[0], "key and links are one file", "give each a name of its own"));
    }
    Ok(())
}

/// The place with all links and dots of its folder resolved. Nothing may be there, and its folder must be.
fn new_place(path: &Path) -> Result<PathBuf> {
    if path.symlink_metadata().is_ok() {
        return Err(file(path, "it is there already", "give another name; a study is never written over"));
    }
    let Some(name) = path.file_name() else {
        return Err(file(path, "it does not end in a name", "give the name of a new file or folder"));
    };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(|error| {
        file(path, format!("its folder cannot be used: {error}"), "make the folder first")
    })?;
    Ok(folder.join(name))
}

fn text(what: &str, value: &str) -> Result<()> {
    let usable = !value.trim().is_empty() && value.len() <= LONGEST_TEXT && !value.contains(char::is_control);
    let expected = || format!("1 to {LONGEST_TEXT} bytes of text on one line");
    if usable { Ok(()) } else { Err(argument(what, expected(), format!("{value:?}"))) }
}

fn within(what: &str, value: f64, range: RangeInclusive<f64>) -> Result<()> {
    // False for NaN too.
    if range.contains(&value) {
        return Ok(());
    }
    Err(argument(what, format!("{} to {}", range.start(), range.end()), value))
}
