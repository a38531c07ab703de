//! Are the tumors of a dataset realistic? Figures of each, and what is to be said of them against real ones
//! ([`difftumor_ct::realism`]).
use super::sheet::{Pictures, Sheet};
use super::tumors::Tumors;
use crate::batch::{CaseRecord, HEALTHY, RECORD};
use crate::dataset::{CaseSource, Dataset};
use crate::error::{Result, caught};
use crate::index::Annotation;
use crate::objects::is_url;
use difftumor_ct::analysis::ranges::Grade;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::io::write_atomically;
use difftumor_ct::patch::{Fill, VoxelBox, crop_image};
use difftumor_ct::realism::{FIGURES, Figures, Gate, Input, Verdict, surroundings};
use difftumor_ct::{Labels, Mask, Volume};
use ndarray::{Array3, Axis, s};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

mod page;

/// One tumor: a connected component (6 neighbours) of at least 8 voxels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TumorFigures {
    /// The case's id.
    pub case: String,
    /// Its number in the case, from 1.
    pub number: u16,
    /// The middle of the slice (third axis of the scan's own grid) where it is largest, in RAS+ mm.
    pub centre_mm: [f64; 3],
    /// What was measured.
    #[serde(flatten)]
    pub figures: Figures,
    /// What is to be said of it.
    pub verdict: Verdict,
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

/// Tumors that one figure speaks against.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Objection {
    /// The figure.
    pub figure: &'static str,
    /// Tumors that it warns of.
    pub warned: usize,
    /// Tumors that fail by it.
    pub failed: usize,
}

/// What `--report` writes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Organ or tumor, as on the command line.
    pub annotation: String,
    /// Where the ranges of real tumors are from.
    pub compared_with: Vec<String>,
    /// Cases that could not be read, and why.
    pub failed: Vec<(String, String)>,
    /// Cases without a tumor of at least 8 voxels.
    pub without_tumor: Vec<String>,
    /// Tumors that pass, that are warned of, and that fail.
    pub grades: Grades,
    /// What speaks against how many of them, the most frequent first.
    pub objections: Vec<Objection>,
    /// Ranges by the name of the figure; figures that no tumor has are left out.
    pub ranges: Vec<(&'static str, Range)>,
    /// Every tumor.
    pub tumors: Vec<TumorFigures>,
}

/// Number of tumors by grade.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say all")]
pub struct Grades {
    pub pass: usize,
    pub warn: usize,
    pub fail: usize,
}

/// A figure's name, and where it stands.
type Measured = (&'static str, fn(&Figures) -> Option<f64>);

/// Figures that ranges are told of besides those that are judged.
const MEASURED: [Measured; 2] = [
    ("equivalent_diameter_mm", |f| Some(f.shape.equivalent_diameter_mm)),
    ("around_hu", |f| f.density.around_hu),
];

/// Measures every tumor of every case, and judges it. A case that cannot be read is told and stops no other. `sheet` and `pictures` get
/// a picture of each tumor while they have room.
///
/// # Errors
/// When a picture cannot be drawn.
pub fn realism(
    dataset: &Dataset,
    annotation: &Annotation,
    gate: &Gate,
    mut drawn: Drawn,
    watch: &dyn Fn(&str),
) -> Result<Report> {
    let mut report = Report {
        annotation: annotation.to_string(),
        compared_with: gate.sources().into_iter().map(Into::into).collect(),
        failed: dataset.unusable.iter().map(|(id, e)| (id.clone(), e.to_string())).collect(),
        without_tumor: vec![],
        grades: Grades::default(),
        objections: vec![],
        ranges: vec![],
        tumors: vec![],
    };
    for source in &dataset.cases {
        match caught(&source.id, || case(source, annotation, gate, &mut drawn)) {
            Ok(tumors) if tumors.is_empty() => report.without_tumor.push(source.id.clone()),
            Ok(tumors) => report.tumors.extend(tumors),
            Err(error) => report.failed.push((source.id.clone(), error.to_string())),
        }
        watch(&source.id);
    }
    report.summarise();
    Ok(report)
}

/// Ranges of the tumors of a dataset, to hold others against. Cases that cannot be read come with what is wrong.
///
/// # Errors
/// When there are too few tumors for ranges.
pub fn ranges_of(
    dataset: &Dataset,
    annotation: &Annotation,
    source: &str,
) -> Result<(Gate, Vec<(String, String)>)> {
    let report = realism(dataset, annotation, &Gate { ranges: vec![] }, Drawn::default(), &|_| ())?;
    Ok((report.gate(source)?, report.failed))
}

/// What is drawn on the way.
#[derive(Default)]
pub struct Drawn<'a> {
    /// All in one picture.
    pub sheet: Option<&'a mut Sheet>,
    /// One picture each, for [`Report::write_page`].
    pub pictures: Option<&'a mut Pictures>,
}

fn case(
    source: &CaseSource,
    annotation: &Annotation,
    gate: &Gate,
    drawn: &mut Drawn,
) -> Result<Vec<TumorFigures>> {
    let Some(tumors) = Tumors::read(source, annotation)? else {
        return Ok(vec![]);
    };
    let before = before(source, &tumors.ct)?;
    let mut all = vec![];
    for (i, b) in tumors.bounds.iter().enumerate() {
        let number = i as u16 + 1;
        let Some(figures) = figures(&tumors, number, b, before.as_ref()) else { continue };
        let labels = &tumors.labels;
        let mask = labels.data.slice(s![b.start[0]..b.end[0], b.start[1]..b.end[1], b.start[2]..b.end[2]]);
        let centre_mm = centre_mm(labels, &mask.mapv(|l| l == number), b.start);
        let verdict = gate.judge(&figures);
        let tumor = TumorFigures { case: source.id.clone(), number, centre_mm, figures, verdict };
        if let Some(sheet) = drawn.sheet.as_deref_mut() {
            sheet.add(&tumors, &tumor)?;
        }
        if let Some(pictures) = drawn.pictures.as_deref_mut() {
            pictures.add(&tumors, &tumor)?;
        }
        all.push(tumor);
    }
    Ok(all)
}

/// The scan before synthesis, where it was kept. Of tumors that have pushed their organ it tells nothing: all around them has moved.
fn before(source: &CaseSource, ct: &Volume) -> Result<Option<Volume>> {
    let path = source.ct.with_file_name(HEALTHY[0]);
    if is_url(&source.ct) || source.ct.is_dir() || !path.is_file() || has_pushed(&path.with_file_name(RECORD))
    {
        return Ok(None);
    }
    let before = NiftiImage::read(&path)?.to_volume()?;
    before.grid().require_same(&path.display().to_string(), &ct.grid(), &source.ct.display().to_string())?;
    Ok(Some(before))
}

/// Whether the record of an output tells of a mass effect.
fn has_pushed(record: &Path) -> bool {
    let read = std::fs::read(record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    read.is_some_and(|record: CaseRecord| record.tumors.iter().any(|t| t.mass_effect.is_some()))
}

/// `None` when a voxel of the tumor is no number.
fn figures(tumors: &Tumors, number: u16, bounds: &VoxelBox, before: Option<&Volume>) -> Option<Figures> {
    let Tumors { ct, labels, organ, .. } = tumors;
    let b = surroundings(bounds, ct.affine.spacing_mm(), ct.grid().shape);
    let start = b.start.map(|v| v as i64);
    let cut = |volume: &Volume| crop_image(volume, start, b.shape(), Fill::Constant(0.0));
    let labels = crop_image(labels, start, b.shape(), Fill::Constant(0));
    let mask = |of: &dyn Fn(u16) -> bool| Mask { data: labels.data.mapv(of), affine: labels.affine };
    let organ = organ.as_ref().map(|o| crop_image(o, start, b.shape(), Fill::Constant(false)));
    Figures::of(&Input {
        ct: &cut(ct),
        tumor: &mask(&|l| l == number),
        other_lesions: Some(&mask(&|l| l != 0 && l != number)),
        organ: organ.as_ref(),
        before: before.map(cut).as_ref(),
    })
}

/// The voxel of the tumor that is nearest to its middle in the slice where it is largest.
fn centre_mm(labels: &Labels, mask: &Array3<bool>, start: [usize; 3]) -> [f64; 3] {
    let z = widest_slice(mask);
    let slice = mask.index_axis(Axis(2), z);
    let voxels: Vec<[f64; 2]> =
        slice.indexed_iter().filter(|(_, v)| **v).map(|((x, y), _)| [x as f64, y as f64]).collect();
    let mean = [0, 1].map(|a| voxels.iter().map(|v| v[a]).sum::<f64>() / voxels.len().max(1) as f64);
    let distance2 = |v: &[f64; 2]| (v[0] - mean[0]).powi(2) + (v[1] - mean[1]).powi(2);
    let [x, y] = voxels.into_iter().min_by(|a, b| distance2(a).total_cmp(&distance2(b))).unwrap_or(mean);
    labels.affine.apply([start[0] as f64 + x, start[1] as f64 + y, (start[2] + z) as f64])
}

/// The slice with most voxels of the mask along the third axis.
fn widest_slice(mask: &Array3<bool>) -> usize {
    let sizes = mask.axis_iter(Axis(2)).map(|slice| slice.iter().filter(|v| **v).count());
    sizes.enumerate().max_by_key(|(i, n)| (*n, usize::MAX - i)).map_or(0, |(i, _)| i)
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
    /// Fills in what follows from the tumors.
    fn summarise(&mut self) {
        let count = |grade| self.tumors.iter().filter(|t| t.verdict.grade == grade).count();
        self.grades = Grades { pass: count(Grade::Pass), warn: count(Grade::Warn), fail: count(Grade::Fail) };
        let with = |figure: &str, grade: Grade| {
            // A figure may have a range and a rule: the worse one counts.
            let worst = |t: &&TumorFigures| {
                let own = t.verdict.checks.iter().filter(|c| c.figure == figure);
                own.map(|c| c.grade).max() == Some(grade)
            };
            self.tumors.iter().filter(worst).count()
        };
        let objection = |name: &'static str| Objection {
            figure: name,
            warned: with(name, Grade::Warn),
            failed: with(name, Grade::Fail),
        };
        let mut objections: Vec<Objection> = FIGURES.iter().map(|f| objection(f.name)).collect();
        objections.retain(|o| o.warned + o.failed > 0);
        objections.sort_by_key(|o| std::cmp::Reverse((o.failed, o.warned)));
        self.objections = objections;
        let judged = FIGURES.iter().map(|f| (f.name, f.value));
        let measured = MEASURED.into_iter().chain(judged).filter_map(|(name, of)| {
            let values = self.tumors.iter().filter_map(|t| of(&t.figures)).collect();
            Some((name, Range::of(values)?))
        });
        self.ranges = measured.collect();
    }

    /// Ranges of these tumors.
    ///
    /// # Errors
    /// When there are too few.
    pub fn gate(&self, source: &str) -> Result<Gate> {
        let figures: Vec<Figures> = self.tumors.iter().map(|t| t.figures).collect();
        Ok(Gate::fitted(&figures, source)?)
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).expect("a report is made of texts and numbers");
        Ok(write_atomically(path, |file| writeln!(file, "{json}"))?)
    }

    /// Writes it as a page, with the pictures that there are.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_page(&self, gate: &Gate, pictures: &Pictures, path: &Path) -> Result<()> {
        let html = page::page(self, gate, pictures);
        Ok(write_atomically(path, |file| file.write_all(html.as_bytes()))?)
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
