#!/bin/sh
# A cache, not a store: nothing is written to disk, and at its limit what was used least recently goes. Settings: REDIS_PASSWORD_FILE
# (required), REDIS_MEMORY (64mb). Arguments go to the server; the password is none of them, as those are seen by others.
set -eu
umask 077
conf=$(mktemp)
[ -s "${REDIS_PASSWORD_FILE:-}" ] || { echo "REDIS_PASSWORD_FILE must name a file with a password" >&2; exit 1; }
{
  printf 'requirepass %s\n' "$(cat "$REDIS_PASSWORD_FILE")"
  cat <<EOF
bind * -::*
port 6379
dir /tmp
save ""
appendonly no
maxmemory ${REDIS_MEMORY:-64mb}
maxmemory-policy allkeys-lru
maxclients 200
client-output-buffer-limit normal 16mb 8mb 10
rename-command CONFIG ""
rename-command DEBUG ""
rename-command MODULE ""
rename-command SAVE ""
rename-command BGSAVE ""
rename-command BGREWRITEAOF ""
rename-command REPLICAOF ""
rename-command SLAVEOF ""
EOF
} > "$conf"
exec redis-server "$conf" "$@"
