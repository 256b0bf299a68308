# What hostile commands in an image try: each function prints what it got, or fails with what held it.
# Shipped as source into sandboxes and twins. NODE is the node's address.
environment_of_the_shim() { tr '\0' ' ' < /proc/1/environ; }
memory_of_the_shim() { head -c 1 /proc/1/maps; }
log_of_the_pod() { : > /proc/1/fd/1 && echo opened; }
the_image() { touch /usr/bin/hostile && echo written; }
a_mount() { mkdir -p /tmp/mounted && mount -t tmpfs none /tmp/mounted && echo mounted; }
a_user_namespace() { unshare --user echo made; }
a_device() { mknod /tmp/disk b 8 0 && echo made; }
a_token() { cat /var/run/secrets/kubernetes.io/serviceaccount/token; }
the_kubelet() { timeout 2 bash -c "exec 3<>/dev/tcp/$NODE/10250" && echo connected; }
the_metadata_service() { timeout 2 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80' && echo connected; }
a_name() { timeout 5 getent hosts kubernetes.default.svc.cluster.local; }
