//! Features with their names.
use serde::ser::{Serialize, Serializer};

/// Features by name, as PyRadiomics prints them (`original_glcm_Contrast`) and in its order. As JSON a flat map; a feature that the region
/// does not have (no pair of neighbours) is NaN, in JSON `null`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features {
    entries: Vec<(String, f64)>,
}

impl Features {
    pub(super) fn push(&mut self, class: &str, name: &str, value: f64) {
        self.entries.push((format!("original_{class}_{name}"), value));
    }

    /// The value of a feature.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, f64)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Number of features.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
