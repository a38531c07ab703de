#!/usr/bin/env bash
# Times our CPU code against PyTorch, scipy and nibabel: target/bench/torch.md and torch.json. `just bench` calls this.
# BENCH_PYTHON names a Python that has bench_requirements.txt; else they are installed (some GB) below target/bench/.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${BENCH_PYTHON:-target/bench/venv/bin/python}
if [ -z "${BENCH_PYTHON:-}" ]; then
    [ -x "$python" ] || python3 -m venv target/bench/venv
    "$python" -m pip install --quiet --requirement reference/bench_requirements.txt
fi
exec "$python" reference/bench.py "$@"
