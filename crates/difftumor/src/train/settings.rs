//! Settings of a training: a TOML file that holds only what differs from the defaults, `--set KEY=VALUE` on top, and the
//! comparison with what an interrupted training was started with.
use crate::error::{Error, Result};
use difftumor_ct::io::write_atomically;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Write;
use std::path::Path;
use toml::{Table, Value};

/// Reads settings: defaults, then `file`, then `overrides` of the form `key.of.a.table=VALUE` (TOML; a text needs no quotes).
///
/// # Errors
/// When the file is unreadable, or a key is unknown or has a value of another type. The message names key and file.
pub fn read<C: DeserializeOwned>(file: Option<&Path>, overrides: &[String]) -> Result<C> {
    let mut table = match file {
        None => Table::new(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
            let parsed: Table = text.parse().map_err(|e: toml::de::Error| invalid(path, &e))?;
            // A mistake in the file is told as such, before the overrides are looked at.
            parsed.clone().try_into::<C>().map_err(|e| invalid(path, &e))?;
            parsed
        }
    };
    for text in overrides {
        let (key, value) = text.split_once('=').ok_or_else(|| argument("KEY=VALUE", text))?;
        set(&mut table, key.trim(), parse(value.trim()))
            .map_err(|found| argument("the name of a setting", &found))?;
        table.clone().try_into::<C>().map_err(|e| {
            argument("a setting that exists, with a value of its type", &format!("'{text}': {e}"))
        })?;
    }
    table.try_into().map_err(|e| argument("complete settings", &e.to_string()))
}

fn invalid(path: &Path, error: &toml::de::Error) -> Error {
    let hint = "every key is listed, with its default, in the config.toml of a training";
    Error::format(path, "settings", "TOML with known keys", error.to_string(), hint)
}

fn argument(expected: &str, found: &str) -> Error {
    difftumor_ct::Error::Argument { what: "--set".into(), expected: expected.into(), found: found.into() }
        .into()
}

/// A TOML value; whatever is none is a text.
fn parse(text: &str) -> Value {
    let document: Result<Table, _> = format!("v = {text}").parse();
    document.ok().and_then(|mut t| t.remove("v")).unwrap_or_else(|| Value::String(text.into()))
}

fn set(table: &mut Table, key: &str, value: Value) -> Result<(), String> {
    match key.split_once('.') {
        _ if key.is_empty() => Err("an empty one".into()),
        None => {
            table.insert(key.into(), value);
            Ok(())
        }
        Some((first, rest)) => match table.entry(first).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => set(inner, rest, value),
            _ => Err(format!("'{first}' is no table")),
        },
    }
}

/// Settings as a table, with every default written out.
///
/// # Panics
/// When `settings` are not made of tables, numbers, texts and lists.
pub fn resolved(settings: &impl Serialize) -> Table {
    Table::try_from(settings).expect("settings are tables, numbers, texts and lists")
}

/// Writes resolved settings.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, settings: &Table) -> Result<()> {
    Ok(write_atomically(path, |file| file.write_all(settings.to_string().as_bytes()))?)
}

/// Checks that the training that is there was started with the same settings; those under `free` may differ.
///
/// # Errors
/// [`Error::Resume`] names every key that differs, with both values.
pub fn require_same(path: &Path, wanted: &Table, free: &[&str]) -> Result<()> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
    let found: Table = text.parse().map_err(|e: toml::de::Error| invalid(path, &e))?;
    let (mut before, mut now) = (vec![], vec![]);
    flatten("", &found, &mut before);
    flatten("", wanted, &mut now);
    let is_free =
        |key: &str| free.iter().any(|f| key == *f || key.strip_prefix(f).is_some_and(|r| r.starts_with('.')));
    let of = |list: &[(String, String)], key: &str| {
        list.iter().find(|(k, _)| k == key).map_or("nothing".into(), |(_, v)| v.clone())
    };
    let mut keys: Vec<&String> = before.iter().chain(&now).map(|(k, _)| k).collect();
    keys.sort();
    keys.dedup();
    let differs = |key: &&String| !is_free(key) && of(&before, key) != of(&now, key);
    let lines: Vec<String> = keys
        .into_iter()
        .filter(differs)
        .map(|k| format!("{k}: was {}, now {}", of(&before, k), of(&now, k)))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    Err(Error::Resume { path: path.to_path_buf(), difference: lines.join("; ") })
}

fn flatten(prefix: &str, table: &Table, to: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, to),
            other => to.push((key, other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        name: String,
        rate: f64,
    }
    impl Default for Inner {
        fn default() -> Self {
            Self { name: "a".into(), rate: 0.5 }
        }
    }
    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Outer {
        steps: u64,
        inner: Inner,
    }

    fn read_text(text: &str, overrides: &[&str]) -> Result<Outer, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        read(Some(&path), &overrides).map_err(|e| e.to_string())
    }

    #[test]
    fn overrides_come_last_and_mistakes_are_named() {
        let got = read_text("steps = 3\n[inner]\nrate = 0.25", &["inner.name=b c", "steps=7"]).unwrap();
        assert_eq!(got, Outer { steps: 7, inner: Inner { name: "b c".into(), rate: 0.25 } });
        for (text, set, told) in [
            ("stepz = 3", vec![], "stepz"),
            ("", vec!["inner.rat=1.0"], "rat"),
            ("", vec!["steps=many"], "many"),
            ("", vec!["steps"], "KEY=VALUE"),
            ("steps = 1", vec!["steps.x=1"], "'steps' is no table"),
            ("", vec!["=1"], "an empty one"),
            ("steps = ", vec![], "c.toml"),
        ] {
            let error = read_text(text, &set).unwrap_err();
            assert!(error.contains(told), "{text} {set:?}: {error}");
        }
    }

    #[test]
    fn another_config_is_told_key_by_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let before = resolved(&Outer::default());
        write(&path, &before).unwrap();
        require_same(&path, &before, &[]).unwrap();
        let now = resolved(&Outer { steps: 9, inner: Inner { rate: 0.1, ..Inner::default() } });
        let error = require_same(&path, &now, &["steps"]).unwrap_err().to_string();
        assert!(error.contains("inner.rate: was 0.5, now 0.1") && !error.contains("steps: was"), "{error}");
        require_same(&path, &now, &["steps", "inner"]).unwrap();
    }
}
