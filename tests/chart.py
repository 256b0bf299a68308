"""Helm, as tests use it: the chart rendered to objects, and commands on the cluster."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from live import CLUSTER_DIR, kubeconfig

CHART = Path(__file__).parents[1] / "charts" / "citadel"
NAMES = ("operator", "runner", "python", "javascript", "go", "java", "postgres", "redis")
IMAGES = {name: f"registry.example/citadel-{name}:1" for name in NAMES}

Object = dict[str, Any]

#: Values for a database that is there already.
EXTERNAL: Object = {"postgres": {"enabled": False}, "database": {"urlSecret": {"name": "db"}}}


def helm(*args: str, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs helm of PATH, or else of the project's own cluster; `values` come after all others."""
    path = f"{os.environ['PATH']}:{CLUSTER_DIR / 'bin'}"
    found = shutil.which("helm", path=path)
    if found is None:
        pytest.fail(f"helm is neither in PATH nor in {CLUSTER_DIR / 'bin'}: `make cluster-up` builds it")
    given = ("-f", "-") if values is not None else ()
    return subprocess.run(
        [found, *args, *given],
        input=None if values is None else yaml.safe_dump(dict(values)),
        capture_output=True,
        text=True,
        env={**os.environ, "KUBECONFIG": str(kubeconfig()), "PATH": path},
    )


def done(*args: str, values: Mapping[str, Any] | None = None) -> str:
    """As `helm`, and it must succeed; its output."""
    result = helm(*args, values=values)
    assert result.returncode == 0, f"helm {' '.join(args)}: {result.stderr}"
    return result.stdout


def template(values: Mapping[str, Any], release: str = "citadel", namespace: str = "citadel-system") -> str:
    """The chart as YAML; needs no cluster."""
    return done("template", release, str(CHART), "-n", namespace, values={"images": IMAGES, **values})


def render(values: Mapping[str, Any], release: str = "citadel", namespace: str = "x") -> list[Object]:
    """The chart's objects."""
    return [o for o in yaml.safe_load_all(template(values, release, namespace)) if o]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """The objects of these kinds."""
    return [o for o in objects if o["kind"] in kinds]


def pod_specs(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Component and pod spec of everything that makes pods."""
    for found in of_kind(objects, "Deployment", "StatefulSet", "Job", "DaemonSet", "CronJob", "Pod"):
        template = found["spec"]["template"]
        yield template["metadata"]["labels"]["app.kubernetes.io/component"], template["spec"]
