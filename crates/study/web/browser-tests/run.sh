#!/bin/sh
# Two readers do a whole study in headless Chromium; then the viewer. Needs node, npm and Chromium (at /usr/bin/chromium, or where CHROMIUM says).
# Pictures of the page go to the folder that SCREENSHOTS names, if it does.
set -eu
cd "$(dirname "$0")/.."
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
CHROMIUM=${CHROMIUM:-/usr/bin/chromium}
if [ ! -x "$CHROMIUM" ] || ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "skipped: no Chromium at $CHROMIUM (set CHROMIUM), or no node or npm" >&2
    exit 0
fi
export CHROMIUM
npm ci --no-audit --no-fund
cargo build -p difftumor-study --examples
cargo test -p difftumor-study --test browser --test browser_view -- --ignored --nocapture
