"""Everything that is done to this repository, by name: ``nox -l`` lists it.

Works from ``.venv`` (``make bootstrap``), where ``ci-envs`` is installed beside nox, and from a nox that knows nothing
of it (``uvx nox -s patterns``): sessions install what they need from the hash locks of ``requirements/``.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
# ci_envs.nox needs nox alone, and must be found where nothing is installed.
sys.path.insert(0, str(ROOT / "src"))

import ci_envs.nox  # noqa: E402 - the line above makes it importable

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "tests"]

EXTRAS = ("--extra=conda", "--extra=docker")

#: What each file of ``requirements/`` locks, as `uv pip compile` is asked for it.
LOCKS: dict[str, tuple[str, ...]] = {
    "ci-envs": (),
    "conda": ("--extra=conda",),
    "docker": ("--extra=conda", "--extra=docker"),
    "dev": (*EXTRAS, "--extra=nox", "--group=dev"),
    "tests": (*EXTRAS, "--group=dev", "--group=tests"),
    "lint": (*EXTRAS, "--group=dev", "--group=tests", "--group=lint"),
}
TOOLS = Path("src/ci_envs/resources/tools")
RENEW = "# Any platform; no index is named. Renew with: nox -s relock\n"
#: All that it knows without the network, and nothing that could tell it to look away.
ZIZMOR = ("--offline", "--persona=auditor", "--no-config", "--no-ignores", "--strict-collection")
IN_CI = bool(os.environ.get("CI"))


def from_lock(name: str) -> list[str]:
    return ["--require-hashes", "--only-binary", ":all:", "-r", f"requirements/{name}.txt"]


def install_ourselves(session: nox.Session, lock: str = "dev") -> None:
    """What a lock names, and this checkout on top: hatchling is in the lock, so nothing is resolved."""
    session.install(*from_lock(lock))
    session.install("--no-deps", "--no-build-isolation", "--no-index", "-e", ".")


def beside_nox() -> bool:
    """Whether nox's own environment holds this package, with what it needs."""
    try:
        importlib.metadata.distribution("repro-envs")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


ci_envs.nox.sessions("matrices/default.yml", install=None if beside_nox() else install_ourselves)


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite; tests of real tools only with --run-component, and always in CI."""
    install_ourselves(session, "tests")
    component = ["--run-component"] if IN_CI and "--run-component" not in session.posargs else []
    # A module's tests stay together: what its fixtures build is built once.
    workers = ["--numprocesses=auto", "--dist=loadscope", *(["--durations=40"] if IN_CI else [])]
    session.run("python", "-m", "pytest", *workers, *component, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, and what the action and the workflows say."""
    install_ourselves(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    # What Windows and macOS lack is missed here: mypy leaves out what is behind a look at sys.platform.
    for platform in ("win32", "darwin"):
        session.run("mypy", f"--platform={platform}", "src")
    actions = ["action.yml", *(path.as_posix() for path in sorted(Path("actions").glob("*/action.yml")))]
    workflows = [path.as_posix() for path in sorted(Path(".github/workflows").glob("*.yml"))]
    updates = ".github/dependabot.yml"
    # A file that zizmor cannot parse has no findings, unless it is told to be strict.
    session.run("zizmor", *ZIZMOR, *actions, *workflows, updates)
    session.run("check-jsonschema", "--builtin-schema=vendor.github-actions", *actions)
    session.run("check-jsonschema", "--builtin-schema=vendor.github-workflows", *workflows)
    session.run("check-jsonschema", "--builtin-schema=vendor.dependabot", updates)


@nox.session
def docs(session: nox.Session) -> None:
    """The reference pages that are made from the code: written anew; in CI, or with --check, only compared."""
    install_ourselves(session)
    check = ["--check"] if IN_CI and "--check" not in session.posargs else []
    session.run("python", "docs/generate.py", *check, *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """What ci-envs costs over the bare tools: a table of ratios."""
    install_ourselves(session, "tests")
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session
def relock(session: nox.Session) -> None:
    """The hash locks: kept pins where they still fit; newer ones with `-- --upgrade`."""
    session.install(*from_lock("dev"))
    for name, groups in LOCKS.items():
        words = (*groups, "--constraint=requirements/constraints.in")
        compile_lock(session, Path("pyproject.toml"), Path(f"requirements/{name}.txt"), "3.11", words)
    compile_lock(session, TOOLS / "pip-tools.in", TOOLS / "pip-tools.txt", "3.9", ())


def compile_lock(session: nox.Session, source: Path, target: Path, oldest: str, groups: tuple[str, ...]) -> None:
    """One lock for every platform and every Python from ``oldest`` on, with no address and no path in it."""
    with session.chdir(source.parent):
        output = os.path.relpath(target, source.parent)
        session.run(
            *("uv", "pip", "compile", "--quiet", "--universal", f"--python-version={oldest}", "--generate-hashes"),
            *("--no-emit-index-url", "--no-header", "--no-python-downloads", f"--output-file={output}"),
            *(*groups, *session.posargs, source.name),
        )
    target.write_text(RENEW + target.read_text("utf-8"), "utf-8")
