//! Figures of all tumors of a dataset, and their ranges: to hold synthetic tumors against real ones.
use super::appearance::{Appearance, Site, widest_slice};
use super::sheet::{Panel, Sheet};
use super::tumors::Tumors;
use crate::dataset::{CaseSource, Dataset};
use crate::error::{Result, caught};
use crate::index::Annotation;
use difftumor_ct::Labels;
use difftumor_ct::io::write_atomically;
use ndarray::{Axis, s};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// One tumor: a connected component (6 neighbours) of at least 8 voxels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TumorFigures {
    /// The case's id.
    pub case: String,
    /// Its number in the case, from 1.
    pub number: u16,
    /// The middle of the slice (third axis of the scan's own grid) where it is largest, in RAS+ mm.
    pub centre_mm: [f64; 3],
    /// How it looks.
    #[serde(flatten)]
    pub appearance: Appearance,
}

/// Where 90 % of the values lie, and their middle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// Tumors with this figure.
    pub n: usize,
    /// 5 % are below.
    pub low: f64,
    /// Half are below.
    pub median: f64,
    /// 5 % are above.
    pub high: f64,
}

/// What `--report` writes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Organ or tumor, as on the command line.
    pub annotation: String,
    /// Cases that could not be read, and why.
    pub failed: Vec<(String, String)>,
    /// Cases without a tumor of at least 8 voxels.
    pub without_tumor: Vec<String>,
    /// Ranges by the name of the figure; figures that no tumor has are left out.
    pub ranges: Vec<(&'static str, Range)>,
    /// Every tumor.
    pub tumors: Vec<TumorFigures>,
}

/// A figure's name, and where it stands.
type Figure = (&'static str, fn(&Appearance) -> Option<f64>);

/// Figures that ranges are told of.
const FIGURES: [Figure; 10] = [
    ("equivalent_diameter_mm", |a| Some(a.equivalent_diameter_mm)),
    ("inside_hu", |a| Some(a.inside_hu)),
    ("inside_sd_hu", |a| Some(a.inside_sd_hu)),
    ("around_hu", |a| a.around_hu),
    ("around_sd_hu", |a| a.around_sd_hu),
    ("contrast_hu", |a| a.contrast_hu),
    ("texture_ratio_below_1_mm", |a| a.texture_ratio.map(|t| t[0])),
    ("texture_ratio_1_to_2_mm", |a| a.texture_ratio.map(|t| t[1])),
    ("texture_ratio_2_to_4_mm", |a| a.texture_ratio.map(|t| t[2])),
    ("edge_mm", |a| a.edge_mm),
];

/// Measures every tumor of every case. A case that cannot be read is told and stops no other. `sheet` gets a picture of each
/// tumor while it has room.
///
/// # Errors
/// When a picture cannot be drawn.
pub fn realism(
    dataset: &Dataset,
    annotation: &Annotation,
    mut sheet: Option<&mut Sheet>,
    watch: &dyn Fn(&str),
) -> Result<Report> {
    let mut report = Report {
        annotation: annotation.to_string(),
        failed: dataset.unusable.iter().map(|(id, e)| (id.clone(), e.to_string())).collect(),
        without_tumor: vec![],
        ranges: vec![],
        tumors: vec![],
    };
    for source in &dataset.cases {
        match caught(&source.id, || case(source, annotation, sheet.as_deref_mut())) {
            Ok(tumors) if tumors.is_empty() => report.without_tumor.push(source.id.clone()),
            Ok(tumors) => report.tumors.extend(tumors),
            Err(error) => report.failed.push((source.id.clone(), error.to_string())),
        }
        watch(&source.id);
    }
    let figure = |(name, of): &Figure| {
        let values = report.tumors.iter().filter_map(|t| of(&t.appearance)).collect();
        Some((*name, Range::of(values)?))
    };
    report.ranges = FIGURES.iter().filter_map(figure).collect();
    Ok(report)
}

fn case(
    source: &CaseSource,
    annotation: &Annotation,
    mut sheet: Option<&mut Sheet>,
) -> Result<Vec<TumorFigures>> {
    let Some(Tumors { ct, labels, bounds, organ, .. }) = Tumors::read(source, annotation)? else {
        return Ok(vec![]);
    };
    let site = Site { ct: &ct, tumors: &labels, organ: organ.as_ref().map(|o| &o.data) };
    let mut all = vec![];
    for (i, b) in bounds.iter().enumerate() {
        let number = i as u16 + 1;
        let Some(appearance) = site.measure(number, b) else { continue };
        let mask = labels.data.slice(s![b.start[0]..b.end[0], b.start[1]..b.end[1], b.start[2]..b.end[2]]);
        let centre_mm = centre_mm(&labels, &mask.mapv(|l| l == number), b.start);
        if let Some(sheet) = sheet.as_deref_mut() {
            sheet.add(&Panel {
                ct: &ct,
                tumors: &labels,
                number,
                centre_mm,
                appearance,
                case: &source.id,
            })?;
        }
        all.push(TumorFigures { case: source.id.clone(), number, centre_mm, appearance });
    }
    Ok(all)
}

/// The voxel of the tumor that is nearest to its middle in the slice where it is largest.
fn centre_mm(labels: &Labels, mask: &ndarray::Array3<bool>, start: [usize; 3]) -> [f64; 3] {
    let z = widest_slice(mask);
    let slice = mask.index_axis(Axis(2), z);
    let voxels: Vec<[f64; 2]> =
        slice.indexed_iter().filter(|(_, v)| **v).map(|((x, y), _)| [x as f64, y as f64]).collect();
    let mean = [0, 1].map(|a| voxels.iter().map(|v| v[a]).sum::<f64>() / voxels.len().max(1) as f64);
    let distance2 = |v: &[f64; 2]| (v[0] - mean[0]).powi(2) + (v[1] - mean[1]).powi(2);
    let [x, y] = voxels.into_iter().min_by(|a, b| distance2(a).total_cmp(&distance2(b))).unwrap_or(mean);
    labels.affine.apply([start[0] as f64 + x, start[1] as f64 + y, (start[2] + z) as f64])
}

impl Range {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        // Linear between the two nearest values.
        let at = |share: f64| {
            let place = share * last as f64;
            let (i, part) = (place.floor() as usize, place.fract());
            values[i] + part * (values[(i + 1).min(last)] - values[i])
        };
        Some(Self { n: values.len(), low: at(0.05), median: at(0.5), high: at(0.95) })
    }
}

impl Report {
    /// Writes it as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).expect("a report is made of texts and numbers");
        Ok(write_atomically(path, |file| writeln!(file, "{json}"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lie_between_values() {
        let range = Range::of((0..=100).rev().map(f64::from).collect()).unwrap();
        assert_eq!(range, Range { n: 101, low: 5.0, median: 50.0, high: 95.0 });
        assert_eq!(Range::of(vec![3.0, 4.0]).unwrap().median, 3.5);
        assert_eq!(Range::of(vec![]), None);
    }
}
