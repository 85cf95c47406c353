"""The walking of workflows, rule by rule as GitHub's documentation has them; the page stands at each.

Pages are those of docs.github.com: "Workflow syntax for GitHub Actions", "Evaluate expressions in workflows and
actions", "Contexts reference", "Reuse workflows", "Run job variations in a workflow", "Re-run workflows and jobs".
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.support.workflow_runner.errors import NotKnownError
from tests.support.workflow_runner.events import pull_request, push, release, schedule, workflow_dispatch
from tests.support.workflow_runner.repositories import Repository, git

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.workflow_runner.results import JobRun, Walk
    from tests.support.workflow_runner.running import Server

pytestmark = pytest.mark.component

JOB = "    runs-on: ubuntu-24.04\n    steps: [{run: 'true'}]\n"
BAD = "    runs-on: ubuntu-24.04\n    steps: [{run: 'false'}]\n"
FILE = ".github/workflows/test.yml"


def results(walk: Walk) -> dict[str, str]:
    return {key: job.result for key, job in walk.jobs.items()}


# --- needs and conditions


def test_jobs_run_after_those_that_they_need(walk: Callable[..., Walk]) -> None:
    # "Workflow syntax", jobs.<job_id>.needs
    done = walk(f"on: push\njobs:\n  c:\n    needs: [a, b]\n{JOB}  b:\n    needs: a\n{JOB}  a:\n{JOB}")

    assert list(done.jobs) == ["a", "b", "c"]
    assert done.result == "success"


def test_what_needs_a_job_that_failed_is_skipped_and_so_is_what_needs_that(walk: Callable[..., Walk]) -> None:
    # "Workflow syntax", jobs.<job_id>.needs: "If a job fails or is skipped, all jobs that need it are skipped"
    done = walk(f"on: push\njobs:\n  a:\n{BAD}  b:\n    needs: a\n{JOB}  c:\n    needs: b\n{JOB}")

    assert results(done) == {"a": "failure", "b": "skipped", "c": "skipped"}
    assert done.result == "failure"


def test_always_and_failure_run_after_a_failure(walk: Callable[..., Walk]) -> None:
    # "Evaluate expressions", status check functions: "failure() returns true if any ancestor job fails"
    jobs = f"  a:\n{BAD}  b:\n    needs: a\n{JOB}"
    for name, condition in {
        "always": "always()",
        "far": "failure()",
        "plain": "true",
        "not-cancelled": "${{ !cancelled() }}",
        "succeeds": "success()",
        "by-result": "always() && needs.b.result == 'skipped'",
    }.items():
        jobs += f"  {name}:\n    needs: b\n    if: {condition}\n{JOB}"

    done = results(walk(f"on: push\njobs:\n{jobs}"))

    run = {name for name, result in done.items() if result == "success"}
    assert run == {"always", "far", "not-cancelled", "by-result"}
    assert done["plain"] == "skipped"  # success() is implied where no status function is named


def test_a_job_that_was_skipped_far_up_is_no_success(walk: Callable[..., Walk]) -> None:
    # actions/runner#491: success() looks at all ancestors
    done = walk(
        f"on: push\njobs:\n  a:\n    if: false\n{JOB}"
        f"  b:\n    needs: a\n    if: always()\n{JOB}  c:\n    needs: b\n{JOB}"
    )

    assert results(done) == {"a": "skipped", "b": "success", "c": "skipped"}
    assert done.result == "success"


def test_a_condition_with_a_text_around_its_expression_is_always_met(walk: Callable[..., Walk]) -> None:
    # "Evaluate expressions": a text is true; what is around ${{ }} makes one of it
    done = walk(f"on: push\njobs:\n  a:\n    if: ${{{{ false }}}} == true\n{JOB}")

    assert results(done) == {"a": "success"}


def test_a_job_that_may_fail_counts_as_a_success(walk: Callable[..., Walk]) -> None:
    # "Workflow syntax", jobs.<job_id>.continue-on-error
    done = walk(f"on: push\njobs:\n  a:\n    continue-on-error: true\n{BAD}  b:\n    needs: a\n{JOB}")

    assert results(done) == {"a": "success", "b": "success"}


# --- matrices


def test_include_extends_or_adds_as_the_documentation_has_it(walk: Callable[..., Walk]) -> None:
    # The example of "Workflow syntax", jobs.<job_id>.strategy.matrix.include
    done = walk(
        """
on: push
jobs:
  a:
    strategy:
      matrix:
        fruit: [apple, pear]
        animal: [cat, dog]
        include:
          - color: green
          - color: pink
            animal: cat
          - fruit: apple
            shape: circle
          - fruit: banana
          - fruit: banana
            animal: cat
    runs-on: ubuntu-24.04
    steps: [{run: 'true'}]
"""
    )

    assert [job.matrix for job in sorted_by_key(done)] == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_exclude_takes_away_what_it_names_in_part(walk: Callable[..., Walk]) -> None:
    # The example of "Workflow syntax", jobs.<job_id>.strategy.matrix.exclude, shortened
    done = walk(
        "on: push\njobs:\n  a:\n    strategy: {matrix: {os: [m, w], v: [1, 2], exclude: [{os: m, v: 1}, {os: w}]}}\n"
        + JOB
    )

    assert [job.matrix for job in done.jobs.values()] == [{"os": "m", "v": 2}]
    assert [job.name for job in done.jobs.values()] == ["a (m, 2)"]


def test_a_matrix_may_come_from_a_job_as_json(walk: Callable[..., Walk]) -> None:
    # "Evaluate expressions", fromJSON: "Example returning a JSON object"
    done = walk(
        """
on: push
jobs:
  plan:
    runs-on: ubuntu-24.04
    outputs:
      matrix: ${{ steps.set.outputs.matrix }}
    steps:
      - id: set
        run: echo 'matrix={"include":[{"id":"x","runs-on":["ubuntu-24.04"],"minutes":7},{"id":"y","runs-on":"ubuntu-22.04","minutes":8}]}' >> "$GITHUB_OUTPUT"
  leg:
    name: leg ${{ matrix.id }}
    needs: plan
    strategy:
      max-parallel: 1
      matrix: ${{ fromJSON(needs.plan.outputs.matrix) }}
    runs-on: ${{ matrix.runs-on }}
    timeout-minutes: ${{ matrix.minutes }}
    steps: [{run: 'echo "${{ matrix.id }} ${{ strategy.job-index }} of ${{ strategy.job-total }}"'}]
"""  # noqa: E501 - one line of a script
    )

    assert done.result == "success", done.log
    legs = [done.job("leg (0)"), done.job("leg (1)")]
    assert [(leg.name, leg.labels, leg.timeout_minutes) for leg in legs] == [
        ("leg x", ("ubuntu-24.04",), 7),
        ("leg y", ("ubuntu-22.04",), 8),
    ]
    assert legs[1].log == "y 1 of 2\n"


@pytest.mark.parametrize("matrix", ["{v: []}", "{include: []}"])
def test_a_matrix_without_a_job_fails(walk: Callable[..., Walk], matrix: str) -> None:
    # "Matrix vector 'v' does not contain any values": what the service answers
    done = walk(f"on: push\njobs:\n  a:\n    strategy: {{matrix: {matrix}}}\n{JOB}")

    assert (done.result, done.job("a").steps) == ("failure", [])
    assert "atrix" in done.job("a").reason


def test_a_matrix_of_more_than_256_jobs_fails(walk: Callable[..., Walk]) -> None:
    # "Workflow syntax", jobs.<job_id>.strategy.matrix: "A matrix will generate a maximum of 256 jobs per workflow run."
    done = walk(f"on: push\njobs:\n  a:\n    strategy: {{matrix: {{v: {list(range(257))}}}}}\n{JOB}")

    assert "257" in done.job("a").reason


def test_fail_fast_cancels_what_has_not_begun_and_is_the_default(walk: Callable[..., Walk]) -> None:
    # "Workflow syntax", jobs.<job_id>.strategy.fail-fast; "This property defaults to true"
    text = """
on: push
jobs:
  a:
    strategy: {max-parallel: 1, FAILFASTmatrix: {v: [0, 1, 0]}}
    runs-on: ubuntu-24.04
    steps: [{run: 'exit ${{ matrix.v }}'}]
"""
    by_default = walk(text.replace("FAILFAST", ""))
    never = walk(text.replace("FAILFAST", "fail-fast: false, "))

    assert list(results(by_default).values()) == ["success", "failure", "cancelled"]
    assert list(results(never).values()) == ["success", "failure", "success"]
    assert (by_default.result, never.result) == ("failure", "failure")


@pytest.mark.parametrize(("most", "together"), [(1, False), (2, True)])
def test_max_parallel_says_how_many_run_at_once(walk: Callable[..., Walk], most: int, together: bool) -> None:
    # "Workflow syntax", jobs.<job_id>.strategy.max-parallel
    done = walk(
        f"""
on: push
jobs:
  a:
    strategy: {{max-parallel: {most}, matrix: {{v: [1, 2]}}}}
    runs-on: ubuntu-24.04
    steps: [{{run: 'echo "t=$(date +%s%N)"; sleep 0.7; echo "t=$(date +%s%N)"'}}]
"""
    )

    spans = [[int(line.removeprefix("t=")) for line in job.log.splitlines()] for job in sorted_by_key(done)]
    assert (spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]) is together


def sorted_by_key(walk: Walk) -> list[JobRun]:
    return [job for _, job in sorted(walk.jobs.items())]


# --- outputs, limits


def test_outputs_go_from_step_to_job_to_job_and_empty_ones_are_none(walk: Callable[..., Walk]) -> None:
    # "Workflow syntax", jobs.<job_id>.outputs
    done = walk(
        """
on: push
jobs:
  a:
    runs-on: ubuntu-24.04
    outputs: {said: '${{ steps.s.outputs.said }}', none: '${{ steps.s.outputs.none }}'}
    steps: [{id: s, run: 'printf "said<<E\\ntwo\\nlines\\nE\\n" >> "$GITHUB_OUTPUT"'}]
  b:
    needs: a
    runs-on: ubuntu-24.04
    steps: [{run: 'printf %s "$NEEDS"', env: {NEEDS: '${{ toJSON(needs) }}'}}]
"""
    )

    assert done.job("a").outputs == {"said": "two\nlines"}
    assert '"said": "two\\nlines"' in done.job("b").log
    assert '"result": "success"' in done.job("b").log


def test_an_output_that_holds_a_secret_is_not_handed_on(workflow_server: Server, walk: Callable[..., Walk]) -> None:
    # "Reuse workflows" and actions/runner, JobExtension.cs: "Skip output … since it may contain secret."
    workflow_server.secrets = {"KEY": "canary-of-the-key"}
    done = walk(
        """
on: push
jobs:
  a:
    runs-on: ubuntu-24.04
    outputs: {key: '${{ steps.s.outputs.key }}'}
    steps: [{id: s, env: {K: '${{ secrets.KEY }}'}, run: 'echo "key=x$K" >> "$GITHUB_OUTPUT"; echo "it is $K"'}]
"""
    )

    assert done.job("a").outputs == {}
    assert [one.message for one in done.annotations] == ["Skip output 'key' since it may contain secret."]
    assert done.job("a").log == "it is ***\n"
    assert "canary-of-the-key" in done.job("a").step("s").raw_log


def test_outputs_of_more_than_a_megabyte_fail_the_job(walk: Callable[..., Walk]) -> None:
    # "Workflow syntax", jobs.<job_id>.outputs: "1 MB per job", approximated as UTF-16
    done = walk(
        """
on: push
jobs:
  a:
    runs-on: ubuntu-24.04
    outputs: {big: '${{ steps.s.outputs.big }}'}
    steps: [{id: s, run: '(printf big=; head -c 530000 /dev/zero | tr "\\0" x; echo) >> "$GITHUB_OUTPUT"'}]
"""
    )

    assert (done.result, done.job("a").outputs) == ("failure", {})
    assert "1060000 bytes" in done.job("a").annotations[-1].message


def test_a_job_that_is_too_slow_is_cancelled_and_its_always_steps_run(walk: Callable[..., Walk]) -> None:
    # "Workflow syntax", jobs.<job_id>.timeout-minutes: "before GitHub automatically cancels it"
    began = time.monotonic()
    done = walk(
        """
on: push
jobs:
  a:
    runs-on: ubuntu-24.04
    timeout-minutes: 0.02
    steps: [{run: sleep 60}, {id: next, run: echo}, {id: last, if: always(), run: echo last}]
"""
    )

    assert time.monotonic() - began < 30
    assert done.job("a").result == "cancelled"
    assert [step.outcome for step in done.job("a").steps[:3]] == ["cancelled", "skipped", "success"]


# --- called workflows

CALLED = """
on:
  workflow_call:
    inputs:
      word: {type: string, default: "w"}
      flag: {type: boolean, default: true}
      count: {type: number, required: true}
    secrets:
      KEY: {required: false}
    outputs:
      out: {value: '${{ jobs.inner.outputs.out }}'}
permissions: {}
jobs:
  inner:
    name: Inner
    runs-on: ubuntu-24.04
    permissions: {contents: read}
    outputs: {out: '${{ steps.s.outputs.out }}'}
    steps:
      - id: s
        env: {INPUTS: '${{ toJSON(inputs) }}', KEY: '${{ secrets.KEY }}', OTHER: '${{ secrets.OTHER }}'}
        run: |
          printf '%s\\n' "$INPUTS"
          echo "key ${#KEY} other ${#OTHER} of $GITHUB_EVENT_NAME in ${{ job.workflow_repository }}"
          echo "out=$(( ${{ inputs.count }} * 2 ))" >> "$GITHUB_OUTPUT"
"""
CALLER = """
on: [push, workflow_dispatch]
jobs:
  call:
    uses: ./.github/workflows/called.yml
    with: {count: 4, word: '${{ github.ref_name }}'}
    secrets: {KEY: '${{ secrets.KEY }}'}
  after:
    needs: call
    runs-on: ubuntu-24.04
    steps: [{run: 'echo "it is ${{ needs.call.outputs.out }}"'}]
"""


def call(walk: Callable[..., Walk], caller: str = CALLER, called: str = CALLED) -> Walk:
    return walk(caller, **{".github/workflows/called.yml": called})


def test_a_called_workflow_has_typed_inputs_its_secrets_and_outputs(
    workflow_server: Server, walk: Callable[..., Walk]
) -> None:
    # "Reuse workflows": inputs, secrets, outputs; the event is the caller's
    workflow_server.secrets = {"KEY": "canary", "OTHER": "canary of another"}
    done = call(walk)

    assert done.result == "success", done.log
    inner = done.job("call/inner")
    assert inner.name == "call / Inner"
    assert '"word": "main"' in inner.log
    assert '"flag": true' in inner.log
    assert '"count": 4' in inner.log
    assert "key 6 other 0 of push in stranger/project" in inner.log
    assert done.job("after").log == "it is 8\n"
    assert inner.permissions == {"contents": "read"}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("count: 4", "count: '4'", "input 'count' is '4', and a number is meant"),
        ("count: 4, ", "", "input 'count' is required"),
        ("count: 4", "count: 4, flog: true", "flog is not defined"),
        ("secrets: {KEY:", "secrets: {KAY:", "KAY is not defined"),
        ("    with:", "    permissions: {contents: none}\n    with:", "only allowed 'contents: none'"),
    ],
)
def test_a_call_that_github_would_refuse_is_refused(
    walk: Callable[..., Walk], before: str, after: str, reason: str
) -> None:
    # "Reuse workflows": the data type must match; permissions can only be maintained or reduced
    assert before in CALLER
    done = call(walk, CALLER.replace(before, after))

    assert done.result == "failure"
    assert reason in done.job("call").reason
    assert done.job("after").result == "skipped"


def test_a_called_workflow_fails_its_caller(walk: Callable[..., Walk]) -> None:
    done = call(walk, called=CALLED.replace("run: |", "run: |\n          exit 3"))

    assert results(done) == {"call/inner": "failure", "after": "skipped"}
    assert done.result == "failure"


def test_a_matrix_of_calls(walk: Callable[..., Walk]) -> None:
    # "Reuse workflows": "Using a matrix strategy with a reusable workflow"
    caller = """
on: push
jobs:
  call:
    name: Call ${{ matrix.n }}
    strategy: {fail-fast: false, matrix: {n: [1, 2, 3]}}
    uses: ./.github/workflows/called.yml
    with: {count: '${{ matrix.n }}'}
"""
    done = call(walk, caller)

    assert done.result == "success", done.log
    assert sorted(done.jobs) == ["call (0)/inner", "call (1)/inner", "call (2)/inner"]
    assert done.job("call (2)/inner").name == "Call 3 / Inner"


def test_a_workflow_of_another_repository_stands_on_that_repository(
    workflow_server: Server, walk: Callable[..., Walk]
) -> None:
    # "Reuse workflows": `$/` and `./` in a called workflow are of the called repository, the checkout is the caller's
    other = Repository.make(
        "org/tools",
        workflow_server.folder.parent / "repositories" / "tools",
        {
            ".github/workflows/outer.yml": """
on: {workflow_call: {}}
jobs:
  o:
    uses: $/.github/workflows/inner.yml
""",
            ".github/workflows/inner.yml": """
on: {workflow_call: {}}
jobs:
  i:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
        with: {persist-credentials: false}
      - uses: $/act
      - run: ls; echo "$GITHUB_REPOSITORY ${{ job.workflow_repository }} ${{ job.workflow_sha }}"
""",
            "act/action.yml": """
name: a
description: b
runs:
  using: composite
  steps: [{shell: bash, run: 'cat "$GITHUB_ACTION_PATH/word"'}]
""",
            "act/word": "of the tools\n",
        },
    )
    git(other.folder, "tag", "v1")
    sha = other.sha("v1")
    other.commit("later", {"act/word": "of a later commit\n"})
    workflow_server.repositories[other.name] = other

    done = walk(
        "on: push\njobs:\n  j:\n    uses: org/tools/.github/workflows/outer.yml@v1\n",
        **{"theirs.txt": "", "more.txt": ""},
    )

    assert done.result == "success", done.log or done.job("j").reason
    log = done.job("j/o/i").log
    assert "of the tools\n" in log
    assert "theirs.txt" in log
    assert f"stranger/project org/tools {sha}" in log


def test_a_workflow_that_calls_itself_is_refused(walk: Callable[..., Walk]) -> None:
    # "Reuse workflows": "Loops in the workflow tree are not permitted."
    text = "on: [push, workflow_call]\njobs:\n  a:\n    uses: ./.github/workflows/test.yml\n"
    done = walk(text)

    assert "Loops" in done.job("a").reason


def test_a_group_that_waits_for_itself_is_refused(walk: Callable[..., Walk]) -> None:
    # "Control the concurrency of workflows": the service cancels a run that would wait for itself
    group = "concurrency: {group: 'g-${{ github.run_id }}'}\n"
    done = call(walk, group + CALLER, group + CALLED)

    assert "deadlock" in done.job("call").reason


# --- events


def test_the_event_must_start_the_workflow(workflow_server: Server, walk: Callable[..., Walk]) -> None:
    done = walk(f"on: schedule\njobs:\n  a:\n{JOB}".replace("schedule", "{schedule: [{cron: '0 3 * * *'}]}"))
    repository = workflow_server.repositories["stranger/project"]

    assert "push does not start this workflow" in done.reason
    assert workflow_server.start(repository.name, FILE, schedule(repository)).result == "success"


FACTS = """
on: [push, pull_request, workflow_dispatch, release]
jobs:
  a:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
        with: {persist-credentials: false, fetch-depth: 2}
      - run: |
          echo "$GITHUB_EVENT_NAME $GITHUB_REF $GITHUB_REF_NAME $GITHUB_REF_TYPE [$GITHUB_BASE_REF]"
          python3 -c 'import json,os; print(*json.load(open(os.environ["GITHUB_EVENT_PATH"])))'
          test "$(git rev-parse HEAD)" = "$GITHUB_SHA" && echo "parents $(git log -1 --format=%P | wc -w)"
          git log --oneline | wc -l
          test "$PWD" = "$GITHUB_WORKSPACE"
          echo $CI $GITHUB_ACTIONS $RUNNER_OS $RUNNER_ENVIRONMENT $GITHUB_RUN_ATTEMPT
"""


def test_the_facts_of_each_event(workflow_server: Server, walk: Callable[..., Walk]) -> None:
    # "Variables reference", default environment variables; "Webhook events and payloads"
    pushed = walk(FACTS)
    repository = workflow_server.repositories["stranger/project"]
    git(repository.folder, "checkout", "-q", "-b", "topic")
    repository.commit("topic", {"x": "1"})
    git(repository.folder, "checkout", "-q", "main")
    git(repository.folder, "tag", "v2")
    asked = workflow_server.start(repository.name, FILE, pull_request(repository, "topic", labels=["envs:skip"]))
    released = workflow_server.start(repository.name, FILE, release(repository, "v2"))

    lines = pushed.job("a").log.splitlines()
    assert lines[0] == "push refs/heads/main main branch []"
    assert "before after ref" in lines[1]
    assert lines[2:] == ["parents 1", "2", "true true Linux github-hosted 1"]
    lines = asked.job("a").log.splitlines()
    assert lines[0] == "pull_request refs/pull/7/merge 7/merge branch [main]"
    assert "pull_request" in lines[1]
    assert lines[2] == "parents 2"
    assert released.job("a").log.splitlines()[0] == "release refs/tags/v2 v2 tag []"


def test_inputs_of_a_run_by_hand_are_texts_but_booleans(workflow_server: Server, walk: Callable[..., Walk]) -> None:
    # "Contexts reference", inputs: "the inputs context preserves Boolean values as Booleans instead of converting them
    # to strings"; so a number is none where a called workflow wants one.
    text = """
on:
  push:
  workflow_dispatch:
    inputs:
      flag: {type: boolean, default: true}
      count: {type: number, default: 3}
      mode: {type: choice, options: [a, b], default: a}
jobs:
  show:
    runs-on: ubuntu-24.04
    steps: [{run: 'echo "$I"', env: {I: '${{ toJSON(inputs) }}'}}]
  call:
    uses: ./.github/workflows/called.yml
    with: {count: '${{ inputs.count }}'}
"""
    call(walk, text)
    repository = workflow_server.repositories["stranger/project"]
    done = workflow_server.start(repository.name, FILE, workflow_dispatch(repository, {"flag": "false"}))
    wrong = workflow_server.start(repository.name, FILE, workflow_dispatch(repository, {"mode": "c"}))

    assert done.job("show").log == '{\n  "flag": false,\n  "count": "3",\n  "mode": "a"\n}\n'
    assert "input 'count' is '3', and a number is meant" in done.job("call").reason
    assert "none of its options" in wrong.reason


# --- attempts


def test_trying_again_runs_what_failed_and_what_needs_it(workflow_server: Server, walk: Callable[..., Walk]) -> None:
    # "Re-run workflows and jobs": "Re-run failed jobs … and all dependent jobs"; the commit and the run's id stay
    text = """
on: push
jobs:
  good:
    runs-on: ubuntu-24.04
    outputs: {at: '${{ steps.s.outputs.at }}'}
    steps: [{id: s, run: 'echo "at=$GITHUB_RUN_ATTEMPT" >> "$GITHUB_OUTPUT"'}]
  leg:
    needs: good
    strategy: {fail-fast: false, matrix: {v: [1, 2]}}
    runs-on: ubuntu-24.04
    steps: [{run: 'test ${{ matrix.v }} = 1 || test "$GITHUB_RUN_ATTEMPT" = 2'}]
  last:
    needs: [good, leg]
    if: always()
    runs-on: ubuntu-24.04
    steps: [{run: 'echo "$GITHUB_RUN_ID ${{ needs.good.outputs.at }} ${{ needs.leg.result }}"'}]
"""
    first = walk(text)
    repository = workflow_server.repositories["stranger/project"]
    second = workflow_server.start(repository.name, FILE, push(repository), again=first)

    assert results(first) == {"good": "success", "leg (0)": "success", "leg (1)": "failure", "last": "success"}
    assert {key: job.attempt for key, job in second.jobs.items()} == {"good": 1, "leg (0)": 1, "leg (1)": 2, "last": 2}
    assert set(results(second).values()) == {"success"}
    assert second.job("last").log == f"{first.run_id} 1 success\n"


def test_trying_again_goes_into_called_workflows(workflow_server: Server, walk: Callable[..., Walk]) -> None:
    called = """
on: {workflow_call: {}}
jobs:
  ok: {runs-on: ubuntu-24.04, steps: [{run: 'true'}]}
  bad: {needs: ok, runs-on: ubuntu-24.04, steps: [{run: 'test "$GITHUB_RUN_ATTEMPT" = 2'}]}
  end: {needs: bad, if: always(), runs-on: ubuntu-24.04, steps: [{run: 'true'}]}
"""
    first = call(walk, "on: push\njobs:\n  call: {uses: ./.github/workflows/called.yml}\n", called)
    repository = workflow_server.repositories["stranger/project"]
    second = workflow_server.start(repository.name, FILE, push(repository), again=first)

    assert first.result == "failure"
    assert second.result == "success"
    assert {key: job.attempt for key, job in second.jobs.items()} == {"call/ok": 1, "call/bad": 2, "call/end": 2}


# --- what is not known raises


@pytest.mark.parametrize(
    "text",
    [
        f"on: push\ndefaults: {{run: {{shell: bash}}}}\njobs:\n  a:\n{JOB}",
        f"on: push\njobs:\n  a:\n    container: debian\n{JOB}",
        f"on: push\njobs:\n  a:\n    environment: production\n{JOB}",
        f"on: push\njobs:\n  a:\n    services: {{db: {{image: postgres}}}}\n{JOB}",
        "on: push\njobs:\n  a: {runs-on: windows-2025, steps: [{run: dir}]}",
        "on: push\njobs:\n  a: {runs-on: ubuntu-24.04, steps: [{uses: actions/github-script@v7}]}",
        "on: push\njobs:\n  a: {runs-on: ubuntu-24.04, steps: [{run: dir, shell: pwsh}]}",
        "on: push\njobs:\n  a: {runs-on: ubuntu-24.04, steps: [{uses: actions/checkout@v7}]}",
        f"on: {{push: {{paths: [x]}}}}\njobs:\n  a:\n{JOB}",
    ],
)
def test_what_is_not_known_raises(walk: Callable[..., Walk], text: str) -> None:
    with pytest.raises(NotKnownError):
        walk(text)
