"""What all executions of one run on this machine share: its Models, and what their agents remember."""

from dataclasses import dataclass

from citadel.local.documents import Contents
from citadel.local.models import LocalModels
from citadel.local.servers import Servers
from citadel.store.conversations import Conversations
from citadel.store.memory import MemoryJournal


@dataclass(frozen=True)
class Means:
    """What is shared."""

    models: LocalModels
    conversations: Conversations
    servers: Servers


def in_memory(journal: MemoryJournal, contents: Contents, *, network: bool = False) -> Means:
    """Those of a run that leaves nothing behind. `network`: whether HTTP and MCP tools are called."""
    return Means(LocalModels(journal, contents), journal.conversations, Servers(contents, network))
