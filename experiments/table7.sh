#!/usr/bin/env bash
# Table 7: DSC and NSD (%) with real tumors, with those of Hu et al. (by rules), and with those by diffusion. U-Net.
#     experiments/table7.sh DATA OUT [--plan] [--smoke]
. "$(dirname "$0")/common.sh"
backbones=(unet)
begin
for organ in "${organs[@]}"; do
    painter "$organ" 0
    pairs=()
    for method in real hu difftumor; do
        arm "unet/$organ-$organ/$method/0" unet $method "$organ" "$organ" 0
        pairs+=("$method=$out/figures/unet/$organ-$organ/$method/0")
    done
    mkdir -p "$out/comparisons"
    step "compare-table7-$organ" "the three against each other: $organ" 0 \
        "${difftumor[@]}" evaluate comparison "${pairs[@]}" --out "$out/comparisons/table7-$organ" --force
done
finish 7
