//! What the viewer shows of a `record.json`. Everything in it is optional: older and newer records are shown as far as they go.
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A case's record.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Record {
    case: Option<String>,
    copy: Option<u64>,
    method: Option<String>,
    seed: Option<u64>,
    /// Value in the label map → name.
    labels: BTreeMap<String, String>,
    pub(super) tumors: Vec<Tumor>,
}

/// A tumor's record.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Tumor {
    number: Option<u64>,
    organ: Option<String>,
    method: Option<String>,
    size: Option<String>,
    /// In the scan's voxels.
    centre_vox: Option<[f64; 3]>,
    /// RAS+.
    centre_mm: Option<[f64; 3]>,
    equivalent_diameter_mm: Option<f64>,
    inside_hu: Option<f64>,
    around_hu: Option<f64>,
    /// The gate's: pass or warn.
    pub(super) grade: Option<String>,
    /// Paintings that the gate rejected before this one.
    rejected: Option<u64>,
    warnings: Vec<String>,
    has_mass_effect: bool,
}

impl Record {
    /// # Errors
    /// What is wrong, in words: the bytes are no JSON, or no object.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if !value.is_object() {
            return Err("expected an object, found another value".into());
        }
        let labels = value.get("labels").and_then(Value::as_object);
        let name = |(value, name): (&String, &Value)| Some((value.clone(), name.as_str()?.to_owned()));
        let tumors = value.get("tumors").and_then(Value::as_array);
        Ok(Self {
            case: text(&value, "/case"),
            copy: count(&value, "/copy"),
            method: text(&value, "/settings/method"),
            seed: count(&value, "/settings/seed"),
            labels: labels.into_iter().flatten().filter_map(name).collect(),
            tumors: tumors.into_iter().flatten().map(Tumor::of).collect(),
        })
    }

    /// Forgets centres outside of a scan of this many voxels, where the page would go to, and warns of them.
    pub(super) fn keep_within(&mut self, shape_vox: [u64; 3]) {
        for tumor in &mut self.tumors {
            let is_within = |(at, side): (f64, u64)| (-0.5..=side as f64 - 0.5).contains(&at);
            let is_outside = |centre: [f64; 3]| !centre.into_iter().zip(shape_vox).all(is_within);
            if tumor.centre_vox.is_some_and(is_outside) {
                tumor.centre_vox = None;
                tumor.warnings.push("its centre is recorded outside of the scan".into());
            }
        }
    }
}

impl Tumor {
    fn of(value: &Value) -> Self {
        let warnings = value.pointer("/gate/warnings").and_then(Value::as_array);
        Self {
            number: count(value, "/number"),
            organ: text(value, "/organ"),
            method: text(value, "/method"),
            size: text(value, "/size"),
            centre_vox: point(value, "/centre_vox"),
            centre_mm: point(value, "/centre_mm"),
            equivalent_diameter_mm: number(value, "/equivalent_diameter_mm"),
            inside_hu: number(value, "/hu_inside/mean_hu"),
            around_hu: number(value, "/hu_around/mean_hu"),
            grade: text(value, "/gate/grade"),
            rejected: count(value, "/gate/rejected"),
            warnings: warnings.into_iter().flatten().filter_map(|w| Some(w.as_str()?.to_owned())).collect(),
            has_mass_effect: value.get("mass_effect").is_some_and(|effect| !effect.is_null()),
        }
    }
}

fn text(value: &Value, at: &str) -> Option<String> {
    value.pointer(at)?.as_str().map(str::to_owned)
}

fn count(value: &Value, at: &str) -> Option<u64> {
    value.pointer(at)?.as_u64()
}

fn number(value: &Value, at: &str) -> Option<f64> {
    value.pointer(at)?.as_f64()
}

fn point(value: &Value, at: &str) -> Option<[f64; 3]> {
    let values: Option<Vec<f64>> = value.pointer(at)?.as_array()?.iter().map(Value::as_f64).collect();
    values?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centres_outside_of_the_scan_are_not_gone_to() {
        let json = r#"{"tumors": [{"centre_vox": [0, 9.5, 19.5]}, {"centre_vox": [0, 0, 20]}, {"centre_vox": [-1, 0, 0]}, {}]}"#;
        let mut record = Record::parse(json.as_bytes()).unwrap();
        record.keep_within([10, 10, 20]);
        let found: Vec<_> = record.tumors.iter().map(|t| (t.centre_vox, t.warnings.len())).collect();
        assert_eq!(found, [(Some([0.0, 9.5, 19.5]), 0), (None, 1), (None, 1), (None, 0)]);
    }

    #[test]
    fn what_is_there_is_taken_and_what_is_odd_is_left() {
        let json = r#"{"case": "a", "copy": -1, "settings": {"seed": 7}, "labels": {"2": "tumor", "3": 3},
            "tumors": [{"number": 1, "centre_vox": [1, 2.5, 3], "centre_mm": [1, 2], "hu_inside": {"mean_hu": 60},
                        "gate": {"grade": "warn", "rejected": 2, "warnings": ["flat", 5]}, "mass_effect": null}, 5]}"#;
        let tumor = Tumor {
            number: Some(1),
            centre_vox: Some([1.0, 2.5, 3.0]),
            inside_hu: Some(60.0),
            grade: Some("warn".into()),
            rejected: Some(2),
            warnings: vec!["flat".into()],
            ..Tumor::default()
        };
        let expected = Record {
            case: Some("a".into()),
            seed: Some(7),
            labels: BTreeMap::from([("2".into(), "tumor".into())]),
            tumors: vec![tumor, Tumor::default()],
            ..Record::default()
        };
        assert_eq!(Record::parse(json.as_bytes()), Ok(expected));
        assert_eq!(Record::parse(b"{}"), Ok(Record::default()));
        for bad in ["", "{", "[]", "null"] {
            assert!(Record::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
