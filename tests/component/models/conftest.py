"""The worlds of these tests, as fixtures."""

from component.models.doorworld import doors
from component.models.gatewayworld import world

__all__ = ["doors", "world"]
