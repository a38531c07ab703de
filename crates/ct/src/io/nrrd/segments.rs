//! Segments of 3D Slicer, as a header's keys tell of them: `Segment0_Name:=liver`, `Segment0_LabelValue:=1`, `Segment0_Layer:=0`.
use super::fields::Fields;
use crate::io::problem::{Problem, problem};
use std::collections::BTreeSet;

/// A segment of a segmentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub name: String,
    /// Its value in its layer, above 0.
    pub value: u16,
    pub layer: usize,
}

/// Whether the header tells of a segmentation.
pub(super) fn is_segmentation(fields: &Fields) -> bool {
    fields.keys.keys().any(|key| key.starts_with("Segmentation_") || number(key).is_some())
}

/// All segments in their order; none in an image that is no segmentation.
pub(super) fn read(fields: &Fields) -> Result<Vec<Segment>, Problem> {
    let numbers: BTreeSet<usize> = fields.keys.keys().filter_map(|key| number(key)).collect();
    // Before Slicer 4.11 every segment had a layer of its own, and no value was told.
    let old = !numbers.iter().any(|i| fields.keys.contains_key(&format!("Segment{i}_LabelValue")));
    numbers
        .iter()
        .enumerate()
        .map(|(order, i)| {
            let text = |what: &str| fields.keys.get(&format!("Segment{i}_{what}")).map(|text| text.trim());
            let whole = |what: &str, default: usize| {
                let found = text(what).map_or(Ok(default), str::parse);
                found.map_err(|_| bad(*i, what, "a whole number", text(what).unwrap_or_default()))
            };
            let value = whole("LabelValue", 1)?;
            let value = u16::try_from(value).ok().filter(|&v| v > 0);
            let name = text("Name").filter(|name| !name.is_empty()).or(text("ID")).unwrap_or_default();
            Ok(Segment {
                name: name.to_string(),
                value: value.ok_or_else(|| {
                    bad(*i, "LabelValue", "1 to 65535", text("LabelValue").unwrap_or_default())
                })?,
                layer: whole("Layer", if old { order } else { 0 })?,
            })
        })
        .collect()
}

/// The number in `Segment12_…`.
fn number(key: &str) -> Option<usize> {
    let (number, _) = key.strip_prefix("Segment")?.split_once('_')?;
    number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok())?
}

fn bad(i: usize, what: &str, expected: &str, found: &str) -> Problem {
    problem(format!("Segment{i}_{what}"), expected, format!("'{found}'"), "save the segmentation again")
}
