#!/usr/bin/env bash
# Figure 7: early tumors that a segmentation trained on real tumors misses. The reports OUT/figures/…/report.html show the largest misses of
# each in pictures; OUT/comparisons/fig7-ORGAN/report.html tells how many early ones each finds alone.
#     experiments/fig7.sh DATA OUT [--plan] [--smoke]
. "$(dirname "$0")/common.sh"
backbones=(unet)
begin
for organ in "${organs[@]}"; do
    painter "$organ" 0
    pairs=()
    for method in real difftumor; do
        arm "unet/$organ-$organ/$method/0" unet $method "$organ" "$organ" 0
        pairs+=("$method=$out/figures/unet/$organ-$organ/$method/0")
    done
    mkdir -p "$out/comparisons"
    step "compare-fig7-$organ" "early tumors that one of the two finds alone: $organ" 0 \
        "${difftumor[@]}" evaluate comparison "${pairs[@]}" --out "$out/comparisons/fig7-$organ" --force
done
finish fig7
