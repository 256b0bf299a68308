#!/bin/sh
# From airports.csv and flights.csv to the tree tables/: the airports that have flights, and the flights between them.
set -eu
mkdir tables
sqlite3 -bail :memory: \
  '.import --csv airports.csv raw_airports' \
  '.import --csv flights.csv raw_flights' \
  '.read /opt/clean/clean.sql' \
  '.mode csv' \
  '.headers on' \
  '.once tables/airports.csv' \
  'SELECT * FROM airports ORDER BY iata' \
  '.once tables/routes.csv' \
  'SELECT * FROM routes ORDER BY origin, destination' \
  '.mode list' \
  '.headers off' \
  '.output stdout' \
  'SELECT * FROM summary' > "$CITADEL_OUTPUT"
wc -l tables/*.csv
