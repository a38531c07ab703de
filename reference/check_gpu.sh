#!/bin/sh
# Through wgpu: networks, losses and gradients against the goldens that are small enough for software Vulkan, and one
# training step of each model against the CPU kernels.
# Needs a Vulkan, Metal or DX12 device; Mesa's lavapipe (package mesa-vulkan-drivers) will do.
set -eu
cd "$(dirname "$0")/.."
small=target/gpu-goldens
mkdir -p "$small"
rm -f "$small"/*
for name in autoencoder_32 autoencoder_noncubic cond_noncubic diffusion_loss sample_ddpm4_32 schedules seg_losses seg_unet unet3d_8 unet3d_noncubic; do
    cp "goldens/$name.safetensors" "$small/"
done
export DIFFTUMOR_DEVICE=wgpu DIFFTUMOR_GOLDENS="$PWD/$small"
# One test at a time: they share one device.
run() {
    cargo test --locked -p difftumor --features wgpu "$@" --nocapture --test-threads 1
}
run --test networks -- golden_networks::golden golden_training::golden golden_segmentation::golden training_step_devices::
