# Everything that CI runs.
check:
    .ci/run

# Time and memory of each stage.
stages:
    cargo bench --workspace

# Each stage and layer against PyTorch, scipy and nibabel, in turns: target/bench/torch.md. Options: --rounds N, --only TEXT.
bench *options:
    reference/bench.sh {{ options }}

# Compares with the published implementation's numbers: goldens/, or another set of the same kinds.
golden set="":
    {{ if set == "" { "" } else { "DIFFTUMOR_GOLDENS=" + quote(set) } }} cargo test --workspace golden -- --nocapture

# Feeds a reader with any bytes (targets: nifti, checkpoint). Needs nightly and cargo-fuzz.
fuzz target seconds="60":
    cd fuzz && cargo +nightly fuzz run {{ target }} -- -max_total_time={{ seconds }}

# Licences, advisories and sources of the dependencies. Needs cargo-deny.
deny:
    cargo deny check
