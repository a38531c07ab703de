#!/usr/bin/env bash
# Figure 4: DSC and tumors found by age and sex, in the pancreas, U-Net. The paper's patients are not public: DATA/metadata-pancreas.csv (id as
# in OUT/tables/pancreas.csv, and columns such as age and sex) names those of your own; without it there is nothing to group by.
#     experiments/fig4.sh DATA OUT [--plan] [--smoke]
. "$(dirname "$0")/common.sh"
backbones=(unet) organs=(pancreas)
[ -z "$smoke" ] || [ -e "$data/metadata-pancreas.csv" ] || { mkdir -p "$data" && echo id,sex,age > "$data/metadata-pancreas.csv" &&
    for n in 0 1 2 3 4 5; do echo "pancreas-annotated$n,$([ $((n % 2)) = 0 ] && echo F || echo M),$((40 + 7 * n))"; done >> "$data/metadata-pancreas.csv"; }
begin
painter pancreas 0
for method in real difftumor; do arm "unet/pancreas-pancreas/$method/0" unet $method pancreas pancreas 0; done
finish fig4
