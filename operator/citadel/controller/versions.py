"""Versions of objects that Agents depend on."""

from citadel.api.meta import VERSION_ANNOTATION
from citadel.core.failures import shorten
from citadel.core.versions import InvalidVersion, fits
from citadel.kube.resources import Object


def misfit(obj: Object, wanted: str) -> str | None:
    """Why the version of an object is not in a range; None if it is."""
    version = _version_of(obj)
    if version is None:
        return "has no version"
    try:
        return None if fits(version, wanted) else f"has version {version}"
    except InvalidVersion:
        # An annotation is any text.
        return f"has the version {shorten(version, 64)!r}, which is none such as 1.2.0"


def _version_of(obj: Object) -> str | None:
    """The version that an object says it has: what has no field for it has an annotation."""
    spec, metadata = obj.get("spec"), obj["metadata"]
    said = spec.get("version") if isinstance(spec, dict) else None
    said = said or (metadata.get("annotations") or {}).get(VERSION_ANNOTATION)
    return str(said) if said else None
