#!/usr/bin/env bash
# Table 7: DSC and NSD (%) with real tumors, with those of Hu et al. (by rules), and with those by diffusion. U-Net.
#     experiments/table7.sh DATA OUT [--plan] [--smoke]
. "$(dirname "$0")/common.sh"
backbones=(unet)
begin
for organ in "${organs[@]}"; do against table7 "$organ" real hu difftumor; done
finish 7
