"""What `deploy/` says of the controller is true of the controller: options, ports, probed paths, and no privileges."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from sqlalchemy.engine import make_url

from controller.api.rest_face import rest_app
from controller.cli import app
from tests.api.fake_service import FakeService

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = [each for each in yaml.safe_load_all((DEPLOY / "kubernetes" / "controller.yaml").read_text()) if each]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSED = {name: each for name, each in COMPOSE["services"].items() if name.startswith("controller")}


def manifest(kind: str, name: str = "corridor-controller") -> dict[str, Any]:
    (found,) = (each for each in MANIFESTS if each["kind"] == kind and each["metadata"]["name"] == name)
    return dict(found["spec"])


POD = manifest("StatefulSet")["template"]["spec"]
(CONTAINER,) = POD["containers"]
ALL_ARGUMENTS = {"kubernetes": CONTAINER["args"], **{name: each["command"] for name, each in COMPOSED.items()}}


def served_paths() -> set[str]:
    """GET paths of the REST face, as it is built."""
    routes = rest_app(FakeService()).openapi()["paths"]  # type: ignore[arg-type]
    return {path for path, operations in routes.items() if "get" in operations}


def serve_options() -> dict[str, Any]:
    command: Any = typer.main.get_command(app)
    return {option: each for each in command.commands["serve"].params for option in each.opts}


def stated(arguments: list[str]) -> dict[str, str]:
    return dict(tuple(each.split("=", 1)) for each in arguments)  # type: ignore[misc]


def test_every_file_of_yaml_parses() -> None:
    files = [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")]
    assert len(files) >= 2
    for file in files:
        assert all(isinstance(each, dict) for each in yaml.safe_load_all(file.read_text())), file


@pytest.mark.parametrize("where", ALL_ARGUMENTS)
def test_the_controller_knows_its_options(where: str) -> None:
    options, given = serve_options(), stated(ALL_ARGUMENTS[where])
    assert given.keys() <= options.keys()
    required = {option for option, each in options.items() if each.required}
    assert required <= given.keys()
    assert "CORRIDOR_DATABASE" in options["--db"].envvar


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_what_is_probed_is_served_where_the_controller_listens(probe: str) -> None:
    asked = CONTAINER[probe]["httpGet"]
    assert asked["path"] in served_paths()
    ports = {each["name"]: each["containerPort"] for each in CONTAINER["ports"]}
    assert stated(CONTAINER["args"])["--rest"] == f"0.0.0.0:{ports[asked['port']]}"


def test_ready_and_alive_are_not_the_same_question() -> None:
    """A follower that lost its database must be taken out of the service, not killed again and again."""
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert CONTAINER["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_ports_are_those_that_are_listened_at_and_advertised() -> None:
    ports, given = {each["name"]: each["containerPort"] for each in CONTAINER["ports"]}, stated(CONTAINER["args"])
    assert given["--grpc"].endswith(f":{ports['grpc']}")
    assert given["--openflow"] == f"tcp:0.0.0.0:{ports['openflow']}"
    each_by_name = f"$(POD_NAME).{manifest('StatefulSet')['serviceName']}"
    assert given["--advertise-grpc"] == f"{each_by_name}:{ports['grpc']}"
    assert given["--advertise-rest"] == f"http://{each_by_name}:{ports['rest']}"
    assert f"EXPOSE {ports['rest']} {ports['grpc']} {ports['openflow']}\n" in DOCKERFILE
    for name in ("corridor", "corridor-controllers"):
        for port in manifest("Service", name)["ports"]:
            assert (port["port"], port["targetPort"]) == (ports[port["name"]], port["name"])
    assert manifest("Service", "corridor-controllers")["clusterIP"] == "None"


def test_one_goes_at_a_time() -> None:
    budget, labels = manifest("PodDisruptionBudget"), manifest("StatefulSet")["template"]["metadata"]["labels"]
    assert manifest("StatefulSet")["replicas"] > budget["minAvailable"] >= 1
    for selector in (budget["selector"], manifest("StatefulSet")["selector"]):
        assert selector["matchLabels"].items() <= labels.items()
    for name in ("corridor", "corridor-controllers"):
        assert manifest("Service", name)["selector"].items() <= labels.items()


def test_no_privileges() -> None:
    context = POD["securityContext"]
    assert context["runAsNonRoot"] is True
    assert f"--uid {context['runAsUser']} corridor" in DOCKERFILE
    for container in (CONTAINER, *POD["initContainers"]):
        own = container["securityContext"]
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
    everything = "".join(map(str, MANIFESTS)) + str(COMPOSE)
    assert not re.search(r"hostNetwork|hostPID|hostPath|privileged': True|SYS_ADMIN|NET_ADMIN", everything)
    lines = [line for line in DOCKERFILE.splitlines() if line.startswith(("USER", "RUN"))]
    assert lines[1] == "USER corridor", "what is installed is installed by the user that runs it"
    assert [line for line in lines if line.startswith("USER")] == ["USER corridor"]


def test_the_password_is_in_no_file() -> None:
    (url,) = (each for each in CONTAINER["env"] if each["name"] == "CORRIDOR_DATABASE")
    assert url["valueFrom"]["secretKeyRef"]["key"] == "url"
    for name, service in COMPOSED.items():
        stated_for = service["environment"]
        assert stated_for["PGPASSWORD"] == "${CORRIDOR_DATABASE_PASSWORD:?}", name
        assert make_url(stated_for["CORRIDOR_DATABASE"]).password is None, "none that would have to be escaped"


def test_composed_controllers_come_back_and_are_watched() -> None:
    assert len(COMPOSED) >= 2
    assert len({each["hostname"] for each in COMPOSED.values()}) == len(COMPOSED)
    for service in COMPOSED.values():
        assert (service["restart"], service["read_only"], service["cap_drop"]) == ("always", True, ["ALL"])
        (probed,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", service["healthcheck"]["test"][-1])
        assert probed[1] in served_paths()
        assert stated(service["command"])["--rest"] == f"0.0.0.0:{probed[0]}"
        assert any(port.endswith(f":{probed[0]}") for port in service["ports"])


@pytest.mark.parametrize("name", COMPOSED)
def test_a_composed_controller_sends_callers_where_the_host_reaches_it(name: str) -> None:
    """Who writes to a follower from outside follows its answer: names of containers mean nothing there."""
    service, given = COMPOSED[name], stated(COMPOSED[name]["command"])
    published = {inside: outside for outside, inside in (port.split(":") for port in service["ports"])}
    rest, grpc = (given[face].rpartition(":")[2] for face in ("--rest", "--grpc"))
    assert given["--advertise-rest"] == f"http://localhost:{published[rest]}"
    assert given["--advertise-grpc"] == f"localhost:{published[grpc]}"


def test_composed_controllers_differ_in_what_they_publish_alone() -> None:
    outside = [port.split(":")[0] for service in COMPOSED.values() for port in service["ports"]]
    assert len(set(outside)) == len(outside)
    shared = [{k: v for k, v in stated(each["command"]).items() if "advertise" not in k} for each in COMPOSED.values()]
    assert all(each == shared[0] for each in shared)


def test_the_image_is_this_version_from_the_locked_requirements() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {CONTAINER["image"], *(each["image"] for each in COMPOSED.values())}
    assert images == {f"corridor-controller:{version}"}
    assert "--require-hashes -r source/requirements.lock" in DOCKERFILE
    for file in ("requirements.lock", "pyproject.toml", "controller/cli.py"):
        assert (ROOT / file).exists()


def test_nothing_says_where_packages_come_from() -> None:
    written = "".join(each.read_text() for each in DEPLOY.rglob("*") if each.suffix in (".yaml", "") and each.is_file())
    assert not re.search(r"index-url|--find-links|pypi\.|ghcr\.|docker\.io|quay\.|gcr\.", written)
