"""What a step costs that follows another one in the same sandbox: everything, the journal included."""

from itertools import pairwise

from conformance.languages import languages
from live import Cluster

STEPS = 150


async def warm_steps(cluster: Cluster, language: str) -> list[float]:
    """Seconds from the start of a step's code to the start of the next one's, by the sandbox's own clock."""
    code = next(found.code("clock") for found in languages() if found.name == language)
    first = {"name": "first", "run": {"runtime": language, "code": code}}  # what is compiled is compiled here
    await cluster.run(await cluster.workflow(f"first-{language}", [first]))
    names = [f"s{number}" for number in range(STEPS)]
    steps = [{"name": name, "run": {"runtime": language, "code": code}} for name in names]
    times = "${[" + ", ".join(f"steps.{name}.output" for name in names) + "]}"
    await cluster.workflow(f"warm-{language}", steps, outputs={"times": times})
    status = await cluster.run(f"warm-{language}", 120)
    assert status["phase"] == "Succeeded", status
    return [after - before for before, after in pairwise(status["outputs"]["times"][1:])]
