"""How BMv2 comes out of an image: the real script, with a machine's own program as the image's switch.

There is no image here. A stand-in for `docker run` runs what it is told on this machine, where the name
simple_switch_grpc leads to `cat`: it shows by its own memory map which loader and which libraries it runs with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "bmv2.sh"
DOCKER = """#!/bin/bash
[ "$*" = "run --rm --entrypoint sh $IMAGE -ec $7" ] || exit 125
PATH=$IMAGE_PATH exec sh -ec "$7"
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The directory of the image's programs."""
    programs = tmp_path / "image"
    programs.mkdir()
    for name in ("ldd", "grep", "tar", "sh", "bash", "cat"):
        (programs / name).symlink_to(shutil.which(name) or name)
    (programs / "simple_switch_grpc").symlink_to(shutil.which("cat") or "cat")
    return programs


def fetch(image: Path, prefix: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    docker = image.parent / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environment = {
        **os.environ,
        **environment,
        "DOCKER": str(docker),
        "IMAGE": "some/image:1",
        "IMAGE_PATH": str(image),
    }
    argv = [SCRIPT, "some/image:1", prefix]
    return subprocess.run(argv, capture_output=True, text=True, env=environment, check=False, timeout=20)


def test_the_program_runs_with_the_images_own_libraries(image: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "a place"
    for _ in range(2):  # a second time over the first
        done = fetch(image, prefix)
        assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{prefix}/bin/simple_switch_grpc cat")
    assert os.listdir(prefix / "lib") == ["bmv2"]
    shown = subprocess.run([prefix / "bin/simple_switch_grpc", "/proc/self/maps"], capture_output=True, text=True)
    files = {fields[5] for line in shown.stdout.splitlines() if len(fields := line.split(maxsplit=5)) == 6}
    code = {Path(file) for file in files if ".so" in file or Path(file).name == "simple_switch_grpc"}
    assert {file.parent for file in code} == {prefix / "lib" / "bmv2"}
    assert any(file.name.startswith("ld-linux") for file in code)
    assert any(file.name.startswith("libc.so") for file in code)


def test_an_image_without_the_program_changes_nothing(image: Path, tmp_path: Path) -> None:
    (image / "simple_switch_grpc").unlink()
    done = fetch(image, tmp_path / "prefix")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "bmv2.sh: no simple_switch_grpc out of some/image:1"
    assert not [path for path in (tmp_path / "prefix").rglob("*") if path.is_file()]


def test_a_program_of_ones_own_is_left_alone(image: Path, tmp_path: Path) -> None:
    own = tmp_path / "prefix" / "bin" / "simple_switch_grpc"
    own.parent.mkdir(parents=True)
    own.write_text("built here")
    done = fetch(image, tmp_path / "prefix")
    assert (done.returncode, own.read_text()) == (1, "built here")
    assert "there already" in done.stderr


def test_a_directory_of_ones_own_is_left_alone(image: Path, tmp_path: Path) -> None:
    """Also where the program that stands is from here."""
    prefix = tmp_path / "prefix"
    own = prefix / "lib" / "bmv2" / "libbm.so"
    for _ in range(2):
        own.parent.mkdir(parents=True)
        own.write_text("built here")
        done = fetch(image, prefix)
        assert done.returncode == 1
        assert f"{own.parent} is there already" in done.stderr
        assert [path for path in (prefix / "lib").rglob("*") if path.is_file()] == [own]
        shutil.rmtree(own.parent)
        assert fetch(image, prefix).returncode == 0
        shutil.rmtree(own.parent)


def test_the_program_is_known_by_its_directorys_very_name(image: Path, tmp_path: Path) -> None:
    """A dot is no other character's stand-in."""
    own = tmp_path / "a.b" / "bin" / "simple_switch_grpc"
    own.parent.mkdir(parents=True)
    own.write_text(f"#!/bin/sh\nexec {tmp_path}/aXb/lib/bmv2/simple_switch_grpc\n")
    assert fetch(image, tmp_path / "a.b").returncode == 1
    assert "aXb" in own.read_text()


@pytest.mark.parametrize("moved", ["*/new", "*/old", "*/simple_switch_grpc.??????"])
def test_an_update_that_fails_leaves_what_runs(image: Path, tmp_path: Path, moved: str) -> None:
    """A disk that takes no more when one of the three is moved: into place, out of the way, into place."""
    prefix = tmp_path / "prefix"
    assert fetch(image, prefix).returncode == 0
    tools = tmp_path / "tools"
    tools.mkdir()
    stub = tools / "mv"
    stub.write_text(
        f'#!/bin/sh\nfor each; do case $each in $REFUSED) exit 1;; esac; done\nexec {shutil.which("mv")} "$@"\n'
    )
    stub.chmod(0o755)
    (image / "simple_switch_grpc").unlink()
    (image / "simple_switch_grpc").symlink_to(shutil.which("ls") or "ls")
    done = fetch(image, prefix, PATH=f"{tools}:{os.environ['PATH']}", REFUSED=moved)
    assert done.returncode == 1
    command = prefix / "bin" / "simple_switch_grpc"
    assert subprocess.run([command, "--version"], check=True, capture_output=True).stdout
    assert os.listdir(command.parent) == [command.name]
    assert os.listdir(prefix / "lib") == ["bmv2"]
