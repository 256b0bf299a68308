# The single node: a real Kubernetes in a network namespace of this machine. Its fixed names, its processes. Sourced, after lib.sh.
# Nothing in the cluster reaches a network outside the machine: the namespace has no default route.
STATE=$CLUSTER_DIR/state   # certificates, etcd, images, logs
RUN=/run/citadel-node      # sockets, pid files, mounts of containers
NETNS=citadel-node LINK=citadel0
HOST_IP=10.99.0.1 NODE_IP=10.99.0.2 POD_CIDR=10.244.0.0/16 SERVICE_CIDR=10.96.0.0/16 API_IP=10.96.0.1 DNS_IP=10.96.0.10

# nsenter, not `ip netns exec`: that one mounts a fresh /sys, and the cgroups under it are gone.
in_node() { nsenter --net=/run/netns/$NETNS "$@"; }

# alive NAME: its pid file points at a process that runs our NAME. Pid files outlive processes, and numbers are used again.
alive() {
  local pid
  pid=$(cat "$RUN/$1.pid" 2>/dev/null) && [ -n "$pid" ] && [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == "$BIN/$1"* ]]
}

# start NAME ARGUMENTS...: as a daemon inside the node, unless it is alive. It holds no lock and no terminal of ours.
start() {
  local name=$1; shift
  alive "$name" && return
  # shellcheck disable=SC2016
  in_node setsid sh -c 'echo $$ > "$0"; exec "$@"' "$RUN/$name.pid" "$BIN/$name" "$@" >>"$STATE/logs/$name.log" 2>&1 </dev/null 9>&- &
}

# node_processes: the daemons, container shims and whatever runs in pods.
node_processes() {
  local file
  for file in $RUN/*.pid; do file=$(basename "$file" .pid); ! alive "$file" || cat "$RUN/$file.pid"; done
  { ip netns pids $NETNS; find /sys/fs/cgroup -path '*kubepods*' -name cgroup.procs -exec cat {} +; } 2>/dev/null || true
}

# not_anothers: ends here if the node that runs on this machine belongs to another directory.
not_anothers() {
  local owner; owner=$(cat $RUN/owner 2>/dev/null) || owner=$CLUSTER_DIR
  [ "$owner" = "$CLUSTER_DIR" ] || [ -z "$(ip netns pids $NETNS 2>/dev/null)" ] ||
    fail "this machine runs a node of $owner: use it (export CITADEL_CLUSTER_DIR=$owner), or stop it first (CITADEL_CLUSTER_DIR=$owner make cluster-down)"
}

# unmount_under DIRECTORY...: the deepest first.
unmount_under() {
  local dir
  for dir in "$@"; do
    awk -v d="$dir" '$2 == d || index($2, d "/") == 1 {print $2}' /proc/mounts | sort -r | while read -r m; do umount -l "$m" 2>/dev/null || true; done
  done
}
