# What the scripts of the paper's tables and figures share. Each of them: experiments/NAME.sh DATA OUT [--plan] [--smoke]
#
# DATA holds liver/, pancreas/ and kidney/ (annotated, in any layout that `difftumor index` knows: Decathlon, LiTS, KiTS, nnU-Net, …) and
# healthy/ (HealthyCT as published, or a folder for each organ). With --smoke small phantoms take their place, and DATA is made.
# --plan tells what will run, what is done, and estimates of time on this machine and of disk; nothing else happens but a measurement of
# a few steps. Everything goes on where it was stopped.
#
# DIFFTUMOR and PHANTOMS are the programs, if not built by cargo. AUTOENCODER is a Run of stage 1 (the shipped one); DEVICE (cpu).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

data='' out='' plan='' smoke=''
for argument in "$@"; do
    case $argument in
        --plan) plan=1 ;;
        --smoke) smoke=1 ;;
        -*) echo "$0: unknown option $argument" >&2 && exit 2 ;;
        *) if [ -z "$data" ]; then data=$argument; else out=$argument; fi ;;
    esac
done
[ -n "$out" ] || { echo "usage: $0 DATA OUT [--plan] [--smoke]" >&2; exit 2; }
read -ra difftumor <<< "${DIFFTUMOR:-cargo run --release -q -p difftumor --}"
read -ra phantoms <<< "${PHANTOMS:-cargo run --release -q -p difftumor --example phantoms --}"
autoencoder=${AUTOENCODER:-shipped:compact-v1/early/autoencoder}
device=${DEVICE:-cpu}
mkdir -p "$data" "$out/done"

organs=(liver pancreas kidney)
backbones=(unet nnunet swin_unetr)
folds=(0 1 2 3 4)
declare -A annotation=([liver]=liver=1:tumor=2 [pancreas]=pancreas=1:tumor=2 [kidney]=kidney=1:tumor=2:cyst=3)
# The published sampler of T = 200.
ddim='{ddim={steps=50,eta=0.0,clip=false}}'
segmentation_settings=() diffusion_settings=() early_steps=60000 late_steps=60000 segmentation_steps=200000 all_folds=5 overlap=0.75
if [ -n "$smoke" ]; then
    organs=(liver pancreas) backbones=(unet) folds=(0 1) all_folds=2 overlap=0
    early_steps=6 late_steps=6 segmentation_steps=${SMOKE_STEPS:-12}
    segmentation_settings=(--config configs/smoke/segmentation.toml --set healthy_share=listed --set crops.side_vox=32 --set model.widths='[4,8]')
    diffusion_settings=(--config configs/smoke/diffusion.toml)
fi

# step NAME WORDS HOURS COMMAND...: runs once; with --plan it is only told.
total_hours=0 to_do=0
step() {
    local name=$1 words=$2 hours=$3
    shift 3
    if [ -n "$plan" ]; then
        local state=done
        if [ ! -e "$out/done/$name" ]; then
            state="to do" to_do=$((to_do + 1))
            total_hours=$(awk "BEGIN { print $total_hours + $hours }")
        fi
        printf '%-6s %9.2f h  %s\n' "$state" "$hours" "$words"
        return
    fi
    [ -e "$out/done/$name" ] && return
    echo "== $words" >&2
    "$@"
    touch "$out/done/$name"
}

# hours KIND STEPS: of a training, from seconds a step that were measured here.
hours() {
    [ -n "$plan" ] || { echo 0; return; }
    awk -v kind="$1" -v steps="$2" '$1 == kind { print steps * $2 / 3600 }' "$out/seconds_per_step.txt"
}

# Seconds a step of each network on this machine, from three steps on phantoms.
measure() {
    [ -n "$plan" ] && [ ! -e "$out/seconds_per_step.txt" ] || return 0
    echo "measuring a few steps of each network …" >&2
    local folder=$out/measured kind
    "${phantoms[@]}" "$folder" 1
    : > "$out/seconds.part"
    for kind in "${backbones[@]}"; do
        "${difftumor[@]}" train segmentation "${segmentation_settings[@]}" --set model.backbone="$kind" --set steps=3 --set output.record_every=1 \
            --set learning_rate.warmup_steps=1 --set learning_rate.decay_steps=2 --set synthesis.share=0 --cases "$folder/annotated.csv" \
            --organ liver=1:tumor=2 --device "$device" --out "$folder/$kind" > /dev/null
        echo "$kind $(last_step_s "$folder/$kind")" >> "$out/seconds.part"
    done
    "${difftumor[@]}" index --stage late --cases "$folder/annotated.csv" --organ liver=1:tumor=2 --out "$folder/late" > /dev/null
    "${difftumor[@]}" train diffusion "${diffusion_settings[@]}" --set steps=3 --set output.record_every=1 --autoencoder "$autoencoder" \
        --cases "$folder/late/cases.csv" --device "$device" --out "$folder/diffusion" > /dev/null
    echo "diffusion $(last_step_s "$folder/diffusion")" >> "$out/seconds.part"
    rm -rf "$folder"
    mv "$out/seconds.part" "$out/seconds_per_step.txt"
}

last_step_s() {
    python3 -c 'import json, sys; print([json.loads(l)["step_s"] for l in open(sys.argv[1]) if "step_s" in l][-1])' "$1/training/metrics.jsonl"
}

# Phantoms as datasets of organs, for --smoke.
make_phantoms() {
    local organ seed=1 made
    for organ in "${organs[@]}"; do
        if [ ! -e "$data/$organ/labels" ]; then
            made=$data/.made-$organ
            "${phantoms[@]}" "$made" "$seed"
            for kind in annotated test healthy; do
                local to=$data/$organ
                [ "$kind" = healthy ] && to=$data/healthy/$organ
                mkdir -p "$to/images" "$to/labels.part"
                for labels in "$made/$kind"*_labels.nii.gz; do
                    local name
                    name=$(basename "$labels" _labels.nii.gz)
                    mv "$made/$name.nii.gz" "$to/images/$organ-$name.nii.gz"
                    mv "$labels" "$to/labels.part/$organ-$name.nii.gz"
                done
            done
            mv "$data/healthy/$organ/labels.part" "$data/healthy/$organ/labels"
            mv "$data/$organ/labels.part" "$data/$organ/labels"
            rm -rf "$made"
        fi
        seed=$((seed + 1))
    done
}

# A table of a folder; a case that cannot be read is told and left out.
index() { [ -e "$2" ] || "${difftumor[@]}" index "$1" --out "$2" || [ -e "$2" ]; }

# Tables of an organ: OUT/tables/ORGAN.csv, its folds, and healthy scans OUT/tables/healthy-ORGAN.csv.
index_healthy() {
    local table=$out/tables/healthy-$1.csv
    if [ -d "$data/healthy/$1" ]; then
        index "$data/healthy/$1" "$table"
    else
        index "$data/healthy" "$out/tables/healthy.csv"
        awk -v organ="$1_label/" 'NR == 1 || index($0, organ)' "$out/tables/healthy.csv" > "$table"
    fi
}
index_organ() {
    index "$data/$1" "$out/tables/$1.csv"
    [ -e "$out/tables/folds-$1" ] || "${difftumor[@]}" index --folds "$all_folds" --cases "$out/tables/$1.csv" --out "$out/tables/folds-$1"
}
tables() {
    mkdir -p "$out/tables"
    for organ in "$@"; do
        step "index-$organ" "table and folds of $organ" 0 index_organ "$organ"
        step "healthy-$organ" "table of healthy scans of $organ" 0 index_healthy "$organ"
    done
}

# painter ORGAN FOLD [NAME SETTINGS...]: diffusion models of early and of larger tumors, trained on a fold of an organ's real tumors.
# CASES names another table than the fold's.
train_painter() {
    local organ=$1 fold=$2 name=$3 stage=$4
    shift 4
    local folder=$out/painters/$name/$stage
    [ -e "$folder/labels" ] || "${difftumor[@]}" index --stage "$stage" --cases "${CASES:-$out/tables/folds-$organ/train_$fold.csv}" \
        --organ "${annotation[$organ]}" --out "$folder/labels" || [ -e "$folder/labels" ] || return 0
    "${difftumor[@]}" train diffusion "${diffusion_settings[@]}" "$@" --autoencoder "$autoencoder" --cases "$folder/labels/cases.csv" \
        --device "$device" --out "$folder/run" --resume
}
painter() {
    local organ=$1 fold=$2 name=${3:-$1-$2}
    shift "$(($# > 3 ? 3 : $#))"
    step "painter-$name-early" "diffusion model of early tumors: $name" "$(hours diffusion $early_steps)" \
        train_painter "$organ" "$fold" "$name" early --set steps=$early_steps "$@"
    step "painter-$name-late" "diffusion model of larger tumors: $name" "$(hours diffusion $late_steps)" \
        train_painter "$organ" "$fold" "$name" late --set steps=$late_steps --set model.timesteps=200 --set "model.sampler=$ddim" "$@"
}

# arm NAME BACKBONE METHOD SOURCE TARGET FOLD [PAINTER]: a segmentation of TARGET that learned from real tumors in SOURCE (real), and from
# tumors painted into healthy TARGET by rules (hu) or by a painter (difftumor); measured on the fold's held-out cases of TARGET.
train_arm() {
    local name=$1 backbone=$2 method=$3 source=$4 target=$5 fold=$6 painter=$7 more=()
    case $method in
        real) more=(--set synthesis.share=0) ;;
        *) more=(--healthy "$out/tables/healthy-$target.csv" --healthy-organ "$target") ;;
    esac
    [ "$method" = hu ] && more+=(--set synthesis.method=handcrafted)
    if [ "$method" = difftumor ]; then
        more+=(--set synthesis.method=diffusion)
        for stage in early late; do
            [ -e "$out/painters/$painter/$stage/run" ] && more+=(--model "$out/painters/$painter/$stage/run")
        done
    fi
    "${difftumor[@]}" train segmentation "${segmentation_settings[@]}" --set model.backbone="$backbone" --set steps=$segmentation_steps \
        --set learning_rate.warmup_steps=$((segmentation_steps / 20)) --set learning_rate.decay_steps=$((segmentation_steps * 19 / 20)) \
        --cases "$out/tables/folds-$source/train_$fold.csv" --organ "${annotation[$source]}" "${more[@]}" --other-labels \
        --device "$device" --cache "$out/prepared" --out "$out/runs/$name" --resume
}
measure_arm() {
    local name=$1 target=$2 fold=$3 metadata=()
    [ -e "$data/metadata-$target.csv" ] && metadata=(--metadata "$data/metadata-$target.csv")
    "${difftumor[@]}" segment --model "$out/runs/$name" --cases "$out/tables/folds-$target/val_$fold.csv" --organ "${annotation[$target]}" \
        --overlap "$overlap" --device "$device" --out "$out/predictions/$name" --resume
    "${difftumor[@]}" evaluate segmentation --cases "$out/tables/folds-$target/val_$fold.csv" --predictions "$out/predictions/$name" \
        --organ "${annotation[$target]}" "${metadata[@]}" --out "$out/figures/$name" --force
}
arm() {
    local name=$1 backbone=$2 method=$3 source=$4 target=$5 fold=$6 painter=${7:-$4-$6}
    mkdir -p "$out/runs/$(dirname "$name")" "$out/predictions/$(dirname "$name")" "$out/figures/$(dirname "$name")"
    local done=${name//\//-}
    step "train-$done" "$backbone, $method, $source to $target, fold $fold" "$(hours "$backbone" $segmentation_steps)" \
        train_arm "$name" "$backbone" "$method" "$source" "$target" "$fold" "$painter"
    step "measure-$done" "  measured on $target" 0 measure_arm "$name" "$target" "$fold"
}

# against NAME ORGAN METHODS...: U-Nets of fold 0 by each method, and their comparison.
against() {
    local name=$1 organ=$2 pairs=() method
    shift 2
    painter "$organ" 0
    for method in "$@"; do
        arm "unet/$organ-$organ/$method/0" unet "$method" "$organ" "$organ" 0
        pairs+=("$method=$out/figures/unet/$organ-$organ/$method/0")
    done
    mkdir -p "$out/comparisons"
    step "compare-$name-$organ" "$* against each other: $organ" 0 \
        "${difftumor[@]}" evaluate comparison "${pairs[@]}" --out "$out/comparisons/$name-$organ" --force
}

begin() {
    [ -z "$smoke" ] || make_phantoms
    measure
    tables "${organs[@]}"
}

# finish TABLE: the paper's numbers beside ours; with --plan the sums.
finish() {
    if [ -n "$plan" ]; then
        awk "BEGIN { printf \"%d steps to do, about %.1f hours on this machine for the trainings\\n\", $to_do, $total_hours }"
        echo "Not in it: reading, painting and segmenting. Disk: up to 8 GB of prepared scans, about 0.3 GB a run of the published sizes, and the"
        echo "predictions (as large as label files); $(df -Ph "$out" | awk 'NR == 2 { print $4 }') are free, $(du -sh "$out" | cut -f1) are taken so far."
        return
    fi
    python3 experiments/paper_table.py "$1" "$out" ${smoke:+--smoke}
}
