"""What a step with an agent runs: LangChain's loop, between the runner's door and a prompt.

It holds no key and decides nothing that matters: budget, allow-list, constraints, approvals and counters are the
other side's. Whatever it asks of the door depends on its input and on earlier answers alone, never on a clock
or on chance: started again in another sandbox it asks the same, and is answered from what was recorded.
"""

from citadel_agent.running import run

__all__ = ["run"]
