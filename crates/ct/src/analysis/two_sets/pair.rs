//! Two tables with the same columns, and their z-scores.
use crate::analysis::standardise::Standardiser;
use crate::analysis::table::{FeatureTable, argument};
use crate::draws::Draws;
use crate::error::Result;
use ndarray::{Array2, Axis, concatenate};
use std::collections::BTreeMap;

/// Fewest tumors of a set: halves need two.
const LEAST: usize = 4;

/// Two tables with the same columns in the same order.
#[derive(Debug)]
pub(super) struct Pair {
    pub real: FeatureTable,
    pub synthetic: FeatureTable,
    /// Names of the features that are not constant over the real tumors.
    pub names: Vec<String>,
    /// Names of the others.
    pub constant: Vec<String>,
    /// `[real tumors, names]` in standard deviations of the real ones.
    pub real_z: Array2<f64>,
    /// `[synthetic tumors, names]`, the same.
    pub synthetic_z: Array2<f64>,
}

impl Pair {
    pub fn of(real: &FeatureTable, synthetic: &FeatureTable) -> Result<Self> {
        for (name, table) in [("real", real), ("synthetic", synthetic)] {
            let found = table.tumors().len();
            if found < LEAST {
                return Err(argument(
                    format!("{name} tumors"),
                    format!("at least {LEAST}"),
                    found.to_string(),
                ));
            }
        }
        let synthetic = synthetic.with_columns(&places(real, synthetic)?);
        let rows = |table: &FeatureTable| (0..table.tumors().len()).collect::<Vec<_>>();
        let standardiser = Standardiser::fit(real.values(), &rows(real))?;
        let names = |places: &[usize]| places.iter().map(|c| real.columns()[*c].clone()).collect::<Vec<_>>();
        Ok(Self {
            real: real.clone(),
            names: names(standardiser.kept()),
            constant: names(standardiser.constant()),
            real_z: standardiser.transform(real.values(), &rows(real)),
            synthetic_z: standardiser.transform(synthetic.values(), &rows(&synthetic)),
            synthetic,
        })
    }

    /// z-scores of real, then synthetic tumors.
    pub fn all_z(&self) -> Array2<f64> {
        concatenate(Axis(0), &[self.real_z.view(), self.synthetic_z.view()]).expect("the same columns")
    }
}

/// Where the columns of `real` are in `synthetic`.
fn places(real: &FeatureTable, synthetic: &FeatureTable) -> Result<Vec<usize>> {
    let lacking = |of: &FeatureTable, other: &FeatureTable| -> Vec<String> {
        of.columns().iter().filter(|c| !other.columns().contains(c)).cloned().collect()
    };
    let (missing, more) = (lacking(real, synthetic), lacking(synthetic, real));
    if !missing.is_empty() || !more.is_empty() {
        return Err(argument(
            "columns of the synthetic tumors",
            "those of the real ones (measure both with the same settings)",
            format!("without [{}], and with [{}] in addition", missing.join(", "), more.join(", ")),
        ));
    }
    let place = |column| synthetic.columns().iter().position(|c| c == column).expect("it is there");
    Ok(real.columns().iter().map(place).collect())
}

/// Rows of each patient of a table, patients sorted by name.
pub(super) fn by_patient(table: &FeatureTable) -> Vec<Vec<usize>> {
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, tumor) in table.tumors().iter().enumerate() {
        rows.entry(&tumor.patient).or_default().push(row);
    }
    rows.into_values().collect()
}

/// Rows of as many patients, drawn with replacement.
pub(super) fn resample(patients: &[Vec<usize>], draws: &mut impl Draws) -> Vec<usize> {
    (0..patients.len()).flat_map(|_| patients[draws.index(patients.len())].iter().copied()).collect()
}
