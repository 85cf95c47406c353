"""What a person should know of the images that a Dockerfile builds on: findings with their lines. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_envs.containers.docker_lock import NAME, DockerLock
from ci_envs.containers.dockerfile_reader import read_dockerfile
from ci_envs.containers.dockerfile_stages import argument_pairs
from ci_envs.containers.dockerfile_words import BLANKS
from ci_envs.model.record import Finding
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ci_envs.containers.docker_lock import LockedImage
    from ci_envs.containers.dockerfile import BaseImage
    from ci_envs.containers.dockerfile_reader import Instruction
    from ci_envs.containers.references import Reference
    from ci_envs.model.record import Severity

__all__ = ["base_findings", "secret_findings"]

_SHOWN = 80
_SHORT = 19  # "sha256:" and twelve digits

#: What Docker's own check SecretsUsedInArgOrEnv takes for a secret, without what is public by its name.
_SECRET = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASS|PWORD|TOKEN|SECRET|APIKEY|API_KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY|CREDENTIALS?"
    r"|AUTH)$",
    re.IGNORECASE,
)


def base_findings(
    images: Sequence[BaseImage],
    lock: DockerLock | None,
    current: Mapping[str, str] | None = None,
    *,
    file: str = "Dockerfile",
) -> tuple[Finding, ...]:
    """What is to be said of the needed images, in the file's order.

    ``lock`` is ``None`` where there is no docker.lock. ``current`` has what tags are now, by key, as far as they were
    asked for: it is what is written into a message where no lock has a digest, and what shows that a tag has moved.
    """
    teller = _Teller(lock, current or {}, file)
    return tuple(dict.fromkeys(finding for image in images if image.needed for finding in teller.of(image)))


def secret_findings(
    text: str, *, build_args: Mapping[str, str] | None = None, file: str = "Dockerfile"
) -> tuple[Finding, ...]:
    """IMG005 for each ARG and ENV that is called as a secret is and has a value. Raises :class:`UsageError`."""
    dockerfile = read_dockerfile(text, file=file)
    found: list[Finding] = []
    for instruction in dockerfile.instructions:
        if instruction.name in ("ARG", "ENV"):
            found += _secrets(instruction, dockerfile.escape, build_args or {}, file)
    return tuple(found)


class _Teller:
    """Tells of images, one after the other."""

    def __init__(self, lock: DockerLock | None, current: Mapping[str, str], file: str) -> None:
        self._has_lock = lock is not None
        self._locked = lock.by_key() if lock else {}
        self._current = current
        self._file = file

    def of(self, image: BaseImage) -> Iterator[Finding]:
        """All findings about one image."""
        if image.problem:
            yield self._found(image, "IMG006", "base unknown", image.problem)
        for name in image.unset:
            message = f"{image.shown}: {name} has no value here, and is replaced by nothing"
            yield self._found(image, "IMG006", "no value", message)
        if (reference := image.reference) is None:
            return
        entry = self._locked.get(reference.key)
        if reference.digest:
            yield from self._moved(image, reference.digest, "")
        elif entry is None:
            yield from self._unpinned(image, reference)
        elif entry.local:
            message = f"{image.shown} is in no registry: only a machine that has it can build on it"
            yield self._found(image, "IMG007", "base of this machine", message)
        else:
            yield from self._pinned_elsewhere(image, reference, entry)
            yield from self._moved(image, entry.digest, entry.when)

    def _unpinned(self, image: BaseImage, reference: Reference) -> Iterator[Finding]:
        now = self._current.get(reference.key, "")
        write = f"write {image.pinned(now)}" if now else ""
        if self._has_lock:
            message = f"{image.shown} is not in {NAME}: run `ci-envs lock`" + (f", or {write}" if write else "")
            yield self._found(image, "IMG004", "base not locked", message)
        else:
            message = f"{image.shown} is not pinned, and may be another image tomorrow: run `ci-envs lock`"
            yield self._found(image, "IMG001", "base not pinned", message + (f", or {write}" if write else ""))
        yield from self._latest(image, reference, "warning")

    def _pinned_elsewhere(self, image: BaseImage, reference: Reference, entry: LockedImage) -> Iterator[Finding]:
        written = image.pinned(entry.digest)
        message = f"{image.shown} carries no digest; builds here use that of {NAME}. For all others, write {written}"
        yield self._found(image, "IMG001", "base not pinned", message, "info")
        yield from self._latest(image, reference, "info")

    def _latest(self, image: BaseImage, reference: Reference, severity: Severity) -> Iterator[Finding]:
        if reference.is_latest:
            what = "has no tag, which means latest" if reference.tagless else "is whatever was pushed last"
            message = f"{image.shown} {what}: name the version that is meant"
            yield self._found(image, "IMG002", "latest", message, severity)

    def _moved(self, image: BaseImage, digest: str, when: str) -> Iterator[Finding]:
        now = self._current.get(image.reference.key, "") if image.reference else ""
        if not now or now == digest:
            return
        if when:
            message = (
                f"{image.shown} was {digest[:_SHORT]} when it was locked on {when[:10]}, and is {now} now; "
                "`ci-envs lock --upgrade` takes that"
            )
        else:
            message = f"{image.shown}: the tag has moved on; to follow it, write {image.pinned(now)}"
        yield self._found(image, "IMG003", "tag moved", message)

    def _found(self, image: BaseImage, code: str, title: str, message: str, severity: Severity = "warning") -> Finding:
        return Finding(code=code, severity=severity, title=title, message=message, file=self._file, line=image.line)


def _secrets(instruction: Instruction, escape: str, build_args: Mapping[str, str], file: str) -> Iterator[Finding]:
    for name, value, word in argument_pairs(instruction, escape):
        given = build_args.get(name, "") if instruction.name == "ARG" else ""
        if not _SECRET.search(name) or not (given or (value or "").strip("\"'")):
            continue
        shown = one_line(BLANKS.sub(" ", name), _SHOWN)
        yield Finding(
            code="IMG005",
            severity="warning",
            title="secret in the image",
            message=f"{instruction.name} {shown} has a value, which everybody who has the image can read; "
            "hand it over by RUN --mount=type=secret and docker.secrets",
            file=file,
            line=instruction.line_of(word.start),
        )
