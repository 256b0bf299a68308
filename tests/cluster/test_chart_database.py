"""The database as the chart renders it: its own, kept or not, or one that is there already."""

from typing import Any

from chart import EXTERNAL, Object, of_kind, pod_specs, render
from citadel.store.sql.roles import RIGHTS


def test_an_upgrade_never_replaces_a_database_that_has_no_volume() -> None:
    def postgres(values: Object) -> Any:
        (found,) = [
            o for o in of_kind(render(values), "StatefulSet") if o["metadata"]["name"].endswith("postgres")
        ]
        return found["spec"].get("updateStrategy")

    assert postgres({}) == {"type": "OnDelete"}
    assert postgres({"postgres": {"persistence": {"enabled": True}}}) is None


def test_a_change_of_database_replaces_the_controller_which_brings_the_schema() -> None:
    def annotation(values: Object) -> str:
        (found,) = [
            o for o in of_kind(render(values), "Deployment") if o["metadata"]["name"] == "citadel-controller"
        ]
        return str(found["spec"]["template"]["metadata"]["annotations"]["citadel.dev/database"])

    kinds = [annotation(v) for v in ({}, {"postgres": {"persistence": {"enabled": True}}}, EXTERNAL)]
    assert kinds == ["pod", "claim", "url"]


def test_secrets_are_rendered_without_content_and_the_passwords_of_a_kept_volume_are_kept() -> None:
    def kept(values: Object) -> set[str]:
        secrets = of_kind(render(values), "Secret")
        assert not [s for s in secrets if s.get("data") or s.get("stringData")]
        return {s["metadata"]["name"] for s in secrets if s["metadata"].get("annotations")}

    persistent = {"postgres": {"persistence": {"enabled": True}}}
    assert kept({}) == set()
    assert kept(persistent) == {"citadel-database"}
    (claim,) = of_kind(render(persistent), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_a_database_without_a_volume_gets_its_schema_wherever_it_starts_empty() -> None:
    def containers(values: Object) -> list[str]:
        (spec,) = [spec for component, spec in pod_specs(render(values)) if component == "postgres"]
        return [container["name"] for container in spec["containers"]]

    assert containers({}) == ["postgres", "schema"]
    (spec,) = [spec for component, spec in pod_specs(render({})) if component == "postgres"]
    (passwords,) = [volume for volume in spec["volumes"] if volume["name"] == "passwords"]
    paths = {item["path"] for item in passwords["secret"]["items"]}
    assert paths == {"superuser", *(f"roles/{process}" for process in RIGHTS)}
    # There an upgrade of Citadel is no reason to restart the database.
    assert containers({"postgres": {"persistence": {"enabled": True}}}) == ["postgres"]


def test_a_database_by_secret_brings_no_postgres_and_each_process_its_own_url() -> None:
    own = {"gateway": {"name": "db-gateway", "key": "dsn"}}
    objects = render({**EXTERNAL, "database": {"urlSecret": {"name": "db"}, "urlSecrets": own}})
    assert not [o for o in objects if o["metadata"]["name"] in ("citadel-postgres", "citadel-database")]
    urls = {}
    for _, spec in pod_specs(objects):
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            for env in container["env"]:
                assert env["name"] not in ("CITADEL_DATABASE_PASSWORD_FILE", "CITADEL_DATABASE_ROLES_DIR")
                if env["name"] == "CITADEL_DATABASE_URL":
                    urls[container["name"]] = env["valueFrom"]["secretKeyRef"]
    shared = {"name": "db", "key": "url"}
    processes = dict.fromkeys(("migrate", "controller", "models", "tools", "api"), shared)
    assert urls == {**processes, "gateway": own["gateway"]}
