//! Reads the golden tensors: files of `DIFFTUMOR_GOLDENS` when it is set, else the committed ones.
//!
//! Another set of the same kinds may hold fewer files and tensors or other sizes, so tests take what they find and
//! say how much they compared; of the committed set nothing may be missing.
use super::rule::hash_sym;
use safetensors::{Dtype, SafeTensors};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;

/// One file's tensors, widened to f32.
pub struct Golden {
    pub name: String,
    pub meta: HashMap<String, String>,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    compared: Cell<usize>,
}

/// Whether another set than the committed one is tested.
fn other_set() -> Option<PathBuf> {
    std::env::var_os("DIFFTUMOR_GOLDENS").map(PathBuf::from)
}

/// Written past the test runner's capture, so that every run shows it.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// All files whose name starts with `prefix` and is none of `except`.
pub fn goldens(prefix: &str, except: &[&str]) -> Vec<Golden> {
    let committed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../goldens");
    let dir = other_set().unwrap_or(committed);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("cannot list {}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "safetensors"))
        .filter(|p| {
            let stem = p.file_stem().unwrap().to_str().unwrap();
            stem.starts_with(prefix) && !except.contains(&stem)
        })
        .collect();
    paths.sort();
    if paths.is_empty() {
        assert!(other_set().is_some(), "no golden {prefix}* in {}", dir.display());
        say(&format!("golden {prefix}: 0 tensors compared (this set has no such file)"));
    }
    paths.into_iter().map(Golden::open).collect()
}

impl Golden {
    fn open(path: PathBuf) -> Self {
        let bytes = std::fs::read(&path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file
            .iter()
            .map(|(name, view)| {
                let d = view.data();
                let values: Vec<f32> = match view.dtype() {
                    Dtype::F32 => {
                        d.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
                    }
                    Dtype::I32 => {
                        d.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()) as f32).collect()
                    }
                    Dtype::U8 => d.iter().map(|b| f32::from(*b)).collect(),
                    other => panic!("{name}: dtype {other:?}"),
                };
                (name.to_string(), (view.shape().to_vec(), values))
            })
            .collect();
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().into(),
            meta: header.metadata().clone().unwrap_or_default(),
            tensors,
            compared: Cell::new(0),
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor if the file has it.
    pub fn find(&self, name: &str) -> Option<(&[usize], &[f32])> {
        self.tensors.get(name).map(|(s, v)| (s.as_slice(), v.as_slice()))
    }

    /// A tensor that the file must have.
    pub fn get(&self, name: &str) -> (&[usize], &[f32]) {
        self.find(name).unwrap_or_else(|| panic!("{} lacks {name}", self.name))
    }

    /// Compares if the file has the tensor; returns the largest difference.
    pub fn compare(&self, name: &str, ours: &[f32], tolerance: f32) -> f32 {
        let Some((shape, want)) = self.find(name) else {
            println!("golden {}: no {name} in this set", self.name);
            return 0.0;
        };
        assert_eq!(want.len(), ours.len(), "{} {name} {shape:?}", self.name);
        let worst = want
            .iter()
            .zip(ours)
            .map(|(a, b)| (a - b).abs())
            .fold(0f32, |m, d| if d.is_nan() { f32::NAN } else { m.max(d) });
        println!("golden {} {name}: largest difference {worst:.3e} (tolerance {tolerance:.0e})", self.name);
        assert!(worst <= tolerance, "{} {name}: {worst} > {tolerance}", self.name);
        self.compared.set(self.compared.get() + 1);
        worst
    }

    /// Compares `full` `[N, C, D, H, W]`, strided as much as the stored tensor's shape says.
    pub fn compare_strided(&self, name: &str, full: &[f32], shape: [usize; 5], tolerance: f32) {
        let Some((small, _)) = self.find(name) else { return };
        // The stride stands in the tensor's name, else in the file's notes, else follows from the shapes.
        let digits = name.rsplit("strided").next().filter(|d| *d != name).and_then(|d| d.parse().ok());
        let noted = digits.or_else(|| self.meta.get("stride").and_then(|s| s.parse::<usize>().ok()));
        let stride: Vec<usize> = (2..5).map(|a| noted.unwrap_or(shape[a].div_ceil(small[a]))).collect();
        let mut picked = Vec::new();
        for nc in 0..shape[0] * shape[1] {
            for d in (0..shape[2]).step_by(stride[0]) {
                for h in (0..shape[3]).step_by(stride[1]) {
                    for w in (0..shape[4]).step_by(stride[2]) {
                        picked.push(full[((nc * shape[2] + d) * shape[3] + h) * shape[4] + w]);
                    }
                }
            }
        }
        self.compare(name, &picked, tolerance);
    }

    /// Compares sum, abs sum, square sum, min, max, first, last; sums with a tolerance relative to the abs sum.
    pub fn compare_stats(&self, name: &str, full: &[f32], tolerance: f32) {
        let Some((_, want)) = self.find(name) else { return };
        let f = |g: &dyn Fn(f64) -> f64| full.iter().map(|v| g(f64::from(*v))).sum::<f64>() as f32;
        let extreme = |g: fn(f32, f32) -> f32| full.iter().copied().reduce(g).unwrap();
        let ours = [
            f(&|v| v),
            f(&f64::abs),
            f(&|v| v * v),
            extreme(f32::min),
            extreme(f32::max),
            full[0],
            full[full.len() - 1],
        ];
        // Sums: one part in 10^5 of the sum of magnitudes, which f32 sums of the reference reach as well. Norms on
        // other devices sum in plain f32, which shifts all voxels together: measured 2e-5 of the sum.
        let relative = if std::env::var_os("DIFFTUMOR_DEVICE").is_some() { 1e-4 } else { 1e-5 };
        for (i, scale) in [want[1], want[1], want[2]].into_iter().enumerate() {
            assert!(
                (ours[i] - want[i]).abs() <= relative * scale,
                "{} {name}[{i}]: {} {}",
                self.name,
                ours[i],
                want[i]
            );
        }
        for i in 3..7 {
            assert!(
                (ours[i] - want[i]).abs() <= tolerance,
                "{} {name}[{i}]: {} {}",
                self.name,
                ours[i],
                want[i]
            );
        }
        self.compared.set(self.compared.get() + 1);
    }

    /// Compares codebook indices where the second-best code is more than 1e-4 farther away (spec/goldens.md);
    /// returns how many of all differ.
    pub fn compare_indices(&self, name: &str, margin: &str, ours: &[f32]) -> usize {
        let Some((_, want)) = self.find(name) else { return 0 };
        let margin = self.find(margin).map(|(_, m)| m);
        let mut differ = 0;
        for (i, (a, b)) in want.iter().zip(ours).enumerate() {
            if a != b {
                differ += 1;
                let close = margin.is_none_or(|m| m[i] <= 1e-4);
                assert!(close, "{} {name}[{i}]: {b} instead of {a}", self.name);
            }
        }
        println!("golden {} {name}: {differ} of {} indices differ, all of them ties", self.name, want.len());
        // Of the recorded sets 3 of 13824 positions are ties.
        assert!(differ * 1000 <= want.len(), "{} {name}: {differ} indices differ", self.name);
        self.compared.set(self.compared.get() + 1);
        differ
    }

    /// Says how much was compared; call it last.
    pub fn done(&self) {
        say(&format!("golden {}: {} tensors compared", self.name, self.compared.get()));
    }
}

/// A tensor given by a rule text such as `f32(sqrt 3)*hash_sym('golden/unet/x24',(1,8,24,24,24))`; `tag` picks the
/// quoted name in it (by its ending) and `suffix` is appended to that name.
pub fn by_rule(rule: &str, tag: &str, suffix: &str) -> (Vec<usize>, Vec<f32>) {
    let quoted: Vec<(usize, &str)> = rule
        .match_indices("golden/")
        .map(|(i, _)| (i, &rule[i..i + rule[i..].find('\'').unwrap()]))
        .collect();
    let (at, name) =
        quoted.iter().find(|(_, n)| n.ends_with(tag)).unwrap_or_else(|| panic!("no {tag} in {rule}"));
    let open = at + rule[*at..].find(",(").expect("a shape") + 2;
    let shape: Vec<usize> =
        rule[open..].split(')').next().unwrap().split(',').map(|n| n.trim().parse().unwrap()).collect();
    let call = rule[..*at].rfind("hash_sym(").expect("hash_sym before the tag");
    let factor = if rule[..call].ends_with("f32(sqrt 3)*") { 3f64.sqrt() as f32 } else { 1.0 };
    let values = hash_sym(&format!("{name}{suffix}"), &shape).into_iter().map(|v| v * factor).collect();
    (shape, values)
}
