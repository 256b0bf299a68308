"""What a step costs that follows another one in the same sandbox: everything, the journal included."""

from itertools import pairwise

from conformance.languages import languages
from live import Cluster

STEPS = 150
#: What names a class that could leave something behind: each step of it has a JVM that has served nobody.
OTHER_JAVA = """
import java.nio.file.*;

class Clock {
    static double main() {
        if (Files.exists(Path.of("/work/none"))) return 0;
        return System.currentTimeMillis() / 1000.0;
    }
}
"""
OTHER_STEPS = 40


async def warm_steps(cluster: Cluster, language: str) -> list[float]:
    """Seconds from the start of a step's code to the start of the next one's, by the sandbox's own clock."""
    code = next(found.code("clock") for found in languages() if found.name == language)
    return await _paces(cluster, language, language, code, STEPS)


async def warm_java_of_other_classes(cluster: Cluster) -> list[float]:
    """The same of Java that is not known to be harmless."""
    return await _paces(cluster, "java", "java-other", OTHER_JAVA, OTHER_STEPS)


async def _paces(cluster: Cluster, language: str, name: str, code: str, count: int) -> list[float]:
    first = {"name": "first", "run": {"runtime": language, "code": code}}  # what is compiled is compiled here
    await cluster.run(await cluster.workflow(f"first-{name}", [first]))
    names = [f"s{number}" for number in range(count)]
    steps = [{"name": name, "run": {"runtime": language, "code": code}} for name in names]
    times = "${[" + ", ".join(f"steps.{name}.output" for name in names) + "]}"
    await cluster.workflow(f"warm-{name}", steps, outputs={"times": times})
    status = await cluster.run(f"warm-{name}", 120)
    assert status["phase"] == "Succeeded", status
    return [after - before for before, after in pairwise(status["outputs"]["times"][1:])]
