"""Where executions stand that wait for their turn: the api knows, as no status could say it for long."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from citadel.api.reasons import Phase, Reason
from citadel.cli.remote import Cluster, Refused

if TYPE_CHECKING:
    from citadel.kube.resources import Object


async def places_of(cluster: Cluster, items: Iterable["Object"]) -> dict[str, str]:
    """`2/5` by name, for those that wait; none where the api does not tell. Without any it is not asked."""
    statuses = [item.get("status") or {} for item in items]
    if (Phase.PENDING, Reason.CONCURRENCY_LIMIT) not in [
        (status.get("phase"), status.get("reason")) for status in statuses
    ]:
        return {}
    from citadel.cli.tunnel import TunnelClosed, open_api

    try:
        async with open_api(cluster) as api:
            found = await api.get("", queued="true")
    except (Refused, TunnelClosed):
        return {}
    return {item["name"]: f"{item['position']}/{item['of']}" for item in found["items"]}
