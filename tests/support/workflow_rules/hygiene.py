"""Requirement 15: what stands around the code."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from tests.support.workflow_tables import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.workflows import Repository

    Told = Iterator[tuple[str, int, str]]

__all__ = [
    "addresses_are_encrypted", "faults_can_be_reported", "no_binary_is_committed", "owners_are_named",
    "releases_can_be_verified", "updates_wait",
]  # fmt: skip

DEPENDABOT = ".github/dependabot.yml"
OWNERS = ".github/CODEOWNERS"
SECURITY = "SECURITY.md"
WAIT = 7  # days
OWNED = ("/.github/", "/action.yml", "/actions/", "/matrices/")
_BINARY = re.compile(
    r".*\.(exe|dll|so(\.\d+)*|dylib|a|o|obj|jar|war|class|pyc|pyd|whl|egg|gz|bz2|xz|zst|zip|tgz|conda|deb|rpm|msi|dmg|iso"
    r"|wasm|node)"
)
_OWN_MACHINE = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\]|\$|%s)")


def updates_wait(repository: Repository) -> Told:
    """Dependabot looks after every folder that uses actions, waits a week, and runs nothing of what it updates."""
    if DEPENDABOT not in repository.files:
        yield DEPENDABOT, 1, "nothing renews the actions that are used"
        return
    read = table(repository.files[DEPENDABOT])
    folders: list[str] = []
    for update in read.get("updates", []):
        days = update.sub("cooldown").text("default-days")
        if not days.isdigit() or int(days) < WAIT:
            yield DEPENDABOT, update.line, f"an update is taken less than {WAIT} days after its release"
        if update.text("insecure-external-code-execution") == "allow":
            yield DEPENDABOT, update.at("insecure-external-code-execution"), "code of what is updated is run"
        if update.text("package-ecosystem") == "github-actions":
            folders += update.get("directories", [update.text("directory")])
    for folder in repository.actions:
        if not any(fnmatch(f"/{folder}", pattern) for pattern in folders):
            yield DEPENDABOT, read.at("updates"), f"nothing renews what /{folder} uses"


def owners_are_named(repository: Repository) -> Told:
    """Workflows, actions and matrices have owners."""
    text = repository.files.get(OWNERS, "")
    owned = {line.split()[0] for line in text.splitlines() if len(line.split()) > 1 and not line.startswith("#")}
    for path in OWNED:
        if path not in owned:
            yield OWNERS, 1, f"nobody must review a change of {path}"


def faults_can_be_reported(repository: Repository) -> Told:
    """SECURITY.md says how."""
    if "vulnerability" not in repository.files.get(SECURITY, ""):
        yield SECURITY, 1, "nothing says how a vulnerability is reported"


def no_binary_is_committed(repository: Repository) -> Told:
    """What is run can be read; what tests only read is no such thing."""
    for name in sorted(repository.names):
        if _BINARY.fullmatch(name) and not name.startswith("tests/cases/"):
            yield name, 1, "a binary is committed: nobody can review it"


def releases_can_be_verified(repository: Repository) -> Told:
    """A workflow that makes a release adds a list of parts, and signatures or provenance."""
    making = re.compile(r"gh release (create|upload)|softprops/action-gh-release|ncipollo/release-action")
    for workflow in repository.workflows.values():
        text = repository.files[workflow.file]
        if not (found := making.search(text)):
            continue
        line = text[: found.start()].count("\n") + 1
        if not re.search(r"\.(cdx|spdx)\.json|sbom", text):
            yield workflow.file, line, "the release has no list of its parts"
        if not re.search(r"\.(sigstore\.json|intoto\.jsonl)", text):
            yield workflow.file, line, "the release has neither signature nor provenance"


def addresses_are_encrypted(repository: Repository) -> Told:
    """No workflow, action or script speaks to another machine in the clear."""
    for path, text in repository.files.items():
        if not path.startswith((".github/", "action", ".ci/", "src/ci_envs/resources/Docker")):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if "http://" in _OWN_MACHINE.sub("", line):
                yield path, number, f"`{line.strip()[:60]}` is an address in the clear"
