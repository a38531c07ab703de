//! From samples to images: one, or the layers of a segmentation joined to one label map.
use super::NamedLabels;
use super::header::Header;
use super::segments::Segment;
use crate::error::Result;
use crate::io::nifti::NiftiImage;
use crate::io::problem::{Problem, problem};
use crate::label::Census;
use crate::volume::{Affine, Grid, Labels};
use ndarray::{Array3, Zip};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const SAVE_AGAIN: &str = "save the segmentation again, or export it as a label map";

/// One layer as an image. Samples of a voxel lie next to each other.
pub(super) fn image(header: &Header, voxels: &[u8], layer: usize, affine: Affine, path: &Path) -> NiftiImage {
    let (width, [nx, ny, _]) = (header.datatype.bytes(), header.shape);
    let grid = Grid { shape: header.shape, affine };
    let step = width * header.layers;
    NiftiImage::from_slices(grid, header.datatype, path, |z, out| {
        let slice = &voxels[z * nx * ny * step..][..nx * ny * step];
        let samples = slice.chunks_exact(step).map(|voxel| &voxel[layer * width..][..width]);
        for (out, sample) in out.chunks_exact_mut(width).zip(samples) {
            out.copy_from_slice(sample);
            if header.big_endian {
                out.reverse();
            }
        }
    })
}

/// The label map of a file, whatever number of layers it has.
pub(super) fn join(
    header: &Header,
    voxels: &[u8],
    segments: &[Segment],
    affine: Affine,
    path: &Path,
) -> Result<NamedLabels> {
    check(header, segments).map_err(|p| p.of(path))?;
    let layer = |layer| image(header, voxels, layer, affine, path).to_labels();
    if header.layers == 1 {
        let names = segments.iter().map(|s| (s.value, s.name.clone())).filter(|(_, name)| !name.is_empty());
        return Ok(NamedLabels { labels: layer(0)?, names: names.collect() });
    }
    let counts = counts(header, segments, layer, path)?;
    let values = values(segments);
    if segments.iter().zip(&values).any(|(segment, &value)| segment.value != value) {
        tracing::warn!(
            "{}: segments of several layers have the same value; they are numbered from 1 in their order",
            path.display()
        );
    }
    // The largest first, so that a smaller one has its voxels.
    let mut order: Vec<usize> = (0..segments.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(counts[i]));
    let mut labels = Labels { data: Array3::zeros(header.shape), affine };
    let mut overlap = 0;
    for i in order {
        let source = layer(segments[i].layer)?;
        labels.affine = source.affine;
        overlap += paint(&mut labels, &source, segments[i].value, values[i]);
    }
    if overlap > 0 {
        tracing::warn!(
            "{}: segments overlap in {overlap} voxels; the smaller segment has them",
            path.display()
        );
    }
    let names = values.iter().zip(segments).map(|(&value, s)| (value, s.name.clone()));
    Ok(NamedLabels { labels, names: names.filter(|(_, name)| !name.is_empty()).collect() })
}

/// Segments lie in layers that are there, and no two are the same.
fn check(header: &Header, segments: &[Segment]) -> std::result::Result<(), Problem> {
    if header.layers > 1 && segments.is_empty() {
        let hint = "several label maps in one file are not supported: give one of them";
        return Err(problem("sizes", "3 axes of a label map", "a fourth, and no segments", hint));
    }
    let mut seen = BTreeMap::new();
    for segment in segments {
        let Segment { name, value, layer } = segment;
        if *layer >= header.layers {
            let expected = format!("a layer below {}", header.layers);
            return Err(problem(format!("segment '{name}'"), expected, layer, SAVE_AGAIN));
        }
        if let Some(other) = seen.insert((layer, value), name) {
            let found = format!("value {value} in layer {layer} for '{other}' and '{name}'");
            return Err(problem("segments", "a value of its own for each", found, SAVE_AGAIN));
        }
    }
    Ok(())
}

/// Voxels of each segment. Values that no segment has are an error: they would be lost without a word.
fn counts(
    header: &Header,
    segments: &[Segment],
    read: impl Fn(usize) -> Result<Labels>,
    path: &Path,
) -> Result<Vec<usize>> {
    let mut counts = vec![0; segments.len()];
    for layer in 0..header.layers {
        for (&value, &voxels) in &Census::of(&read(layer)?).0 {
            match segments.iter().position(|s| (s.layer, s.value) == (layer, value)) {
                Some(i) => counts[i] = voxels,
                None => {
                    let found = format!("{value} in {voxels} voxels of layer {layer}");
                    return Err(problem("labels", "values of segments", found, SAVE_AGAIN).of(path));
                }
            }
        }
    }
    Ok(counts)
}

/// Values of segments in one map: their own, if no two have the same.
fn values(segments: &[Segment]) -> Vec<u16> {
    let own: Vec<u16> = segments.iter().map(|s| s.value).collect();
    let distinct: BTreeSet<u16> = own.iter().copied().collect();
    if distinct.len() == own.len() { own } else { (1..).take(own.len()).collect() }
}

/// Gives `to` to voxels that have `from` in `source`, and counts those that another segment had.
fn paint(labels: &mut Labels, source: &Labels, from: u16, to: u16) -> usize {
    let mut taken = 0;
    Zip::from(&mut labels.data).and(&source.data).for_each(|label, &value| {
        if value == from {
            taken += usize::from(*label > 0);
            *label = to;
        }
    });
    taken
}
