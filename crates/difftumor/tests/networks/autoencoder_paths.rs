//! The autoencoder's CPU engine against its layers on Burn's operations (taken on a device with gradients), and what it
//! promises: equal bits for any number of threads, for a box of an image, and after the weights have changed.
//!
//! Tolerance 2e-5 of the largest value: some 20 layers of f32 sums of up to 1728 products in another order.
use burn::tensor::{Device, Distribution, Tensor};
use difftumor::autoencoder::{Autoencoder, AutoencoderConfig};
use difftumor::nn::state::{fill, read};

/// The published channels, fewer codes.
fn config() -> AutoencoderConfig {
    AutoencoderConfig { codes: 50, ..Default::default() }
}

fn random(shape: [usize; 5]) -> Tensor<5> {
    Tensor::random(shape, Distribution::Normal(0.2, 1.0), &Device::flex())
}

fn bits(x: Tensor<5>) -> Vec<u32> {
    x.into_data().try_to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn assert_close(fast: Tensor<5>, reference: Tensor<5>, what: &str) {
    assert_eq!(fast.dims(), reference.dims(), "{what}");
    let largest = reference.clone().abs().max().into_scalar::<f32>().max(1.0);
    let worst = (fast - reference).abs().max().into_scalar::<f32>();
    println!("{what}: worst difference {worst:.1e} of {largest:.1}");
    assert!(worst <= 2e-5 * largest, "{what}: {worst} of {largest}");
}

/// The same weights on a device that records gradients, so that no engine runs.
fn twin(model: &Autoencoder, config: &AutoencoderConfig) -> Autoencoder {
    let (twin, mismatch) =
        fill(config.init(&Device::flex().autodiff()), read(model, |n| n.into()), |n| n.into());
    assert!(mismatch.is_empty(), "{mismatch}");
    twin
}

#[test]
fn engines_agree_with_layers() {
    // Two more widths: one whose norms have groups of several channels, one that no engine takes.
    let wide = AutoencoderConfig { base_channels: 32, norm_groups: 16, ..config() };
    let narrow = AutoencoderConfig { base_channels: 12, norm_groups: 6, ..config() };
    for (config, sides) in [(config(), [20, 28, 12]), (wide, [8, 4, 12]), (narrow, [8, 12, 4])] {
        let model = config.init(&Device::flex());
        let slow = twin(&model, &config);
        let [d, h, w] = sides;
        let x = random([2, 1, d, h, w]);
        assert_close(
            model.encode(x.clone()),
            slow.encode(x.autodiff()).inner(),
            &format!("encode {sides:?}"),
        );
        let z = random([2, 8, d / 4, h / 4, w / 4]);
        let want = slow.decode_quantised(z.clone().autodiff()).inner();
        assert_close(model.decode_quantised(z), want, &format!("decode {sides:?}"));
    }
}

#[test]
fn a_box_is_a_part_of_the_whole_to_the_bit() {
    let model = config().init(&Device::flex());
    let z = random([2, 8, 5, 6, 7]);
    let whole = model.decode(z.clone());
    for (start, end) in [
        ([3, 5, 9], [14, 18, 22]),
        ([0, 0, 0], [20, 24, 28]),
        ([19, 0, 27], [20, 1, 28]),
        ([7, 6, 1], [13, 24, 27]),
    ] {
        let part = whole.clone().slice([0..2, 0..1, start[0]..end[0], start[1]..end[1], start[2]..end[2]]);
        assert!(bits(model.decode_within(z.clone(), start, end)) == bits(part), "{start:?}..{end:?}");
    }
}

#[test]
fn without_norms_a_box_needs_no_more_than_its_surroundings() {
    for base_channels in [8, 16] {
        let model = AutoencoderConfig { base_channels, norm_groups: 0, ..config() }.init(&Device::flex());
        let z = random([1, 8, 15, 16, 17]);
        let whole = model.decode(z.clone());
        for (start, end) in
            [([25, 26, 27], [32, 40, 41]), ([0, 30, 60], [5, 34, 68]), ([0, 0, 0], [60, 64, 68])]
        {
            let part =
                whole.clone().slice([0..1, 0..1, start[0]..end[0], start[1]..end[1], start[2]..end[2]]);
            // A latent just out of reach would change values by hundreds of times the tolerance.
            assert_close(model.decode_within(z.clone(), start, end), part, &format!("{start:?}..{end:?}"));
        }
    }
}

#[test]
fn threads_do_not_matter() {
    let model = config().init(&Device::flex());
    let (x, z) = (random([1, 1, 36, 40, 44]), random([1, 8, 9, 10, 11]));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (bits(model.encode(x.clone())), bits(model.decode(z.clone()))))
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
}

#[test]
fn other_weights_give_other_images() {
    let (first, second) = (config().init(&Device::flex()), config().init(&Device::flex()));
    let z = random([1, 8, 2, 3, 4]);
    let before = bits(first.decode_quantised(z.clone()));
    let want = bits(second.decode_quantised(z.clone()));
    let (filled, _) = fill(first, read(&second, |n| n.into()), |n| n.into());
    let after = bits(filled.decode_quantised(z));
    assert!(before != after && after == want);
}
