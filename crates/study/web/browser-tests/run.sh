#!/bin/sh
# A whole study and the viewer in headless Chromium. Needs node, npm and Chromium (at /usr/bin/chromium, or where CHROMIUM says).
# Pictures of the pages go to the folder that SCREENSHOTS names, if it does.
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
# As `cargo test --workspace` has built them, and not for this package alone, which would be another build.
cargo build --workspace --locked --example serve --example view
cargo test --workspace --locked --test browser --test browser_view -- --ignored --nocapture
