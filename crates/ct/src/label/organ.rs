//! What a user calls an organ, which label values that means, and in which role.
use super::totalsegmentator;
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Organs made of several TotalSegmentator classes: name, the classes, and the classes of cysts in it.
const GROUPS: [(&str, &[&str], &[&str]); 3] = [
    ("kidney", &["kidney_right", "kidney_left"], &["kidney_cyst_left", "kidney_cyst_right"]),
    (
        "lung",
        &[
            "lung_upper_lobe_left",
            "lung_lower_lobe_left",
            "lung_upper_lobe_right",
            "lung_middle_lobe_right",
            "lung_lower_lobe_right",
        ],
        &[],
    ),
    ("adrenal_gland", &["adrenal_gland_right", "adrenal_gland_left"], &[]),
];

const SYNTAX: &str = "NAME or NAME=VALUE, where VALUE is 1..65535 or several joined by +, optionally followed by \
                      :tumor=VALUE and :cyst=VALUE (as in kidney=2+3 or liver=1:tumor=2)";

/// Which label values mean what. No value has two roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelRoles {
    /// Healthy tissue of the organ.
    pub organ: Vec<u16>,
    /// Tumors that are really there.
    pub tumor: Vec<u16>,
    /// Cysts.
    pub cyst: Vec<u16>,
}

/// An organ as asked for: `liver`, `kidney=2+3` or `liver=1:tumor=2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganSpec {
    /// Name in lower case.
    pub name: String,
    /// The values that mean it, where the user says so.
    pub roles: Option<LabelRoles>,
}

impl OrganSpec {
    /// Names under which files and label tables hold the organ's parts, without the organ's own name: for a group the
    /// TotalSegmentator classes, else nothing.
    pub(super) fn parts(&self) -> &'static [&'static str] {
        self.group().map_or(&[], |group| group.1)
    }

    /// Names under which files and label tables hold tumors: of this organ, or without saying of which.
    pub(super) fn tumor_names(&self) -> Vec<String> {
        let mut names =
            self.with_and_without_organ(&["tumor", "tumors", "tumour", "tumours", "lesion", "lesions"]);
        // AbdomenAtlas' name of the pancreas' own.
        if self.name == "pancreas" {
            names.push("pancreatic_lesion".into());
        }
        names
    }

    /// Names under which files and label tables hold cysts: of this organ, or without saying of which.
    pub(super) fn cyst_names(&self) -> Vec<String> {
        let mut names = self.with_and_without_organ(&["cyst", "cysts"]);
        names.extend(self.group().into_iter().flat_map(|group| group.2).map(|class| (*class).to_string()));
        names
    }

    fn with_and_without_organ(&self, words: &[&str]) -> Vec<String> {
        words.iter().flat_map(|word| [format!("{}_{word}", self.name), (*word).to_string()]).collect()
    }

    /// TotalSegmentator's label values of the organ.
    pub(super) fn totalsegmentator_ids(&self) -> Vec<u16> {
        let classes = if self.parts().is_empty() { vec![self.name.as_str()] } else { self.parts().to_vec() };
        classes.into_iter().filter_map(totalsegmentator::id_of).collect()
    }

    fn group(&self) -> Option<&'static (&'static str, &'static [&'static str], &'static [&'static str])> {
        GROUPS.iter().find(|group| group.0 == self.name)
    }
}

impl FromStr for OrganSpec {
    type Err = Error;

    /// # Errors
    /// [`Error::Argument`] when it is not [`OrganSpec`]'s syntax, or a bare name that is neither a group of classes nor
    /// a TotalSegmentator class.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |expected: &str| Error::Argument {
            what: "organ".into(),
            expected: expected.into(),
            found: format!("'{text}'"),
        };
        let (name, values) = text.split_once('=').map_or((text, None), |(name, values)| (name, Some(values)));
        let name = name.trim().to_lowercase();
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
            return Err(bad(SYNTAX));
        }
        let roles = values.map(|values| parse_roles(values).ok_or_else(|| bad(SYNTAX))).transpose()?;
        let spec = Self { name, roles };
        if spec.roles.is_none() && spec.totalsegmentator_ids().is_empty() {
            return Err(bad(
                "liver, pancreas, kidney, lung, adrenal_gland or any class of TotalSegmentator v2 (colon, spleen, \
                 kidney_left, …); for anything else, NAME=VALUE",
            ));
        }
        Ok(spec)
    }
}

/// `2+3`, `1:tumor=2:cyst=3`.
fn parse_roles(text: &str) -> Option<LabelRoles> {
    let mut fields = text.split(':');
    let mut roles = LabelRoles { organ: parse_values(fields.next()?)?, ..LabelRoles::default() };
    for field in fields {
        let (role, values) = field.split_once('=')?;
        let slot = match role.trim() {
            "tumor" => &mut roles.tumor,
            "cyst" => &mut roles.cyst,
            _ => return None,
        };
        if !slot.is_empty() {
            return None;
        }
        *slot = parse_values(values)?;
    }
    let all = [&roles.organ, &roles.tumor, &roles.cyst];
    let distinct: BTreeSet<u16> = all.into_iter().flatten().copied().collect();
    (distinct.len() == all.into_iter().map(Vec::len).sum::<usize>()).then_some(roles)
}

fn parse_values(text: &str) -> Option<Vec<u16>> {
    text.split('+').map(|value| value.trim().parse().ok().filter(|&value| value > 0)).collect()
}

impl fmt::Display for OrganSpec {
    /// What [`OrganSpec::from_str`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |values: &[u16]| values.iter().map(u16::to_string).collect::<Vec<_>>().join("+");
        f.write_str(&self.name)?;
        let Some(roles) = &self.roles else { return Ok(()) };
        write!(f, "={}", joined(&roles.organ))?;
        for (role, values) in [("tumor", &roles.tumor), ("cyst", &roles.cyst)] {
            if !values.is_empty() {
                write!(f, ":{role}={}", joined(values))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_read_and_written() {
        let roles = |organ: &[u16], tumor: &[u16], cyst: &[u16]| {
            Some(LabelRoles { organ: organ.into(), tumor: tumor.into(), cyst: cyst.into() })
        };
        for (text, name, expected) in [
            ("liver", "liver", None),
            ("vertebrae_s1", "vertebrae_s1", None),
            ("kidney=2+3", "kidney", roles(&[2, 3], &[], &[])),
            ("liver=1:tumor=2:cyst=3", "liver", roles(&[1], &[2], &[3])),
            ("phantom=65535", "phantom", roles(&[65535], &[], &[])),
        ] {
            let spec: OrganSpec = text.parse().unwrap();
            assert_eq!((spec.name.as_str(), &spec.roles), (name, &expected));
            assert_eq!(spec.to_string(), text);
        }
        assert_eq!(" Liver = 5 ".parse::<OrganSpec>().unwrap().to_string(), "liver=5");
    }

    #[test]
    fn bad_specs_say_what_is_possible() {
        for text in [
            "",
            "=1",
            "liver=",
            "liver=0",
            "liver=-1",
            "liver=65536",
            "liver=1+",
            "liver=1+1",
            "liver=1:tumor=1",
        ] {
            let error = text.parse::<OrganSpec>().unwrap_err().to_string();
            assert!(error.contains("NAME=VALUE") && error.contains(&format!("'{text}'")), "{error}");
        }
        for text in ["liver=1:tumor", "liver=1:lesion=2", "liver=1:tumor=2:tumor=3", "../liver=1"] {
            assert!(text.parse::<OrganSpec>().is_err(), "{text}");
        }
        let error = "livr".parse::<OrganSpec>().unwrap_err().to_string();
        assert!(error.contains("liver, pancreas, kidney") && error.contains("'livr'"), "{error}");
    }

    #[test]
    fn groups_are_made_of_classes_that_exist() {
        for (name, parts, cysts) in GROUPS {
            assert!(
                parts.iter().chain(cysts).all(|class| totalsegmentator::id_of(class).is_some()),
                "{name}"
            );
        }
        assert_eq!("kidney".parse::<OrganSpec>().unwrap().totalsegmentator_ids(), [2, 3]);
        assert_eq!("kidney_left".parse::<OrganSpec>().unwrap().totalsegmentator_ids(), [3]);
    }
}
