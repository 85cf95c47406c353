"""What images cost over the bare builder, and checks inside of a container over those on the host.

It needs an engine that answers, and Python's image under its usual name or in the registry that ``.ci/engine`` serves.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from benchmarks.measure import Row, Script, pairs
from ci_envs.containers.buildx import find_buildx
from ci_envs.containers.engine import find_engine

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
    """Every byte read, inventory and all checks: inside of a container, and on the host."""
    project = _copy(bench, "generated")
    (project / "Dockerfile").unlink()
    base = _base(bench).replace(bench.python, "{python}")
    (project / "ci-envs.yml").write_text(f'docker: {{base-image: "{base}"}}\n', encoding="utf-8")
    scripts: list[Script] = []
    for pattern in ("docker", "uv"):
        made = bench.ours(*bench.run(pattern, "lock,build,check", "--lock-mode=auto"))
        Script(made.commands, made.env, project).take()
        check = bench.ours("check", "-q", bench.leg(pattern))
        scripts.append(Script(check.commands, check.env, project))
    ours, theirs = pairs(scripts[0], scripts[1])
    yield Row("check in a container", ours, theirs, "check on the host", "at most 1.0 s more", ours <= theirs + 1.0)


def _copy(bench: Bench, name: str) -> Path:
    target = bench.folder / name
    shutil.copytree(bench.project, target, dirs_exist_ok=True)
    (target / "docker.lock").unlink(missing_ok=True)
    return target


def _changed(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    source.write_text(f"{text}\n# {len(text)}\n", encoding="utf-8")


DOCKER_CASES = (docker_again, docker_check)
