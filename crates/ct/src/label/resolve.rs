//! Which values of one label file are the organ that was asked for. When in doubt, an error: a tumor in the wrong organ
//! is worse than a question.
use super::{LabelFile, LabelRoles, OrganSpec, label_error, totalsegmentator};
use crate::error::{Error, Result};

/// TotalSegmentator's aorta. Any scan of a torso holds it or something numbered higher, so a file whose values are
/// 1, 2, …, k without gaps and k below it is another list of organs (BTCV, AMOS, FLARE and AbdomenAtlas are like that),
/// or organ, tumor and cyst.
const AORTA: u16 = 52;

/// The values of each role. Organ values that are returned occur in the file.
pub(super) fn roles(file: &LabelFile, spec: &OrganSpec) -> Result<LabelRoles> {
    if file.census.0.is_empty() {
        return Err(ask(file, spec, "there is no labelled voxel"));
    }
    if let Some(roles) = &spec.roles {
        return explicit(file, spec, roles);
    }
    let named = by_name(file, spec);
    if !named.organ.is_empty() {
        return Ok(named);
    }
    let values: Vec<u16> = file.census.values().collect();
    if let [only] = values[..] {
        return only_value(file, spec, only);
    }
    if !file.names.is_empty() {
        let problem =
            format!("none of the names that the file gives its values is '{}' with a voxel", spec.name);
        return Err(ask(file, spec, &problem));
    }
    by_number(file, spec, &values)
}

fn explicit(file: &LabelFile, spec: &OrganSpec, roles: &LabelRoles) -> Result<LabelRoles> {
    let organ = file.census.present(&roles.organ);
    if organ.is_empty() {
        return Err(label_error(&file.path, spec, "no voxel has this value", file.census.list(&file.names)));
    }
    if organ.len() < roles.organ.len() {
        tracing::warn!("{}: of '{spec}' only {organ:?} occur", file.path.display());
    }
    Ok(LabelRoles { organ, ..roles.clone() })
}

/// Values that occur and that the file itself names as the organ, or as tumors or cysts in it.
fn by_name(file: &LabelFile, spec: &OrganSpec) -> LabelRoles {
    let values_named = |names: &[String]| -> Vec<u16> {
        let is_named = |label: &&String| names.iter().any(|name| name.eq_ignore_ascii_case(label));
        let values = file.names.iter().filter(|(_, label)| is_named(label)).map(|(value, _)| *value);
        values.filter(|&value| file.census.has(value)).collect()
    };
    let mut organ = vec![spec.name.clone()];
    organ.extend(spec.parts().iter().map(|part| (*part).to_string()));
    LabelRoles {
        organ: values_named(&organ),
        tumor: values_named(&spec.tumor_names()),
        cyst: values_named(&spec.cyst_names()),
    }
}

fn only_value(file: &LabelFile, spec: &OrganSpec, only: u16) -> Result<LabelRoles> {
    if let Some(name) = file.names.get(&only) {
        let problem = format!(
            "the file names its only value {only} '{name}'; write {}={only} if it is this organ",
            spec.name
        );
        return Err(label_error(&file.path, spec, problem, file.census.list(&file.names)));
    }
    // 1 is what every tool writes for "inside".
    if let Some(class) =
        totalsegmentator::name_of(only).filter(|_| only != 1 && !spec.totalsegmentator_ids().contains(&only))
    {
        tracing::warn!(
            "{}: taking the only value {only} as the {}; in a TotalSegmentator file it would be the {class}",
            file.path.display(),
            spec.name
        );
    }
    Ok(LabelRoles { organ: vec![only], ..LabelRoles::default() })
}

/// TotalSegmentator's numbers, if the file can be nothing else.
fn by_number(file: &LabelFile, spec: &OrganSpec, values: &[u16]) -> Result<LabelRoles> {
    let last = *values.last().expect("the caller checked for an empty file");
    if totalsegmentator::name_of(last).is_none() {
        return Err(ask(
            file,
            spec,
            &format!("the file is not TotalSegmentator's: {last} is none of its numbers"),
        ));
    }
    if usize::from(last) == values.len() && last < AORTA {
        let problem = format!(
            "the values 1 to {last} could be an organ, its tumors and cysts, or one of several lists of organs"
        );
        return Err(ask(file, spec, &problem));
    }
    let ids = spec.totalsegmentator_ids();
    let organ = file.census.present(&ids);
    if organ.is_empty() {
        let problem = format!("taken as TotalSegmentator's, the file has no voxel with its value {ids:?}");
        return Err(ask(file, spec, &problem));
    }
    let cysts: Vec<u16> = spec.cyst_names().iter().filter_map(|name| totalsegmentator::id_of(name)).collect();
    Ok(LabelRoles { organ, tumor: vec![], cyst: file.census.present(&cysts) })
}

/// An error that tells how to say it unmistakably.
fn ask(file: &LabelFile, spec: &OrganSpec, problem: &str) -> Error {
    label_error(
        &file.path,
        spec,
        format!("{problem}; write {}=VALUE", spec.name),
        file.census.list(&file.names),
    )
}
