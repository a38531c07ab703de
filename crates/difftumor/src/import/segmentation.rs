//! Import of the segmentation networks (`SegmentationModel/*.pt`; spec/segmentation.md section 4, last paragraph).
//!
//! The file holds weights and no sizes: those that shapes tell are read off them, so that a network of another width is
//! imported as what it is. Published weights need the published peculiarities of Swin UNETR.
use super::{Import, Refs};
use crate::error::{Error, Result};
use crate::nn::RelativeIndex;
use crate::nn::window_attention::Windows;
use crate::run::{Model, NewRun};
use crate::segmentation::{
    Architecture, Backbone, DynUnetConfig, SwinUnetr, SwinUnetrConfig, SwinVariant, UnetConfig,
};

impl Import<'_> {
    pub(super) fn segmentation(&mut self, architecture: Architecture, refs: &Refs) -> Result<NewRun> {
        let path = self.checkpoint.path();
        if let Some(wanted) = self.options.backbone.filter(|wanted| *wanted != architecture) {
            let hint = "name a checkpoint of the other network, or ask for this one";
            return Err(Error::format(
                path,
                "backbone of the segmentation",
                wanted.name(),
                architecture.name(),
                hint,
            ));
        }
        // A file that lacks what tells its sizes is compared with the published ones: that lists what is missing.
        let backbone = sizes(architecture, refs).unwrap_or(architecture.published());
        backbone.check().map_err(|e| {
            let hint = "the file is damaged, or of a network that this program does not have";
            Error::format(path, "sizes of the network", "possible numbers", e.to_string(), hint)
        })?;
        if let Backbone::SwinUnetr(config) = &backbone {
            self.check_positions(config, refs)?;
            self.notes.push(
                "it merges tokens and takes biases as the published code does, which its weights need".into(),
            );
        }
        let needed: Refs = refs
            .iter()
            .filter(|(name, _)| !architecture.ignores(name))
            .map(|(name, tensor)| (name.clone(), tensor.clone()))
            .collect();
        let expected = backbone.shapes();
        self.compare(architecture.name(), &expected, &needed, &[""])?; // "": no other tensor may be there
        let tensors = self.load(refs, "", expected.into_keys().collect())?;
        Ok(self.new_run(Model::Segmentation(backbone), tensors, None))
    }

    /// The tables of relative positions in the file, where it has them, must be those that the network computes.
    fn check_positions(&self, config: &SwinUnetrConfig, refs: &Refs) -> Result<()> {
        let window = Windows::new([config.window; 3], config.window, 0);
        let computed = window.relative_index(config.window, RelativeIndex::Published);
        for (name, tensor) in refs.iter().filter(|(name, _)| name.ends_with(SwinUnetr::INDEX)) {
            let stored = self.checkpoint.load_f32(name, tensor)?;
            if !stored.iter().map(|v| *v as usize).eq(computed.iter().copied()) {
                let expected = format!("that of windows of {}³ tokens", config.window);
                let found = format!("another one, {:?}", tensor.shape);
                let hint = "the network was trained with windows that this program does not have";
                return Err(Error::format(self.checkpoint.path(), name.as_str(), expected, found, hint));
            }
        }
        Ok(())
    }
}

/// The sizes that the shapes tell; `None` where a tensor that tells one is missing.
fn sizes(architecture: Architecture, refs: &Refs) -> Option<Backbone> {
    let side = |name: &str, axis: usize| refs.get(name)?.shape.get(axis).copied();
    // Outputs of the convolutions of these names, as long as there are any.
    let outputs = |name: &dyn Fn(usize) -> String| (0..).map_while(|i| side(&name(i), 0)).collect::<Vec<_>>();
    Some(match architecture {
        Architecture::Unet => {
            let level = |i: usize| format!("model.{}", "1.submodule.".repeat(i));
            let mut widths = outputs(&|i| format!("{}0.conv.unit0.conv.weight", level(i)));
            widths.push(side(&format!("{}conv.unit0.conv.weight", level(widths.len())), 0)?);
            Backbone::Unet(UnetConfig {
                widths,
                inputs: side("model.0.conv.unit0.conv.weight", 1)?,
                classes: side("model.2.0.conv.weight", 1)?,
            })
        }
        Architecture::Nnunet => {
            let mut filters = vec![side("input_block.conv1.conv.weight", 0)?];
            filters.extend(outputs(&|i| format!("downsamples.{i}.conv1.conv.weight")));
            filters.push(side("bottleneck.conv1.conv.weight", 0)?);
            Backbone::Nnunet(DynUnetConfig {
                filters,
                inputs: side("input_block.conv1.conv.weight", 1)?,
                classes: side("output_block.conv.conv.weight", 0)?,
            })
        }
        Architecture::SwinUnetr => {
            let block = |stage: usize, i: usize| format!("swinViT.layers{}.0.blocks.{i}.attn", stage + 1);
            let depth = |stage: usize| outputs(&|i| format!("{}.proj.weight", block(stage, i))).len();
            let table = |stage: usize| format!("{}.relative_position_bias_table", block(stage, 0));
            let heads: Vec<usize> = (0..4).map(|stage| side(&table(stage), 1)).collect::<Option<_>>()?;
            let entries = side(&table(0), 0)?; // (2 window - 1)³
            let window = (1..32usize).find(|w| (2 * w - 1).pow(3) == entries)?;
            Backbone::SwinUnetr(SwinUnetrConfig {
                feature_size: side("swinViT.patch_embed.proj.weight", 0)?,
                depths: std::array::from_fn(depth),
                heads: heads.try_into().ok()?,
                window,
                variant: SwinVariant::Published,
                inputs: side("swinViT.patch_embed.proj.weight", 1)?,
                classes: side("out.conv.conv.weight", 0)?,
            })
        }
    })
}
