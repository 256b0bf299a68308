# How images are built and handed to a cluster. Sourced, after hack/lib.sh. Set KIND first: node, kind, k3d, minikube or registry.
# Docker builds where it runs (kind, k3d, minikube); else buildah, with storage of its own under $CLUSTER_DIR.
STORAGE=$CLUSTER_DIR/storage
BASE=docker.io/library/debian:trixie-slim

use_docker() { [ "$KIND" != node ] && docker_runs; }
buildah_() { buildah --root "$STORAGE" --runroot /run/citadel-storage --storage-driver overlay "$@"; }

# cluster_kind: how images reach the cluster of the current kubeconfig.
cluster_kind() {
  local context
  [ -z "${REGISTRY:-}" ] || { echo registry; return; }
  context=$(kubectl config current-context 2>/dev/null) || context=none
  case $context in
    "$NODE_CONTEXT") echo node ;; kind-*) echo kind ;; k3d-*) echo k3d ;; minikube) echo minikube ;;
    *) fail "no way is known to hand images to the cluster of context '$context': set REGISTRY to a registry that it pulls from and you can push to" ;;
  esac
}

# base_image: Debian trixie under the name that Dockerfiles give it, made from Debian's packages: there is no registry to ask.
base_image() {
  use_docker && return
  ensure_apt buildah mmdebstrap
  buildah_ inspect --type image $BASE >/dev/null 2>&1 && return
  local dir; dir=$(mktemp -d)
  cat > "$dir/apt.conf" <<'APT'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb || true"; };
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
APT
  watched "base image debian:trixie-slim (half a minute)" mmdebstrap --variant=minbase --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook="copy-in $dir/apt.conf /etc/apt/apt.conf.d" --customize-hook='mv "$1/etc/apt/apt.conf.d/apt.conf" "$1/etc/apt/apt.conf.d/99slim"; rm -f "$1"/var/cache/apt/*.bin' \
    trixie "$dir/base.tar"
  printf 'FROM scratch\nADD base.tar /\nCMD ["bash"]\n' > "$dir/Dockerfile"
  watched "base image: storing" buildah_ bud --isolation chroot -t $BASE "$dir"
  rm -rf "$dir"
}

# machine_settings: what a build on this machine needs to reach package indexes, as an array SETTINGS of buildah options.
# Mounted or passed as build arguments of throw-away stages: none of it is in an image or in a file of the project.
machine_settings() {
  local ca=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} dir name index
  SETTINGS=()
  for name in GOPROXY GONOSUMDB GOPRIVATE GOFLAGS; do [ -z "${!name:-}" ] || SETTINGS+=(--build-arg "$name=${!name}"); done
  use_docker && return
  dir=/run/citadel-storage/settings; mkdir -p $dir
  index=${PIP_INDEX_URL:-$(python3 -m pip config get global.index-url 2>/dev/null || true)}
  { echo '[global]'; [ -z "$index" ] || echo "index-url = $index"; } > $dir/pip.conf
  : > $dir/npmrc
  if [ -e "$ca" ]; then
    echo 'cert = /run/build-ca.crt' >> $dir/pip.conf
    echo 'cafile = /run/build-ca.crt' >> $dir/npmrc
    SETTINGS+=(-v "$ca:/run/build-ca.crt:ro" --build-arg SSL_CERT_FILE=/run/build-ca.crt)
  fi
  SETTINGS+=(-v $dir/pip.conf:/etc/pip.conf:ro -v $dir/npmrc:/etc/npmrc:ro)
}

has_local() { if use_docker; then docker image inspect "$1"; else buildah_ inspect --type image "$1"; fi >/dev/null 2>&1; }

# build_image REFERENCE CONTEXT [OPTION...]: an ordinary Dockerfile build.
build_image() {
  local reference=$1 context=$2; shift 2
  if use_docker; then docker build -t "$reference" "$@" "$context"
  else buildah_ bud --isolation chroot --layers --pull=false -t "$reference" "$@" "$context"; fi
}

kind_name() { local context; context=$(kubectl config current-context); echo "${context#*-}"; }
ctr_() { CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1 "$BIN/ctr" -a /run/citadel-node/containerd.sock -n k8s.io "$@"; }

# node_has REFERENCE: the cluster can start a pod of it already.
node_has() {
  case $KIND in
    node) ctr_ images ls -q ;;
    kind) docker exec "$(kind_name)-control-plane" ctr -n k8s.io images ls -q ;;
    k3d) docker exec "k3d-$(kind_name)-server-0" ctr -n k8s.io images ls -q ;;
    minikube) minikube image ls ;;
    registry) if use_docker; then docker manifest inspect "$1"; else buildah_ manifest inspect "docker://$1"; fi >/dev/null 2>&1 && echo "$1" ;;
  esac | grep -qxF "$1"
}

# node_load REFERENCE: hands a locally built image to the cluster.
node_load() {
  case $KIND in
    node) local archive; archive=$(mktemp --suffix=.tar); rm "$archive"
          buildah_ push -q "$1" "oci-archive:$archive:$1" >/dev/null
          ctr_ images import "$archive" >/dev/null; rm -f "$archive" ;;
    kind) kind load docker-image --name "$(kind_name)" "$1" ;;
    k3d) k3d image import -c "$(kind_name)" "$1" ;;
    minikube) minikube image load "$1" ;;
    registry) if use_docker; then docker push -q "$1"; else buildah_ push -q "$1" "docker://$1"; fi ;;
  esac
}

# node_tag REFERENCE NAME: a second name for an image that is built and handed over.
node_tag() {
  case $KIND in
    node) ctr_ images tag --force "$1" "$2" >/dev/null ;;
    *) if use_docker; then docker tag "$1" "$2"; else buildah_ tag "$1" "$2"; fi; node_load "$2" ;;
  esac
}
