#!/usr/bin/env bash
# Table 3: DSC (%) of tumors of all stages, three backbones, real tumors alone and with painted ones.
#     experiments/table3.sh DATA OUT [--plan] [--smoke]
. "$(dirname "$0")/common.sh"
begin
for organ in "${organs[@]}"; do painter "$organ" 0; done
for backbone in "${backbones[@]}"; do
    for organ in "${organs[@]}"; do
        for method in real difftumor; do
            arm "$backbone/$organ-$organ/$method/0" "$backbone" $method "$organ" "$organ" 0
        done
    done
done
finish 3
