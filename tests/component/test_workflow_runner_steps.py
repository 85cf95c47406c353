"""What the runner does with steps, composite actions and what they print, with the page or file of each rule."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.workflow_runner.errors import NotKnownError
from tests.support.workflow_runner.log_commands import LogCommand, parse_command
from tests.support.workflow_runner.running import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.workflow_runner.results import JobRun, Walk
    from tests.support.workflow_runner.running import Server

pytestmark = pytest.mark.component

HEAD = "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n"
CHECKOUT = """\
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
        with: {persist-credentials: false}
"""


@pytest.fixture
def job(walk: Callable[..., Walk]) -> Callable[..., JobRun]:
    """Runs one job of these steps."""

    def ran(steps: str, head: str = HEAD, **files: str) -> JobRun:
        lines = "".join(f"      {line}\n" for line in steps.strip("\n").splitlines())
        done = walk(head + lines, **files)
        assert not done.reason, done.reason
        return done.job("a")

    return ran


def outcomes(done: JobRun) -> dict[str, str]:
    return {step.id: f"{step.outcome}/{step.conclusion}" for step in done.all_steps() if step.id}


# --- order, conditions


def test_after_a_failure_only_what_asks_for_it_runs(job: Callable[..., JobRun]) -> None:
    # "Evaluate expressions", status check functions; "Contexts reference", steps.<id>.outcome and .conclusion
    done = job(
        """
- {id: tolerated, run: exit 1, continue-on-error: true}
- {id: seen, run: 'test "${{ steps.tolerated.outcome }} ${{ steps.tolerated.conclusion }}" = "failure success"'}
- {id: bad, run: exit 1}
- {id: plain, run: echo}
- {id: failed, if: failure(), run: 'echo "${{ job.status }}"'}
- {id: by-id, if: "always() && steps.bad.outcome == 'failure'", run: echo}
- {id: cancelled, if: cancelled(), run: echo}
- {id: succeeded, if: success(), run: echo}
"""
    )

    assert done.result == "failure"
    assert outcomes(done) == {
        "tolerated": "failure/success",
        "seen": "success/success",
        "bad": "failure/failure",
        "plain": "skipped/skipped",
        "failed": "success/success",
        "by-id": "success/success",
        "cancelled": "skipped/skipped",
        "succeeded": "skipped/skipped",
    }
    assert done.step("failed").log == "failure\n"


def test_bash_is_strict_where_it_is_named_and_less_so_else(job: Callable[..., JobRun]) -> None:
    # "Workflow syntax", steps[*].shell: bash is `bash --noprofile --norc -eo pipefail {0}`, none is `bash -e {0}`
    done = job(
        """
- {id: unnamed, run: 'false | true'}
- {id: named, shell: bash, run: 'false | true'}
"""
    )

    assert outcomes(done) == {"unnamed": "success/success", "named": "failure/failure"}
    assert [one.message for one in done.annotations] == ["Process completed with exit code 1."]


def test_a_step_that_is_too_slow_fails(job: Callable[..., JobRun]) -> None:
    # "Workflow syntax", steps[*].timeout-minutes
    done = job("- {id: slow, timeout-minutes: 0.01, run: 'sleep 60'}\n- {id: after, if: failure(), run: echo}")

    assert outcomes(done) == {"slow": "failure/failure", "after": "success/success"}
    assert "has timed out" in done.annotations[0].message


def test_a_condition_that_names_what_its_place_has_not_is_refused(walk: Callable[..., Walk]) -> None:
    # "Contexts reference", context availability: secrets cannot be used in `if`
    done = walk(HEAD + "      - {if: secrets.KEY != '', run: echo}\n")

    assert "Unrecognized named-value: 'secrets'" in done.reason


# --- variables and files


def test_variables_of_all_levels_and_what_steps_set_for_later_ones(job: Callable[..., JobRun]) -> None:
    # "Workflow syntax", env: the most specific one counts; "Workflow commands", GITHUB_ENV, GITHUB_PATH
    head = HEAD.replace("jobs:", "env: {W: w, J: w, S: w}\njobs:").replace(
        "    steps:", "    env: {J: j, S: '${{ github.ref_name }}j'}\n    steps:"
    )
    done = job(
        """
- id: set
  env: {S: s}
  run: |
    echo "$W $J $S [$NEW]"
    printf 'NEW<<X\\na\\nb\\nX\\nJ=new\\n' >> "$GITHUB_ENV"
    mkdir "$RUNNER_TEMP/first" "$RUNNER_TEMP/second"
    printf 'echo mine' > "$RUNNER_TEMP/second/mytool"; chmod +x "$RUNNER_TEMP/second/mytool"
    printf '%s\\n' "$RUNNER_TEMP/first" "$RUNNER_TEMP/second" >> "$GITHUB_PATH"
    printf 'one=1\\ntwo<<E=F\\na=b<<c\\nE=F\\n' >> "$GITHUB_OUTPUT"; echo "# S" >> "$GITHUB_STEP_SUMMARY"
- id: see
  run: |
    echo "$W $J $S [$NEW] ${{ env.J }}"
    mytool; echo "${PATH%%:*}" | grep -c second
    test ! -s "$GITHUB_ENV" && test ! -s "$GITHUB_OUTPUT"
""",
        head,
    )

    assert done.result == "success", done.log
    assert done.step("set").log == "w j s []\n"
    assert done.step("see").log == "w new mainj [a\nb] new\nmine\n1\n"
    assert done.step("set").outputs == {"one": "1", "two": "a=b<<c"}
    assert done.summary == "# S\n"


@pytest.mark.parametrize("text", ["novalue", "name<<E\\nno end", "<<E\\nE"])
def test_a_file_that_cannot_be_read_fails_the_step(job: Callable[..., JobRun], text: str) -> None:
    # actions/runner, FileCommandManager.cs
    done = job(
        f'- {{id: s, run: \'printf "{text}\\n" >> "$GITHUB_OUTPUT"\'}}'.replace("\\n", "\\\\n").replace("\\\\", "\\")
    )

    assert outcomes(done) == {"s": "failure/failure"}
    assert "nvalid" in done.annotations[0].message


def test_a_summary_of_more_than_a_mebibyte_is_not_shown(job: Callable[..., JobRun]) -> None:
    # "Workflow commands", adding a job summary: "restricted to a maximum size of 1MiB"
    done = job('- {id: s, run: \'head -c 1048577 /dev/zero | tr "\\0" x > "$GITHUB_STEP_SUMMARY"\'}')

    assert done.summary == ""
    assert "1024k" in done.annotations[0].message


def test_each_job_has_an_empty_home_and_folders_of_its_own(walk: Callable[..., Walk]) -> None:
    # "GitHub-hosted runners reference": a fresh machine for each job
    look = (
        'ls -A ~ "$GITHUB_WORKSPACE" | grep -c x; ls -A "$RUNNER_TEMP" | grep -c mine; touch ~/x x "$RUNNER_TEMP/mine"'
    )
    job = f"    runs-on: ubuntu-24.04\n    steps: [{{id: s, shell: 'bash', run: '(set +e; {look}; true)'}}]\n"
    done = walk(f"on: push\njobs:\n  a:\n{job}  b:\n    needs: a\n{job}")

    assert done.result == "success", done.log
    assert [done.job(name).step("s").log for name in "ab"] == ["0\n0\n", "0\n0\n"]


def test_a_variable_of_more_than_128_kib_starts_nothing(job: Callable[..., JobRun]) -> None:
    # execve(2), MAX_ARG_STRLEN: so a runner's step fails, and no workflow may hand a whole matrix on like this
    done = job(
        """
- {id: big, run: '(printf big=; head -c 140000 /dev/zero | tr "\\0" x; echo) >> "$GITHUB_OUTPUT"'}
- {id: use, env: {BIG: '${{ steps.big.outputs.big }}'}, run: echo}
"""
    )

    assert outcomes(done) == {"big": "success/success", "use": "failure/failure"}
    assert "too long" in done.annotations[0].message


def test_nothing_of_this_process_reaches_a_job(
    workflow_server: Server, job: Callable[..., JobRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "canary")
    done = job("- {run: env}")

    assert "canary" not in done.step("Run env").raw_log
    assert TOKEN not in done.step("Run env").raw_log


# --- composite actions

ACTION = """
name: outer
description: d
inputs:
  word: {description: d, default: of the default}
  number: {description: d}
outputs:
  said: {description: d, value: "${{ steps.say.outputs.said }}"}
  status: {description: d, value: "${{ steps.bad.outcome }}"}
runs:
  using: composite
  steps:
    - id: say
      shell: bash
      env: {WORD: "${{ inputs.word }}"}
      run: |
        echo "$WORD ${{ inputs.number }} [$OUTER] [$INPUT_WORD] ${GITHUB_ACTION_PATH##*/}"
        echo "said=$WORD" >> "$GITHUB_OUTPUT"
        printf 'LATER=later\\nOUTER=changed\\n' >> "$GITHUB_ENV"
    - uses: $/actions/inner
      with: {fails: "${{ inputs.number }}"}
    - {id: bad, shell: bash, run: "exit ${{ inputs.number }}"}
    - {id: plain, shell: bash, run: echo plain}
    - {id: always, if: always(), shell: bash, run: echo always}
"""
INNER = """
name: inner
description: d
inputs: {fails: {description: d, required: true}}
runs:
  using: composite
  steps: [{id: inner, shell: bash, run: 'echo "inner ${GITHUB_ACTION_PATH##*/} [$LATER] [$OUTER]"'}]
"""
USE = """
- {id: use, uses: $/actions/outer, with: {number: NUMBER}, env: {OUTER: of the step}}
- id: after
  if: always()
  run: echo "${{ steps.use.outputs.said }} ${{ steps.use.outcome }} [${{ steps.say.outputs.said }}] $LATER $OUTER"
"""


@pytest.mark.parametrize(("number", "result"), [(0, "success"), (3, "failure")])
def test_a_composite_action(job: Callable[..., JobRun], number: int, result: str) -> None:
    # "Metadata syntax reference", runs for composite actions; actions/runner, CompositeActionHandler.cs and, for what
    # success() means inside, SuccessFunction.cs; outputs are set also where a step failed
    files = {"actions/outer/action.yml": ACTION, "actions/inner/action.yml": INNER}
    done = job(USE.replace("NUMBER", str(number)), **files)

    assert done.result == result, done.log
    assert done.step("say").log == f"of the default {number} [of the step] [] outer\n"
    assert done.step("inner").log == "inner inner [later] [of the step]\n"
    assert done.step("use").outputs == {"said": "of the default", "status": result}
    assert (done.step("plain").outcome, done.step("always").outcome) == (
        "success" if number == 0 else "skipped",
        "success",
    )
    assert done.step("after").log == f"of the default {result} [] later changed\n"


def test_an_input_that_an_action_has_not_is_a_warning(job: Callable[..., JobRun]) -> None:
    # actions/runner, ActionRunner.cs: "Unexpected input(s)"
    done = job("- {uses: $/actions/inner, with: {fails: 1, word: x}}", **{"actions/inner/action.yml": INNER})

    assert [(one.level, one.message) for one in done.annotations] == [("warning", "Unexpected input(s) 'word'")]


def test_an_action_that_is_no_composite_one_raises(job: Callable[..., JobRun]) -> None:
    text = "name: n\ndescription: d\nruns: {using: node24, main: x.js}\n"
    with pytest.raises(NotKnownError, match="node24"):
        job("- {uses: $/actions/inner}", **{"actions/inner/action.yml": text})


# --- commands in the log


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("::error::text", LogCommand("error", {}, "text")),
        (
            "  \t::error file=a b.py,line=3,title=x%3A y%2C::two%0Alines%25",
            LogCommand("error", {"file": "a b.py", "line": "3", "title": "x: y,"}, "two\nlines%"),
        ),
        ("::error::%250A", LogCommand("error", {}, "%0A")),
        ("::ERROR FILE=a::text", LogCommand("error", {"file": "a"}, "text")),
        ("::warning file=,line=3::", LogCommand("warning", {"line": "3"}, "")),
        ("::group::a::b", LogCommand("group", {}, "a::b")),
        ("said ::error::text", None),
        ("::error", None),
        ("::no-command::text", None),
        ("said ##[error]text", LogCommand("error", {}, "text")),
        ("##[add-mask]x%5D", LogCommand("add-mask", {}, "x]")),
        ("", None),
    ],
)  # fmt: skip
def test_what_is_a_command(line: str, command: LogCommand | None) -> None:
    # actions/runner, ActionCommand.cs: TryParseV2 and TryParse
    assert parse_command(line) == command


def test_commands_become_annotations_masks_and_outputs(job: Callable[..., JobRun]) -> None:
    # "Workflow commands for GitHub Actions"
    done = job(
        """
- id: s
  run: |
    echo "::error file=$GITHUB_WORKSPACE/src/a.py,line=4,title=Title::message"
    echo "  ::notice::seen"
    echo "not ::warning::one"
    echo "::add-mask::hush"
    echo "a hush here"
    echo "::stop-commands::token-1"
    echo "::error::not one"
    echo "::token-1::"
    echo "::warning::again"
    echo "::set-output name=old::value"
    echo "::group::G" >&2
- {id: later, run: 'echo "hush ${{ steps.s.outputs.old }}"'}
"""
    )

    shown = [(one.level, one.title, one.file, one.line, one.message) for one in done.annotations]
    assert shown == [
        ("error", "Title", "src/a.py", "4", "message"),
        ("notice", "", "", "", "seen"),
        ("warning", "", "", "", "again"),
    ]
    assert done.step("s").log == "not ::warning::one\na *** here\n::error::not one\n"
    assert done.step("later").log == "*** value\n"


@pytest.mark.parametrize("command", ["::set-env name=A::b", "::add-path::/x", "::add-matcher::nowhere.json"])
def test_commands_that_are_disabled_or_wrong_fail_the_step(job: Callable[..., JobRun], command: str) -> None:
    # "Workflow commands": set-env and add-path are disabled since 2020 (CVE-2020-15228)
    done = job(f"- {{id: s, run: 'echo \"{command}\"'}}")

    assert outcomes(done) == {"s": "failure/failure"}
    assert "Unable to process command" in done.annotations[0].message


MATCHERS = {
    "problemMatcher": [
        {
            "owner": "one",
            "severity": "warning",
            "pattern": [{"regexp": r"^(\S+):(\d+): (.*)$", "file": 1, "line": 2, "message": 3}],
        },
        {
            "owner": "many",
            "pattern": [
                {"regexp": r"^in (\S+)$", "file": 1},
                {"regexp": r"^ +(\d+) (\w+) (.*)$", "line": 1, "severity": 2, "message": 3, "loop": True},
            ],
        },
    ]
}  # fmt: skip


def test_problem_matchers_make_annotations_of_lines(job: Callable[..., JobRun]) -> None:
    # actions/toolkit, docs/problem-matchers.md; actions/runner, IssueMatcher.cs
    done = job(
        """
- uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
  with: {persist-credentials: false}
- {id: before, run: 'echo "a.py:1: not yet"'}
- {id: add, run: 'echo "::add-matcher::matchers.json"'}
- id: s
  run: |
    printf '\\033[31mb.py:2: red\\033[0m\\n'
    printf 'in c.py\\n 3 error third\\n 4 warning fourth\\nend\\n 5 error nowhere\\n'
    echo "::remove-matcher owner=one::"
    echo "d.py:6: no more"
""",
        **{"matchers.json": json.dumps(MATCHERS)},
    )

    assert done.result == "success", done.log
    assert [(one.level, one.file, one.line, one.message) for one in done.annotations] == [
        ("warning", "b.py", "2", "red"),
        ("error", "c.py", "3", "third"),
        ("warning", "c.py", "4", "fourth"),
    ]
