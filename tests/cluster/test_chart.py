"""The chart as it renders: nothing random, nothing privileged, no typo accepted."""

import pytest
import yaml

from chart import CHART, EXTERNAL, IMAGES, Object, helm, of_kind, pod_specs, render, template

EVERYTHING: Object = {
    "api": {"replicas": 2, "podDisruptionBudget": {"enabled": True}},
    "gateway": {"replicas": 2, "podDisruptionBudget": {"enabled": True}},
    "controller": {"replicas": 2, "podAnnotations": {"a": "b"}},
    "metrics": {"annotations": True, "podMonitor": {"enabled": True}},
    "postgres": {"persistence": {"enabled": True, "storageClass": "fast"}},
    "redis": {"enabled": True},
    "tracing": {"endpoint": "http://collector.observability.svc:4318"},
    "imagePullSecrets": [{"name": "pull"}],
    "priorityClassName": "high",
    "artifacts": {
        "s3": {"endpoint": "https://s3.example.com", "bucket": "artifacts", "credentialsSecret": "s3"}
    },
}
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
    assert {component for component, _ in specs} >= {
        "controller",
        "gateway",
        "egress",
        "models",
        "tools",
        "api",
    }
    for _, spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        # Or a Service named citadel-gateway would set CITADEL_GATEWAY_PORT.
        assert spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        # A ConfigMap has certificates of authorities, which are no secret.
        kinds = {"emptyDir", "secret", "persistentVolumeClaim", "configMap"}
        assert all(kinds & set(volume) for volume in spec["volumes"])
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


def test_sandboxes_reach_the_gateway_and_the_egress_proxy_and_agents_their_models() -> None:
    objects = render({"networkPolicies": {"enabled": False}})
    policy, of_agents = of_kind(objects, "NetworkPolicy")
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
    assert of_agents["metadata"]["namespace"] == "citadel-sandboxes"
    assert of_agents["spec"] == {
        "podSelector": {"matchLabels": {"citadel.dev/agents": "true"}},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [
                    {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}},
                        "podSelector": {
                            "matchLabels": found["citadel-models"]["spec"]["selector"]["matchLabels"]
                        },
                    }
                ],
                "ports": [{"protocol": "TCP", "port": 8444}],
            }
        ],
    }
    (namespace,) = of_kind(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_model_gateway_reaches_database_proxy_and_dns_and_no_provider() -> None:
    policies = {o["metadata"]["name"]: o["spec"] for o in of_kind(render({}), "NetworkPolicy")}
    spec = policies["citadel-models"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    agents = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "citadel-sandboxes"}},
        "podSelector": {"matchLabels": {"citadel.dev/agents": "true"}},
    }
    assert spec["ingress"] == [
        {"from": [agents], "ports": [{"protocol": "TCP", "port": 8444}]},
        {"ports": [{"protocol": "TCP", "port": 8080}]},
    ]
    reached = {
        to.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/component", "dns")
        for rule in spec["egress"]
        for to in rule.get("to", [])
    }
    assert reached == {"egress", "postgres", "dns"}
    anywhere = [port["port"] for rule in spec["egress"] if "to" not in rule for port in rule["ports"]]
    assert anywhere == [53, 53]
    peers = [peer for rule in policies["citadel-egress"]["ingress"] for peer in rule.get("from", [])]
    components = [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer]
    assert [labels["app.kubernetes.io/component"] for labels in components] == ["models", "tools"]


def test_tools_reach_what_the_model_gateway_reaches_and_nobody_reaches_them() -> None:
    for values in ({}, EXTERNAL):
        policies = {o["metadata"]["name"]: o["spec"] for o in of_kind(render(values), "NetworkPolicy")}
        spec = policies["citadel-tools"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8080}]}]
        assert spec["egress"] == policies["citadel-models"]["egress"][: len(spec["egress"])]


def test_redis_is_the_model_gateways_alone_and_keeps_nothing() -> None:
    assert "redis" not in template({}).replace("redis: redis", "")
    objects = render({"redis": {"enabled": True}})
    policies = {o["metadata"]["name"]: o["spec"] for o in of_kind(objects, "NetworkPolicy")}
    spec = policies["citadel-redis"]
    (rule,) = spec["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "models"
    assert (rule["ports"], spec["egress"]) == ([{"protocol": "TCP", "port": 6379}], [])
    assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
    pods = dict(pod_specs(objects))
    assert [sorted({"emptyDir", "secret"} & set(volume)) for volume in pods["redis"]["volumes"]] == [
        ["emptyDir"],
        ["secret"],
    ]
    (password,) = [volume["secret"] for volume in pods["redis"]["volumes"] if "secret" in volume]
    assert password["items"] == [{"key": "redis", "path": "password"}]
    told = {item["name"] for container in pods["models"]["containers"] for item in container["env"]}
    assert {"CITADEL_REDIS_HOST", "CITADEL_REDIS_PASSWORD_FILE"} <= told


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://c.example.com:4318/x", 4318), ("https://c.example.com", 443), ("http://c.example.com/x", 80)],
)
def test_who_tells_of_traces_reaches_the_collector(endpoint: str, port: int) -> None:
    objects = render({"tracing": {"endpoint": endpoint}})
    told = {
        component
        for component, spec in pod_specs(objects)
        for container in spec["containers"]
        for item in container.get("env", [])
        if item == {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": endpoint}
    }
    assert {"controller", "gateway", "models", "tools", "api"} <= told
    policies = {o["metadata"]["name"]: o["spec"] for o in of_kind(objects, "NetworkPolicy")}
    for name in ("citadel-models", "citadel-tools"):
        anywhere = [rule["ports"] for rule in policies[name]["egress"] if "to" not in rule]
        assert [{"protocol": "TCP", "port": port}] in anywhere
    assert "OTEL" not in template({})


def test_a_new_version_of_the_chart_restarts_no_pod_by_itself() -> None:
    for found in of_kind(render({}), "Deployment", "StatefulSet"):
        assert not [label for label in found["spec"]["template"]["metadata"]["labels"] if "version" in label]
        assert "helm.sh/chart" not in found["spec"]["template"]["metadata"]["labels"]


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
        ({"images": {**IMAGES, "redis": ""}, "redis": {"enabled": True}}, "images.redis is not set"),
        ({"redis": {"maxMemory": "lots"}}, "/redis/maxMemory"),
        ({"tracing": {"endpoint": "collector:4318"}}, "/tracing/endpoint"),
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
        "forge-models",
        "forge-tools",
        "forge-api",
        "forge-postgres",
        "forge-ca",
        "forge-gateway-tls",
        "forge-api-tls",
        "forge-egress-tls",
        "forge-models-tls",
        "forge-models-key",
        "forge-tools-key",
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
