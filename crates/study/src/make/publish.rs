//! Writes a study's files, all or none.
use super::unfinished::Unfinished;
use super::{Entry, MakeOptions, SOFT_TISSUE_HU, Source, alone, context, order, read_ras, survey::Tumor};
use crate::digest::{hexadecimal, sha256};
use crate::error::Result;
use crate::format::{FORMAT, Item, Key, Kind, Links, Reader, Readers, Study, Truth};
use crate::problem::{argument, file};
use difftumor_ct::Volume;
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Writes the study, the key and the links. Gives the SHA-256 of `study.json`.
pub(super) fn publish(
    sources: &[Source],
    tumors: &[Tumor],
    entries: &[Entry],
    options: &MakeOptions,
) -> Result<String> {
    let mut unfinished = Unfinished::begin(&options.out)?;
    let items = write_volumes(unfinished.folder(), sources, tumors, entries, options)?;
    let bytes = json(&study(sources, items, options));
    let study_sha256 = sha256(&bytes);
    unfinished.write("study.json", &bytes)?;
    let (readers, links) = readers(entries, options)?;
    unfinished.write("readers.json", &json(&readers))?;
    let items = entries.iter().map(|entry| (entry.id.clone(), truth(entry, sources, tumors))).collect();
    let key = Key { format: FORMAT.into(), study_sha256: study_sha256.clone(), seed: options.seed, items };
    unfinished.write_apart(&options.key, &json(&key))?;
    unfinished.write_apart(&options.links, &json(&links))?;
    unfinished.finish(&options.out)?;
    Ok(study_sha256)
}

/// Writes `volumes/` and gives the items, in the order of the entries. One scan is in memory at a time.
fn write_volumes(
    folder: &Path,
    sources: &[Source],
    tumors: &[Tumor],
    entries: &[Entry],
    options: &MakeOptions,
) -> Result<Vec<Item>> {
    let volumes = folder.join("volumes");
    fs::create_dir(&volumes).map_err(|error| file(&volumes, error, "see that the disk can be written to"))?;
    let side_vox = alone::side_vox(entries.iter().map(|entry| &tumors[entry.tumor]), options.rim_mm);
    let mut by_source: BTreeMap<usize, BTreeMap<usize, Vec<&str>>> = BTreeMap::new();
    for entry in entries {
        let of_source = by_source.entry(tumors[entry.tumor].source).or_default();
        of_source.entry(entry.tumor).or_default().push(&entry.id);
    }
    let mut items = Vec::with_capacity(entries.len());
    for (source, of_source) in by_source {
        let source = &sources[source];
        let scan = read_ras(source)?;
        for (tumor, ids) in of_source {
            let tumor = &tumors[tumor];
            if scan.grid().shape != tumor.scan_shape {
                return Err(file(&source.ct, "it changed while the study was made", "make the study again"));
            }
            let (volume, centre_vox) = match options.kind {
                Kind::VisualTuring => context::cut(&scan, tumor, options.field_mm),
                Kind::OrganRecognition => {
                    let mirrored = mirrored(options.seed, source, tumor);
                    alone::cut(&scan, tumor, side_vox, options.rim_mm, mirrored)?
                }
            };
            for id in ids {
                let sha256 = write_volume(&volumes.join(format!("{id}.nii.gz")), &volume)?;
                items.push(Item { id: id.into(), sha256, centre_vox });
            }
        }
    }
    items.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(items)
}

/// Writes a volume and gives the SHA-256 of its file.
fn write_volume(path: &Path, volume: &Volume) -> Result<String> {
    NiftiImage::from_volume(volume, Datatype::I16, path).write(path)?;
    let bytes = fs::read(path).map_err(|error| file(path, error, "see that the disk is sound"))?;
    Ok(sha256(bytes))
}

/// Along which axes a tumor that is shown alone is mirrored.
fn mirrored(seed: u64, source: &Source, tumor: &Tumor) -> [bool; 3] {
    let of = format!("mirrored {} {} {}", source.case, source.organ, source.synthetic);
    let mut draws = Stream::new(seed, 0, &of, tumor.number as u64);
    [(); 3].map(|()| draws.index(2) == 1)
}

fn study(sources: &[Source], items: Vec<Item>, options: &MakeOptions) -> Study {
    let mut choices: Vec<String> = match options.kind {
        Kind::VisualTuring => vec!["real".into(), "synthetic".into()],
        Kind::OrganRecognition => sources.iter().map(|source| source.organ.clone()).collect(),
    };
    choices.sort();
    choices.dedup();
    Study {
        format: FORMAT.into(),
        kind: options.kind,
        title: options.title.clone(),
        choices,
        window_hu: options.window_hu.unwrap_or(SOFT_TISSUE_HU),
        items,
    }
}

/// The readers' orders, and their links' tokens.
fn readers(entries: &[Entry], options: &MakeOptions) -> Result<(Readers, Links)> {
    let mut links = Links { format: FORMAT.into(), tokens: BTreeMap::new() };
    let mut readers = Readers { format: FORMAT.into(), readers: Vec::new() };
    for name in &options.readers {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| argument("the system's source of randomness", "16 bytes for a link", error))?;
        let token = hexadecimal(&bytes);
        readers.readers.push(Reader {
            name: name.clone(),
            token_sha256: sha256(&token),
            order: order::order(entries, options.seed, name),
        });
        links.tokens.insert(name.clone(), token);
    }
    Ok((readers, links))
}

fn truth(entry: &Entry, sources: &[Source], tumors: &[Tumor]) -> Truth {
    let tumor = &tumors[entry.tumor];
    let source = &sources[tumor.source];
    Truth {
        synthetic: source.synthetic,
        organ: source.organ.clone(),
        case: source.case.clone(),
        equivalent_diameter_mm: tumor.equivalent_diameter_mm,
        repeats: entry.repeats.clone(),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes =
        serde_json::to_vec_pretty(value).expect("the study's types have text keys and finite numbers");
    bytes.push(b'\n');
    bytes
}
