#!/usr/bin/env bash
# Do synthetic tumors let a model find tumors of a size that it was never shown? Two small U-Nets, alike but for synthetic tumors,
# on phantoms and on the kidneys of a real torso. Minutes on two cores; what it proves and what not: experiments/README.md.
#
#     experiments/smoke.sh [OUT]          OUT: target/smoke-SEED; what is there is gone on with
#
# SEED (1) makes other phantoms, other tumors and other weights. DIFFTUMOR and PHANTOMS are the programs, if not built by cargo.
# Exit code 1: the table is there, but it is not as expected.
set -euo pipefail
cd "$(dirname "$0")/.."
seed=${SEED:-1}
out=${1:-target/smoke-$seed}
read -ra difftumor <<< "${DIFFTUMOR:-cargo run --release -q -p difftumor --}"
read -ra phantoms <<< "${PHANTOMS:-cargo run --release -q -p difftumor --example phantoms --}"

# Every OUT/ID of a synthesis as a table of cases.
table() {
    echo id,ct,labels
    for case in "$1"/*/; do
        case=$(basename "$case")
        echo "$case,$(basename "$1")/$case/ct.nii.gz,$(basename "$1")/$case/labels.nii.gz"
    done
}

# Trains without and with synthetic tumors on DIR/{annotated,healthy}.csv and measures both on DIR/test.csv.
compare() {
    local dir=$1 healthy_organ=$2 organ=$3 run share
    [ -e "$dir/training" ] ||
        "${difftumor[@]}" index --stage late --cases "$dir/annotated.csv" --organ "$organ" --out "$dir/training"
    for run in without with; do
        share=$([ $run = with ] && echo 0.8 || echo 0)
        "${difftumor[@]}" train segmentation --config configs/smoke/segmentation.toml --set seed="$seed" --set synthesis.share="$share" \
            --cases "$dir/annotated.csv" --healthy "$dir/healthy.csv" --organ "$organ" --healthy-organ "$healthy_organ" \
            --out "$dir/$run/run" --cache "$dir/prepared" --resume
        "${difftumor[@]}" segment --model "$dir/$run/run" --cases "$dir/test.csv" --overlap 0.25 --smallest-radius-mm 3 \
            --out "$dir/$run/predictions" --resume
        "${difftumor[@]}" evaluate segmentation --cases "$dir/test.csv" --predictions "$dir/$run/predictions" --organ "$organ" --found iou:0.1 \
            --out "$dir/$run/evaluation" --force
    done
}

# Phantoms: formulas, tumors included. What paints for training (rules) has nothing to do with them.
mkdir -p "$out/phantom"
[ -e "$out/phantom/test.csv" ] || "${phantoms[@]}" "$out/phantom" "$seed"
compare "$out/phantom" liver=1 liver=1:tumor=2

# A real torso, into which a diffusion model paints both the "annotated" tumors (right kidney) and those to be found (left kidney);
# training paints by rules, so that nobody is tested on the own recipe.
torso=$out/torso kidneys=$PWD/examples/torso-kidneys
mkdir -p "$torso"
echo "id,ct,labels
right,$kidneys/right.nii.gz,$kidneys/right_labels.nii.gz" > "$torso/healthy.csv"
echo "id,ct,labels
left,$kidneys/left.nii.gz,$kidneys/left_labels.nii.gz" > "$torso/healthy-test.csv"
"${difftumor[@]}" synthesize --cases "$torso/healthy.csv" --organ kidney=2 --diameter-mm 28..38 --tumors 1 --per-case 6 \
    --seed "$seed" --out "$torso/annotated" --preview --resume
"${difftumor[@]}" synthesize --cases "$torso/healthy-test.csv" --organ kidney=3 --size small --tumors 1..2 --per-case 8 \
    --seed $((seed + 1000)) --out "$torso/test" --preview --resume
for name in annotated test; do table "$torso/$name" > "$torso/$name.csv"; done
compare "$torso" kidney=2 kidney=1:tumor=2

echo
echo "All tumors are made up: by formulas in the phantoms, by a diffusion model in the torso. This tests the machinery, no clinical use."
python3 experiments/smoke_table.py "$out" phantom torso
