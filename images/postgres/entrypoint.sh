#!/bin/sh
# Makes the database on the first start, then becomes the server. Settings, named as in the official image: POSTGRES_PASSWORD or
# POSTGRES_PASSWORD_FILE (required), POSTGRES_USER (postgres), POSTGRES_DB (as the user), PGDATA. Arguments go to the server.
set -eu
umask 077
user=${POSTGRES_USER:-postgres} database=${POSTGRES_DB:-${POSTGRES_USER:-postgres}}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # Aside, then renamed: a start that is killed half-way leaves nothing that looks like a database.
  new=$PGDATA.new
  rm -rf "$new" "$PGDATA"; mkdir -p "$new"
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then cat "$POSTGRES_PASSWORD_FILE" > "$PGDATA.password"
  elif [ -n "${POSTGRES_PASSWORD:-}" ]; then printf '%s' "$POSTGRES_PASSWORD" > "$PGDATA.password"
  else echo "POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE must be set" >&2; exit 1; fi
  initdb --pgdata="$new" --username="$user" --pwfile="$PGDATA.password" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --data-checksums
  rm -f "$PGDATA.password"
  echo 'host all all all scram-sha-256' >> "$new/pg_hba.conf"
  [ "$database" = postgres ] || echo "CREATE DATABASE \"$database\"" | postgres --single -D "$new" postgres >/dev/null
  mv "$new" "$PGDATA"
fi
unset POSTGRES_PASSWORD
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
