"""The resources of citadel.dev as pydantic models: the one place where their fields, bounds and defaults stand.

The CRDs are projected from here (`python -m citadel.api.crds`). Nothing in this package does I/O.
"""
