#!/bin/sh
# Tumors of both methods in the example, as docs/analysis.md compares them: giveaways.sh PROGRAM OUT
set -eu
program=$1 out=$2
example=$(dirname "$0")/../examples/crlm-ct-1006
mkdir -p "$out"
out=$(cd "$out" && pwd)
make() { # method, organ, sizes, copies, seed
    "$program" synthesize --ct "$example/ct.nii.gz" --labels "$example/labels.nii.gz" --organ "$2" --method "$1" \
        --diameter-mm "$3" --tumors 1 --per-case "$4" --seed "$5" --out "$out/$1-${2%%=*}" --force --pair
}
for method in diffusion handcrafted; do
    make $method liver 20..55 10 15
    make $method kidney=2+3 12..30 8 16
    echo id,ct,labels >"$out/$method.csv"
    for case in "$out/$method"-*/*/; do
        name=$(basename "$(dirname "$case")")_$(basename "$case")
        echo "$name,${case}ct.nii.gz,${case}labels.nii.gz" >>"$out/$method.csv"
    done
    "$program" analyze realism --cases "$out/$method.csv" --organ organ=1:tumor=2 --report "$out/$method.json" \
        --html "$out/$method.html" --sheet "$out/$method.png"
done
