//! Do study, key, readers and answers belong together?
use super::{REAL, SYNTHETIC, Sheet, true_choice};
use crate::error::Result;
use crate::format::{Answer, FORMAT, Key, Kind, Readers, Study, Truth};
use crate::problem::argument;
use std::collections::{BTreeMap, BTreeSet};

/// Checks that the key is that of the study, and what it says of repeats.
pub(super) fn key(study: &Study, study_sha256: &str, key: &Key) -> Result<()> {
    for (what, found) in [("format of the study", &study.format), ("format of the key", &key.format)] {
        if found != FORMAT {
            return Err(argument(what, format!("'{FORMAT}'"), format!("'{found}'")));
        }
    }
    if key.study_sha256 != study_sha256 {
        let expected = format!("that of the study whose study.json has the SHA-256 {study_sha256}");
        return Err(argument("key", expected, format!("the key of {}", key.study_sha256)));
    }
    let (of_study, of_key): (BTreeSet<&str>, BTreeSet<&str>) = (
        study.items.iter().map(|item| item.id.as_str()).collect(),
        key.items.keys().map(String::as_str).collect(),
    );
    if let Some(id) = of_study.symmetric_difference(&of_key).next() {
        let which = if of_key.contains(id) { "the key alone" } else { "the study alone" };
        return Err(argument("items of the key", "those of the study", format!("'{id}' in {which}")));
    }
    if study.kind == Kind::VisualTuring && study.choices != [REAL, SYNTHETIC] {
        return Err(argument("choices of the study", "real, synthetic", study.choices.join(", ")));
    }
    for (id, truth) in &key.items {
        let choice = true_choice(study.kind, truth);
        if !study.choices.iter().any(|known| known == choice) {
            let found = format!("'{choice}' for item '{id}'");
            return Err(argument(
                "truths of the key",
                format!("the choices {}", study.choices.join(", ")),
                found,
            ));
        }
        let Some(original) = &truth.repeats else { continue };
        if key.items.get(original) != Some(&Truth { repeats: None, ..truth.clone() }) {
            let found = format!("'{id}', which repeats '{original}'");
            return Err(argument("repeats of the key", "the same truth as what they repeat", found));
        }
    }
    Ok(())
}

/// Checks that each reader is there once and sees each item once, repeats after what they repeat.
pub(super) fn readers(readers: &Readers, key: &Key) -> Result<()> {
    if readers.format != FORMAT {
        return Err(argument(
            "format of the readers",
            format!("'{FORMAT}'"),
            format!("'{}'", readers.format),
        ));
    }
    let mut names = BTreeSet::new();
    for reader in &readers.readers {
        if !names.insert(&reader.name) {
            return Err(argument("readers", "each name once", format!("'{}' twice", reader.name)));
        }
        let places: BTreeMap<&String, usize> =
            reader.order.iter().enumerate().map(|(i, id)| (id, i)).collect();
        let what = || format!("order of {}", reader.name);
        if places.len() != reader.order.len() || !places.keys().copied().eq(key.items.keys()) {
            let found = format!("{} items, {} of them different", reader.order.len(), places.len());
            return Err(argument(what(), format!("each of the key's {} items once", key.items.len()), found));
        }
        let too_early = |(id, truth): &(&String, &Truth)| {
            truth.repeats.as_ref().is_some_and(|original| places[id] < places[original])
        };
        if let Some((id, _)) = key.items.iter().find(too_early) {
            return Err(argument(what(), "repeats after what they repeat", format!("'{id}' before")));
        }
    }
    Ok(())
}

/// Checks all answers, and gives what counts of each reader, in the readers' order.
pub(super) fn answers<'a>(study: &Study, readers: &Readers, answers: &'a [Answer]) -> Result<Vec<Sheet<'a>>> {
    let items: BTreeSet<&str> = study.items.iter().map(|item| item.id.as_str()).collect();
    let place: BTreeMap<&str, usize> =
        readers.readers.iter().enumerate().map(|(i, reader)| (reader.name.as_str(), i)).collect();
    let mut sheets = vec![Sheet::new(); readers.readers.len()];
    let mut seen = BTreeSet::new();
    for answer in answers {
        let Some(reader) = place.get(answer.reader.as_str()) else {
            return Err(argument("reader of an answer", "one of the study", format!("'{}'", answer.reader)));
        };
        if !items.contains(answer.item.as_str()) {
            return Err(argument("item of an answer", "one of the study", format!("'{}'", answer.item)));
        }
        if !study.choices.contains(&answer.answer) {
            let found = format!("'{}' by {} for item {}", answer.answer, answer.reader, answer.item);
            return Err(argument("answers", study.choices.join(", "), found));
        }
        if !seen.insert((reader, &answer.item, answer.revision)) {
            let found =
                format!("revision {} by {} for item {} twice", answer.revision, answer.reader, answer.item);
            return Err(argument("answers", "each revision once", found));
        }
        let last = sheets[*reader].entry(&answer.item).or_insert(answer);
        if answer.revision > last.revision {
            *last = answer;
        }
    }
    Ok(sheets)
}
