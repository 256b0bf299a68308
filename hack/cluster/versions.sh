# What the single node is made of: Go modules, each at one version. Sourced.
KUBERNETES=1.34.4
ETCD=v3.6.4
CONTAINERD=v2.4.2
RUNC=v1.5.2
CILIUM=v1.15.19
COREDNS=v1.14.7
HELM=v4.3.1
GVISOR=v0.0.0-20260905035102-160fafc42237
VERSITYGW=v1.8.0   # S3 over a folder, for tests alone
