//! Classes of features, their names, and which of them to compute.
use super::{firstorder, glcm, gldm, glrlm, glszm, ngtdm, shape};
use crate::error::{Error, Result};

/// A class of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureClass {
    /// Size and shape of the mask.
    Shape,
    /// Distribution of intensities.
    FirstOrder,
    /// Grey levels beside each other.
    Glcm,
    /// Alike neighbours.
    Gldm,
    /// Runs of a grey level.
    Glrlm,
    /// Zones of a grey level.
    Glszm,
    /// Differences to the neighbours' mean.
    Ngtdm,
}

/// What to compute of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The class.
    pub class: FeatureClass,
    /// Features by name, deprecated ones too; empty: all that are not deprecated.
    pub features: Vec<String>,
}

impl FeatureClass {
    /// All, in PyRadiomics' order of output.
    pub const ALL: [Self; 7] =
        [Self::Shape, Self::FirstOrder, Self::Glcm, Self::Gldm, Self::Glrlm, Self::Glszm, Self::Ngtdm];

    /// PyRadiomics' name of the class.
    pub fn name(self) -> &'static str {
        self.parts().0
    }

    /// PyRadiomics' names of its features, in the order in which it prints them, deprecated ones among them.
    pub fn features(self) -> &'static [&'static str] {
        self.parts().1
    }

    /// Features that are only computed when asked for by name.
    pub fn deprecated(self) -> &'static [&'static str] {
        self.parts().2
    }

    fn parts(self) -> (&'static str, &'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Shape => ("shape", &shape::FEATURES, &shape::DEPRECATED),
            Self::FirstOrder => ("firstorder", &firstorder::FEATURES, &firstorder::DEPRECATED),
            Self::Glcm => ("glcm", &glcm::FEATURES, &[]),
            Self::Gldm => ("gldm", &gldm::FEATURES, &[]),
            Self::Glrlm => ("glrlm", &glrlm::FEATURES, &[]),
            Self::Glszm => ("glszm", &glszm::FEATURES, &[]),
            Self::Ngtdm => ("ngtdm", &ngtdm::FEATURES, &[]),
        }
    }

    /// The class of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

impl Selection {
    /// All features that are not deprecated.
    pub fn all(class: FeatureClass) -> Self {
        Self { class, features: Vec::new() }
    }

    /// Names and places of the selected features in [`FeatureClass::features`].
    ///
    /// # Panics
    /// When a name is unknown: [`Settings::validate`](super::Settings::validate) tells.
    pub(super) fn chosen(&self) -> Vec<(usize, &'static str)> {
        let known = self.class.features();
        let numbered = known.iter().copied().enumerate();
        if self.features.is_empty() {
            return numbered.filter(|(_, name)| !self.class.deprecated().contains(name)).collect();
        }
        let place = |name: &String| {
            let at = known.iter().position(|k| k == name);
            at.unwrap_or_else(|| panic!("feature {name} is not one of {}", self.class.name()))
        };
        self.features.iter().map(|name| (place(name), known[place(name)])).collect()
    }

    pub(super) fn validate(&self) -> Result<()> {
        let known = self.class.features();
        match self.features.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Error::Argument {
                what: format!("feature of class {}", self.class.name()),
                expected: format!("one of {}", known.join(", ")),
                found: name.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// The classes of [`Settings::paper`](super::Settings::paper).
pub(super) fn paper() -> Vec<Selection> {
    let shape = FeatureClass::Shape.features().iter().filter(|name| **name != "SphericalDisproportion");
    let shape =
        Selection { class: FeatureClass::Shape, features: shape.map(|name| (*name).into()).collect() };
    let others = FeatureClass::ALL.into_iter().skip(2).map(Selection::all);
    std::iter::once(shape).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_as_many_features_as_pyradiomics() {
        let counts = FeatureClass::ALL.map(|class| Selection::all(class).chosen().len());
        assert_eq!(counts, [14, 18, 24, 14, 16, 16, 5]);
        // By the names of PyRadiomics' methods, `getMeanFeatureValue` after `getMeanAbsoluteDeviationFeatureValue`.
        let sorted = |class: FeatureClass| class.features().is_sorted_by_key(|f| format!("{f}FeatureValue"));
        assert!(FeatureClass::ALL.into_iter().all(sorted));
        assert_eq!(paper().iter().map(|s| s.chosen().len()).collect::<Vec<_>>(), [16, 24, 14, 16, 16, 5]);
    }
}
