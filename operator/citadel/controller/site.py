"""What the cluster offers to sandboxes: the gateway's address, and what each RuntimeClass can do."""

import logging
import time
from dataclasses import replace

from citadel.api.meta import OWN_MOUNTS_ANNOTATION, USER_NAMESPACES_ANNOTATION
from citadel.kube.client import KubeClient
from citadel.kube.errors import Forbidden, NotFound
from citadel.kube.resources import ENDPOINTSLICES, NODES, RUNTIMECLASSES, SERVICES, Object
from citadel.render.pod import Site
from citadel.settings import Settings

log = logging.getLogger(__name__)

#: Name of the gateway's port that sandboxes must not reach.
TRIPWIRE = "tripwire"
#: Seconds for which the handler of a RuntimeClass is taken to be unchanged.
FRESH_SECONDS = 30.0


async def find_site(kube: KubeClient, settings: Settings) -> Site:
    """What all sandboxes share."""
    service = await kube.get(SERVICES, settings.gateway_service, settings.namespace)
    address, ports = service["spec"]["clusterIP"], {p["name"]: p["port"] for p in service["spec"]["ports"]}
    egress = await kube.get(SERVICES, settings.egress_service, settings.namespace)
    egress_port = egress["spec"]["ports"][0]["port"]
    return Site(
        namespace=settings.sandbox_namespace,
        runner_image=settings.runner_image,
        gateway_url=f"https://{joined(address, ports['https'])}",
        egress=joined(egress["spec"]["clusterIP"], egress_port),
        models=await _models(kube, settings),
        ca=settings.ca,
        user_namespaces=can_have_user_namespaces((await kube.list(NODES)).items),
        forbidden=(
            f"gateway-tripwire={joined(address, ports[TRIPWIRE])}",
            *(f"apiserver={address}" for address in await _api_servers(kube)),
        ),
    )


async def _models(kube: KubeClient, settings: Settings) -> str:
    """Where agents find their models; empty where nothing serves them."""
    try:
        spec = (await kube.get(SERVICES, settings.models_service, settings.namespace))["spec"]
    except (NotFound, Forbidden) as error:
        log.warning("agents have no way to their models: %s", error)
        return ""
    return f"https://{joined(spec['clusterIP'], spec['ports'][0]['port'])}"


async def _api_servers(kube: KubeClient) -> list[str]:
    """Where the API server answers: its Service, and what stands behind that."""
    found = []
    try:
        spec = (await kube.get(SERVICES, "kubernetes", "default"))["spec"]
        found += [joined(spec["clusterIP"], port["port"]) for port in spec["ports"]]
        behind = await kube.get(ENDPOINTSLICES, "kubernetes", "default")
        found += [
            joined(address, port["port"])
            for endpoint in behind.get("endpoints") or ()
            for address in endpoint.get("addresses") or ()
            for port in behind.get("ports") or ()
        ]
    except (NotFound, Forbidden) as error:
        log.warning("sandboxes do not try every address of the API server: %s", error)
    return found[:16]


def joined(address: str, port: int) -> str:
    """Address and port as one text."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class RuntimeClasses:
    """Sites by RuntimeClass: each has a handler of its own, and its annotations tell what that can do."""

    def __init__(self, kube: KubeClient, site: Site) -> None:
        self._kube, self._site = kube, site
        self._known: dict[str, tuple[float, Site]] = {}

    async def site(self, runtime_class: str | None) -> Site:
        """The site of sandboxes of this class."""
        if not runtime_class:
            return self._site
        at, known = self._known.get(runtime_class, (float("-inf"), self._site))
        if time.monotonic() - at < FRESH_SECONDS:
            return known
        try:
            found = await self._kube.get(RUNTIMECLASSES, runtime_class)
        except NotFound:
            return self._site  # the API server refuses the pod, and says why
        # gVisor's handler announces them, and then cannot join one that containerd 2 made: whoever installs a
        # class has to know.
        said = found["metadata"].get("annotations") or {}
        able = said.get(USER_NAMESPACES_ANNOTATION) == "true"
        able = able and can_have_user_namespaces((await self._kube.list(NODES)).items, found["handler"])
        own_mounts = said.get(OWN_MOUNTS_ANNOTATION) == "true"
        site = replace(self._site, user_namespaces=able, own_mounts=own_mounts)
        self._known[runtime_class] = time.monotonic(), site
        return site


def can_have_user_namespaces(nodes: list[Object], handler: str = "") -> bool:
    """Whether a pod of this handler gets a user namespace on whichever node it comes to."""
    announced = [said for node in nodes if (said := _announced(node, handler)) is not None]
    return bool(announced) and all(announced)


def _announced(node: Object, handler: str) -> bool | None:
    """Whether a node announces user namespaces for a handler; None: no pod of it comes to this node."""
    handlers = (node.get("status") or {}).get("runtimeHandlers") or ()
    named = [item for item in handlers if (item.get("name") or "") == handler]
    if not named and handler:
        return None
    return any((item.get("features") or {}).get("userNamespaces") for item in named or handlers)
