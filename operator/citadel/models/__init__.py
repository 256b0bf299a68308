"""The model gateway: the only way to a model. It has no rights in Kubernetes, and dials nothing but the
egress proxy and the database."""
