# Everything that CI runs.
check:
    .ci/run

# Time and memory of each stage.
stages:
    cargo bench --workspace

# Each stage and layer against PyTorch, MONAI, scipy and nibabel, in turns: target/bench/torch.md. Options: --rounds N, --only TEXT,
# --threads N; --gpu for networks and training steps on a GPU: target/bench/gpu.md.
bench *options:
    reference/bench.sh {{ options }}

# Compares with the published implementation's numbers: goldens/, or another set of the same kinds.
golden set="":
    {{ if set == "" { "" } else { "DIFFTUMOR_GOLDENS=" + quote(set) } }} cargo test --workspace golden -- --nocapture

# The small goldens, and one training step of each model, through wgpu: on a GPU, or on Mesa's lavapipe (software Vulkan, package
# mesa-vulkan-drivers). A clean build takes a quarter of an hour on two cores.
check-gpu:
    reference/check_gpu.sh

# Kernels with every read and write checked by AddressSanitizer. Needs nightly.
sanitize:
    RUSTFLAGS=-Zsanitizer=address cargo +nightly test -p difftumor --target x86_64-unknown-linux-gnu --target-dir target/sanitize --lib nn::
    RUSTFLAGS=-Zsanitizer=address cargo +nightly test -p difftumor --target x86_64-unknown-linux-gnu --target-dir target/sanitize --test nn --test networks -- nn autoencoder_paths

# Feeds a reader with any bytes (targets: nifti, checkpoint). Needs nightly and cargo-fuzz.
fuzz target seconds="60":
    cd fuzz && cargo +nightly fuzz run {{ target }} -- -max_total_time={{ seconds }}

# Do synthetic tumors let a model find tumors of a size that it was never shown? Minutes on two cores: experiments/README.md.
smoke *out:
    experiments/smoke.sh {{ out }}

# Licences, advisories and sources of the dependencies. Needs cargo-deny.
deny:
    cargo deny check
