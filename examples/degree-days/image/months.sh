#!/bin/sh
# From the JSON file $CITADEL_INPUT, {"csv": "date,temp\n…", "base": 18}, to the JSON file $CITADEL_OUTPUT: one object a month.
set -eu
jq --raw-output .csv "$CITADEL_INPUT" > hours.csv
base=$(jq .base "$CITADEL_INPUT")
echo "$(wc -l < hours.csv) lines, base $base °C"
sqlite3 -bail :memory: \
  'CREATE TABLE hours (moment TEXT, fahrenheit REAL)' \
  '.import --csv --skip 1 hours.csv hours' \
  ".parameter set :base $base" \
  '.mode json' \
  '.read /opt/months/months.sql' > months.json
jq 'map(map_values(if type == "number" then . * 1000 | round / 1000 else . end))' months.json > "$CITADEL_OUTPUT"
jq --raw-output '.[] | "\(.month)  \(.heating_degree_days) heating degree days"' "$CITADEL_OUTPUT"
