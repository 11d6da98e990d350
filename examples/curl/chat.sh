#!/usr/bin/env bash
# Sends a prompt, reads the answer, cuts the connection in the middle, and reads the rest from where it was cut.
# usage: TOKEN=… [HOLDLINE_URL=http://127.0.0.1:8080] ./chat.sh [session] [prompt]
set -euo pipefail
url=${HOLDLINE_URL:-http://127.0.0.1:8080}
session=${1:-curl-$RANDOM$RANDOM}
prompt=${2:-count 60 at 20/s}
auth=(-H "authorization: Bearer ${TOKEN:?set TOKEN, in the folder of the server: TOKEN=\$(npx holdline token --sub you)}")

curl -sS --fail-with-body "$url/v1/sessions/$session/messages" "${auth[@]}" -H 'content-type: application/json' \
  -d "$(node -p 'JSON.stringify({ content: process.argv[1] })' "$prompt")" >&2
echo >&2

events="$url/v1/sessions/$session/events?until=idle"
echo "--- the first second, then the connection is cut" >&2
# An event that was cut before its blank line was not received: only whole events count.
first=$(curl -sN --max-time 1 "$events" "${auth[@]}" | awk 'BEGIN { RS = ""; ORS = "\n\n" } { if (held != "") print held; held = $0 }' || true)
echo "$first"
last=$(echo "$first" | sed -n 's/^id: //p' | tail -1)

echo "--- the rest, after $last" >&2
curl -sSN --fail-with-body "$events" "${auth[@]}" -H "last-event-id: $last"
