//! The deterministic weight rule: tensor values computed from the tensor's name, so that full-size models with known
//! outputs (the goldens) need no downloaded file.
//!
//! `sym(key, i)` hashes the key (FNV-1a, 64 bit) and the flat C-order index (SplitMix64) to a number in [-1, 1) that is
//! exact in f32; [`rule_value`] scales it by what kind of tensor the name says it is.

/// FNV-1a, 64 bit, over the UTF-8 bytes.
pub fn fnv(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Uniform in [0, 1), 24 bits: element `i` of the stream of a hashed key.
fn unit(hash: u64, i: usize) -> f32 {
    let mut x = hash.wrapping_add((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x ^= x >> 30;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 31;
    (x >> 40) as f32 / 16_777_216.0
}

/// `hash_sym(key, shape)`: values in [-1, 1) in C order. Inputs "by rule" of the goldens are this, with keys such as
/// `golden/ae/in96`.
pub fn hash_sym(key: &str, shape: &[usize]) -> Vec<f32> {
    let hash = fnv(key);
    (0..shape.iter().product::<usize>()).map(|i| 2.0 * unit(hash, i) - 1.0).collect()
}

/// The 12 buffers of a diffusion schedule, which the rule leaves as computed.
const SCHEDULE_BUFFERS: [&str; 12] = [
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
];

/// Buffers that the model computes or counts itself.
const KEPT: [&str; 5] = ["num_batches_tracked", "relative_position_index", "freqs", "shift", "scale"];

/// The tensor of that name (the key inside its own component: without `denoise_fn.` or `vqgan.`) in C order.
/// `None` for buffers that the rule leaves as the model computes them.
pub fn rule_value(key: &str, shape: &[usize]) -> Option<Vec<f32>> {
    let last = key.rsplit('.').next().unwrap();
    if KEPT.contains(&last) || SCHEDULE_BUFFERS.contains(&last) {
        return None;
    }
    let elements: usize = shape.iter().product();
    let (scale, offset) = if key.ends_with("codebook.embeddings") || key.ends_with("codebook.z_avg") {
        (1.0, 0.0)
    } else if key.ends_with("codebook.N") {
        (1.0, 1.5)
    } else if last == "running_mean" {
        (0.05, 0.0)
    } else if last == "running_var" || last == "gamma" {
        (0.1, 1.0)
    } else if shape.len() >= 2 {
        let fan = elements as f64 / shape[0] as f64;
        ((0.9 * (3.0 / fan).sqrt()) as f32, 0.0)
    } else if key.ends_with(".A.weight") {
        (0.05, 0.25)
    } else if last == "weight" {
        (0.1, 1.0)
    } else {
        (0.05, 0.0)
    };
    Some(hash_sym(key, shape).into_iter().map(|s| s * scale + offset).collect())
}

#[test]
fn the_hash_gives_the_written_check_values() {
    assert_eq!(fnv("abc"), 0xe71f_a219_0541_574b);
    let want = [0.0540247, 0.16362262, 0.28698403, 0.00903624];
    for (i, want) in want.into_iter().enumerate() {
        // the written values have 8 digits
        assert!((unit(fnv("abc"), i) - want).abs() < 1e-8);
    }
    assert_eq!(rule_value("time_rel.freqs", &[16]), None);
    assert_eq!(rule_value("a.running_var", &[1]).unwrap(), [hash_sym("a.running_var", &[1])[0] * 0.1 + 1.0]);
}
