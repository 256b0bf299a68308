"""Citadel: a Kubernetes operator for AI-agent and multi-language workflows in sandboxed pods."""

__version__ = "0.1.0"
