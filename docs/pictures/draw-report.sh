#!/usr/bin/env bash
# Draws the pictures of docs/reports.md from what the program really gives: the
# mail and each sheet of the workbook of a demo's day, with the six weeks before
# it taken in by `callvault import`, so that there is something to compare it
# with. Needs LibreOffice (libreoffice-calc), pdftoppm (poppler-utils) and
# Chromium.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pictures=$PWD/docs/pictures

go build -o "$work/" ./cmd/callvault ./internal/testenv/earlier ./internal/testenv/trim
cd "$work"
./callvault demo --exit --listen 127.0.0.1:0
day=$(basename callvault-data/recordings/reports/daily/*)
./earlier -before "$day" -dir .
for reports in sales.* support.*; do
	./callvault import --account "${reports%.*}" "$reports"
done
# The demo has made and kept the day's report daily; this is the same again,
# with what is known now.
sed -i 's/name: daily/name: morning/; s/recipients: \[\].*/recipients: [manager@example.org]/' callvault-data/callvault.yaml
./callvault report morning --date "$day" --send
kept=$(echo callvault-data/recordings/reports/morning/*/r1-*)

# Each sheet's first page without its margins. The page's last line names the
# sheet.
soffice --headless "-env:UserInstallation=file://$work/office" --convert-to pdf --outdir . "$kept"/*.xlsx >/dev/null
pages=$(pdfinfo ./*.pdf | awk '/^Pages:/ {print $2}')
last=
for ((page = 1; page <= pages; page++)); do
	sheet=$(pdftotext -f "$page" -l "$page" -layout ./*.pdf - | grep -E '[0-9]+ / [0-9]+ *$' | tail -1 | awk '{print tolower($3 ($4 ~ /^[a-z]+$/ ? "-" $4 : ""))}')
	[[ $sheet != "$last" ]] || continue
	last=$sheet
	pdftoppm -f "$page" -l "$page" -r 80 -png -singlefile ./*.pdf page
	# The last line is cut off with the lowest 40 pixels; of a long list the
	# beginning is enough.
	height=$(($(file page.png | sed 's/.* x \([0-9]*\),.*/\1/') - 40))
	case $sheet in calls | missed) height=$((height * 2 / 3)) ;; esac
	pdftoppm -f "$page" -l "$page" -r 80 -x 0 -y 0 -W 4000 -H "$height" -png -singlefile ./*.pdf "sheet-$sheet"
	./trim "sheet-$sheet.png"
done
mv sheet-*.png "$pictures/"

# The mail as a browser shows it: on a desk, and on a telephone in the dark.
mkdir mail
cp "$kept"/mail* mail/
sed -i 's/cid:\(mail-[a-z]*\)\.[^"]*/\1.png/' mail/mail.html
echo '<body style="margin:0"><iframe src="mail.html" style="width:390px;height:1250px;border:0"></iframe>' >mail/phone.html
shot() {
	chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
		--disable-background-networking --disable-component-update --disable-sync \
		--hide-scrollbars --user-data-dir="$work/profile" "$@" 2>/dev/null
}
shot --window-size=720,1310 --screenshot="$pictures/mail.png" "file://$work/mail/mail.html"
shot --blink-settings=preferredColorScheme=0 --window-size=500,1250 --screenshot="$work/phone.png" "file://$work/mail/phone.html"
./trim "$work/phone.png"
mv "$work/phone.png" "$pictures/mail-phone.png"
