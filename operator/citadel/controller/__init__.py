"""Resources into the journal, desired sandboxes into pods, the journal into statuses.

The only process with rights in Kubernetes, and the only ring that imports kopf. It never runs user code, and
never decides what an execution does next: the engine does.
"""
