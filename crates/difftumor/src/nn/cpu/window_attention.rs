//! Attention within windows of a volume of tokens, fused on the CPU: each task gathers a window, projects, attends
//! head by head, projects back and scatters, all within the cache.
use super::attention_grad_head::{Added, Head, HeadScratch, attend};
use super::attention_grad_product::{Left, Out, Right, padded, product, transpose};
use super::attention_grad_weights::{Packed, Partition, Projections, Unit, sum_groups};
use super::tile::{Shared, arch};
pub use super::window_attention_layout::{RelativeIndex, Windows};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Weights of one layer, in the published layout.
#[derive(Clone, Copy)]
pub struct WindowWeights<'a> {
    /// `[3 * C, C]`: q, k and v, each head by head.
    pub qkv: &'a [f32],
    /// `[3 * C]`.
    pub qkv_bias: &'a [f32],
    /// `[C, C]`.
    pub proj: &'a [f32],
    /// `[C]`.
    pub proj_bias: &'a [f32],
    /// `[entries, heads]`.
    pub table: &'a [f32],
    /// Entry of the table for each (query, key) of a window.
    pub index: &'a [usize],
    /// Number of heads.
    pub heads: usize,
}

/// What forward and backward pass share.
pub(super) struct Layer<'a> {
    pub x: &'a [f32],
    pub windows: Windows,
    /// Tokens of one item.
    pub volume: usize,
    pub weights: WindowWeights<'a>,
    pub projections: Projections<'a>,
    pub packed: Vec<Packed>,
    /// Of each head, `[key][query, widened]`.
    pub bias: Vec<Vec<f32>>,
}

impl<'a> Layer<'a> {
    pub fn new(x: &'a [f32], windows: Windows, volume: usize, weights: WindowWeights<'a>) -> Self {
        let (channels, heads, len) = (weights.proj_bias.len(), weights.heads, windows.tokens());
        assert!(channels.is_multiple_of(heads), "{channels} channels in {heads} heads");
        assert!(x.len().is_multiple_of(volume * channels) && weights.index.len() == len * len);
        let head = Head { len, channels: channels / heads };
        let projections = Projections {
            to_qkv: weights.qkv,
            to_out: weights.proj,
            gamma: None,
            qkv_bias: Some(weights.qkv_bias),
            channels,
            heads,
            head,
            scale: (head.channels as f32).powf(-0.5),
            paired: false,
        };
        let bias = |h: usize| {
            let mut to = vec![0f32; len * padded(len)];
            for (j, line) in to.chunks_exact_mut(padded(len)).enumerate() {
                for (i, v) in line[..len].iter_mut().enumerate() {
                    *v = weights.table[weights.index[i * len + j] * heads + h];
                }
            }
            to
        };
        Self {
            x,
            windows,
            volume,
            weights,
            projections,
            packed: projections.pack(),
            bias: (0..heads).into_par_iter().map(bias).collect(),
        }
    }

    /// Windows of all items.
    pub fn tasks(&self) -> usize {
        self.x.len() / (self.volume * self.projections.channels) * self.windows.count()
    }

    /// First element of the task's item, the places of its tokens in it, and their regions.
    pub fn task(&self, t: usize) -> (usize, Vec<Option<usize>>, Option<Vec<f32>>) {
        let (item, window) = (t / self.windows.count(), t % self.windows.count());
        let regions = self.windows.masked().then(|| self.windows.regions(window));
        // Most windows lie within one region.
        let regions = regions.filter(|r| r.iter().any(|v| *v != r[0]));
        (item * self.volume * self.projections.channels, self.windows.sources(window), regions)
    }

    /// Rows of q, k and v of one head.
    #[inline(always)]
    pub fn project<S: Simd>(&self, simd: S, head: usize, rows: &[f32], qkv: &mut Vec<f32>) {
        let (c, row, len) =
            (self.projections.channels, self.projections.head.row(), self.projections.head.len);
        let p = &self.packed[head];
        qkv.resize(len * row, 0.0);
        for line in qkv.chunks_exact_mut(row) {
            line.copy_from_slice(&p.bias);
        }
        let rows = Left { values: rows, row: c, step: 1 };
        product(
            simd,
            [len, c, row],
            rows,
            Right { values: &p.to_qkv, row },
            Out { values: qkv, row, add: true },
        );
    }
}

/// Rows of a window's tokens, zeros in the padding.
pub(super) fn gather(x: &[f32], c: usize, sources: &[Option<usize>], rows: &mut Vec<f32>) {
    rows.clear();
    for s in sources {
        match s {
            Some(s) => rows.extend_from_slice(&x[s * c..][..c]),
            None => rows.resize(rows.len() + c, 0.0),
        }
    }
}

/// Writes rows `row` apart to a window's tokens of the item that begins at `start`.
///
/// # Safety
/// `out` holds the item, and no other task writes these tokens.
pub(super) unsafe fn scatter(
    rows: &[f32],
    row: usize,
    c: usize,
    sources: &[Option<usize>],
    out: Shared,
    start: usize,
) {
    for (line, s) in rows.chunks_exact(row).zip(sources) {
        let Some(s) = s else { continue };
        // SAFETY: the caller vouches for the token's elements.
        unsafe { std::ptr::copy_nonoverlapping(line.as_ptr(), out.at(start + s * c), c) };
    }
}

/// Attention within `windows` of `x` `[B, volume, C]`; returns the same shape.
pub fn window_attention(x: &[f32], windows: Windows, volume: usize, weights: WindowWeights) -> Vec<f32> {
    let layer = Layer::new(x, windows, volume, weights);
    let c = layer.projections.channels;
    let from_out: Vec<Vec<f32>> = layer
        .packed
        .iter()
        .map(|p| {
            let (w, hc) = (layer.projections.head.width(), layer.projections.head.channels);
            let mut to = vec![0f32; hc * padded(c)];
            transpose(&p.to_out, &mut to, c, hc, (w, padded(c)));
            to
        })
        .collect();
    let partition = Partition::new(layer.tasks(), layer.tasks(), weights.heads);
    let mut out: Vec<Vec<f32>> = (0..partition.groups()).map(|_| vec![0f32; x.len()]).collect();
    let shared: Vec<Shared> = out.iter_mut().map(|v| Shared::new(v)).collect();
    partition.units().into_par_iter().for_each_init(Scratch::default, |scratch, unit| {
        let out = shared[unit.group];
        arch().dispatch(Work { layer: &layer, from_out: &from_out, unit, out, scratch });
    });
    sum_groups(out)
}

#[derive(Default)]
struct Scratch {
    rows: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    out: Vec<f32>,
    head: HeadScratch,
}

struct Work<'a> {
    layer: &'a Layer<'a>,
    /// The output projection of each head, turned: `[channels of a head][C, widened]`.
    from_out: &'a [Vec<f32>],
    unit: Unit,
    out: Shared,
    scratch: &'a mut Scratch,
}

impl WithSimd for Work<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, from_out, unit, out, scratch: s } = self;
        let (c, head) = (layer.projections.channels, layer.projections.head);
        let (cp, w) = (padded(c), head.width());
        s.attended.resize(head.len * w, 0.0);
        for t in unit.tasks {
            let (start, sources, regions) = layer.task(t);
            gather(&layer.x[start..], c, &sources, &mut s.rows);
            s.out.clear();
            s.out.resize(head.len * cp, 0.0);
            if unit.group == 0 {
                for line in s.out.chunks_exact_mut(cp) {
                    line[..c].copy_from_slice(layer.weights.proj_bias);
                }
            }
            for h in unit.heads.clone() {
                layer.project(simd, h, &s.rows, &mut s.qkv);
                let added = Added { bias: Some(&layer.bias[h]), regions: regions.as_deref() };
                attend(simd, head, &s.qkv, added, &mut s.attended, w, &mut s.head);
                let attended = Left { values: &s.attended, row: w, step: 1 };
                let to = Out { values: &mut s.out, row: cp, add: true };
                product(
                    simd,
                    [head.len, head.channels, c],
                    attended,
                    Right { values: &from_out[h], row: cp },
                    to,
                );
            }
            // SAFETY: each token lies in one window, and each window in one task of this group of heads.
            unsafe { scatter(&s.out, cp, c, &sources, out, start) };
        }
    }
}
