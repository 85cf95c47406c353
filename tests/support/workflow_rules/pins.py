"""Requirements 1, 10 and 11: what is used or fetched is named by a hash, and comes from one place."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.support.third_party_actions import THIRD_PARTY
from tests.support.workflow_rules.scripts import commands, dockerfiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.workflow_tables import Table
    from tests.support.workflows import Repository

    Told = Iterator[tuple[str, int, str]]

__all__ = [
    "calls_of_ours_exist", "images_are_pinned", "installs_are_hashed", "locks_are_hashed", "no_second_index",
    "nothing_is_piped_into_a_shell", "nox_installs_from_locks", "npm_locks_are_hashed", "others_are_known",
    "uses_are_pinned",
]  # fmt: skip

_PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
_IMAGE_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
#: Our own locks for pip; what other examples' runs leave beside them is not committed.
_LOCK = re.compile(r"(requirements|src/ci_envs/resources/tools|examples/datascience)/.*\.txt")
_FROM = re.compile(r"\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)

#: What a template is filled in with was checked before: base-images.yml has digests, docker.lock those of others.
_FILLED_IN = re.compile(r"\{\{.*?\}\}")

#: Dockerfiles that a person edits: they name a tag, and ``docker.lock`` beside them says which digest that stands for.
INTENTS = re.compile(r"examples/.*Dockerfile")

#: Words of a command that installs Python packages, and those that make it fetch nothing unhashed.
_INSTALLS = re.compile(r"\bpip3?(\.exe)?\W.*?\b(install|download|wheel)\b|\buv\b.*?\bpip\s+(install|sync)\b")
_HASHED = (
    *("--require-hashes", "--verify-hashes", "--no-index"),
    # Of a template: a lock without hashes is the user's own, and is said to be so.
    '{{ "--require-hashes " if hashed }}',
    # Builds the project that is there, and nothing else.
    "pip --python {{ prefix }}/bin/python wheel --no-deps",
)
_RUNNERS = re.compile(r"\b(uvx|pipx run|npx|bunx|pnpm dlx|yarn dlx)\b")
_SECOND_INDEX = re.compile(
    r"extra[-_]index|(?<!no-emit-)find[-_]links|\bindex[-_]strategy|\bunsafe-(first|best)-match|\bUV_INDEX\b"
    r"|(?<!no-emit-)trusted[-_]host",
    re.IGNORECASE,
)


def _uses(repository: Repository) -> Iterator[tuple[str, str, int]]:
    """Each ``uses:`` with its file and line, jobs' and steps'."""
    for job in repository.jobs:
        if job.uses:
            yield job.uses, job.file, job.at("uses")
    for step in repository.steps:
        if step.uses:
            yield step.uses, step.file, step.at("uses")


def uses_are_pinned(repository: Repository) -> Told:
    """40 digits and ``# vX.Y.Z``; our own by ``$/``, which is this commit."""
    for uses, file, line in _uses(repository):
        written = repository.line(file, line).strip().removeprefix("- ")
        if not uses.startswith("$/") and not _PINNED.fullmatch(written):
            yield file, line, f"{uses} is not pinned to a commit with `# vX.Y.Z` behind it"


def calls_of_ours_exist(repository: Repository) -> Told:
    """What stands behind ``$/`` is an action or a workflow of this repository."""
    for uses, file, line in _uses(repository):
        path = uses.removeprefix("$/")
        if uses.startswith("$") and path not in repository.workflows and (path not in repository.actions or not path):
            yield file, line, f"{uses} is neither an action nor a workflow of this repository"


def others_are_known(repository: Repository) -> Told:
    """An action of others was read before it is used, and what it uses itself is pinned, too."""
    for uses, file, line in _uses(repository):
        name, _, commit = uses.partition("@")
        known = THIRD_PARTY.get(name)
        if name.startswith("$/"):
            continue
        if known is None:
            yield file, line, f"{name} is not in tests/support/third_party_actions.py: nobody has read what it uses"
        elif known.commit != commit or known.version not in repository.line(file, line):
            yield file, line, f"{name} is used at another commit than {known.version}, which was read"
        else:
            for nested in known.nested:
                if not re.search(r"@[0-9a-f]{40}$", nested):
                    yield file, line, f"{name} uses {nested}, which is not pinned"


def images_are_pinned(repository: Repository) -> Told:
    """Images of jobs, steps and Dockerfiles carry a digest."""
    for job in repository.jobs:
        for place, image in _images(job.table):
            if not _IMAGE_DIGEST.search(image):
                yield job.file, place, f"the image {image} has no digest"
    for uses, file, line in _uses(repository):
        if uses.startswith("docker://") and not _IMAGE_DIGEST.search(uses):
            yield file, line, f"the image {uses} has no digest"
    for path in dockerfiles(repository):
        yield from _bases(path, repository.files[path])


def _images(job: Table) -> Iterator[tuple[int, str]]:
    services = job.sub("services")
    if "container" in job:
        yield job.at("container"), job.text("container") or job.sub("container").text("image")
    for name in services:
        yield services.at(name), services.text(name) or services.sub(name).text("image")


def _bases(path: str, text: str) -> Told:
    stages: set[str] = {"scratch"}
    for number, line in enumerate(text.splitlines(), 1):
        found = _FROM.match(_FILLED_IN.sub("scratch", line))
        if not found:
            continue
        base = found[1]
        named = ":" in base.rpartition("/")[2] and not base.endswith(":latest")
        if base not in stages and not _IMAGE_DIGEST.search(base):
            if not INTENTS.fullmatch(path):
                yield path, number, f"the base {base} has no digest"
            elif not named:
                yield path, number, f"the base {base} names no release"
        stages.add(found[2] or "")


def installs_are_hashed(repository: Repository) -> Told:
    """Packages are installed by their hashes, or from files that are there."""
    for file, line, text in commands(repository):
        for part in re.split(r"&&|\|\||;", text):
            if _INSTALLS.search(part) and not any(word in part for word in _HASHED):
                yield file, line, f"`{part.strip()[:60]}` installs without --require-hashes"
            elif _RUNNERS.search(part):
                yield file, line, f"`{part.strip()[:60]}` runs what an index has at that moment"


def locks_are_hashed(repository: Repository) -> Told:
    """Each line of our own locks names one version, and at least one sha256."""
    for path, text in repository.files.items():
        if not _LOCK.fullmatch(path):
            continue
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith((" ", "#")):
                continue
            behind = lines[number] if number < len(lines) else ""
            if not re.match(r"[\w.-]+(\[.*\])?==", line) or "--hash=sha256:" not in line + behind:
                yield path, number, f"{line.partition(' ')[0]} is not pinned by a hash"


def npm_locks_are_hashed(repository: Repository) -> Told:
    """Each package of a lock of npm has its integrity."""
    for path, text in repository.files.items():
        if path.endswith("package-lock.json"):
            packages: dict[str, dict[str, object]] = json.loads(text)["packages"]
            for name in (name for name, one in packages.items() if name and "integrity" not in one):
                yield path, 1, f"{name} is not pinned by a hash"


def nox_installs_from_locks(repository: Repository) -> Told:
    """What a session of noxfile.py installs comes from a lock, or from this checkout."""
    for number, line in enumerate(repository.files.get("noxfile.py", "").splitlines(), 1):
        if re.search(r"\bsession\.(conda_)?install\(", line) and not re.search(r"\*from_lock\(|--no-index", line):
            yield "noxfile.py", number, f"`{line.strip()}` installs what no lock names"


def nothing_is_piped_into_a_shell(repository: Repository) -> Told:
    """No script is run that was only just fetched."""
    for file, line, text in commands(repository):
        if re.search(
            r"\b(curl|wget)\b.*\|\s*(sudo\s+)?(env\s+)?(ba|z|da)?sh\b|\b(ba)?sh\s+(-c\s+)?.?<?.?\(?(curl|wget)\b", text
        ):
            yield file, line, f"`{text.strip()[:60]}` runs what it has just fetched"


def no_second_index(repository: Repository) -> Told:
    """No file that we ship or run names a further index, or looser rules for choosing one."""
    places = re.compile(r"\.github/.*|(actions/.*)?action\.yml|.*\.sh|\.ci/.*|.*Makefile|.*Dockerfile.*|requirements/.*"
                        r"|examples/.*|src/ci_envs/resources/.*|pyproject\.toml|noxfile\.py")  # fmt: skip
    for path, text in repository.files.items():
        if not places.fullmatch(path) or not _SECOND_INDEX.search(text):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if _SECOND_INDEX.search(line) and not line.lstrip().startswith("#"):
                yield path, number, f"`{line.strip()[:60]}` names a second index, or loosens how one is chosen"
