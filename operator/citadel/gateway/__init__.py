"""What sandboxes talk to: registration, assignments, logs, results.

No Kubernetes rights; any number of replicas.
"""
