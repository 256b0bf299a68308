"""The chart as it renders: nothing random, nothing privileged, no right too many, no typo accepted."""

from typing import Any

import pytest
import yaml

from chart import CHART, IMAGES, Object, helm, of_kind, pod_specs, render, template

EVERYTHING: Object = {
    "api": {"replicas": 2, "podDisruptionBudget": {"enabled": True}},
    "gateway": {"replicas": 2, "podDisruptionBudget": {"enabled": True}},
    "controller": {"replicas": 2, "podAnnotations": {"a": "b"}},
    "metrics": {"annotations": True, "podMonitor": {"enabled": True}},
    "postgres": {"persistence": {"enabled": True, "storageClass": "fast"}},
    "imagePullSecrets": [{"name": "pull"}],
    "priorityClassName": "high",
    "artifacts": {
        "s3": {"endpoint": "https://s3.example.com", "bucket": "artifacts", "credentialsSecret": "s3"}
    },
}
EXTERNAL: Object = {"postgres": {"enabled": False}, "database": {"urlSecret": {"name": "db"}}}
VARIANTS = [
    pytest.param({}, id="defaults"),
    pytest.param(EVERYTHING, id="everything on"),
    pytest.param(EXTERNAL, id="database by Secret"),
]


@pytest.mark.parametrize("values", VARIANTS)
def test_rendering_twice_gives_the_same_bytes(values: Object) -> None:
    assert template(values) == template(values)


@pytest.mark.parametrize("values", VARIANTS)
def test_there_are_no_hooks_and_every_object_says_where_it_belongs(values: Object) -> None:
    for found in render(values, release="other", namespace="elsewhere"):
        metadata = found["metadata"]
        assert not [a for a in metadata.get("annotations") or {} if a.startswith("helm.sh/hook")]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "citadel"
        cluster_wide = found["kind"].startswith("Cluster") or found["kind"] in (
            "Namespace",
            "CustomResourceDefinition",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        )
        namespaces = (None,) if cluster_wide else ("elsewhere", "citadel-sandboxes", "kube-system")
        assert metadata.get("namespace") in namespaces
        assert "citadel-system" not in yaml.safe_dump(found)


@pytest.mark.parametrize("values", VARIANTS)
def test_every_container_is_restricted_and_bounded(values: Object) -> None:
    specs = list(pod_specs(render(values)))
    assert {component for component, _ in specs} >= {"controller", "gateway", "egress", "api"}
    for _, spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        # Or a Service named citadel-gateway would set CITADEL_GATEWAY_PORT.
        assert spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert all({"emptyDir", "secret", "persistentVolumeClaim"} & set(v) for v in spec["volumes"])
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["imagePullPolicy"] == "IfNotPresent"
            assert container["image"] in IMAGES.values()


def test_gateway_egress_proxy_and_database_have_no_token_and_no_rights() -> None:
    objects = render({})
    without = {c for c, spec in pod_specs(objects) if spec.get("automountServiceAccountToken") is False}
    assert without == {"gateway", "egress", "postgres"}
    subjects = {
        s["name"] for b in of_kind(objects, "ClusterRoleBinding", "RoleBinding") for s in b["subjects"]
    }
    assert subjects == {"citadel-controller", "citadel-api", "system:authenticated"}


def rules(objects: list[Object], kind: str, name: str, namespace: str | None = None) -> set[str]:
    """A role's rules, each as `group/resource[/name] verbs`."""
    (role,) = [
        o
        for o in of_kind(objects, kind)
        if (o["metadata"]["name"], o["metadata"].get("namespace")) == (name, namespace)
    ]
    return {
        f"{group or 'core'}/{resource}{f'[{only}]' if only else ''}: {' '.join(rule['verbs'])}"
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for only in rule.get("resourceNames") or [""]
    }


WRITES = "create update patch delete deletecollection"
ROLES: list[tuple[str, str, str | None, set[str]]] = [
    (
        "ClusterRole",
        "citadel-controller",
        None,
        {
            "citadel.dev/workflows: get list watch",
            "citadel.dev/runtimes: get list watch",
            "citadel.dev/executions: get list watch",
            "citadel.dev/executionpolicies: get list watch",
            "citadel.dev/approvals: get list watch",
            "citadel.dev/approvals: create delete",
            "citadel.dev/approvals/status: patch",
            "citadel.dev/executions: delete",
            "citadel.dev/workflows: create",
            "citadel.dev/executions: create",
            "citadel.dev/workflows/status: patch",
            "citadel.dev/runtimes/status: patch",
            "citadel.dev/executions/status: patch",
            "citadel.dev/executionpolicies/status: patch",
            "node.k8s.io/runtimeclasses: get",
            "discovery.k8s.io/endpointslices[kubernetes]: get",
            "core/services[kubernetes]: get",
            "core/events: create patch",
            "core/configmaps: get",
            "core/namespaces: get list watch",
            "core/nodes: get list watch",
        },
    ),
    ("Role", "citadel-controller", "citadel-sandboxes", {"core/pods: get list watch create delete"}),
    (
        "Role",
        "citadel-controller",
        "x",
        {
            "coordination.k8s.io/leases: get create patch",
            "core/pods: get list",
            "core/secrets[citadel-ca]: get patch",
            "core/secrets[citadel-gateway-tls]: get patch",
            "core/secrets[citadel-api-tls]: get patch",
            "core/secrets[citadel-egress-tls]: get patch",
            "core/secrets[citadel-database]: get patch",
            "core/configmaps[citadel-ca]: get patch",
            "core/services[citadel-gateway]: get",
            "core/services[citadel-api]: get",
            "core/services[citadel-egress]: get",
            "citadel.dev/runtimes: create patch",
        },
    ),
    (
        "ClusterRole",
        "citadel-api",
        None,
        {
            "authentication.k8s.io/tokenreviews: create",
            "authorization.k8s.io/subjectaccessreviews: create",
            "citadel.dev/executions: get",
        },
    ),
    (
        "Role",
        "citadel-api-access",
        "x",
        {
            "core/pods/portforward[citadel-api-0]: create get",
            "core/pods[citadel-api-0]: get",
            "core/configmaps[citadel-ca]: get",
        },
    ),
    (
        "ClusterRole",
        "citadel-view",
        None,
        {
            "citadel.dev/workflows: get list watch",
            "citadel.dev/runtimes: get list watch",
            "citadel.dev/executions: get list watch",
            "citadel.dev/executionpolicies: get list watch",
            "citadel.dev/workflows/status: get",
            "citadel.dev/runtimes/status: get",
            "citadel.dev/executions/status: get",
            "citadel.dev/executionpolicies/status: get",
            "citadel.dev/executions/log: get",
            "citadel.dev/approvals: get list watch",
            "citadel.dev/approvals/status: get",
        },
    ),
    (
        "ClusterRole",
        "citadel-edit",
        None,
        {
            f"citadel.dev/workflows: {WRITES}",
            f"citadel.dev/executions: {WRITES}",
            "citadel.dev/approvals: update patch",
            "citadel.dev/executions/signal: create",
        },
    ),
    ("ClusterRole", "citadel-approver", None, {"citadel.dev/approvals: get list watch update patch"}),
    ("ClusterRole", "citadel-admin", None, {f"citadel.dev/runtimes: {WRITES}"}),
]


@pytest.mark.parametrize(
    ("kind", "name", "namespace", "expected"), ROLES, ids=[f"{k} {n} {s}" for k, n, s, _ in ROLES]
)
def test_a_role_grants_exactly_this(kind: str, name: str, namespace: str | None, expected: set[str]) -> None:
    assert rules(render({}), kind, name, namespace) == expected


def test_no_role_is_missing_from_the_table_above() -> None:
    objects = render({})
    known = {(kind, name, namespace) for kind, name, namespace, _ in ROLES}
    found = {
        (o["kind"], o["metadata"]["name"], o["metadata"].get("namespace"))
        for o in of_kind(objects, "Role", "ClusterRole")
    }
    assert found == known


def test_port_forwarding_is_granted_to_exactly_the_pods_of_the_api() -> None:
    granted = rules(render({"api": {"replicas": 2}}), "Role", "citadel-api-access", "x")
    assert {rule for rule in granted if "portforward" in rule} == {
        "core/pods/portforward[citadel-api-0]: create get",
        "core/pods/portforward[citadel-api-1]: create get",
    }
    assert not of_kind(render({"api": {"portForward": {"subjects": []}}}), "Role")[0]["metadata"][
        "name"
    ].endswith("access")


def test_without_rbac_create_there_is_no_role_at_all() -> None:
    assert not of_kind(
        render({"rbac": {"create": False}}), "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"
    )


def test_sandboxes_reach_the_gateway_and_the_egress_proxy_and_nothing_else() -> None:
    objects = render({"networkPolicies": {"enabled": False}})
    (policy,) = of_kind(objects, "NetworkPolicy")
    found = {o["metadata"]["name"]: o for o in of_kind(objects, "Deployment")}
    permitted = [
        found[f"citadel-{name}"]["spec"]["selector"]["matchLabels"] for name in ("gateway", "egress")
    ]
    assert policy["metadata"]["namespace"] == "citadel-sandboxes"
    assert policy["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [
            {
                "to": [
                    {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}},
                        "podSelector": {"matchLabels": labels},
                    }
                ],
                "ports": [{"protocol": "TCP", "port": 8443}],
            }
            for labels in permitted
        ],
    }
    (namespace,) = of_kind(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_new_version_of_the_chart_restarts_no_pod_by_itself() -> None:
    for found in of_kind(render({}), "Deployment", "StatefulSet"):
        assert not [label for label in found["spec"]["template"]["metadata"]["labels"] if "version" in label]
        assert "helm.sh/chart" not in found["spec"]["template"]["metadata"]["labels"]


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
    assert urls == {"migrate": shared, "controller": shared, "api": shared, "gateway": own["gateway"]}


def test_only_the_gateway_has_the_credentials_of_object_storage() -> None:
    for component, spec in pod_specs(render(EVERYTHING)):
        secrets = {volume.get("secret", {}).get("secretName") for volume in spec["volumes"]}
        names = {item["name"] for container in spec["containers"] for item in container.get("env", [])}
        assert ("s3" in secrets) == ("CITADEL_S3_ENDPOINT" in names) == (component == "gateway")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gateway": {"replica": 2}}, "additional properties 'replica' not allowed"),
        ({"postgress": {}}, "additional properties 'postgress' not allowed"),
        ({"gateway": {"replicas": "two"}}, "/gateway/replicas"),
        ({"controller": {"replicas": 0}}, "/controller/replicas"),
        ({"sandboxes": {"namespace": "Not A Name"}}, "/sandboxes/namespace"),
        ({"logLevel": "LOUD"}, "/logLevel"),
        (
            {"images": {**IMAGES, "operator": ""}},
            "images.operator is not set: `make images` builds",
        ),
        ({"images": {**IMAGES, "runner": ""}}, "images.runner is not set"),
        ({"images": {**IMAGES, "postgres": ""}}, "images.postgres is not set"),
        ({"artifacts": {"s3": {"endpoint": "s3.example.com"}}}, "/artifacts/s3/endpoint"),
        ({"artifacts": {"s3": {"endpoint": "https://s3.example.com"}}}, "artifacts.s3.bucket is empty"),
        ({"postgres": {"enabled": False}}, "neither database.urlSecret.name nor database.urlSecrets."),
    ],
)
def test_wrong_values_are_refused_with_a_message_that_names_them(values: Object, message: str) -> None:
    result = helm("template", "citadel", str(CHART), values={"images": IMAGES, **values})
    assert result.returncode != 0
    assert message in result.stderr


def test_every_value_is_documented() -> None:
    undocumented, comment = [], False
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment = comment or text.startswith("# --")
            continue
        if (
            text
            and not text.endswith(":")
            and not text.startswith(("- ", "requests:", "limits:"))
            and not comment
        ):
            undocumented.append(text)
        comment = False
    # `postgres.resources` and the like stand for themselves.
    assert undocumented == []


def test_names_follow_the_overrides() -> None:
    objects = render({"fullnameOverride": "forge"})
    names = {
        o["metadata"]["name"] for o in of_kind(objects, "Deployment", "StatefulSet", "Secret", "ConfigMap")
    }
    assert names == {
        "forge-controller",
        "forge-gateway",
        "forge-egress",
        "forge-api",
        "forge-postgres",
        "forge-ca",
        "forge-gateway-tls",
        "forge-api-tls",
        "forge-egress-tls",
        "forge-database",
    }


def read_as(name: str) -> str:
    """How the operator's sources name a variable: the image of a Runtime is found by its prefix."""
    prefix = "CITADEL_RUNTIME_IMAGE_"
    return prefix if name.startswith(prefix) else name


def test_every_variable_that_the_chart_sets_is_read_by_the_operator() -> None:
    sources = "\n".join(p.read_text() for p in (CHART.parents[1] / "operator" / "citadel").rglob("*.py"))
    unread = {
        env["name"]
        for _, spec in pod_specs(render({}))
        for container in [*spec.get("initContainers", []), *spec["containers"]]
        for env in container["env"]
        if env["name"].startswith("CITADEL_") and f'"{read_as(env["name"])}"' not in sources
    }
    assert unread == set()
