#!/usr/bin/env bash
# Table 2 and Appendix C: early tumors found (%) when a segmentation has learned from one organ and is used on another.
#     experiments/table2.sh DATA OUT [--plan] [--smoke]
. "$(dirname "$0")/common.sh"
begin
for source in "${organs[@]}"; do painter "$source" 0; done
for backbone in "${backbones[@]}"; do
    for source in "${organs[@]}"; do
        for target in "${organs[@]}"; do
            for method in real hu difftumor; do
                arm "$backbone/$source-$target/$method/0" "$backbone" $method "$source" "$target" 0
            done
        done
    done
done
finish 2
