"""The resources of citadel.dev as pydantic models: the one place for their fields, bounds and defaults.

The CRDs are projected from here (`python -m citadel.api.crds`). Nothing in this package does I/O.
"""
