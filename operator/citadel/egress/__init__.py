"""The egress proxy: the one way from a sandbox to the network beyond, by CONNECT to what its step names.

Must never know Kubernetes or a database: it asks the gateway what is allowed, and tells it what happened.
"""
