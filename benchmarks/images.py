"""What images cost over the bare builder, and checks inside of a container over those on the host.

It needs an engine that answers, and Python's image under its usual name or in the registry that ``.ci/engine`` serves.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.measure import Row, Script, answers, pairs
from ci_envs.building import built_environment
from ci_envs.containers.buildx import find_buildx
from ci_envs.containers.engine import find_engine
from ci_envs.layout import Layout
from ci_envs.record_files import read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.cases import Bench

__all__ = ["DOCKER_CASES"]

# What a person writes, less what needs an index: the bare builder is told of none.
_DOCKERFILE = """\
FROM {base} AS build
RUN python -m venv --without-pip /opt/venv
FROM {base}
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY src src
"""

_SOURCE = "src/readings/app.py"


def _base(bench: Bench) -> str:
    registry = os.environ.get("CI_ENVS_TEST_REGISTRY", "")
    return f"{registry}/library/python:{bench.python}-slim-bookworm".removeprefix("/library/")


def docker_again(bench: Bench) -> Iterator[Row]:
    """The project's own Dockerfile once more: with nothing changed, and with one line of a source changed."""
    project = _copy(bench, "own-dockerfile")
    (project / "Dockerfile").write_text(_DOCKERFILE.format(base=_base(bench)), encoding="utf-8")
    buildx = find_buildx({**os.environ, **find_engine("docker", os.environ).environ})
    words = bench.run("docker", "lock,build", "--lock-mode=auto")
    bare_words = (str(buildx.program), "build", "--quiet", "--load", "--tag", "ci-envs-bench", ".")

    def sides(before: Callable[[], None]) -> tuple[Script, Script]:
        ours = bench.ours(*words, before=before)
        theirs = bench.bare(bare_words, before=before)
        return Script(ours.commands, ours.env, project, before), Script(theirs.commands, theirs.env, project, before)

    ours, theirs = pairs(*sides(lambda: None))
    yield Row("image, nothing changed", ours, theirs, "docker build", "at most 1.15 x", ours <= 1.15 * theirs)
    ours, theirs = pairs(*sides(lambda: _changed(project / _SOURCE)))
    yield Row(
        "image, one source line changed", ours, theirs, "docker build --load", "-", True,
        "ours rewrites time stamps, reads every file and takes the digest",
    )  # fmt: skip


def docker_check(bench: Bench) -> Iterator[Row]:
    """Inventory and all checks: inside of a container that runs, and on the host."""
    project = _copy(bench, "generated")
    (project / "Dockerfile").unlink()
    base = _base(bench).replace(bench.python, "{python}")
    (project / "ci-envs.yml").write_text(f'docker: {{base-image: "{base}"}}\n', encoding="utf-8")
    sides = []
    for pattern in ("docker", "uv"):
        made = bench.ours(*bench.run(pattern, "lock,build,check", "--lock-mode=auto"))
        Script(made.commands, made.env, project).take()
        sides.append(partial(_looked_at, bench, project, pattern))
    ours, theirs = answers(sides[0], sides[1])
    yield Row(
        "inventory and checks in a container", ours, theirs, "on the host", "at most 1.0 s more", ours <= theirs + 1.0
    )


def _looked_at(bench: Bench, project: Path, pattern: str) -> float:
    """Seconds of the check stage, which begins with a container that runs, and of an inventory beside it."""
    command = (sys.executable, "-m", "ci_envs", "check", "--json", bench.leg(pattern))
    told = subprocess.run(command, env=bench.env, cwd=project, check=True, capture_output=True)
    (stage,) = (one for one in json.loads(told.stdout)["legs"][0]["stages"] if one["name"] == "check")
    layout = Layout.at(project, bench.env)
    leg = read_record(layout.record(bench.leg(pattern))).leg
    with built_environment(layout, leg, bench.env) as environment:
        environment.run(["true"])
        began = time.perf_counter()
        environment.inventory()
        return float(stage["seconds"]) + time.perf_counter() - began


def _copy(bench: Bench, name: str) -> Path:
    target = bench.folder / name
    shutil.copytree(bench.project, target, dirs_exist_ok=True)
    (target / "docker.lock").unlink(missing_ok=True)
    return target


def _changed(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    source.write_text(f"{text}\n# {len(text)}\n", encoding="utf-8")


DOCKER_CASES = (docker_again, docker_check)
