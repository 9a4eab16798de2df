#!/usr/bin/env bash
# Draws the README's picture of the demo's own output from what the program
# really gives; draw-report.sh draws the other. Needs Chromium.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

go build -o "$work/callvault" ./cmd/callvault
(
	cd "$work"
	echo '$ go run ./cmd/callvault demo --exit'
	./callvault demo --exit --listen 127.0.0.1:0 2>&1
) | tee "$work/demo.txt"

cd "$work"
{
	echo '<meta charset="utf-8"><style>body{margin:0;background:#1d2530;color:#dce3ea;font:15px/1.45 monospace;padding:18px 22px}pre{margin:0;white-space:pre-wrap}</style><pre>'
	sed 's/&/\&amp;/g; s/</\&lt;/g' demo.txt
	echo '</pre>'
} >demo.html
lines=$(wc -l <demo.txt)
chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
	--disable-background-networking --disable-component-update --disable-sync \
	--hide-scrollbars --user-data-dir="$work/profile" \
	--window-size="980,$((lines * 22 + 60))" --screenshot="$OLDPWD/docs/pictures/demo.png" "file://$work/demo.html" 2>/dev/null
