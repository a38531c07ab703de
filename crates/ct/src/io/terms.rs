//! What a label's name means in SNOMED CT, for formats that want codes: segmentations of 3D Slicer and of DICOM.
//!
//! Codes: DICOM PS3.16, CID 7150 (categories), CID 7151 (types), CID 244 (sides); they are given here with DICOM's meanings.

/// A code of SNOMED CT ("SCT") and its meaning in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code {
    pub value: &'static str,
    pub meaning: &'static str,
}

/// What a segment shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Term {
    pub category: Code,
    pub kind: Code,
    /// Left or right.
    pub side: Option<Code>,
}

/// The scheme that all codes are from, as DICOM writes it.
pub(super) const SCHEME: &str = "SCT";

const fn code(value: &'static str, meaning: &'static str) -> Code {
    Code { value, meaning }
}

const ANATOMY: Code = code("123037004", "Anatomical Structure");
const ABNORMAL: Code = code("49755003", "Morphologically Abnormal Structure");
const TISSUE: Code = code("85756007", "Tissue");
const NEOPLASM: Code = code("108369006", "Neoplasm");
const CYST: Code = code("367643001", "Cyst");
const LEFT: Code = code("7771000", "Left");
const RIGHT: Code = code("24028007", "Right");

/// Words for lesions, in any part of a name; a lesion of an organ is a lesion first.
const LESIONS: [(&str, Code); 4] =
    [("tumor", NEOPLASM), ("tumour", NEOPLASM), ("neoplasm", NEOPLASM), ("cyst", CYST)];

/// How names of organs begin, and what they are.
const ORGANS: [(&str, Code); 19] = [
    ("liver", code("10200004", "Liver")),
    ("pancreas", code("15776009", "Pancreas")),
    ("kidney", code("64033007", "Kidney")),
    ("spleen", code("78961009", "Spleen")),
    ("lung", code("39607008", "Lung")),
    ("adrenal_gland", code("23451007", "Adrenal gland")),
    ("colon", code("71854001", "Colon")),
    ("stomach", code("69695003", "Stomach")),
    ("gallbladder", code("28231008", "Gallbladder")),
    ("urinary_bladder", code("89837001", "Bladder")),
    ("esophagus", code("32849002", "Esophagus")),
    ("duodenum", code("38848004", "Duodenum")),
    ("small_bowel", code("30315005", "Small Intestine")),
    ("prostate", code("41216001", "Prostate")),
    ("brain", code("12738006", "Brain")),
    ("heart", code("80891009", "Heart")),
    ("aorta", code("15825003", "Aorta")),
    ("inferior_vena_cava", code("64131007", "Inferior vena cava")),
    ("trachea", code("44567001", "Trachea")),
];

/// What a name means: a lesion, an organ, or else only tissue.
pub(super) fn of(name: &str) -> Term {
    let name = name.trim().to_lowercase().replace([' ', '-'], "_");
    let words = || name.split('_').filter(|word| !word.is_empty());
    let side = [("left", LEFT), ("right", RIGHT)];
    let side = side.into_iter().find(|(word, _)| words().any(|w| w == *word)).map(|(_, side)| side);
    let is = |word: &str, stem: &str| word == stem || word.strip_suffix('s') == Some(stem);
    if let Some((_, kind)) = LESIONS.into_iter().find(|(stem, _)| words().any(|word| is(word, stem))) {
        return Term { category: ABNORMAL, kind, side };
    }
    let begins =
        |stem: &str| name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    match ORGANS.into_iter().find(|(stem, _)| begins(stem)) {
        Some((_, kind)) => Term { category: ANATOMY, kind, side },
        None => Term { category: TISSUE, kind: TISSUE, side: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_meanings() {
        let kind = |name| (of(name).kind.meaning, of(name).side.map(|side| side.meaning));
        assert_eq!(kind("liver"), ("Liver", None));
        assert_eq!(kind("Kidney Left"), ("Kidney", Some("Left")));
        assert_eq!(kind("liver_tumors"), ("Neoplasm", None));
        assert_eq!(kind("kidney_cyst_right"), ("Cyst", Some("Right")));
        assert_eq!(kind("lung_upper_lobe_left"), ("Lung", Some("Left")));
        assert_eq!(kind("colonel"), ("Tissue", None));
        assert_eq!(of("tumor").category, ABNORMAL);
    }
}
