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


def fetch(image: Path, prefix: Path) -> subprocess.CompletedProcess[str]:
    docker = image.parent / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environment = {**os.environ, "DOCKER": str(docker), "IMAGE": "some/image:1", "IMAGE_PATH": str(image)}
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
