"""Imports flow one way, and each effect has one door. Read with ``ast``: what is written, not what happens to run."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import ci_envs

ROOT = Path(ci_envs.__file__).parent
MODULES = {
    ".".join(("ci_envs", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}

# What may be imported from anywhere: nouns and words, which import nothing themselves.
WORDS = ("ci_envs.model", "ci_envs.errors", "ci_envs.redact", "ci_envs.nearest", "ci_envs.plain")

#: Pure: values in, values out. What each may import of ours beside the words.
PURE: dict[str, tuple[str, ...]] = {
    "ci_envs.blame": ("ci_envs.blame",),
    "ci_envs.error_findings": (),
    "ci_envs.toml_places": (),
    "ci_envs.locks": ("ci_envs.locks",),
    "ci_envs.planning": ("ci_envs.planning",),
    # What other CI systems read; the names of their machines are data that lies beside.
    "ci_envs.pipelines": ("ci_envs.pipelines", "ci_envs.decoding"),
    "ci_envs.report": ("ci_envs.report", "ci_envs.diff"),
    "ci_envs.diff": (),
    "ci_envs.digest": ("ci_envs.content", "ci_envs.launchers"),
    "ci_envs.redact": (),
    "ci_envs.nearest": (),
    "ci_envs.plain": (),
    # Reads the user's configuration files, and starts nothing.
    "ci_envs.indexes": (),
    "ci_envs.environ": (),
}

#: Each effect's one door.
DOORS = {
    "subprocess": {"ci_envs.command"},
    "print": {"ci_envs.console"},
    # __main__ only closes it, when whoever read our output has gone.
    "sys.stdout": {"ci_envs.console"},
    "sys.stderr": {"ci_envs.console", "ci_envs.__main__"},
}

#: The package that knows GitHub Actions.
GITHUB = "ci_envs.github"

#: Names of the runner's variables outside of it, each with its reason.
RUNNER_WORDS = {
    # Where setup-python keeps its interpreters; other machines set it too.
    "ci_envs.places": {"RUNNER_TOOL_CACHE"},
    # What a project's own tests must not be able to write to.
    "ci_envs.environ": {"GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STATE"},
}

#: What a person or a runner starts: they stand above the command line, and nothing stands above them.
ENTRIES = ("ci_envs.cli", "ci_envs.__main__", "ci_envs.action")

#: The probe runs inside the environment that is looked at, under its Python; it is data that we ship.
SHIPPED = "ci_envs.resources"


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports(module: str, *, typing_too: bool = True) -> set[str]:
    """Every module that is imported anywhere in this one, by its full name."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    skipped = (
        set()
        if typing_too
        else {id(inner) for node in ast.walk(tree(module)) if _is_for_typing(node) for inner in ast.walk(node)}
    )
    for node in ast.walk(tree(module)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {name if (name := f"{base}.{alias.name}") in MODULES else base for alias in node.names}
    return found


def _is_for_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def ours(module: str) -> set[str]:
    return {name for name in imports(module) if name == "ci_envs" or name.startswith("ci_envs.")}


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_the_reader_of_imports_sees_all_kinds() -> None:
    assert {"os", "subprocess", "ci_envs.errors", "ci_envs.redact"} <= imports("ci_envs.command")
    assert "ci_envs.model.leg" in imports("ci_envs.model.record")


@pytest.mark.parametrize("module", [name for name in MODULES if within(name, ("ci_envs.model",))])
def test_the_model_imports_nothing_of_ours_but_itself(module: str) -> None:
    assert {name for name in ours(module) if not within(name, ("ci_envs.model",))} == set()


@pytest.mark.parametrize("module", [name for name in MODULES if within(name, tuple(PURE))])
def test_pure_modules_import_only_words_and_each_other(module: str) -> None:
    allowed = next(more for package, more in PURE.items() if within(module, (package,)))

    assert {name for name in ours(module) if not within(name, (*WORDS, *allowed)) and name != "ci_envs"} == set()


@pytest.mark.parametrize("module", [name for name in MODULES if within(name, tuple(PURE))])
def test_pure_modules_start_nothing_and_reach_no_network(module: str) -> None:
    effects = {"subprocess", "socket", "urllib.request", "http.client", "asyncio", "threading", "multiprocessing"}

    assert imports(module) & effects == set()


@pytest.mark.parametrize("module", [name for name in MODULES if not within(name, ENTRIES)])
def test_nothing_below_imports_the_command_line(module: str) -> None:
    assert {name for name in ours(module) if within(name, ENTRIES)} == set()


@pytest.mark.parametrize("module", [name for name in MODULES if within(name, ("ci_envs.environments",))])
def test_environments_know_no_pattern(module: str) -> None:
    assert {name for name in ours(module) if within(name, ("ci_envs.patterns", "ci_envs.pipeline"))} == set()


@pytest.mark.parametrize("module", [name for name in MODULES if within(name, ("ci_envs.checks",))])
def test_checks_do_not_ask_which_pattern_made_an_environment(module: str) -> None:
    assert {name for name in ours(module) if within(name, ("ci_envs.patterns", "ci_envs.pipeline"))} == set()


@pytest.mark.parametrize("module", [name for name in MODULES if not within(name, (SHIPPED,))])
def test_one_module_starts_processes_and_one_prints(module: str) -> None:
    used = {effect for effect, doors in DOORS.items() if module not in doors and effect in _effects(module)}

    assert used == set()


def _effects(module: str) -> set[str]:
    found = {"subprocess"} if "subprocess" in imports(module, typing_too=False) else set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            starts = node.value.id == "os" and node.attr.startswith(
                ("exec", "spawn", "posix_spawn", "fork", "system", "popen")
            )
            found.add("subprocess" if starts else f"{node.value.id}.{node.attr}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            found.add("print")
    return found


@pytest.mark.parametrize("module", [name for name in MODULES if not within(name, (GITHUB,))])
def test_one_package_knows_the_runners_variables(module: str) -> None:
    words = {
        word.strip("$\"'(),")
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in _docstrings(module)
        for word in node.value.split()
        if word.startswith(("GITHUB_", "RUNNER_"))
    }

    assert words == RUNNER_WORDS.get(module, set())


def test_the_package_that_knows_github_is_there_and_starts_nothing() -> None:
    inside = [name for name in MODULES if within(name, (GITHUB,))]

    assert len(inside) > 1
    for module in inside:
        assert {"subprocess", "socket", "urllib.request"} & imports(module) == set()
        assert {name for name in ours(module) if within(name, ("ci_envs.console", "ci_envs.command"))} == set()


@cache
def _docstrings(module: str) -> frozenset[int]:
    """Texts that stand alone: they are read by people."""
    return frozenset(id(node.value) for node in ast.walk(tree(module)) if isinstance(node, ast.Expr))


@pytest.mark.parametrize("module", [name for name in MODULES if name not in ("ci_envs", "ci_envs.__main__")])
def test_every_module_says_what_it_is_and_what_it_offers(module: str) -> None:
    docstring = ast.get_docstring(tree(module))

    assert docstring
    assert docstring.splitlines()[0].endswith((".", "?", ":", ";", ","))
