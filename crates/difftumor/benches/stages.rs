//! Time and memory of each stage of making one tumor, at the published sizes, as a Markdown table.
//!
//!     cargo bench -p difftumor --bench stages [-- --rounds 5] [--medium]
//!
//! Weights are random: times do not depend on them. `--medium` adds a tumor of 50 DDIM steps.
use burn::tensor::{Device, Distribution, Tensor};
use difftumor::autoencoder::AutoencoderConfig;
use difftumor::diffusion::{Condition, DiffusionConfig, LatentScale, Sampler, ScaleOf, sample};
use difftumor_ct::blend::{blend_published, published_weight};
use difftumor_ct::draws::Stream;
use difftumor_ct::tumor_mask::generate::{PAPER_RULES, generate};
use difftumor_ct::tumor_mask::size::PAPER;
use ndarray::Array3;
use std::time::Instant;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Peak resident memory in MB since the last reset, on Linux.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("VmHWM: 0 kB");
    line.split_whitespace().nth(1).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn measure(stage: &str, rounds: usize, mut f: impl FnMut()) {
    f();
    // Resets the kernel's peak counter, where that is allowed.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let t = Instant::now();
            f();
            t.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("| {stage} | {:.4} | {:.4} | {:.0} |", times[rounds / 2], times[0], peak_mb());
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let rounds =
        args.iter().position(|a| a == "--rounds").map_or(5, |i| args[i + 1].parse().expect("--rounds N"));
    let device = Device::flex();
    let autoencoder = AutoencoderConfig::default().init(&device);
    let early = DiffusionConfig::default();
    let unet = early.init(&device);
    let random = |shape: [usize; 5]| Tensor::<5>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let image = random([1, 1, 96, 96, 96]).clamp(-1.0, 1.0);
    let latent = random([1, 8, 24, 24, 24]);
    let condition = Condition(random([1, 9, 24, 24, 24]));
    let scale = LatentScale::of(&autoencoder, ScaleOf::Codebook);
    let organ = Array3::from_shape_fn((96, 96, 96), |(x, y, z)| x > 8 && y > 8 && z > 8);
    let mut draws = Stream::new(1, 0, "bench", 0);
    println!("threads: {}", rayon::current_num_threads());
    println!("| stage | median s | best s | peak MB |\n|---|---|---|---|");
    for (class, name) in PAPER.iter().zip(["tiny", "small", "medium", "large"]) {
        measure(&format!("mask, {name}"), rounds, || {
            generate(&organ, &PAPER_RULES[0], &[*class], &mut draws).expect("an organ");
        });
    }
    let mask = generate(&organ, &PAPER_RULES[0], &[PAPER[1]], &mut draws).expect("an organ");
    let ct = Array3::from_elem((96, 96, 96), 0.6f32);
    measure("encode 96³", rounds, || drop(autoencoder.encode(image.clone()).into_data()));
    measure("U-Net call 24³", rounds, || {
        drop(unet.forward(latent.clone(), &[1], condition.0.clone()).into_data())
    });
    measure("code search 24³", rounds, || drop(autoencoder.indices(latent.clone()).into_data()));
    measure("decode 96³ (search included)", rounds, || drop(autoencoder.decode(latent.clone()).into_data()));
    measure("decode, a box of 48³", rounds, || {
        drop(autoencoder.decode_within(latent.clone(), [24; 3], [72; 3]).into_data());
    });
    measure("blend", rounds, || drop(blend_published(&ct, &ct, &published_weight(&mask, 2.0))));
    let whole = |config: &DiffusionConfig, noise: &mut Stream| {
        let mask = generate(&organ, &PAPER_RULES[0], &[PAPER[1]], noise).expect("an organ");
        let mask_f = mask.mapv(|m| f32::from(u8::from(m)));
        let crop = difftumor::tensor::from_crop(&ct.mapv(|v| 2.0 * v - 1.0), &device);
        let condition =
            Condition::new(&autoencoder, &scale, crop, difftumor::tensor::from_crop(&mask_f, &device));
        let x = sample(&unet, config, &condition, noise);
        let decoded = difftumor::tensor::to_crop(autoencoder.decode(scale.restore(x)));
        drop(blend_published(&ct, &decoded, &published_weight(&mask, 2.0)));
    };
    let mut noise = Stream::new(2, 0, "bench", 0);
    measure("whole early tumor (4 steps)", rounds, || whole(&early, &mut noise));
    if args.iter().any(|a| a == "--medium") {
        let medium = DiffusionConfig {
            timesteps: 200,
            sampler: Sampler::Ddim { steps: 50, eta: 0.0, clip: false },
            ..early.clone()
        };
        measure("whole medium tumor (50 steps)", rounds, || whole(&medium, &mut noise));
    }
}
