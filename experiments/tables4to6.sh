#!/usr/bin/env bash
# Tables 4 to 6: DSC and NSD (%) of five folds, in liver (4), pancreas (5) and kidney (6).
#     experiments/tables4to6.sh DATA OUT [--plan] [--smoke]
. "$(dirname "$0")/common.sh"
begin
for organ in "${organs[@]}"; do
    for fold in "${folds[@]}"; do painter "$organ" "$fold"; done
done
for backbone in "${backbones[@]}"; do
    for organ in "${organs[@]}"; do
        pairs=()
        for method in real difftumor; do
            for fold in "${folds[@]}"; do
                arm "$backbone/$organ-$organ/$method/$fold" "$backbone" $method "$organ" "$organ" "$fold"
                pairs+=("$method=$out/figures/$backbone/$organ-$organ/$method/$fold")
            done
        done
        mkdir -p "$out/comparisons"
        step "compare-$backbone-$organ" "real against difftumor: $backbone, $organ" 0 \
            "${difftumor[@]}" evaluate comparison "${pairs[@]}" --out "$out/comparisons/$backbone-$organ" --force
    done
done
finish 4to6
