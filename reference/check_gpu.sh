#!/bin/sh
# Networks, losses and gradients through wgpu against the goldens that are small enough for software Vulkan.
# Needs a Vulkan, Metal or DX12 device; Mesa's lavapipe (package mesa-vulkan-drivers) will do.
set -eu
cd "$(dirname "$0")/.."
small=target/gpu-goldens
mkdir -p "$small"
rm -f "$small"/*
for name in autoencoder_32 autoencoder_noncubic cond_noncubic diffusion_loss sample_ddpm4_32 schedules seg_losses unet3d_8 unet3d_noncubic; do
    cp "goldens/$name.safetensors" "$small/"
done
export DIFFTUMOR_DEVICE=wgpu DIFFTUMOR_GOLDENS="$PWD/$small"
# One test at a time: they share one device.
exec cargo test --locked -p difftumor --features wgpu --test golden_networks --test golden_training golden -- --nocapture --test-threads 1
