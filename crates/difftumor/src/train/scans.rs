//! Scans as the networks of stages 1 and 2 see them, prepared once (paper E.1, E.2;
//! spec/autoencoder.md section 7): RAS, 1 mm, window −175..250 HU to −1..1.
use super::cache::{Cache, Folder, Inputs, Scan};
use super::prepared::{Arrays, Prepared};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::io::{is_one_scan, read_scan};
use difftumor_ct::label::{LabelMap, OrganSpec};
use difftumor_ct::orient::{AxisCodes, Reorientation};
use difftumor_ct::patch::{Fill, spatial_pad};
use difftumor_ct::resample::{Outside, linear, nearest};
use difftumor_ct::{Grid, Mask, Volume};
use ndarray::{Array3, ArrayView3};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A scan to train on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingScan {
    /// Its name, for messages and the order of data.
    pub id: String,
    /// `.nii`, `.nii.gz`, or a DICOM series.
    pub ct: PathBuf,
    /// A label file or a folder of masks; steers where crops are taken.
    pub labels: Option<PathBuf>,
}

/// A scan with what it is prepared for.
#[derive(Debug)]
pub struct Source {
    scan: TrainingScan,
    organs: Arc<[OrganSpec]>,
    crop_vox: usize,
}

/// A scan that is ready.
#[derive(Debug)]
pub struct PreparedScan {
    /// The scan's name.
    pub id: String,
    pub(super) prepared: Prepared,
}

/// Scans given as files, DICOM series, and folders of both, without labels. Ids are names of files and series' folders; of two equal ones the second is an error.
///
/// # Errors
/// When a folder cannot be read or holds no scan, or two scans have one name.
pub fn list(paths: &[PathBuf]) -> Result<Vec<TrainingScan>> {
    let mut scans = vec![];
    for path in paths {
        match is_one_scan(path) {
            true => scans.push(path.clone()),
            false => scans.extend(Dataset::scans(path)?),
        }
    }
    let mut seen = BTreeSet::new();
    let named = scans.into_iter().map(|ct| {
        let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // ct.nii.gz of many folders: the folder's name tells them apart.
        let id = [ct.parent().map(name).unwrap_or_default(), name(&ct)].join("/");
        match seen.insert(id.clone()) {
            true => Ok(TrainingScan { id, ct, labels: None }),
            false => {
                Err(Error::format(&ct, "scan", "each file once", format!("'{id}' again"), "name it once"))
            }
        }
    });
    let mut scans = named.collect::<Result<Vec<_>>>()?;
    scans.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(scans)
}

/// A cache of the scans, at least as large as a crop each. Crops are steered to the voxels of `organs`, in scans with labels.
pub fn cache(
    scans: Vec<TrainingScan>,
    organs: Vec<OrganSpec>,
    crop_vox: usize,
    folder: &Folder,
) -> Cache<PreparedScan> {
    let organs: Arc<[OrganSpec]> = organs.into();
    let source = |scan| Source { scan, organs: organs.clone(), crop_vox };
    Cache::new(scans.into_iter().map(source), folder)
}

impl PreparedScan {
    /// −1 to 1, `[x, y, z]` (RAS, 1 mm), at least as large as a crop.
    pub fn image(&self) -> ArrayView3<'_, f32> {
        self.prepared.image()
    }

    /// Flat indices of the voxels around which crops are wanted.
    pub fn labelled(&self) -> &[u32] {
        self.prepared.list(0)
    }
}

impl Scan for PreparedScan {
    type Source = Source;

    fn name(source: &Source) -> &str {
        &source.scan.id
    }

    fn inputs(Source { scan, organs, crop_vox }: &Source) -> Inputs<'_> {
        // Without labels organs do not matter.
        let organs = if scan.labels.is_some() { organs } else { &[][..] };
        let labels = scan.labels.as_deref();
        Inputs {
            how: format!("scan, {organs:?}, {crop_vox} voxels"),
            files: [Some(scan.ct.as_path()), labels].into_iter().flatten().collect(),
        }
    }

    fn prepare(Source { scan, organs, crop_vox }: &Source) -> Result<Arrays> {
        prepare(scan, organs, *crop_vox)
    }

    fn new(source: &Source, prepared: Prepared) -> Self {
        Self { id: source.scan.id.clone(), prepared }
    }
}

/// The 1 mm RAS grid of a scan.
///
/// # Errors
/// When the scan's grid is impossible.
pub fn model_grid(scan: &Grid) -> Result<Grid> {
    Ok(Reorientation::new(scan, AxisCodes::RAS)?.target().isotropic(1.0)?)
}

/// A scan in HU on the 1 mm RAS grid.
///
/// # Errors
/// When the file is unreadable, damaged, or its grid impossible.
pub fn read_at_1mm(ct: &Path) -> Result<Volume> {
    let volume = read_scan(ct)?.to_volume()?;
    Ok(linear(&volume, &model_grid(&volume.grid())?, Outside::Edge)?)
}

fn prepare(scan: &TrainingScan, organs: &[OrganSpec], crop_vox: usize) -> Result<Arrays> {
    let volume = read_scan(&scan.ct)?.to_volume()?;
    let grid = model_grid(&volume.grid())?;
    let mut image = linear(&volume, &grid, Outside::Edge)?;
    let window = HuWindow::default();
    image.data.par_mapv_inplace(|hu| window.to_signed(hu));
    let image = spatial_pad(&image, [crop_vox; 3], Fill::Minimum);
    let labelled = match &scan.labels {
        None => vec![],
        Some(path) => {
            let mask = wanted(path, organs, &volume.grid(), &scan.ct)?;
            let mask = spatial_pad(
                &nearest(&mask, &grid, Outside::Constant(false))?,
                [crop_vox; 3],
                Fill::Constant(false),
            );
            mask.data.iter().enumerate().filter(|(_, v)| **v).map(|(i, _)| i as u32).collect()
        }
    };
    Ok(Arrays { image: image.data, labels: None, lists: [labelled, vec![]] })
}

/// Voxels of the organs with their tumors and cysts.
fn wanted(path: &Path, organs: &[OrganSpec], scan: &Grid, ct: &Path) -> Result<Mask> {
    let map = LabelMap::open(path)?;
    let name = ct.display().to_string();
    let mut all = Mask { data: Array3::from_elem(scan.shape, false), affine: scan.affine };
    for spec in organs {
        let organ = map.organ(spec, Some((scan, &name)))?;
        all.data.zip_mut_with(&organ.with_lesions().data, |a, b| *a |= *b);
    }
    Ok(all)
}
