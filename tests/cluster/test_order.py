"""The example `order`: an editor, somebody of finance, and a payment that is told twice."""

from pathlib import Path

from citadel.kube.resources import APPROVALS
from live import Cluster, User, asked, decide, kubectl

EXAMPLE = Path(__file__).parents[2] / "examples" / "order"


async def test_an_order_is_approved_paid_and_has_its_receipt(cluster: Cluster, user: User) -> None:
    kubectl(
        "create", "rolebinding", "deciders", "--clusterrole=citadel-approver", "--group=finance",
        "-n", cluster.namespace,
    )  # fmt: skip
    user.kubectl("apply", "-f", str(EXAMPLE / "workflow.yaml"))
    name = user.kubectl("create", "-f", str(EXAMPLE / "run.yaml"), "-o", "name").strip().rpartition("/")[2]
    # Long before anybody waits for it.
    for _ in range(2):
        user.citadel("signal", name, "payment", "-i", "amount:=467.55", "--key", "invoice-2231")
    await cluster.until(name, lambda found: found.get("status", {}).get("reason") == "WaitingForApproval")
    approval = await asked(cluster, "ok")
    shown = user.citadel("approvals", name)
    assert '"sum": 519.5' in shown
    assert "group finance" in shown
    assert "a reason is required" in shown
    decide(approval, "gus", "finance", reason="a good customer", form={"discount": 10})
    status = (await cluster.finished(name))["status"]
    assert status["phase"] == "Succeeded", status
    assert status["outputs"]["receipt"] == {"approved by": "gus", "due": 467.55, "open": 0, "paid": 467.55}


async def test_a_small_order_asks_nobody(cluster: Cluster, user: User) -> None:
    user.kubectl("apply", "-f", str(EXAMPLE / "workflow.yaml"))
    name = await cluster.execute("order", inputs={"lines": [{"item": "lamp", "price": 39.5}]})
    await cluster.until(name, lambda found: found.get("status", {}).get("reason") == "WaitingForSignal")
    user.citadel("signal", name, "payment", "-i", "amount:=39.5")
    status = (await cluster.finished(name))["status"]
    assert status["outputs"]["receipt"].get("approved by") is None
    assert (await cluster.kube.list(APPROVALS, cluster.namespace)).items == []
