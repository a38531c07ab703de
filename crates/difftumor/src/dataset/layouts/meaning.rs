//! From names of labels to what `--organ` takes.
use difftumor_ct::label::totalsegmentator;
use std::collections::BTreeMap;

/// Parts of names by which tumors are known.
const TUMOR: [&str; 7] = ["tumor", "tumour", "cancer", "lesion", "mass", "metastas", "pdac"];
const CYST: &str = "cyst";
/// Organs of several TotalSegmentator classes.
const GROUPS: [&str; 3] = ["kidney", "lung", "adrenal_gland"];

/// `liver=1:tumor=2` for the names of a dataset's labels; `None` when they hold not just one organ, or no tumor.
pub(super) fn organ(names: &BTreeMap<u16, String>) -> Option<String> {
    let known = |name: &str| GROUPS.contains(&name) || totalsegmentator::id_of(name).is_some();
    let mut organs: Vec<(u16, String)> = vec![];
    let (mut tumors, mut cysts) = (vec![], vec![]);
    for (value, name) in names.iter().filter(|(value, _)| **value > 0) {
        let name = name.trim().to_lowercase().replace([' ', '-'], "_");
        let singular = name.trim_end_matches('s');
        match () {
            () if name.contains(CYST) => cysts.push(*value),
            () if TUMOR.iter().any(|part| name.contains(part)) => tumors.push(*value),
            () if known(&name) => organs.push((*value, name)),
            () if known(singular) => organs.push((*value, singular.into())),
            () => return None,
        }
    }
    let [(value, name)] = &organs[..] else { return None };
    let list = |role: &str, values: &[u16]| -> String {
        let numbers: Vec<String> = values.iter().map(u16::to_string).collect();
        if numbers.is_empty() { String::new() } else { format!(":{role}={}", numbers.join("+")) }
    };
    (!tumors.is_empty()).then(|| format!("{name}={value}{}{}", list("tumor", &tumors), list("cyst", &cysts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use difftumor_ct::label::OrganSpec;

    fn of(names: &[(u16, &str)]) -> Option<String> {
        organ(&names.iter().map(|(value, name)| (*value, (*name).to_string())).collect())
    }

    #[test]
    fn names_of_public_datasets_are_understood() {
        for (names, expected) in [
            (vec![(0, "background"), (1, "liver"), (2, "cancer")], "liver=1:tumor=2"),
            (vec![(0, "background"), (1, "pancreas"), (2, "cancer")], "pancreas=1:tumor=2"),
            (vec![(0, "background"), (1, "Kidneys"), (2, "Tumor"), (3, "Cyst")], "kidney=1:tumor=2:cyst=3"),
            (vec![(1, "kidney"), (2, "renal mass"), (4, "metastases")], "kidney=1:tumor=2+4"),
        ] {
            let found = of(&names).unwrap();
            assert_eq!(found, expected);
            assert!(found.parse::<OrganSpec>().is_ok(), "{found}");
        }
        assert_eq!(of(&[(1, "liver")]), None);
        assert_eq!(of(&[(1, "liver"), (2, "spleen"), (3, "tumor")]), None);
        assert_eq!(of(&[(1, "edema"), (2, "tumor")]), None);
    }
}
