//! A scan as a series of CT slices.
use super::super::file::read_pixels;
use super::super::{pixels, slice::Slice};
use super::elements::{Object, text};
use super::file;
use super::image::{self, Identity};
use super::plane::Planes;
use super::reference::{Instance, SeriesReference};
use super::stored::{Scale, Words, require_hu};
use super::template::{SeriesTemplate, Source};
use super::uid::Content;
use crate::error::Result;
use crate::io::write_folder_atomically;
use crate::volume::{Grid, Volume};
use dicom_dictionary_std::tags as t;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// A series that was written.
#[derive(Debug, Clone)]
pub struct WrittenSeries {
    /// The folder with one file a slice.
    pub folder: PathBuf,
    /// What a segmentation needs of it.
    pub reference: SeriesReference,
    /// Voxels whose HU the template's rescale cannot hold in 16 bits; they have the nearest that it can.
    pub clamped_voxels: usize,
}

/// A slice on its way into a file.
struct Made {
    header: Object,
    pixels: Words,
    scale: Scale,
}

/// Writes a scan in HU as a folder of CT slices (`0001.dcm`, … along z). The folder appears whole or not at all.
///
/// With a series as template, slices have its rescale slopes and intercepts: voxels with the source's HU keep their stored numbers, others
/// get the nearest. Without, HU that are whole numbers and fit 16 bits are stored as they are, all others in the smallest step that a
/// power of two gives (rounded by half of it at most).
///
/// Files depend on the scan and the template alone: UIDs are made from the source series' UID and the content.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the folder is there and not empty, a voxel is no HU, or (without a source) the voxel
/// axes are not at right angles; [`Error::GridMismatch`](crate::Error::GridMismatch) when the scan is not on the source's grid;
/// [`Error::Io`](crate::Error::Io); for the source's pixels as [`Series::read`](super::super::Series::read).
pub fn write_series(volume: &Volume, template: &SeriesTemplate, folder: &Path) -> Result<WrittenSeries> {
    require_hu(volume)?;
    let grid = volume.grid();
    let made = match &template.0 {
        Source::Series { slices, grid: source_grid, name } => {
            source_grid.require_same(name, &grid, "the scan")?;
            let made = slices.par_iter().enumerate().map(|(z, slice)| from_source(volume, z, slice));
            made.collect::<Result<Vec<_>>>()?
        }
        Source::Anonymous(id) => {
            let planes = Planes::of(&grid)?;
            let scale = Scale::for_volume(volume);
            let one = |z| Made {
                header: image::anonymous(id, &planes, z, scale),
                pixels: scale.words(volume, z, None),
                scale,
            };
            (0..grid.shape[2]).into_par_iter().map(one).collect()
        }
    };
    let clamped_voxels = made.iter().map(|slice| slice.pixels.clamped).sum();
    if clamped_voxels > 0 {
        tracing::warn!("{}: {clamped_voxels} voxels do not fit 16 bits and were clamped", folder.display());
    }
    let reference = write_folder_atomically(folder, |temporary| write_all(made, grid, temporary))?;
    Ok(WrittenSeries { folder: folder.to_path_buf(), reference, clamped_voxels })
}

fn from_source(volume: &Volume, z: usize, slice: &Slice) -> Result<Made> {
    let object = read_pixels(&slice.file)?;
    let stored = pixels::of(&object, slice)?;
    let mut header = image::derived(&object, z);
    // Kept until the new series has its name.
    object.get(t::SERIES_INSTANCE_UID).into_iter().for_each(|uid| drop(header.put(uid.clone())));
    let scale = Scale { slope: slice.slope, intercept: slice.intercept, signed: slice.bits.signed };
    Ok(Made { header, pixels: scale.words(volume, z, Some(&stored)), scale })
}

fn write_all(made: Vec<Made>, grid: Grid, folder: &Path) -> Result<SeriesReference> {
    let series = series_uid(&made, &grid);
    // Slices of one series that lack a study or frame of reference get the same one, and so do other series made from theirs.
    let source = text(&made[0].header, t::SERIES_INSTANCE_UID).unwrap_or_else(|| series.clone());
    let study = Content::new("study").with(&source).uid();
    let frame_of_reference = Content::new("frame of reference").with(&source).uid();
    let width = made.len().to_string().len().max(4);
    let one = |(z, Made { mut header, pixels, scale }): (usize, Made)| {
        let instance = Content::new("instance").with(&series).with((z as u64).to_le_bytes()).uid();
        let identity = Identity {
            series: &series,
            instance: &instance,
            study: &study,
            frame_of_reference: &frame_of_reference,
        };
        image::finish(&mut header, &identity, [grid.shape[0], grid.shape[1]], scale.signed);
        // What a segmentation needs of all slices, and of the first.
        let kept = (Instance::of(&header), (z == 0).then(|| header.clone()));
        image::put_pixels(&mut header, pixels.words);
        file::write(header, &folder.join(format!("{:0width$}.dcm", z + 1)))?;
        Ok(kept)
    };
    let written = made.into_par_iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
    let (instances, mut headers): (Vec<_>, Vec<_>) = written.into_iter().unzip();
    let first = headers[0].take().expect("the first slice keeps its header");
    SeriesReference::new(&first, instances, grid)
}

/// From the source's UID and everything that makes up the image.
fn series_uid(made: &[Made], grid: &Grid) -> String {
    let text = |slice: &Made, tag| text(&slice.header, tag).unwrap_or_default();
    let mut content = Content::new("series");
    for tag in [t::SERIES_INSTANCE_UID, t::PATIENT_ID] {
        content = content.with(text(&made[0], tag));
    }
    for number in grid.affine.0.iter().flatten() {
        content = content.with(number.to_le_bytes());
    }
    for slice in made {
        for tag in [t::RESCALE_SLOPE, t::RESCALE_INTERCEPT] {
            content = content.with(text(slice, tag));
        }
        let bytes: Vec<u8> = slice.pixels.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        content = content.with(bytes);
    }
    content.uid()
}
