from __future__ import annotations

from collections import Counter

import pytest
from tests.support.workflow_mutations import MUTATIONS, PUBLISH, PUBLISHING, Mutation, mutated
from tests.support.workflow_rules import REQUIREMENTS, find
from tests.support.workflows import Repository, files_of


@pytest.fixture(scope="module")
def ours() -> Repository:
    return files_of()


def test_our_own_files_break_no_requirement(ours: Repository) -> None:
    assert [str(finding) for finding in find(ours)] == []


def test_every_requirement_has_checks_and_at_least_two_ways_to_break_it() -> None:
    assert REQUIREMENTS.keys() == set(range(1, 16))
    assert all(requirement.checks for requirement in REQUIREMENTS.values())
    ways = Counter(mutation.requirement for mutation in MUTATIONS)
    assert {number for number in REQUIREMENTS if ways[number] < 2} == set()
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 30


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.requirement}: {mutation.name}")
def test_what_breaks_a_requirement_is_found_under_its_number(mutation: Mutation, ours: Repository) -> None:
    found = find(mutated(ours, mutation))
    assert {one.requirement for one in found} == {mutation.requirement, *mutation.also}
    named = [one for one in found if one.requirement == mutation.requirement]
    assert {one.file for one in named} == {mutation.file}
    assert all(one.message and one.line >= 1 for one in named)


def test_a_finding_says_where_and_which_requirement(ours: Repository) -> None:
    checkout = next(one for one in MUTATIONS if one.name == "a token in the checkout")
    (found,) = find(mutated(ours, checkout))
    line = mutated(ours, checkout).line(found.file, found.line)
    assert "actions/checkout@" in line
    assert str(found) == (
        f".github/workflows/build-envs.yml:{found.line}: requirement 5:"
        " the checkout leaves the job's token in .git/config"
    )


def test_an_edit_that_changes_nothing_is_refused(ours: Repository) -> None:
    gone = Mutation(1, "gone", "action.yml", "a text that is not there", "x")
    with pytest.raises(ValueError, match=r"gone: action\.yml has no 'a text that is not there' any more"):
        mutated(ours, gone)


def test_a_workflow_that_publishes_as_it_should_is_let_through(ours: Repository) -> None:
    found = find(Repository({**ours.files, PUBLISH: PUBLISHING}, ours.others))
    assert [(one.requirement, one.message.partition(" ")[0]) for one in found] == [
        (1, "step-security/harden-runner"),
        (1, "actions/attest"),
    ]


@pytest.mark.parametrize(
    ("command", "requirement"),
    [
        ("pip install --require-hashes -r requirements/dev.txt", None),
        ("python -m pip install --no-index --no-deps dist/x.whl", None),
        ("uv pip sync --require-hashes locks/a.txt", None),
        ("pip install requests", 10),
        ("cd x && pip install -r requirements.txt", 10),
        ("uv pip install .", 10),
        ("npx devcontainer up", 10),
        ("wget -qO- https://example.org | sudo bash", 10),
        ("git clone https://example.org/x", 14),
        ("echo x >> $GITHUB_PATH", 9),
        ("pip install --require-hashes --index-url a --extra-index-url b -r x.txt", 11),
        ("cosign verify image --certificate-oidc-issuer x", 12),
        ("cosign verify image --certificate-identity x", None),
    ],
)
def test_commands_are_judged_one_by_one(command: str, requirement: int | None, ours: Repository) -> None:
    files = {
        **ours.files,
        ".github/workflows/ci.yml": ours.files[".github/workflows/ci.yml"].replace("make docs", command),
    }
    found = {one.requirement for one in find(Repository(files, ours.others))}
    assert (requirement in found) if requirement else not found


def test_a_command_is_one_over_its_lines_and_comments_are_none(ours: Repository) -> None:
    script = "set -eu\n# pip install a\npip install \\\n  --require-hashes \\\n  -r a.txt\n\npip \\\n  install b\n"
    step = "run: |\n          # curl x | sh\n          echo a\n          pip install c\n"
    ci = ours.files[".github/workflows/ci.yml"].replace("run: make docs\n", step)
    files = {**ours.files, "actions/setup/more.sh": script, ".github/workflows/ci.yml": ci}
    found = find(Repository(files, ours.others))
    line = ci.splitlines().index("          pip install c") + 1
    assert [(one.requirement, one.file, one.line) for one in found] == [
        (10, ".github/workflows/ci.yml", line),
        (10, "actions/setup/more.sh", 7),
    ]


def test_a_binary_is_found_by_its_name_and_cases_of_tests_may_have_one(ours: Repository) -> None:
    others = ours.others | {"tools/uv.exe", "tests/cases/a/b.whl"}
    found = find(Repository(ours.files, others))
    assert [(one.requirement, one.file) for one in found] == [(15, "tools/uv.exe")]


def test_nothing_tells_zizmor_to_look_away(ours: Repository) -> None:
    looked_at = {name: text for name, text in ours.files.items() if name.startswith((".github/", "action"))}
    assert [name for name, text in looked_at.items() if "zizmor:" in text] == []
    assert [name for name in ours.names if name.rpartition("/")[2].startswith(("zizmor.y", ".zizmor"))] == []
