"""Servers that speak as Anthropic, OpenAI and Amazon Bedrock (Converse) do, with streams, tools, and all
that goes wrong. Also a process: `python -m tests.providers --port 8080 --script model.yaml`."""

from .replies import Reply
from .server import Providers

__all__ = ["Providers", "Reply"]
