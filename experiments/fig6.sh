#!/usr/bin/env bash
# Figure 6: number of diffusion steps T of the model of early tumors: 1, 2, 4, 10, 50, 200. Liver, U-Net. (From T = 51 on sampling is by DDIM.)
#     experiments/fig6.sh DATA OUT [--plan] [--smoke]
. "$(dirname "$0")/common.sh"
backbones=(unet) organs=(liver) timesteps=(1 2 4 10 50 200)
[ -z "$smoke" ] || timesteps=(1 4)
begin
painter_of_early() { # T
    local sampler=(--set model.sampler=ddpm)
    [ "$1" -le 50 ] || sampler=(--set "model.sampler=$ddim")
    step "painter-liver-t$1-early" "diffusion model of early tumors, T = $1" "$(hours diffusion $early_steps)" \
        train_painter liver 0 "liver-t$1" early --set steps=$early_steps --set model.timesteps="$1" "${sampler[@]}"
}
for t in "${timesteps[@]}"; do
    painter_of_early "$t"
    arm "unet/liver-liver/difftumor-t$t/0" unet difftumor liver liver 0 "liver-t$t"
done
finish fig6
