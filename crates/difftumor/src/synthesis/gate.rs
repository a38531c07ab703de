//! The gate: a tumor that next to no real one is like is drawn again ([`difftumor_ct::realism`]).
//!
//! Paper: none; its F.2 tells what goes wrong with synthetic tumors, and 3.3 takes all that are made.
use super::Case;
use super::landing::Landed;
use difftumor_ct::analysis::ranges::Grade;
use difftumor_ct::patch::{Fill, VoxelBox, bounding_box, crop};
use difftumor_ct::realism::{Figures, Gate, Input, Verdict, surroundings};
use difftumor_ct::{Mask, Volume};
use ndarray::Array3;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A tumor that was rejected this often is given up: what is wrong then is not chance.
pub(super) const MOST_REJECTED: usize = 12;

/// What the gate said of the tumors of one case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRecord {
    /// Tumors that were painted and judged.
    pub judged: usize,
    /// Those of them that failed and were drawn again, or given up.
    pub rejected: usize,
    /// Rejected tumors by the figure that they failed by; one may fail by several.
    pub reasons: BTreeMap<String, usize>,
}

/// What the gate said of a tumor that it let pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TumorGate {
    /// Pass or warn.
    pub grade: Grade,
    /// How many tumors were rejected in this one's place.
    pub rejected: usize,
    /// What was warned of, in words.
    pub warnings: Vec<String>,
}

impl GateRecord {
    pub(super) fn count(&mut self, verdict: &Verdict) {
        self.judged += 1;
        if verdict.grade < Grade::Fail {
            return;
        }
        self.rejected += 1;
        let mut failed: Vec<&str> =
            verdict.checks.iter().filter(|c| c.grade == Grade::Fail).map(|c| c.figure).collect();
        failed.dedup();
        for figure in failed {
            *self.reasons.entry(figure.into()).or_default() += 1;
        }
    }

    /// Adds what was said of others.
    pub fn add(&mut self, other: &Self) {
        self.judged += other.judged;
        self.rejected += other.rejected;
        for (figure, n) in &other.reasons {
            *self.reasons.entry(figure.clone()).or_default() += n;
        }
    }
}

impl TumorGate {
    pub(super) fn new(verdict: &Verdict, rejected: usize) -> Self {
        let warned = verdict.checks.iter().filter(|c| c.grade == Grade::Warn);
        Self { grade: verdict.grade, rejected, warnings: warned.map(|c| c.reason.clone()).collect() }
    }
}

/// Judges a tumor that is not in the scan yet. `None` when it cannot be measured: a voxel of it is no number.
pub(super) fn judge(gate: &Gate, case: &Case, organ: usize, landed: &Landed) -> Option<Verdict> {
    let own = bounding_box(&landed.label)?;
    let place = |v: [usize; 3]| std::array::from_fn(|a| v[a] + landed.start[a]);
    let bounds = VoxelBox { start: place(own.start), end: place(own.end) };
    let grid = case.ct.grid();
    let b = surroundings(&bounds, grid.affine.spacing_mm(), grid.shape);
    let (start, affine) = (b.start.map(|v| v as i64), grid.crop(b.start.map(|v| v as i64), b.shape()).affine);
    let cut =
        |mask: &Array3<bool>| Mask { data: crop(mask, start, b.shape(), Fill::Constant(false)), affine };
    let before = Volume { data: crop(&case.ct.data, start, b.shape(), Fill::Constant(0.0)), affine };
    let at: [i64; 3] = std::array::from_fn(|a| b.start[a] as i64 - landed.start[a] as i64);
    let change_hu = crop(&landed.change_hu, at, b.shape(), Fill::Constant(0.0));
    let mut ct = before.clone();
    super::add_change(ct.data.view_mut(), change_hu.view(), case.hu_step);
    let tumor = Mask { data: crop(&landed.label, at, b.shape(), Fill::Constant(false)), affine };
    let organ = &case.organs[organ];
    let lesions = organ.tumor.as_ref().map(|t| cut(&t.data));
    let figures = Figures::of(&Input {
        ct: &ct,
        tumor: &tumor,
        other_lesions: lesions.as_ref(),
        organ: Some(&cut(&organ.organ.data)),
        before: Some(&before),
    })?;
    Some(gate.judge(&figures))
}
