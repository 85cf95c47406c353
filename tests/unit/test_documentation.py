"""Documentation that is made from files is what these say now, and the examples in it are ones that would run."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from ci_envs.cli import main_group
from ci_envs.github.inputs import EnvironmentInputs, LegInputs, PlanInputs, read_inputs

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
WORKFLOWS = sorted(EXAMPLES.glob("*.yml"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: What an example calls this repository, and what is meant.
OURS = {
    "org/repro-envs/.github/workflows/build-envs.yml@v1": ".github/workflows/build-envs.yml",
    "org/repro-envs@v1": "action.yml",
    "./.repro-envs/actions/plan": "actions/plan/action.yml",
}

#: A command of ours in a line of a page or of another system's configuration.
COMMAND = re.compile(r"(?:^ {4}|^\s*- |command: |sh '|`)(ci-envs [^`\n#]+?)(?:'|`|\s+#.*|$)", re.MULTILINE)


def document(path: Path) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def calls(workflow: Path) -> list[tuple[str, dict[str, Any]]]:
    """What an example uses of ours, each with its inputs."""
    jobs = document(workflow)["jobs"].values()
    used = [job if "uses" in job else step for job in jobs for step in (job.get("steps") or [job])]
    return [(OURS[step["uses"]], step.get("with", {})) for step in used if step.get("uses") in OURS]


def inputs_of(file: str) -> dict[str, Any]:
    loaded = document(ROOT / file)
    found: dict[str, Any] = loaded["inputs"] if "inputs" in loaded else loaded[True]["workflow_call"]["inputs"]
    return found


def test_every_page_is_what_its_sources_say() -> None:
    stale = [path.name for path, text in generator().made() if path.read_text("utf-8") != text]

    assert stale == [], "renew with: nox -s docs"


def test_a_part_that_is_stale_is_seen() -> None:
    page = "a\n\n<!-- from docs/examples/envs.yml -->\n\n```yaml\nold: true\n```\n\nb\n"

    made = generator().with_parts(page)

    example = (EXAMPLES / "envs.yml").read_text("utf-8")
    assert made == f"a\n\n<!-- from docs/examples/envs.yml -->\n\n```yaml\n{example}```\n\nb\n"
    assert generator().with_parts(made) == made


def test_a_table_has_a_row_for_each_input() -> None:
    table = generator().table("actions/plan/action.yml", "inputs").splitlines()

    assert [line.split("`")[1] for line in table[2:]] == list(inputs_of("actions/plan/action.yml"))


def test_the_first_example_has_eight_lines() -> None:
    assert len((EXAMPLES / "envs.yml").read_text("utf-8").splitlines()) == 8
    assert [file for file, _ in calls(EXAMPLES / "envs.yml")] == [".github/workflows/build-envs.yml"]


def test_every_example_is_on_a_page() -> None:
    told = {name for page in PAGES for name in re.findall(r"docs/(examples/[\w./-]+)", page.read_text("utf-8"))}
    told.add("examples/every-input.yml")  # its values are in the table of inputs

    files = {path.relative_to(ROOT / "docs").as_posix() for path in EXAMPLES.rglob("*") if path.is_file()}
    assert files == told


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_an_example_gives_inputs_that_there_are_of_the_types_that_they_have(workflow: Path) -> None:
    found = calls(workflow)

    assert found
    for file, given in found:
        specs = inputs_of(file)
        assert given.keys() <= specs.keys()
        for name, value in given.items():
            kind = {"boolean": bool, "number": int}.get(specs[name].get("type", "string"), str)
            assert isinstance(value, kind), f"{name} of {file}"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_an_example_gives_values_that_are_taken(workflow: Path) -> None:
    for _, given in calls(workflow):
        texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
        environ = {f"INPUT_{name.upper().replace('-', '_')}": text for name, text in texts.items() if "${{" not in text}
        read_inputs(PlanInputs, environ)
        read_inputs(LegInputs, {"INPUT_LEG": "uv-py312-linux-x86_64", **environ})
        read_inputs(EnvironmentInputs, environ)


def test_the_example_of_every_input_gives_every_input() -> None:
    ((file, given),) = calls(EXAMPLES / "every-input.yml")

    assert list(given) == list(inputs_of(file))
    defaults = {name: spec.get("default") for name, spec in inputs_of(file).items()}
    assert [name for name, value in given.items() if value == defaults[name]] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_an_example_lives_by_our_own_rules(workflow: Path) -> None:
    loaded = document(workflow)
    text = workflow.read_text("utf-8")

    assert loaded["permissions"] in ({}, {"contents": "read"})
    assert not {"pull_request_target", "workflow_run"} & set(loaded[True])
    for line in text.splitlines():
        uses = line.partition("uses: ")[2]
        assert not uses or re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v[\d.]+", uses) or uses in OURS, line
    for job in loaded["jobs"].values():
        assert "uses" in job or "timeout-minutes" in job
        for step in job.get("steps", []):
            assert "${{" not in step.get("run", "")
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_the_pipeline_of_gitlab_starts_what_it_has_planned() -> None:
    jobs = document(EXAMPLES / "gitlab" / ".gitlab-ci.yml")
    (told,) = (file for file in jobs["envs"]["trigger"]["include"] if "artifact" in file)
    planning = jobs[told["job"]]

    assert jobs["envs"]["needs"] == [told["job"]]
    assert told["artifact"] in planning["artifacts"]["paths"]
    assert planning["script"][-1].endswith(f">{told['artifact']}")
    # The image and what is installed in it are the same for planning and for the legs.
    said = document(EXAMPLES / "gitlab" / "envs-jobs.yml")["default"]
    assert (said["image"], said["before_script"]) == (planning["image"], planning["before_script"])


def commands() -> list[tuple[str, str]]:
    found = []
    for path in (*PAGES, *(path for path in EXAMPLES.rglob("*") if path.is_file() and path not in WORKFLOWS)):
        for match in COMMAND.finditer(path.read_text("utf-8")):
            line = re.split(r" >| && |\| ", match[1].replace("<< parameters.leg >>", "LEG"))[0].strip()
            if re.match(r"ci-envs [a-z]+", line):  # not an option of the program itself
                found.append((path.relative_to(ROOT).as_posix(), line))
    return found


def test_the_commands_on_the_pages_are_found() -> None:
    assert ("docs/other-ci.md", "ci-envs plan --gitlab") in commands()
    assert ("docs/examples/jenkins/Jenkinsfile", "ci-envs plan --shell") in commands()
    assert ("docs/examples/circleci/config.yml", "ci-envs run --only LEG") in commands()
    assert len(commands()) > 20


@pytest.mark.parametrize(("page", "line"), [row for row in commands() if row[0].split("/")[-1] in (
    "README.md", "github.md", "action.md", "other-ci.md", ".gitlab-ci.yml", "config.yml", "Jenkinsfile")])  # fmt: skip
def test_a_command_on_a_page_is_one_that_the_program_takes(page: str, line: str) -> None:
    words = [word for word in shlex.split(line)[1:] if word != "..."]
    options = _options(words[0])
    for word in words[1 : words.index("--") if "--" in words else len(words)]:
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in options, f"{page}: {line}"


def _options(verb: str) -> set[str]:
    command = main_group.get_command(click.Context(main_group), verb)
    assert command is not None, verb
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", found.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, target
