"""Ways to break a requirement by a small edit of our own files, and what of them zizmor alone would see.

Each edit is made in the files as they are, so that one that has come to nothing is found. ``zizmor`` names the audits
(offline, persona auditor) that find it; where it is empty, our own checks stand alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.workflows import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MUTATIONS", "PUBLISH", "PUBLISHING", "Mutation", "mutated"]

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
BUILD = ".github/workflows/build-envs.yml"
SHARD = ".github/workflows/build-shard.yml"
CI = ".github/workflows/ci.yml"
NIGHTLY = ".github/workflows/nightly.yml"
LEG = "actions/leg/action.yml"
VENV = "actions/setup/private-venv.sh"
SAVE = "actions/cache/save@55cc8345863c7cc4c66a329aec7e433d2d1c52a9 # v6.1.0"
KEY = "        key: ${{ steps.prepare.outputs.cache-key }}\n"
NO_TOKEN = "        with:\n          persist-credentials: false\n"
PLAN_PATH = "          path: ${{ runner.temp }}/ci-envs-plan\n"
PLAN_NAME = "          name: ${{ needs.plan.outputs.artifact }}-plan\n"
REPORT = "    permissions: {}\n    outputs:"
RECORDS = "path: ${{ runner.temp }}/ci-envs-records\n          if-no-files-found"
SHARD_CALL = "    uses: $/.github/workflows/build-shard.yml\n"
LIMIT = "concurrency:\n  group: ${{ github.workflow }}-${{ github.ref }}\n  cancel-in-progress: false\n"
ATTEST = (
    "uses: actions/attest@0123456789012345678901234567890123456789 # v5.0.0\n"
    "        with:\n          subject-path: image.tar\n"
)
GATE = "run: .ci/gate.py\n"

#: A workflow as one that publishes has to be; this repository has none yet. That nobody has read the two actions of
#: others in it is all that is to be said against it.
PUBLISH = ".github/workflows/publish-images.yml"
PUBLISHING = """\
name: Publish images
on:
  workflow_call:
    inputs:
      artifact:
        description: The id of the artifact that was verified.
        type: string
        required: true

permissions: {}

concurrency:
  group: publish-${{ github.ref }}
  cancel-in-progress: false

jobs:
  verify:
    name: Verify
    runs-on: ubuntu-24.04
    timeout-minutes: 10
    permissions: {}
    steps:
      - name: Download
        uses: actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c # v8.0.1
        with:
          artifact-ids: ${{ inputs.artifact }}
  publish:
    name: Publish
    needs: verify
    runs-on: ubuntu-24.04
    timeout-minutes: 10
    environment: images
    permissions:
      attestations: write # to keep the attestation
      id-token: write # to sign as this workflow
      packages: write # to push the image
    steps:
      - name: Shut the network
        uses: step-security/harden-runner@0123456789012345678901234567890123456789 # v3.0.0
        with:
          egress-policy: block
          allowed-endpoints: ghcr.io:443
      - name: Download
        uses: actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c # v8.0.1
        with:
          artifact-ids: ${{ inputs.artifact }}
      - name: Attest
        uses: actions/attest@0123456789012345678901234567890123456789 # v5.0.0
        with:
          subject-path: image.tar
"""


@dataclass(frozen=True)
class Mutation:
    """One edit. ``old`` is replaced where it stands first; an empty ``new`` for an empty ``old`` removes the file."""

    requirement: int
    name: str
    file: str
    old: str
    new: str
    zizmor: frozenset[str] = frozenset()
    #: Requirements that the same edit breaks, too.
    also: frozenset[int] = frozenset()
    #: Files that are there beforehand.
    beside: dict[str, str] = field(default_factory=dict)


def mutated(repository: Repository, mutation: Mutation) -> Repository:
    """The repository after the edit; ``ValueError`` where it changes nothing."""
    files = {**repository.files, **mutation.beside}
    before = files[mutation.file]
    if not mutation.old:
        del files[mutation.file]
        return Repository(files, repository.others)
    after = before.replace(mutation.old, mutation.new, 1)
    if after == before:
        raise ValueError(f"{mutation.name}: {mutation.file} has no {mutation.old!r} any more")
    return Repository({**files, mutation.file: after}, repository.others)


def _of(requirement: int, *rows: tuple[str, str, str, str, str], also: str = "") -> Iterator[Mutation]:
    """Mutations of one requirement: name, file, old, new, zizmor's audits in words."""
    for name, file, old, new, audits in rows:
        broken = frozenset(int(word) for word in also.split())
        yield Mutation(requirement, name, file, old, new, frozenset(audits.split()), broken)


def _publishing(requirement: int, *rows: tuple[str, str, str, str], also: str = "") -> Iterator[Mutation]:
    for name, old, new, audits in rows:
        broken = frozenset({1, *(int(word) for word in also.split())})
        yield Mutation(requirement, name, PUBLISH, old, new, frozenset(audits.split()), broken, {PUBLISH: PUBLISHING})


MUTATIONS: tuple[Mutation, ...] = (
    *_of(
        1,
        ("a tag for a commit", BUILD, CHECKOUT, "actions/checkout@v7", "unpinned-uses"),
        ("a branch in a composite action", LEG, SAVE, "actions/cache/save@main", "unpinned-uses"),
        ("another version in the comment", BUILD, "# v7.0.1", "# v7.0.0", ""),
        ("a repository of almost that name", CI, "actions/setup-python@", "action/setup-python@", "typosquat-uses"),
        ("a call of ours that is not there", BUILD, "$/actions/plan", "$/actions/plans", ""),
        ("a call of ours by its path", BUILD, "uses: $/actions/plan", "uses: ./actions/plan", "self-repository"),
    ),
    *_of(
        2,
        ("no permissions at the top", CI, "permissions: {}\n", "", "excessive-permissions"),
        ("every permission to read", BUILD, REPORT, "    permissions: read-all\n    outputs:", "excessive-permissions"),
        ("a job that does not say", SHARD, "    permissions: {}\n", "", ""),
        (
            "a permission without its reason",
            NIGHTLY,
            "contents: read # to check out this repository",
            "contents: read",
            "",
        ),
    ),
    *_of(
        3,
        (
            "an input in a script",
            "actions/plan/action.yml",
            "ci_envs.action plan'",
            "ci_envs.action plan ${{ inputs.matrix }}'",
            "template-injection",
        ),
        (
            "a job's output in a script",
            CI,
            GATE,
            "run: .ci/gate.py ${{ needs.envs.outputs.status }}\n",
            "template-injection",
        ),
        ("a shell that is chosen", LEG, "shell: bash", "shell: ${{ inputs.leg }}", ""),
        ("what a shell reads first", CI, "NEEDS: ${{ toJSON(needs) }}", "BASH_ENV: ${{ github.head_ref }}", ""),
    ),
    *_of(
        4,
        ("pull requests with our rights", CI, "  pull_request:\n", "  pull_request_target:\n", "dangerous-triggers"),
        ("comments start a night", NIGHTLY, "  workflow_dispatch:\n", "  issue_comment:\n", "dangerous-triggers"),
        (
            "a plan of another run",
            BUILD,
            PLAN_NAME,
            "          name: plan\n          run-id: ${{ inputs.artifact-name }}\n",
            "",
        ),
    ),
    *_of(
        5,
        ("a token in the checkout", BUILD, "persist-credentials: false", "persist-credentials: true", "artipacked"),
        ("nothing said of the token", CI, NO_TOKEN, "", "artipacked"),
        (
            "the runner's folder as an artifact",
            SHARD,
            RECORDS,
            "path: ${{ runner.temp }}\n          if-no-files-found",
            "",
        ),
    ),
    *_of(
        6,
        ("a near cache will do", LEG, KEY, f"{KEY}        restore-keys: ci-envs-\n", ""),
        ("a key for every lock", LEG, KEY, "        key: packages-${{ runner.os }}\n", ""),
        ("a release out of a cache", CI, "branches: [main]", 'tags: ["v*"]', ""),
    ),
    *_of(
        7,
        (
            "a leg that may push",
            BUILD,
            "contents: read # to check out the repository that is built",
            "packages: write # to push",
            "",
        ),
        also="6 14",
    ),
    *_of(7, ("an artifact that was changed", BUILD, PLAN_PATH, f"{PLAN_PATH}          digest-mismatch: warn\n", "")),
    *_publishing(
        7,
        ("a publisher without rules", "    environment: images\n", "", ""),
        ("a publisher that waits for nobody", "    needs: verify\n", "", ""),
        (
            "a publisher that builds",
            "      - name: Attest\n",
            "      - name: Build\n        run: make image\n      - name: Attest\n",
            "",
        ),
    ),
    *_of(
        8,
        ("every secret for the shards", BUILD, SHARD_CALL, f"{SHARD_CALL}    secrets: inherit\n", "secrets-inherit"),
        ("a secret in a leg", BUILD, "lock-mode: ${{ inputs.lock-mode }}", "lock-mode: ${{ secrets.INDEX_TOKEN }}", ""),
        (
            "all secrets in one variable",
            CI,
            "toJSON(needs)",
            "toJSON(secrets)",
            "overprovisioned-secrets secrets-outside-env",
        ),
    ),
    *_of(
        9,
        ("a variable by hand", CI, GATE, 'run: echo "BAD=$NEEDS" >> "$GITHUB_ENV"\n', ""),
        ("an output by hand", VENV, "printf 'python=%s\\n' \"$inside\"", 'echo "python=$PWD"', ""),
        ("an output in the log", CI, GATE, 'run: echo "::set-output name=bad::$NEEDS"\n', ""),
        (
            "old commands turned on",
            CI,
            "        env:\n",
            '        env:\n          ACTIONS_ALLOW_UNSECURE_COMMANDS: "true"\n',
            "insecure-commands",
        ),
    ),
    *_of(
        10,
        (
            "a job in an image's tag",
            CI,
            "    timeout-minutes: 20\n",
            "    timeout-minutes: 20\n    container: python:3.13\n",
            "unpinned-images",
        ),
        ("nox from wherever it comes", CI, "--require-hashes --only-binary :all: -r requirements/dev.txt", "nox", ""),
        ("the tool without its hashes", VENV, "--require-hashes", "--upgrade", ""),
        ("a lock that lost a hash", "requirements/ci-envs.txt", "packaging==", "packaging>=", ""),
        ("an image without a release", "examples/datascience/Dockerfile", "python:3.12-slim-bookworm", "python", ""),
        ("a package of npm without a hash", "tests/support/node/package-lock.json", '"integrity"', '"license"', ""),
        ("a session without a lock", "noxfile.py", 'session.install(*from_lock("dev"))', 'session.install("uv")', ""),
        ("the newest of a tool", CI, "python -m nox --session tests", "uvx nox --session tests", ""),
    ),
    *_of(
        10,
        (
            "what an address says is run",
            CI,
            "run: make docs\n",
            "run: curl -fsSL https://example.org/install | bash\n",
            "",
        ),
        also="14",
    ),
    *_of(
        11,
        (
            "a second index for nox",
            CI,
            "--require-hashes",
            "--require-hashes --extra-index-url https://example.org/simple",
            "",
        ),
        (
            "a second index in an image",
            "examples/datascience/Dockerfile",
            "VIRTUAL_ENV=/opt/venv",
            "PIP_EXTRA_INDEX_URL=https://example.org/simple",
            "",
        ),
        (
            "the best version of any index",
            "pyproject.toml",
            "[tool.mypy]",
            '[tool.uv]\nindex-strategy = "unsafe-best-match"\n\n[tool.mypy]',
            "",
        ),
    ),
    *_of(
        12,
        (
            "a report that may sign",
            BUILD,
            REPORT,
            "    permissions:\n      id-token: write # to sign\n    outputs:",
            "",
        ),
        also="7 14",
    ),
    *_of(
        12,
        (
            "a token as a build argument",
            "examples/datascience/Dockerfile",
            "WORKDIR /app",
            "ARG INDEX_TOKEN\nWORKDIR /app",
            "",
        ),
        ("any signer will do", CI, "run: make docs\n", "run: gh attestation verify image.tar --owner org\n", ""),
    ),
    *_publishing(12, ("anybody may start it", "  workflow_call:\n", "  push:\n  workflow_call:\n", "")),
    *_of(
        13,
        ("a job that may hang", CI, "    timeout-minutes: 10\n", "", ""),
        ("whatever is the latest", BUILD, "runs-on: ubuntu-24.04", "runs-on: ubuntu-latest", ""),
        (
            "a machine of our own",
            CI,
            "runs-on: ${{ matrix.os }}",
            "runs-on: [self-hosted, linux]",
            "self-hosted-runner",
        ),
        ("an axis of moving labels", CI, "macos-15", "macos-latest", ""),
        ("runs without a limit", NIGHTLY, LIMIT, "", "concurrency-limits"),
    ),
    *_publishing(13, ("a publisher that is cut off", "cancel-in-progress: false", "cancel-in-progress: true", "")),
    *_publishing(
        14,
        ("a publisher that only looks on", "egress-policy: block", "egress-policy: audit", ""),
        ("a publisher that may reach all", "          allowed-endpoints: ghcr.io:443\n", "", ""),
    ),
    *_of(
        14,
        (
            "a tool from somewhere",
            VENV,
            "set -euo pipefail\n",
            "set -euo pipefail\ncurl -fsSLo /tmp/uv https://example.org/uv\n",
            "",
        ),
    ),
    *_of(
        15,
        (
            "updates on their first day",
            ".github/dependabot.yml",
            "default-days: 7",
            "default-days: 1",
            "dependabot-cooldown",
        ),
        ("composite actions grow old", ".github/dependabot.yml", '"/", "/actions/*"', '"/"', ""),
        ("workflows without owners", ".github/CODEOWNERS", "/.github/ @org/maintainers\n", "", ""),
        ("nowhere to report to", "SECURITY.md", "", "", ""),
        ("an address in the clear", ".github/dependabot.yml", "version: 2", "# See http://example.org\nversion: 2", ""),
    ),
    *_publishing(
        15,
        ("a release of bare files", ATTEST, "run: gh release create v1 dist/*\n", ""),
        also="12",
    ),
)
