#!/usr/bin/env bash
# Figure 5: how many annotated tumors a diffusion model needs. Liver, U-Net; the first 1, 5, 10, 20, 40 cases of the training's fold.
#     experiments/fig5.sh DATA OUT [--plan] [--smoke]
. "$(dirname "$0")/common.sh"
backbones=(unet) organs=(liver) numbers=(1 5 10 20 40)
[ -z "$smoke" ] || numbers=(1 3)
begin
first() { head -n $(($1 + 1)) "$out/tables/folds-liver/train_0.csv" > "$out/tables/liver-first-$1.csv"; }
for number in "${numbers[@]}"; do
    step "first-$number" "the first $number cases" 0 first "$number"
    CASES=$out/tables/liver-first-$number.csv painter liver 0 "liver-first-$number"
    arm "unet/liver-liver/difftumor-cases-$number/0" unet difftumor liver liver 0 "liver-first-$number"
done
arm unet/liver-liver/real/0 unet real liver liver 0
finish fig5
