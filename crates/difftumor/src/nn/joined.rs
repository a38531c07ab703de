//! A convolution of several tensors joined along their channels, without the joined copy on the plain CPU.
use super::conv3d::{Conv3d, bias_operand};
use super::cpu;
use super::elementwise::cat_channels;
use burn::tensor::Tensor;

/// `parts`, each `[B, C, D, H, W]`, behind each other along the channels.
pub(crate) fn join(parts: &[Tensor<5>]) -> Tensor<5> {
    parts.iter().cloned().reduce(cat_channels).expect("at least one part")
}

impl Conv3d {
    /// [`Conv3d::forward_add`] of `parts`, each `[B, C, D, H, W]`, joined along the channels.
    pub fn forward_joined(&self, parts: &[Tensor<5>], residual: Option<Tensor<5>>) -> Tensor<5> {
        match self.joined_cpu(parts, residual.as_ref()) {
            Some(y) => y,
            None => self.forward_add(join(parts), residual),
        }
    }

    fn joined_cpu(&self, parts: &[Tensor<5>], residual: Option<&Tensor<5>>) -> Option<Tensor<5>> {
        let g = &self.geometry;
        let values = parts.iter().map(cpu::values).collect::<Option<Vec<_>>>()?;
        let (weight, bias) =
            (cpu::values(&self.weight.val())?, bias_operand(self.bias.as_ref(), self.weight.val().dims()[0]));
        let residual = match residual {
            Some(r) => Some(cpu::values(r)?),
            None => None,
        };
        let [b, _, d, h, w] = parts[0].dims();
        let (volume, co) = (d * h * w, bias.get().len());
        let [d2, h2, w2] = g.output_shape([d, h, w]);
        let len = co * d2 * h2 * w2;
        let item = |i: usize| {
            let channels = values.iter().flat_map(|v| {
                let per = v.get().len() / b;
                v.get()[i * per..(i + 1) * per].chunks_exact(volume)
            });
            let residual = residual.as_ref().map(|r| &r.get()[i * len..(i + 1) * len]);
            let (n, weight, bias) = ([d, h, w], weight.get(), bias.get());
            Some(cpu::planar::Planar::conv(channels.collect(), n, weight, bias, g, residual)?.run())
        };
        let y = match b {
            1 => item(0)?,
            _ => (0..b).map(item).collect::<Option<Vec<_>>>()?.concat(),
        };
        Some(cpu::tensor(y, [b, co, d2, h2, w2]))
    }
}
