//! Import of the perceptual network that the autoencoder's training compares images by: torchvision's VGG16 and LPIPS'
//! linear heads, which are two files.
use super::{Import, Refs};
use crate::autoencoder::perceptual::{LpipsConfig, VGG_STAGES};
use crate::error::{Error, Result};
use crate::run::{Model, NewRun, read_tensors};
use crate::state_dict::{self, Shapes};
use std::path::Path;

/// Names of torchvision's convolutions.
const VGG: &str = "features.";
/// Names of the same in the lpips package, and ours.
const WHOLE: &str = "net.slice";
/// Names of LPIPS' heads.
const HEADS: &str = "lin";

/// torchvision's name of a tensor of the network, `net.slice2.5.weight` → `features.5.weight`; heads have no other.
fn source(name: &str) -> String {
    match name.strip_prefix("net.slice").and_then(|rest| rest.split_once('.')) {
        Some((_, inner)) => format!("{VGG}{inner}"),
        None => name.into(),
    }
}

impl Import<'_> {
    /// VGG16 `refs` with the heads of another file, or the lpips package's whole model.
    pub(super) fn perceptual(&mut self, refs: &Refs) -> Result<NewRun> {
        if refs.keys().any(|name| name.starts_with(WHOLE)) {
            return self.whole_perceptual(refs);
        }
        let path = self.checkpoint.path();
        let Some(heads) = &self.options.lpips_heads else {
            let hint = "name LPIPS' own file (vgg.pth) with --lpips-heads";
            return Err(Error::format(path, "LPIPS' heads", "a file that holds them", "none", hint));
        };
        let config = config_of(path, refs, &format!("{VGG}{}.weight", VGG_STAGES[0][0].0))?;
        let (of_heads, of_vgg): (Shapes, Shapes) =
            state_dict::perceptual(&config).into_iter().partition(|(name, _)| name.starts_with(HEADS));
        let by_source = |names: &Shapes| names.iter().map(|(n, s)| (source(n), s.clone())).collect();
        self.compare("VGG16", &by_source(&of_vgg), refs, &[VGG])?;
        let loaded = self.load(refs, "", of_vgg.keys().map(|n| source(n)).collect())?;
        let name = |torchvision: &String| of_vgg.keys().find(|n| source(n) == *torchvision).cloned();
        let mut tensors: crate::run::Tensors =
            loaded.into_iter().map(|(n, t)| (name(&n).expect("a name that was asked for"), t)).collect();
        tensors.extend(read_heads(heads, &of_heads)?);
        self.notes.push(format!("the heads are those of {}", heads.display()));
        Ok(self.new_run(Model::Perceptual(config), tensors, None))
    }

    /// What `lpips.LPIPS(net="vgg").state_dict()` holds: names as ours, the heads once more under `lins.`, and the constants
    /// of its scaling layer.
    fn whole_perceptual(&mut self, refs: &Refs) -> Result<NewRun> {
        let path = self.checkpoint.path();
        if let Some(heads) = &self.options.lpips_heads {
            let hint = "leave --lpips-heads out: the file holds them";
            return Err(Error::format(path, "LPIPS' heads", "once", heads.display().to_string(), hint));
        }
        let config = config_of(path, refs, &format!("{WHOLE}1.{}.weight", VGG_STAGES[0][0].0))?;
        let expected = state_dict::perceptual(&config);
        self.compare(
            "LPIPS with VGG16",
            &expected,
            refs,
            &[WHOLE, "lin0.", "lin1.", "lin2.", "lin3.", "lin4."],
        )?;
        let tensors = self.load(refs, "", expected.into_keys().collect())?;
        Ok(self.new_run(Model::Perceptual(config), tensors, None))
    }
}

/// The architecture: any width can be told from the first layer; the published one is 64.
fn config_of(path: &Path, refs: &Refs, first: &str) -> Result<LpipsConfig> {
    let width = refs.get(first).and_then(|t| t.shape.first()).copied().unwrap_or_default();
    let config = LpipsConfig { width };
    config.check().map_err(|e| {
        let hint = "name torchvision's VGG16 (vgg16-397923af.pth)";
        Error::format(path, first, "the first layer of VGG16", e.to_string(), hint)
    })?;
    Ok(config)
}

/// The heads' file, which must hold them all and nothing else.
fn read_heads(path: &Path, expected: &Shapes) -> Result<crate::run::Tensors> {
    let tensors = read_tensors(path)?;
    let found = tensors.iter().map(|(n, (shape, _))| (n.clone(), shape.clone())).collect();
    let difference = state_dict::compare(expected, &found);
    if !difference.is_empty() {
        return Err(Error::StateDict {
            path: path.to_path_buf(),
            architecture: "linear heads of LPIPS for VGG16".into(),
            difference: Box::new(difference),
            hint: "name LPIPS' file for VGG16 (vgg.pth, version 0.1)".into(),
        });
    }
    Ok(tensors)
}
