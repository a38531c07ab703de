//! Import of full-size models (weights by the rule) into Runs, and everything that can be wrong with either.
use burn::tensor::{Device, Tensor};
use difftumor::autoencoder::config::AutoencoderConfig;
use difftumor::autoencoder::perceptual::LpipsConfig;
use difftumor::autoencoder::{Autoencoder, Discriminators, Perceptual, PerceptualConfig};
use difftumor::diffusion::config::{DiffusionConfig, Sampler, cosine_betas};
use difftumor::error::{Error, Result};
use difftumor::import::{ImportOptions, ImportReport, import};
use difftumor::nn::state::read;
use difftumor::run::{Run, Tensors};
use difftumor::segmentation::{
    Architecture, Backbone, DynUnetConfig, SegmentationNetwork, SwinUnetrConfig, UnetConfig,
};
use difftumor::state_dict;
use safetensors::tensor::{Dtype, TensorView};
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::rule::rule_value;

/// Tensors of an architecture by the rule, with a prefix before their names.
fn by_rule(shapes: state_dict::Shapes, prefix: &str) -> Tensors {
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let elements = rule_value(&name, &shape).unwrap();
        (format!("{prefix}{name}"), (shape, elements))
    };
    shapes.into_iter().map(tensor).collect()
}

fn autoencoder() -> Tensors {
    by_rule(state_dict::autoencoder(&AutoencoderConfig::default()), "")
}

fn diffusion(betas: &[f64]) -> Tensors {
    let mut tensors = by_rule(state_dict::diffusion(&DiffusionConfig::default()), "denoise_fn.");
    tensors.extend(by_rule(state_dict::autoencoder(&AutoencoderConfig::default()), "vqgan."));
    tensors.insert("betas".into(), (vec![betas.len()], betas.iter().map(|&b| b as f32).collect()));
    tensors.insert("denoise_fn.downs.0.3.fn.fn.fn.rotary_emb.freqs".into(), (vec![16], vec![0.0; 16]));
    tensors
}

/// A checkpoint file; safetensors, since only Python writes the others.
fn write(dir: &Path, name: &str, tensors: &Tensors) -> PathBuf {
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|(_, v)| v.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, (shape, _)), b)| (name, TensorView::new(Dtype::F32, shape.clone(), b).unwrap()));
    let path = dir.join(name);
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

fn import_into(dir: &Path, tensors: &Tensors) -> Result<ImportReport> {
    let file = write(dir, "model.safetensors", tensors);
    import(&file, &dir.join("run"), &ImportOptions::default())
}

fn assert_rule(tensors: &Tensors) {
    for (name, (shape, elements)) in tensors {
        assert_eq!(*elements, rule_value(name, shape).unwrap(), "{name}"); // f32 in, f32 out
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)
}

#[test]
fn a_diffusion_file_becomes_a_run_with_its_autoencoder_inside() {
    let dir = tempfile::tempdir().unwrap();
    for (timesteps, sampler) in
        [(4, Sampler::Ddpm), (200, Sampler::Ddim { steps: 50, eta: 0.0, clip: false })]
    {
        let file = write(dir.path(), "liver.safetensors", &diffusion(&cosine_betas(timesteps)));
        let out = dir.path().join(format!("run{timesteps}"));
        let options = ImportOptions { licence: Some("CC0-1.0".into()), ..Default::default() };
        let report = import(&file, &out, &options).unwrap();
        assert_eq!((report.kind, report.tensors, report.timesteps), ("diffusion", 361, Some(timesteps)));
        assert_eq!(report.skipped_tensors, ["betas", "denoise_fn.downs.0.3.fn.fn.fn.rotary_emb.freqs"]);
        assert!(report.notes[0].contains("no averaged weights"));

        let run = Run::open(&out).unwrap();
        let want = DiffusionConfig { timesteps, sampler, ..Default::default() };
        assert_eq!(*run.diffusion_config().unwrap(), want);
        assert_eq!(run.manifest().licence, "CC0-1.0");
        let tensors = run.load_tensors().unwrap();
        assert_eq!(tensors.len(), 290);
        assert_rule(&tensors);
        let inner = run.autoencoder().unwrap();
        assert_eq!(*inner.autoencoder_config().unwrap(), AutoencoderConfig::default());
        let tensors = inner.load_tensors().unwrap();
        assert_eq!(tensors.len(), 71);
        assert_rule(&tensors);
        let text = inner.diffusion_config().unwrap_err().to_string();
        assert!(text.contains("kind 'diffusion', found 'autoencoder'"), "{text}");
    }
}

#[test]
fn training_parts_are_left_out_unless_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut tensors = autoencoder();
    let part = "image_discriminator.model1.1.running_var";
    tensors.insert(part.into(), (vec![2], rule_value(part, &[2]).unwrap()));
    tensors.insert("note".into(), (vec![1], vec![0.0]));
    let file = write(dir.path(), "a.safetensors", &tensors);
    let out = dir.path().join("run");

    let report = import(&file, &out, &ImportOptions::default()).unwrap();
    assert_eq!(report.skipped_tensors, [part, "note"]);
    assert_eq!(Run::open(&out).unwrap().load_tensors().unwrap().len(), 71);

    let options = ImportOptions { force: true, keep_training_parts: true, ..Default::default() };
    let report = import(&file, &out, &options).unwrap();
    assert_eq!(report.skipped_tensors, ["note"]);
    let tensors = Run::open(&out).unwrap().load_tensors().unwrap();
    assert_eq!(tensors.len(), 72);
    assert_rule(&tensors);
}

/// VGG16 and LPIPS' heads of another width, as two files with the names that their publishers gave them.
fn vgg(dir: &Path, width: usize) -> (PathBuf, PathBuf, Tensors) {
    let all = by_rule(state_dict::perceptual(&LpipsConfig { width }), "");
    let (heads, net): (Tensors, Tensors) = all.clone().into_iter().partition(|(n, _)| n.starts_with("lin"));
    let torchvision =
        |(name, tensor): (String, _)| (format!("features.{}", &name["net.slice1.".len()..]), tensor);
    let mut net: Tensors = net.into_iter().map(torchvision).collect();
    net.insert("classifier.0.weight".into(), (vec![1], vec![0.0]));
    (write(dir, "vgg16.safetensors", &net), write(dir, "vgg.safetensors", &heads), all)
}

#[test]
fn vgg16_and_heads_become_a_perceptual_network() {
    let dir = tempfile::tempdir().unwrap();
    let (net, heads, all) = vgg(dir.path(), 2);
    let out = dir.path().join("run");
    let text = import(&net, &out, &ImportOptions::default()).unwrap_err().to_string();
    assert!(text.contains("--lpips-heads"), "{text}");
    let options = ImportOptions { lpips_heads: Some(heads.clone()), ..Default::default() };
    let report = import(&net, &out, &options).unwrap();
    assert_eq!((report.kind, report.tensors), ("perceptual", 26));
    assert_eq!(report.skipped_tensors, ["classifier.0.weight"]);
    let run = Run::open(&out).unwrap();
    assert_eq!(run.load_tensors().unwrap(), all);

    let device = Device::flex();
    let config: PerceptualConfig =
        toml::from_str(&format!("kind = \"lpips\"\nweights = {:?}", out.to_str().unwrap())).unwrap();
    let perceptual = config.open(&device).unwrap().unwrap();
    let image = Tensor::<5>::ones([2, 1, 1, 16, 17], &device);
    let distance =
        |a: &Tensor<5>, b: &Tensor<5>| perceptual.distance(a.clone(), b.clone()).into_scalar::<f32>();
    assert_eq!(distance(&image, &image), 0.0);
    assert!(distance(&image, &image.clone().neg()) != 0.0);

    for (file, heads, word) in [(&net, &net, "linear heads"), (&heads, &heads, "state dict")] {
        let options = ImportOptions { force: true, lpips_heads: Some(heads.clone()), ..Default::default() };
        let text = import(file, &out, &options).unwrap_err().to_string();
        assert!(text.contains(word), "{text}");
    }
    assert!(matches!(Autoencoder::open(&run, &device), Err(Error::RunKind { .. })));
    assert!(toml::from_str::<PerceptualConfig>("kind = \"random_features\"\nhats = 1").is_err());
}

#[test]
fn the_whole_model_of_the_lpips_package_needs_no_second_file() {
    let dir = tempfile::tempdir().unwrap();
    let (_, heads, all) = vgg(dir.path(), 2);
    let mut whole = all.clone();
    // The package registers the heads twice, and has its scaling as constants.
    for (name, tensor) in &all {
        if let Some(head) = name.strip_prefix("lin") {
            whole.insert(format!("lins.{head}"), tensor.clone());
        }
    }
    whole.insert("scaling_layer.shift".into(), (vec![1, 3, 1, 1], vec![0.0; 3]));
    let file = write(dir.path(), "lpips.safetensors", &whole);
    let out = dir.path().join("run");
    let report = import(&file, &out, &ImportOptions::default()).unwrap();
    assert_eq!((report.kind, report.tensors, report.skipped_tensors.len()), ("perceptual", 31, 6));
    assert_eq!(Run::open(&out).unwrap().load_tensors().unwrap(), all);

    let options = ImportOptions { force: true, lpips_heads: Some(heads), ..Default::default() };
    assert!(import(&file, &out, &options).unwrap_err().to_string().contains("leave --lpips-heads out"));
    whole.remove("lin3.model.1.weight");
    let file = write(dir.path(), "less.safetensors", &whole);
    let options = ImportOptions { force: true, ..Default::default() };
    assert!(import(&file, &out, &options).unwrap_err().to_string().contains("lin3.model.1.weight"));
}

#[test]
fn kept_training_parts_open_as_models() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let mut tensors = autoencoder();
    let import_all = |tensors: &Tensors| {
        let file = write(dir.path(), "a.safetensors", tensors);
        let options = ImportOptions { force: true, keep_training_parts: true, ..Default::default() };
        import(&file, &dir.path().join("run"), &options).unwrap();
        Run::open(dir.path().join("run")).unwrap()
    };
    let run = import_all(&tensors);
    for error in
        [Perceptual::open(&run, &device).unwrap_err(), Discriminators::open(&run, &device).unwrap_err()]
    {
        assert!(error.to_string().contains("--keep-training-parts"), "{error}");
    }
    tensors.extend(by_rule(state_dict::perceptual(&LpipsConfig::default()), "perceptual_model."));
    tensors.insert("perceptual_model.scaling_layer.shift".into(), (vec![1, 3, 1, 1], vec![0.0; 3]));
    let discriminators = read(&Discriminators::new(64, &device), Discriminators::published_name);
    tensors.extend(by_rule(discriminators.into_iter().map(|(n, (s, _))| (n, s)).collect(), ""));
    tensors.insert("video_discriminator.model1.1.num_batches_tracked".into(), (vec![], vec![3.0]));
    let run = import_all(&tensors);
    let found = read(&Discriminators::open(&run, &device).unwrap(), Discriminators::published_name);
    let name = "image_discriminator.model3.1.running_var";
    assert_eq!(found[name].1, tensors[name].1);
    assert_eq!(found.len(), 2 * (5 * 2 + 3 * 4));
    let found = read(&Perceptual::open(&run, &device).unwrap(), Perceptual::published_name);
    assert_eq!(found["net.slice5.28.weight"].1, tensors["perceptual_model.net.slice5.28.weight"].1);
    // What needs none of them opens all the same.
    Autoencoder::open(&run, &device).unwrap();
}

#[test]
fn wrapper_prefixes_are_taken_off() {
    let dir = tempfile::tempdir().unwrap();
    let wrapped =
        autoencoder().into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor)).collect();
    assert_eq!(import_into(dir.path(), &wrapped).unwrap().tensors, 71);
}

#[test]
fn everything_missing_unknown_or_misshapen_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let mut tensors = autoencoder();
    tensors.remove("pre_vq_conv.conv.bias");
    tensors.insert("encoder.conv_blocks.2.down.conv.bias".into(), (vec![2], vec![0.0; 2]));
    tensors.insert("codebook.N".into(), (vec![3], vec![0.0; 3]));
    let error = import_into(dir.path(), &tensors).unwrap_err();
    let text = error.to_string();
    for line in [
        "model.safetensors: the tensors are not those of the autoencoder",
        "1 missing:\n    pre_vq_conv.conv.bias [8]",
        "1 extra:\n    encoder.conv_blocks.2.down.conv.bias [2]",
        "codebook.N: expected [16384], found [3]",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(!dir.path().join("run").exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the checkpoint is left");
}

#[test]
fn another_noise_schedule_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let text = import_into(dir.path(), &diffusion(&[0.1, 0.2, 0.3, 0.4])).unwrap_err().to_string();
    assert!(text.contains("betas") && text.contains("at step 0 of 4"), "{text}");
    let mut betas = cosine_betas(4);
    betas[2] = f64::NAN;
    assert!(import_into(dir.path(), &diffusion(&betas)).unwrap_err().to_string().contains("step 2 of 4"));
}

/// Small segmentation networks.
fn backbones() -> [Backbone; 3] {
    let swin =
        SwinUnetrConfig { feature_size: 4, depths: [1, 2, 1, 2], heads: [1, 2, 1, 4], ..Default::default() };
    [
        Backbone::Unet(UnetConfig { widths: vec![2, 3, 4, 5], classes: 4, ..Default::default() }),
        Backbone::Nnunet(DynUnetConfig { filters: vec![2, 3, 4], inputs: 2, ..Default::default() }),
        Backbone::SwinUnetr(SwinUnetrConfig { window: 2, ..swin }),
    ]
}

/// Such a network's file, with what published files hold beside the weights. In windows of 2³ tokens, token i lies at
/// the bits of i, and the table has 3³ entries.
fn segmentation(backbone: &Backbone) -> Tensors {
    let mut tensors = by_rule(backbone.shapes(), "");
    let again = |name: &str| tensors[name].clone();
    let more = match backbone.architecture() {
        Architecture::Unet => vec![],
        Architecture::Nnunet => vec![(
            "skip_layers.downsample.conv1.conv.weight".to_string(),
            again("input_block.conv1.conv.weight"),
        )],
        Architecture::SwinUnetr => {
            let bits = |i: usize| [i >> 2, i >> 1 & 1, i & 1];
            let entry = |at: usize| {
                let (q, k) = (bits(at / 8), bits(at % 8));
                (0..3).fold(0, |e, a| 3 * e + q[a] + 1 - k[a]) as f32
            };
            let index = (vec![8, 8], (0..64).map(entry).collect());
            let unused = (vec![32], vec![1.0; 32]);
            vec![
                ("swinViT.layers2.0.blocks.1.attn.relative_position_index".to_string(), index),
                ("swinViT.norm.weight".to_string(), unused.clone()),
                ("swinViT.norm.bias".to_string(), unused),
            ]
        }
    };
    tensors.extend(more);
    tensors
}

#[test]
fn segmentation_files_become_runs_of_their_backbone() {
    let dir = tempfile::tempdir().unwrap();
    let (out, device) = (dir.path().join("run"), Device::flex());
    for (backbone, skipped) in backbones().into_iter().zip([0, 1, 3]) {
        let file = write(dir.path(), "a.safetensors", &segmentation(&backbone));
        let options =
            ImportOptions { force: true, backbone: Some(backbone.architecture()), ..Default::default() };
        let report = import(&file, &out, &options).unwrap();
        assert_eq!(report.kind, "segmentation");
        assert_eq!(report.backbone, Some(backbone.architecture().name()));
        assert_eq!((report.tensors, report.skipped_tensors.len()), (backbone.shapes().len(), skipped));

        let run = Run::open(&out).unwrap();
        assert_eq!(*run.segmentation_backbone().unwrap(), backbone);
        let network = SegmentationNetwork::open(&run, &device).unwrap();
        assert_eq!(read(&network, backbone.published_name()), by_rule(backbone.shapes(), ""));
        let text = Autoencoder::open(&run, &device).unwrap_err().to_string();
        assert!(text.contains("kind 'autoencoder', found 'segmentation'"), "{text}");
    }
}

/// As PyTorch writes it: `{epoch, best_acc, state_dict}`, with the tensors of nnU-Net's skip layers shared.
#[test]
fn the_epoch_of_a_segmentation_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let report = import(&fixture("nnunet.pt"), &out, &ImportOptions::default()).unwrap();
    assert_eq!((report.section.as_str(), report.epoch, report.step), ("state_dict", Some(1949), None));
    assert_eq!((report.tensors, report.skipped_tensors.len()), (14, 12));
    let run = Run::open(&out).unwrap();
    let origin = run.manifest().origin.clone().unwrap();
    assert_eq!((origin.epoch, origin.skipped), (Some(1949), vec!["skip_layers.* (12 tensors)".to_string()]));
    let config = DynUnetConfig { filters: vec![2, 3, 4], ..Default::default() };
    assert_eq!(*run.segmentation_backbone().unwrap(), Backbone::Nnunet(config));
    assert_rule(&run.load_tensors().unwrap());
}

#[test]
fn segmentation_files_that_do_not_fit_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let fails = |tensors: &Tensors, backbone: Option<Architecture>, words: &[&str]| {
        let file = write(dir.path(), "a.safetensors", tensors);
        let options = ImportOptions { backbone, ..Default::default() };
        let text = import(&file, &out, &options).unwrap_err().to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(!out.exists());
    };
    let [unet, nnunet, swin] = backbones().map(|backbone| segmentation(&backbone));
    // Another backbone than the one that is wanted: both are named.
    fails(&nnunet, Some(Architecture::SwinUnetr), &["expected Swin UNETR, found nnU-Net"]);
    fails(&swin, Some(Architecture::Unet), &["expected U-Net, found Swin UNETR"]);
    fails(&unet, Some(Architecture::Nnunet), &["expected nnU-Net, found U-Net"]);
    fails(&autoencoder(), Some(Architecture::Unet), &["a segmentation by U-Net, found an autoencoder"]);
    let changed = |of: &Tensors, name: &str, change: &dyn Fn(&mut Tensors, &str)| {
        let mut tensors = of.clone();
        change(&mut tensors, name);
        tensors
    };
    let without = |tensors: &mut Tensors, name: &str| assert!(tensors.remove(name).is_some());
    let with = |tensors: &mut Tensors, name: &str| {
        tensors.insert(name.into(), (vec![1], vec![0.0]));
    };
    let name = "model.2.1.conv.unit0.conv.bias";
    fails(&changed(&unet, name, &without), None, &["those of the U-Net", "1 missing", name]);
    // Without its size, the published one is what it is compared with.
    let name = "bottleneck.conv1.conv.weight";
    fails(&changed(&nnunet, name, &without), None, &["those of the nnU-Net", "[320, 256, 3, 3, 3]"]);
    let name = "decoder0.transp_conv.conv.weight";
    fails(&changed(&swin, name, &with), None, &["those of the Swin UNETR", "1 extra", name]);
    let moved = |tensors: &mut Tensors, name: &str| tensors.get_mut(name).unwrap().1[3] += 1.0;
    let name = "swinViT.layers2.0.blocks.1.attn.relative_position_index";
    fails(&changed(&swin, name, &moved), None, &[name, "windows of 2³ tokens"]);
    let name = "output_block.conv.conv.weight";
    let one_class = |tensors: &mut Tensors, name: &str| {
        tensors.insert(name.into(), (vec![1, 2, 1, 1, 1], vec![0.0; 2]));
    };
    fails(&changed(&nnunet, name, &one_class), None, &["classes", "found 1"]);
}

#[test]
fn files_of_other_kinds_say_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let cases = [
        ("hard_collections.pt", "the tensors are not those of the U-Net"), // the first 9 of 63
        ("dtypes.pt", "bfloat16"),                                         // the names of its tensors
        ("ema_and_model.pt", "betas"),
    ];
    for (name, word) in cases {
        let text = import(&fixture(name), &out, &ImportOptions::default()).unwrap_err().to_string();
        assert!(text.contains(word), "{text}");
        assert!(!out.exists());
    }
}

#[test]
fn a_run_is_never_written_over_something_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "a.safetensors", &autoencoder());
    let out = dir.path().join("run");
    fs::create_dir(&out).unwrap(); // empty: fine
    import(&file, &out, &ImportOptions::default()).unwrap();
    let error = import(&file, &out, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");

    fs::write(out.join("old"), "").unwrap();
    let force = ImportOptions { force: true, ..Default::default() };
    import(&file, &out, &force).unwrap();
    assert!(!out.join("old").exists());

    let other = dir.path().join("thesis");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("chapter"), "text").unwrap();
    let text = import(&file, &other, &force).unwrap_err().to_string();
    assert!(text.contains("not a Run"), "{text}");
    assert!(other.join("chapter").exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "no temporary folder is left");
}

#[test]
fn a_changed_run_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    import_into(dir.path(), &diffusion(&cosine_betas(4))).unwrap();
    let out = dir.path().join("run");
    let manifest = out.join("run.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        fs::write(&manifest, text.replacen(from, to, 1)).unwrap();
        Run::open(&out)
    };
    for (from, to, word) in [
        ("format = 1", "format = 2", "expected 1, found 2"),
        ("heads = 8", "heads = 8\nhats = 8", "hats"),
        ("heads = 8", "heads = 0", "heads: expected 1 to 1024, found 0"),
        ("sampler = \"ddpm\"", "sampler = { ddim = { steps = 9, eta = 0.0 } }", "1 to 4, found 9"),
        ("sampler = \"ddpm\"", "sampler = { ddim = { steps = 4, eta = 0.0, x = 1 } }", "unknown field"),
        ("kind = \"diffusion\"", "kind = \"segmenter\"", "segmenter"),
        ("spacing_mm", "spacing", "unknown field"),
        ("[autoencoder]", "[origin2]", "unknown field"),
    ] {
        let error = with(from, to).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let error = with("heads = 8", "heads = 4").unwrap().load_tensors().unwrap_err();
    assert!(matches!(error, Error::StateDict { .. }), "{error}");
    fs::write(&manifest, &text).unwrap();

    let run = Run::open(&out).unwrap();
    let weights = out.join("weights.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    assert!(matches!(run.load_tensors(), Err(Error::Hash { what: "weights", .. })));

    let mut other = autoencoder();
    other.get_mut("codebook.N").unwrap().1[0] = 7.0;
    let file = write(dir.path(), "other.safetensors", &other);
    let force = ImportOptions { force: true, ..Default::default() };
    import(&file, &out.join("autoencoder"), &force).unwrap();
    assert!(matches!(run.autoencoder(), Err(Error::Hash { .. })));
    assert!(Run::open(dir.path()).unwrap_err().to_string().contains("run.toml"));
}
