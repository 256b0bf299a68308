"""What Citadel takes: writes to the API server, from its own metrics, and the memory of its controller."""

import re

from live import SYSTEM, Cluster, kubectl, python

QUEUED = 1000
WRITES = re.compile(
    r'citadel_kube_requests_total\{code="2\d\d",resource="([^"]+)",verb="([^"]+)"\} ([0-9.]+)'
)
_READS = ("get", "list", "watch", "raw")


def _controller() -> str:
    selector = "app.kubernetes.io/component=controller"
    path = "jsonpath={.items[0].metadata.name}"
    return kubectl(
        "-n", SYSTEM, "get", "pods", "-l", selector, "--field-selector=status.phase=Running", "-o", path
    )


def writes_so_far() -> float:
    """Successful writes of the controller since it started, but for the Lease's."""
    text = kubectl("get", "--raw", f"/api/v1/namespaces/{SYSTEM}/pods/{_controller()}:8080/proxy/metrics")
    found = [(m[1], m[2], float(m[3])) for m in WRITES.finditer(text)]
    return sum(count for resource, verb, count in found if verb not in _READS and resource != "leases")


async def kube_writes(cluster: Cluster, number: int = 10) -> float:
    """API writes per one-step execution, over some of them."""
    await cluster.workflow("counted", [python("a", "def main(): return 1")])
    before = writes_so_far()
    for _ in range(number):
        await cluster.run("counted")
    return (writes_so_far() - before) / number


async def controller_memory(cluster: Cluster) -> float:
    """Resident megabytes of the controller while 1,000 executions are suspended in its journal."""
    await cluster.workflow("queued", [python("a", "def main(): return 1")])
    names = [await cluster.execute("queued", f"queued-{number}", suspend=True) for number in range(QUEUED)]
    await cluster.until(names[-1], lambda obj: obj.get("status", {}).get("phase") == "Suspended", 120)
    status = kubectl("-n", SYSTEM, "exec", _controller(), "-c", "controller", "--", "cat", "/proc/1/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None, status
    return int(found[1]) / 1024
