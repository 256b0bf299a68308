# Shared by the scripts under hack/: where things live, how progress is told, which cluster is meant. Sourced, never run.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CLUSTER_DIR=$(realpath -m "${CITADEL_CLUSTER_DIR:-${HOME:-/root}/.cache/citadel/cluster}")
BIN=$CLUSTER_DIR/bin
KIND_CLUSTER=citadel      # the name of the kind cluster that `make cluster-up` may make
NODE_CONTEXT=citadel-node # the kubeconfig context of the single node

export CITADEL_STARTED=${CITADEL_STARTED:-$EPOCHSECONDS}   # scripts that call each other count from one start
say() { printf '%4ds  %s\n' $((EPOCHSECONDS - CITADEL_STARTED)) "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# watched LABEL COMMAND...: runs a quiet command, says every 30 s that it still runs; on failure shows the end of its log.
watched() {
  local label=$1 start=$SECONDS log pid; shift
  log=$(mktemp); say "$label"
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  until timeout 30 tail -f --pid=$pid /dev/null; do say "  … $label ($((SECONDS - start)) s so far)"; done
  if ! wait $pid; then tail -n 40 "$log" >&2; fail "$label: failed, full log in $log"; fi
  rm -f "$log"
}

# wait_for SECONDS COMMAND...: until the command succeeds; false, with a word, when time is up.
wait_for() {
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { say "gave up waiting for: $*"; return 1; }
    sleep 0.2
  done
}

# only_one NAME: one process of this machine at a time passes here, whichever checkout it belongs to.
only_one() {
  mkdir -p "$CLUSTER_DIR"
  exec 9>"$CLUSTER_DIR/$1.lock"
  flock -n 9 || { say "waiting for another '$1' of this machine to finish"; flock 9; }
}

# ensure_apt PACKAGE...: installs those Debian packages that are missing.
ensure_apt() {
  local missing
  missing=$(for p in "$@"; do dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || echo "$p"; done)
  [ -n "$missing" ] || return 0
  [ "$(id -u)" = 0 ] || fail "these Debian packages are missing, and only root can install them: $(echo $missing)"
  watched "apt-get update" apt-get update -o DPkg::Lock::Timeout=600
  # shellcheck disable=SC2086
  watched "apt-get install $(echo $missing)" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 $missing
}

# ensure_redis: a `redis-server` binary for the component tests, which start servers of their own. No system server is started.
ensure_redis() {
  command -v redis-server >/dev/null && return
  if [ ! -e /etc/systemd/system/redis-server.service ] && [ "$(id -u)" = 0 ]; then
    mkdir -p /etc/systemd/system
    ln -s /dev/null /etc/systemd/system/redis-server.service
  fi
  ensure_apt redis-server
}

# ensure_postgres: a `postgres` binary for the component tests, which start servers of their own. No system server is made.
ensure_postgres() {
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null && return
  if [ ! -e /etc/postgresql-common/createcluster.conf ] && [ "$(id -u)" = 0 ]; then
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
  fi
  ensure_apt postgresql
}

# ensure_compilers: what the tests of the runtimes java and javascript need.
ensure_compilers() {
  command -v javac >/dev/null || ensure_apt default-jdk-headless
  command -v cc >/dev/null || ensure_apt gcc libc6-dev
  command -v node >/dev/null || ensure_apt nodejs
}

# ensure_podman: what runs container steps without a cluster, and a shell of which tests make an image. With runc, as crun 1.8
# knows no machine that has both versions of cgroups (tests/enginebox.py).
ensure_podman() {
  local program
  for program in podman runc catatonit busybox; do
    command -v $program >/dev/null || { ensure_apt podman runc catatonit busybox-static; return; }
  done
}

# ensure_bubblewrap: what steps on this machine are kept in.
ensure_bubblewrap() {
  command -v bwrap >/dev/null || ensure_apt bubblewrap
}

docker_runs() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

# own_context: the current context of the user's own kubeconfig, when it is one of a local cluster.
own_context() {
  local context
  context=$(sed -n 's/^current-context: *//p' "${HOME:-/root}/.kube/config" 2>/dev/null | tr -d '"')
  case $context in kind-* | k3d-* | minikube) echo "$context" ;; *) return 1 ;; esac
}

# given_kubeconfig: $KUBECONFIG names a cluster of the user's, not the one that these scripts made.
given_kubeconfig() { [ -n "${KUBECONFIG:-}" ] && [ "$KUBECONFIG" != "$CLUSTER_DIR/kubeconfig" ]; }

# choose_cluster: sets KUBECONFIG to the cluster that every make target means, and finds kubectl and helm.
choose_cluster() {
  if ! given_kubeconfig; then
    if own_context >/dev/null; then KUBECONFIG=${HOME:-/root}/.kube/config; else KUBECONFIG=$CLUSTER_DIR/kubeconfig; fi
  fi
  PATH=$PATH:$BIN
  export KUBECONFIG PATH
}
