//! Makes a study: chooses tumors, cuts out what is shown of them, and writes the study, its key and its readers' links.
//!
//! Everything but the links' tokens follows from the seed and the scans: `study.json` and the volumes are the same bytes each time. What
//! is random is keyed by what it is for (a case, a reader), never by an item's place in a list, so that somebody who guesses the seed
//! still needs the key to tell one item from another.
//!
//! Scans of real and synthetic tumors go through the same steps: turned to RAS, cut, clipped and rounded to whole HU, stored as int16
//! with a fresh header that holds shape and voxel size alone. What this cannot hide is told in [`Made::warnings`].
//!
//! What is shown twice is one file under two ids. Who compares files or their digests can tell which items are repeats, but no truth.
//!
//! Source: paper 2 (1), 4.1, App. A.
mod alone;
mod check;
mod choose;
mod context;
mod order;
mod publish;
mod survey;
mod unfinished;
mod warn;

use crate::error::Result;
use crate::format::Kind;
use crate::problem::argument;
use difftumor_ct::Volume;
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::orient::{AxisCodes, reorient};
use std::path::PathBuf;

/// A scan and the tumors in it that may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The patient or scan. Several sources may have it: two organs of a scan, or the scan with and without a synthetic tumor.
    pub case: String,
    /// The scan: whatever [`difftumor_ct::io::read_scan`] reads.
    pub ct: PathBuf,
    /// A label file (NIfTI or NRRD) on the scan's grid; each connected part is one tumor.
    pub tumors: PathBuf,
    /// Its values that are tumors; none: all above 0.
    pub tumor_values: Vec<u16>,
    /// The organ that the tumors are in.
    pub organ: String,
    /// Whether the tumors are synthetic. `tumors` must then hold the new ones alone.
    pub synthetic: bool,
}

/// What kind of study, how large, for whom, and where to.
#[derive(Debug, Clone, PartialEq)]
pub struct MakeOptions {
    /// What readers are asked.
    pub kind: Kind,
    /// Shown above the page; must not give anything away.
    pub title: String,
    /// Readers' names.
    pub readers: Vec<String>,
    /// How many different tumors to show, at most.
    pub items: usize,
    /// Share of the tumors that are shown twice, 0 to 0.5.
    pub repeats: f64,
    /// What the choice of tumors, ids and orders follow from.
    pub seed: u64,
    /// Side of the box shown around a tumor in a visual Turing test. Tumors that are larger are left out.
    pub field_mm: f64,
    /// How much of its surroundings stays around a tumor in organ recognition.
    pub rim_mm: f64,
    /// Tumors with a larger equivalent diameter are left out; the paper's are early ones, up to 20 mm.
    pub max_diameter_mm: Option<f64>,
    /// Window that volumes open with, in HU: centre and width. `None`: [`SOFT_TISSUE_HU`].
    pub window_hu: Option<[f64; 2]>,
    /// The study's folder, which must not be there yet.
    pub out: PathBuf,
    /// The key's file, outside of `out`.
    pub key: PathBuf,
    /// The links' file, outside of `out`.
    pub links: PathBuf,
}

/// The usual window for soft tissue: centre and width.
pub const SOFT_TISSUE_HU: [f64; 2] = [40.0, 400.0];

impl Default for MakeOptions {
    fn default() -> Self {
        Self {
            kind: Kind::VisualTuring,
            title: "Reader study".into(),
            readers: Vec::new(),
            items: 40,
            repeats: 0.1,
            seed: 0,
            field_mm: 96.0,
            rim_mm: 3.0,
            max_diameter_mm: None,
            window_hu: None,
            out: "study".into(),
            key: "key.json".into(),
            links: "links.json".into(),
        }
    }
}

/// What was made.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Made {
    /// SHA-256 of `study.json`, which the key holds too.
    pub study_sha256: String,
    /// How many different tumors are shown: fewer than [`MakeOptions::items`] when there are too few, or to keep numbers equal.
    pub items: usize,
    /// How many of them are shown twice.
    pub repeats: usize,
    /// The groups whose numbers are equal within each organ (visual Turing test) or all (organ recognition).
    pub groups: Vec<Group>,
    /// What could not be shown.
    pub skipped: Vec<Skipped>,
    /// What may give the truth away, or looks wrong.
    pub warnings: Vec<String>,
}

/// Tumors of one organ and one kind.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Group {
    /// The organ.
    pub organ: String,
    /// Whether they are synthetic; `None` when the study does not ask.
    pub synthetic: Option<bool>,
    /// How many are shown.
    pub tumors: usize,
    /// How many could have been.
    pub found: usize,
    /// Smallest, median (the lower of two) and largest equivalent diameter of those shown.
    pub diameters_mm: [f64; 3],
}

/// A case, or tumors of it, left out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// [`Source::case`].
    pub case: String,
    /// Why.
    pub reason: String,
}

/// A seed from the system's source of randomness.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the system gives none.
pub fn drawn_seed() -> Result<u64> {
    getrandom::u64().map_err(|e| crate::Error::Argument {
        what: "seed of the study".into(),
        expected: "the system's random numbers, or a seed that is given".into(),
        found: e.to_string(),
    })
}

/// Makes a study.
///
/// Tumors are chosen so that the numbers of real and synthetic ones are equal within each organ (visual Turing test), or those of all
/// organs (organ recognition); one of each case before a second of any; and of similar sizes (see `choose`).
///
/// A source that cannot be used is left out and told in [`Made::skipped`].
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for options that cannot be, sources that say the same twice, and when a group has no tumor;
/// [`Error::File`](crate::Error::File) when something is at the places to write to, or when they are within one another;
/// [`Error::Ct`](crate::Error::Ct) when a scan that was usable at first no longer is. On any error nothing is left behind.
pub fn make(sources: &[Source], options: &MakeOptions) -> Result<Made> {
    check::options(options)?;
    check::sources(sources)?;
    check::places(options)?;
    let found = survey::survey(sources, options);
    let (groups, chosen) = choose::choose(sources, &found, options)?;
    let entries = entries(sources, &found.tumors, &chosen, options)?;
    let study_sha256 = publish::publish(sources, &found.tumors, &entries, options)?;
    let mut warnings = found.warnings;
    warnings.extend(warn::tells(sources, &found.tumors, &chosen, options));
    Ok(Made {
        study_sha256,
        items: chosen.iter().map(Vec::len).sum(),
        repeats: entries.iter().filter(|entry| entry.repeats.is_some()).count(),
        groups,
        skipped: found.skipped,
        warnings,
    })
}

/// One thing that is shown.
struct Entry {
    id: String,
    /// Index of its tumor.
    tumor: usize,
    /// Id of the entry that it repeats.
    repeats: Option<String>,
}

/// The chosen tumors and the repeats, sorted by id. `chosen` holds indices of tumors, by group.
fn entries(
    sources: &[Source],
    tumors: &[survey::Tumor],
    chosen: &[Vec<usize>],
    options: &MakeOptions,
) -> Result<Vec<Entry>> {
    let id =
        |tumor: usize, showing| random_id(options, &sources[tumors[tumor].source], &tumors[tumor], showing);
    let all: usize = chosen.iter().map(Vec::len).sum();
    // Room for rounding: 0.29 * 100 is below 29.
    let repeats = (options.repeats * all as f64 + 1e-9).floor() as usize;
    let mut shuffled = chosen.to_vec();
    let mut draws = Stream::new(options.seed, 0, "which tumors are shown twice", 0);
    shuffled.iter_mut().for_each(|group| shuffle(group, &mut draws));
    let longest = shuffled.iter().map(Vec::len).max().unwrap_or(0);
    let in_turn = (0..longest).flat_map(|i| shuffled.iter().filter_map(move |group| group.get(i)));
    let twice =
        in_turn.take(repeats).map(|&tumor| Entry { id: id(tumor, 1), tumor, repeats: Some(id(tumor, 0)) });
    let once = chosen.iter().flatten().map(|&tumor| Entry { id: id(tumor, 0), tumor, repeats: None });
    let mut entries: Vec<Entry> = once.chain(twice).collect();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    match entries.windows(2).find(|pair| pair[0].id == pair[1].id) {
        None => Ok(entries),
        Some(pair) => Err(argument("seed", "one that gives each item an id of its own", &pair[0].id)),
    }
}

/// 16 hexadecimal digits. Kind and title are in what they are drawn from: the key of one study says nothing of another of the same seed.
fn random_id(options: &MakeOptions, source: &Source, tumor: &survey::Tumor, showing: u64) -> String {
    let Source { case, organ, synthetic, .. } = source;
    let of = format!("id {:?} {} {case} {organ} {synthetic}", options.kind, options.title);
    let mut draws = Stream::new(options.seed, showing, &of, tumor.number as u64);
    let mut half = || draws.integer(0, i64::from(u32::MAX));
    format!("{:08x}{:08x}", half(), half())
}

/// Fisher and Yates' shuffle.
fn shuffle<T>(values: &mut [T], draws: &mut Stream) {
    for i in (1..values.len()).rev() {
        values.swap(i, draws.index(i + 1));
    }
}

/// Reads a source's scan, with its axes along R, A, S.
fn read_ras(source: &Source) -> Result<Volume> {
    let volume = difftumor_ct::io::read_scan(&source.ct)?.to_volume()?;
    Ok(reorient(&volume, AxisCodes::RAS)?)
}

#[cfg(test)]
mod tests;
