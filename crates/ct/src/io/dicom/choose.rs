//! Which files of a folder are the scan.
use super::file::{Found, Kind, read_header};
use super::slice::Slice;
use super::{Problem, SeriesPath, file_name, place, problem};
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The slices of one series.
pub(super) struct Chosen {
    /// In the order of their files' names; at least one.
    pub slices: Vec<Slice>,
    /// What else was there.
    pub warnings: Vec<String>,
    /// Files that are no DICOM images.
    pub other_files: usize,
}

/// Kinds that are left out beside CT slices, in words.
const LEFT_OUT: [(Kind, &str); 4] = [
    (Kind::Localizer, "localizers"),
    (Kind::MultiFrame, "multi-frame images"),
    (Kind::NoPlace, "images without a place (screens, dose reports)"),
    (Kind::OtherModality, "objects of other modalities"),
];

/// Reads the headers of all files and takes the slices of the series.
pub(super) fn choose(path: &SeriesPath) -> Result<Chosen> {
    let folder = path.folder();
    let files = place::files(folder).map_err(Error::io(folder, "read"))?;
    let number = files.len();
    let headers = files.into_par_iter().map(|file| {
        let has_magic = place::has_magic(&file).map_err(Error::io(&file, "read"))?;
        Ok(if has_magic { read_header(&file)? } else { None })
    });
    let headers: Vec<Option<Found>> = headers.collect::<Result<_>>()?;
    let found: Vec<Found> = headers.into_iter().flatten().collect();
    let other_files = number - found.len();
    let (slices, warnings) = one_series(found, path.series_uid()).map_err(|p| p.of(folder))?;
    // The header of a file that should be a slice, but cannot be.
    let slices = slices.into_iter().map(|f| f.slice.map_err(|p| p.of(&f.file)));
    Ok(Chosen { slices: slices.collect::<Result<_>>()?, warnings, other_files })
}

fn one_series(mut found: Vec<Found>, wanted: Option<&str>) -> Result<(Vec<Found>, Vec<String>), Problem> {
    if let Some(uid) = wanted {
        let (series, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|f| f.series_uid == uid);
        if series.is_empty() {
            let listed = listed(&by_series(others));
            return Err(problem("DICOM series", format!("series {uid}"), listed, "name one that is there"));
        }
        found = series;
    }
    let (slices, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|f| f.kind == Kind::Slice);
    let mut series = by_series(slices);
    if series.len() > 1 {
        let hint = "put the one you mean into a folder of its own, or name it as FOLDER#UID";
        return Err(problem("DICOM series", "one CT series", listed(&series), hint));
    }
    let Some((_, slices)) = series.pop_first() else { return Err(no_slices(&others)) };
    let warnings = LEFT_OUT.iter().filter_map(|(kind, words)| {
        let n = others.iter().filter(|f| f.kind == *kind).count();
        (n > 0).then(|| format!("left out: {n} {words}"))
    });
    Ok((slices, warnings.collect()))
}

fn by_series(found: Vec<Found>) -> BTreeMap<String, Vec<Found>> {
    let mut series = BTreeMap::<String, Vec<Found>>::new();
    for one in found {
        series.entry(one.series_uid.clone()).or_default().push(one);
    }
    series
}

/// What there is: one line a series.
fn listed(series: &BTreeMap<String, Vec<Found>>) -> String {
    let line = |(uid, files): (&String, &Vec<Found>)| {
        let first = &files[0];
        let thickness = first.thickness_mm.map(|mm| format!(", {mm} mm thick")).unwrap_or_default();
        let (n, name) = (files.len(), file_name(&first.file));
        format!(
            "\n  {uid}: {} '{}', {n} files{thickness}, the first {name}",
            first.modality, first.description
        )
    };
    if series.is_empty() {
        return "none".into();
    }
    format!("{}:{}\n ", series.len(), series.iter().map(line).collect::<String>())
}

/// Why there is no scan.
fn no_slices(others: &[Found]) -> Problem {
    let expected = "slices of a CT";
    let has = |kind| others.iter().find(|f| f.kind == kind).map(|f| file_name(&f.file));
    if let Some(file) = has(Kind::MultiFrame) {
        let hint = "these cannot be read yet: convert the series to single slices (classic CT) or to NIfTI";
        return problem(
            "DICOM series",
            expected,
            format!("multi-frame images (enhanced CT), as {file}"),
            hint,
        );
    }
    for (kind, words) in LEFT_OUT {
        if let (Kind::Localizer | Kind::NoPlace, Some(file)) = (kind, has(kind)) {
            return problem(
                "DICOM series",
                expected,
                format!("only {words}, as {file}"),
                "name the folder of the scan",
            );
        }
    }
    let mut modalities: Vec<&str> = others.iter().map(|f| f.modality.as_str()).collect();
    modalities.sort();
    modalities.dedup();
    match modalities.is_empty() {
        true => problem(
            "DICOM series",
            expected,
            "no DICOM files",
            "name the folder that holds the slices themselves",
        ),
        false => {
            let found = format!("{} files of modality {}", others.len(), modalities.join(", "));
            problem("DICOM series", expected, found, "the program works on CT only")
        }
    }
}
