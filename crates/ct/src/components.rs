//! Connected components of masks, by merging runs of voxels along z (union-find), and neighbourhoods.
//!
//! A row of voxels becomes a few runs, so the work after one pass over the mask is on runs, not voxels. Components
//! are numbered from 1 in the order in which a scan in C order meets them: the result depends on nothing else.
use crate::patch::VoxelBox;
use ndarray::{Array3, Axis, s};
use rayon::prelude::*;

/// Which voxels count as neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Connectivity {
    /// 6: sharing a face.
    Faces,
    /// 18: sharing a face or an edge.
    Edges,
    /// 26: sharing a face, an edge or a corner.
    Corners,
}

impl Connectivity {
    /// Along how many axes a neighbour may differ.
    pub(crate) fn axes(self) -> usize {
        match self {
            Self::Faces => 1,
            Self::Edges => 2,
            Self::Corners => 3,
        }
    }
}

/// One connected component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Its number, from 1, in scan order.
    pub label: u32,
    /// How many voxels it has.
    pub voxels: usize,
    /// The smallest box that holds it.
    pub bounds: VoxelBox,
}

/// Voxels `[x, y, begin..end]`, all inside.
#[derive(Debug, Clone, Copy)]
struct Run {
    x: u32,
    y: u32,
    begin: u32,
    end: u32,
}

/// All connected components of a mask.
#[derive(Debug, Clone)]
pub struct Components {
    /// In order of their labels.
    pub parts: Vec<Component>,
    shape: (usize, usize, usize),
    runs: Vec<Run>,
    /// Component label of each run.
    label_of_run: Vec<u32>,
}

/// Finds the connected components of a mask. An empty mask has none.
pub fn components(mask: &Array3<bool>, connectivity: Connectivity) -> Components {
    let (runs, rows) = find_runs(mask);
    let mut parent: Vec<u32> = (0..runs.len() as u32).collect();
    merge_rows(&runs, &rows, mask.dim().1, connectivity, &mut parent);

    let mut parts: Vec<Component> = Vec::new();
    let mut label_of_run = vec![0_u32; runs.len()];
    for (i, run) in runs.iter().enumerate() {
        let root = root(&mut parent, i as u32) as usize;
        let (x, y) = (run.x as usize, run.y as usize);
        let here = VoxelBox { start: [x, y, run.begin as usize], end: [x + 1, y + 1, run.end as usize] };
        // A root is the first run of its component, so components are numbered in scan order.
        if root == i {
            parts.push(Component { label: parts.len() as u32 + 1, voxels: 0, bounds: here });
            label_of_run[i] = parts.len() as u32;
        }
        label_of_run[i] = label_of_run[root];
        let part = &mut parts[label_of_run[root] as usize - 1];
        part.voxels += (run.end - run.begin) as usize;
        part.bounds = part.bounds.union(&here);
    }
    Components { parts, shape: mask.dim(), runs, label_of_run }
}

impl Components {
    /// The component with most voxels; the first of equals. `None` when there is none.
    pub fn largest(&self) -> Option<&Component> {
        self.parts.iter().rev().max_by_key(|part| part.voxels)
    }

    /// The label of every voxel, 0 outside.
    pub fn labels(&self) -> Array3<u32> {
        self.paint(0, |label| label)
    }

    /// The mask of those components that `wanted` holds for.
    pub fn keep(&self, wanted: impl Fn(&Component) -> bool) -> Array3<bool> {
        let wanted: Vec<bool> = self.parts.iter().map(wanted).collect();
        self.paint(false, |label| wanted[label as usize - 1])
    }

    /// What `of` makes of each component that `wanted` holds for, given its mask cut to its bounds; in order of labels. The work
    /// is on the component's own runs, so there may be very many components.
    pub fn map_masks<R: Send>(
        &self,
        wanted: impl Fn(&Component) -> bool + Sync,
        of: impl Fn(&Component, Array3<bool>) -> R + Sync,
    ) -> Vec<R> {
        let mut by_label: Vec<u32> = (0..self.runs.len() as u32).collect();
        by_label.sort_by_key(|i| self.label_of_run[*i as usize]);
        let label = |i: &u32| self.label_of_run[*i as usize];
        let groups: Vec<&[u32]> = by_label.chunk_by(|a, b| label(a) == label(b)).collect();
        let both = self.parts.par_iter().zip(groups).filter(|(part, _)| wanted(part));
        both.map(|(part, runs)| of(part, self.mask_of(part, runs))).collect()
    }

    fn mask_of(&self, part: &Component, runs: &[u32]) -> Array3<bool> {
        let [x0, y0, z0] = part.bounds.start;
        let mut out = Array3::from_elem(part.bounds.shape(), false);
        for run in runs.iter().map(|i| self.runs[*i as usize]) {
            let z = run.begin as usize - z0..run.end as usize - z0;
            out.slice_mut(s![run.x as usize - x0, run.y as usize - y0, z]).fill(true);
        }
        out
    }

    fn paint<T: Copy + Send + Sync>(&self, outside: T, value: impl Fn(u32) -> T + Sync) -> Array3<T> {
        let (_, ny, nz) = self.shape;
        let mut out = Array3::from_elem(self.shape, outside);
        let planes = out.as_slice_mut().expect("a new array is in C order").par_chunks_mut((ny * nz).max(1));
        planes.enumerate().for_each(|(x, plane)| {
            let first = self.runs.partition_point(|run| (run.x as usize) < x);
            let here = self.runs[first..].iter().zip(&self.label_of_run[first..]);
            for (run, label) in here.take_while(|(run, _)| run.x as usize == x) {
                let row = run.y as usize * nz;
                plane[row + run.begin as usize..row + run.end as usize].fill(value(*label));
            }
        });
        out
    }
}

/// All runs in scan order, and for each row (x, y) the index of its first run (one more entry at the end).
///
/// # Panics
/// When the mask has 2^32 runs or more.
fn find_runs(mask: &Array3<bool>) -> (Vec<Run>, Vec<u32>) {
    let planes = mask.axis_iter(Axis(0)).into_par_iter().enumerate();
    let per_plane: Vec<(Vec<Run>, Vec<u32>)> = planes
        .map(|(x, plane)| {
            let (mut runs, mut counts) = (Vec::new(), Vec::with_capacity(plane.nrows()));
            for (y, row) in plane.outer_iter().enumerate() {
                let before = runs.len();
                match row.as_slice() {
                    Some(row) => runs_of_row(row, x as u32, y as u32, &mut runs),
                    None => runs_of_row(&row.to_vec(), x as u32, y as u32, &mut runs),
                }
                counts.push((runs.len() - before) as u32);
            }
            (runs, counts)
        })
        .collect();
    let total: usize = per_plane.iter().map(|(runs, _)| runs.len()).sum();
    assert!(total < u32::MAX as usize, "{total} runs of voxels: the mask is larger than this can number");
    let (mut runs, mut rows) = (Vec::with_capacity(total), vec![0]);
    for (plane_runs, counts) in per_plane {
        runs.extend(plane_runs);
        for count in counts {
            rows.push(rows.last().expect("starts with 0") + count);
        }
    }
    (runs, rows)
}

fn runs_of_row(row: &[bool], x: u32, y: u32, runs: &mut Vec<Run>) {
    let mut at = 0;
    while let Some(offset) = row[at..].iter().position(|v| *v) {
        let begin = at + offset;
        let end = row[begin..].iter().position(|v| !*v).map_or(row.len(), |n| begin + n);
        runs.push(Run { x, y, begin: begin as u32, end: end as u32 });
        at = end;
    }
}

/// Joins runs that touch in neighbouring rows before each row.
fn merge_rows(runs: &[Run], rows: &[u32], ny: usize, connectivity: Connectivity, parent: &mut [u32]) {
    let axes = connectivity.axes();
    let earlier: Vec<(usize, isize)> = [(0, -1), (1, 0), (1, -1), (1, 1)]
        .into_iter()
        .filter(|(dx, dy): &(usize, isize)| dx + dy.unsigned_abs() <= axes)
        .collect();
    let row_range = |row: usize| rows[row] as usize..rows[row + 1] as usize;
    for row in 0..rows.len() - 1 {
        if row_range(row).is_empty() {
            continue;
        }
        let (x, y) = (row / ny, row % ny);
        for (dx, dy) in &earlier {
            let Some(other_y) = y.checked_add_signed(*dy).filter(|v| *v < ny) else { continue };
            let Some(other_x) = x.checked_sub(*dx) else { continue };
            // One more step, along z, is allowed when it still makes a neighbour.
            let reach = u32::from(dx + dy.unsigned_abs() < axes);
            merge_two(runs, row_range(row), row_range(other_x * ny + other_y), reach, parent);
        }
    }
}

/// Joins the runs of two rows that overlap, or come within `reach` of it, walking along both at once.
fn merge_two(
    runs: &[Run],
    mine: std::ops::Range<usize>,
    theirs: std::ops::Range<usize>,
    reach: u32,
    parent: &mut [u32],
) {
    let (mut i, mut j) = (mine.start, theirs.start);
    while i < mine.end && j < theirs.end {
        let (a, b) = (&runs[i], &runs[j]);
        if a.begin < b.end + reach && b.begin < a.end + reach {
            let (p, q) = (root(parent, i as u32), root(parent, j as u32));
            // The earlier run leads, so that a root is the first run of its component.
            parent[p.max(q) as usize] = p.min(q);
        }
        if a.end < b.end { i += 1 } else { j += 1 }
    }
}

/// The root of a run, halving the path on the way.
fn root(parent: &mut [u32], mut i: u32) -> u32 {
    while parent[i as usize] != i {
        parent[i as usize] = parent[parent[i as usize] as usize];
        i = parent[i as usize];
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Flood fill in scan order.
    fn brute(mask: &Array3<bool>, connectivity: Connectivity) -> Array3<u32> {
        let mut labels = Array3::zeros(mask.dim());
        let mut next = 0;
        for (seed, _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
            if labels[seed] != 0 {
                continue;
            }
            next += 1;
            let mut stack = vec![seed];
            while let Some(at) = stack.pop() {
                if std::mem::replace(&mut labels[at], next) == next {
                    continue;
                }
                for ((x, y, z), _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
                    let d = [x.abs_diff(at.0), y.abs_diff(at.1), z.abs_diff(at.2)];
                    let touching =
                        d.iter().all(|v| *v <= 1) && d.iter().sum::<usize>() <= connectivity.axes();
                    if touching && labels[[x, y, z]] == 0 {
                        stack.push((x, y, z));
                    }
                }
            }
        }
        labels
    }

    proptest! {
        #[test]
        fn components_equal_a_flood_fill(
            shape in prop::array::uniform3(1_usize..7),
            bits in prop::collection::vec(0_u8..10, 216),
            threshold in 1_u8..9,
        ) {
            let mut bits = bits.into_iter();
            let mask = Array3::from_shape_simple_fn(shape, || bits.next().unwrap() < threshold);
            for connectivity in [Connectivity::Faces, Connectivity::Edges, Connectivity::Corners] {
                let found = components(&mask, connectivity);
                let expected = brute(&mask, connectivity);
                prop_assert_eq!(&found.labels(), &expected);
                for part in &found.parts {
                    let alone = expected.mapv(|v| v == part.label);
                    prop_assert_eq!(part.voxels, alone.iter().filter(|v| **v).count());
                    prop_assert_eq!(Some(part.bounds), crate::patch::bounding_box(&alone));
                    let [a, b] = [part.bounds.start, part.bounds.end];
                    let cut = alone.slice(s![a[0]..b[0], a[1]..b[1], a[2]..b[2]]).to_owned();
                    let one = found.map_masks(|p| p.label == part.label, |p, mask| (p.label, mask));
                    prop_assert_eq!(one, vec![(part.label, cut)]);
                    prop_assert_eq!(found.keep(|other| other.label == part.label), alone);
                }
                prop_assert_eq!(found.parts.len() as u32, expected.iter().copied().max().unwrap());
            }
        }
    }

    #[test]
    fn diagonals_join_by_neighbourhood_and_the_first_of_equals_is_largest() {
        let mut mask = Array3::from_elem((4, 4, 4), false);
        for at in [[0, 0, 0], [1, 1, 0], [2, 2, 1], [3, 3, 3]] {
            mask[at] = true;
        }
        let sizes = |c| components(&mask, c).parts.iter().map(|part| part.voxels).collect::<Vec<_>>();
        assert_eq!(sizes(Connectivity::Faces), [1, 1, 1, 1]);
        assert_eq!(sizes(Connectivity::Edges), [2, 1, 1]);
        assert_eq!(sizes(Connectivity::Corners), [3, 1]);
        assert_eq!(components(&mask, Connectivity::Faces).largest().unwrap().label, 1);
        assert!(components(&Array3::from_elem((2, 0, 3), true), Connectivity::Corners).largest().is_none());
    }
}
