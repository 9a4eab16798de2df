#!/usr/bin/env bash
# Draws the picture of docs/console.md from what the program really gives: a call
# of a demo's day, as a telephone shows it. Needs curl and Chromium.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server"; rm -rf "$work"' EXIT
pictures=$PWD/docs/pictures
at=127.0.0.1:18091

go build -o "$work/" ./cmd/callvault ./internal/testenv/trim
cd "$work"
./callvault demo --exit --listen 127.0.0.1:0
password=$(./callvault user password admin | tail -1)
token=$(./callvault token add drawing --role viewer --json | sed 's/.*"token": *"\([^"]*\)".*/\1/')
./callvault serve --listen "$at" &
server=$!
until curl -sf "http://$at/readyz" >/dev/null; do sleep 0.2; done
call=$(curl -sf -H "Authorization: Bearer $token" "http://$at/api/v1/calls?outcome=answered&recording=archived&min_talk=60&limit=1" | sed 's/{"calls":\[{"id":"\([^"]*\)".*/\1/')
curl -sfL -c jar -b jar --data-urlencode name=admin --data-urlencode "password=$password" --data-urlencode "next=/calls/$call" "http://$at/login" |
	sed 's|/static/||' >call.html
curl -sf "http://$at/static/console.css" >console.css

echo '<body style="margin:0"><iframe src="call.html" style="width:390px;height:760px;border:0"></iframe>' >phone.html
chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
	--disable-background-networking --disable-component-update --disable-sync \
	--hide-scrollbars --user-data-dir="$work/profile" \
	--window-size=500,760 --screenshot="$work/phone.png" "file://$work/phone.html" 2>/dev/null
./trim phone.png
mv phone.png "$pictures/console-phone.png"
