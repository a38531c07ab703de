//! What must hold of `study.json` and `readers.json` beyond their types.
use crate::format::{FORMAT, Kind, Readers, Study};
use std::collections::BTreeSet;

/// What is wrong: expected and found.
type Checked = std::result::Result<(), String>;

/// In lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether this is a number of so many lower-case hexadecimal digits.
pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Formats, choices, ids and places of `study.json`.
pub(super) fn check_study(study: &Study) -> Checked {
    check_format(&study.format)?;
    let choices: BTreeSet<&str> = study.choices.iter().map(String::as_str).collect();
    if choices.len() < 2 || choices.len() < study.choices.len() || choices.contains("") {
        return Err(format!("choices: expected two or more that differ, found {:?}", study.choices));
    }
    if study.kind == Kind::VisualTuring && choices != BTreeSet::from(["real", "synthetic"]) {
        return Err(format!("choices: expected real and synthetic, found {:?}", study.choices));
    }
    let [centre, width] = study.window_hu;
    if !centre.is_finite() || !width.is_finite() || width <= 0.0 {
        return Err(format!("window: expected a centre and a width above 0, found {:?}", study.window_hu));
    }
    if study.items.is_empty() {
        return Err("items: expected at least one, found none".into());
    }
    for pair in study.items.windows(2) {
        if pair[0].id >= pair[1].id {
            return Err(format!(
                "items: expected ids that ascend, found '{}' before '{}'",
                pair[0].id, pair[1].id
            ));
        }
    }
    for item in &study.items {
        if !is_hex(&item.id, 16) {
            return Err(format!("items: expected ids of 16 hexadecimal digits, found '{}'", item.id));
        }
        if !is_hex(&item.sha256, 64) {
            return Err(format!("item {}: expected a SHA-256, found '{}'", item.id, item.sha256));
        }
        if !item.centre_vox.iter().all(|v| v.is_finite() && *v >= 0.0) {
            return Err(format!("item {}: expected a voxel as centre, found {:?}", item.id, item.centre_vox));
        }
    }
    Ok(())
}

/// Names, tokens and orders of `readers.json`.
pub(super) fn check_readers(readers: &Readers, study: &Study) -> Checked {
    check_format(&readers.format)?;
    let items: Vec<&str> = study.items.iter().map(|item| item.id.as_str()).collect();
    let (mut names, mut tokens) = (BTreeSet::new(), BTreeSet::new());
    for reader in &readers.readers {
        let name = &reader.name;
        if name.is_empty() || !names.insert(name) {
            return Err(format!("readers: expected names that differ, found '{name}' twice or empty"));
        }
        if !is_hex(&reader.token_sha256, 64) || !tokens.insert(&reader.token_sha256) {
            return Err(format!(
                "reader '{name}': expected the SHA-256 of a token of their own, found another's or none"
            ));
        }
        let mut order: Vec<&str> = reader.order.iter().map(String::as_str).collect();
        order.sort_unstable();
        if order != items {
            return Err(format!(
                "reader '{name}': expected an order of the study's {} items, each once, found {} that are not those",
                items.len(),
                order.len()
            ));
        }
    }
    if names.is_empty() { Err("readers: expected at least one, found none".into()) } else { Ok(()) }
}

fn check_format(found: &str) -> Checked {
    if found == FORMAT { Ok(()) } else { Err(format!("format: expected '{FORMAT}', found '{found}'")) }
}
