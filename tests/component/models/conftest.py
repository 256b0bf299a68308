"""The world of these tests, as a fixture."""

from component.models.gatewayworld import world

__all__ = ["world"]
