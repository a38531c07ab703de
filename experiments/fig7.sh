#!/usr/bin/env bash
# Figure 7: early tumors that a segmentation trained on real tumors misses. The reports OUT/figures/…/report.html show the largest misses of
# each in pictures; OUT/comparisons/fig7-ORGAN/report.html tells how many early ones each finds alone.
#     experiments/fig7.sh DATA OUT [--plan] [--smoke]
. "$(dirname "$0")/common.sh"
backbones=(unet)
begin
for organ in "${organs[@]}"; do against fig7 "$organ" real difftumor; done
finish fig7
