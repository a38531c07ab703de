#!/usr/bin/env bash
# Segmenters that have never seen a real tumor, trained on tumors painted into three healthy livers, on the two real tumors of a
# fourth: experiments/real-liver/README.md. Resumable. FOLDER is where reference/liver_study_data.py wrote its tables.
#   experiments/real-liver/run.sh FOLDER
set -euo pipefail
folder=$1
difftumor=${DIFFTUMOR:-"cargo run --release -q -p difftumor --"}

train() { # name, settings…
    local name=$1 set=()
    shift
    for setting in "$@"; do set+=(--set "$setting"); done
    $difftumor train segmentation --healthy "$folder/healthy.csv" --organ liver=1:tumor=2 --healthy-organ liver=1 \
        --config "$(dirname "$0")/segmentation.toml" "${set[@]}" --cache "$folder/cache" --out "$folder/runs/$name" --resume
    $difftumor segment --model "$folder/runs/$name" --cases "$folder/test.csv" --organ liver=1:tumor=2 --overlap 0.5 \
        --out "$folder/predicted/$name" --force
    $difftumor evaluate segmentation --cases "$folder/test.csv" --predictions "$folder/predicted/$name" \
        --organ liver=1:tumor=2 --out "$folder/figures/$name" --force
}

train handcrafted synthesis.method=handcrafted
train handcrafted-large synthesis.method=handcrafted synthesis.size=large
train diffusion synthesis.method=diffusion synthesis.pool.reuse=32
