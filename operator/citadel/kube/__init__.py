"""The edge towards the Kubernetes API server: configuration, client, cache, queue, leader election, events.

The only package that talks to the API server. It knows nothing of workflows and must never import kopf or a
driver.
"""
