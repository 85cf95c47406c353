"""What a tag is at this moment: asked through the engine, whose settings, mirrors and logins count.

Docker Engine asks the registry for a digest and downloads nothing
(https://docs.docker.com/reference/api/engine/version/v1.45/#tag/Distribution). Podman has no such question: it pulls,
and its digests are those that the image was ever found under, so that the one of today has to be looked for among them.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ci_envs import command
from ci_envs.containers.docker_lock import lacks
from ci_envs.containers.references import is_digest
from ci_envs.containers.registry_failures import Failure, judge
from ci_envs.errors import BrokenError, CiEnvsError, LockError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ci_envs.command import Outcome
    from ci_envs.containers.dockerfile import BaseImage
    from ci_envs.containers.engine import Engine
    from ci_envs.containers.references import Reference

__all__ = ["Resolved", "current_digests", "local_digest", "resolve", "resolve_image"]

TRIES = 3
#: Between the tries.
_PAUSES = (1.0, 3.0)
#: For one answer of a registry about one image; Docker Engine itself waits for ever.
_ASK_SECONDS = 30
#: Podman pulls, and large images take their time.
_PULL_SECONDS = 1800.0


class Resolved(NamedTuple):
    """What a tag is."""

    #: Of the index where there is one, so that it holds for every platform.
    digest: str
    #: ``linux/amd64``, ``linux/arm64/v8``, sorted; none where the registry does not tell.
    platforms: tuple[str, ...] = ()
    #: Whether no registry gave it: this machine has the image, and others have not.
    local: bool = False
    #: Why it is taken from this machine.
    why: str = ""


class _RefusedError(Exception):
    """The registry did not give the image."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.said)
        self.failure = failure


def resolve(
    engine: Engine,
    reference: Reference,
    platform: str,
    environ: Mapping[str, str],
    *,
    pause: Callable[[float], None] = time.sleep,
) -> Resolved:
    """The digest of a tag, asked now; ``platform`` (``linux/amd64``, or empty) must be among those that it has.

    Where the registry does not give it and the engine has an image of that name, that one is taken, and ``local`` says
    so. Raises :class:`LockError` where it is not there, needs a login, or is not for the platform, and
    :class:`BrokenError` where the registry, or the engine, does not answer.
    """
    try:
        found = _ask(engine, reference, environ, pause)
    except _RefusedError as refused:
        local = _local(engine, reference, environ)
        if local is None:
            raise refused.failure.error() from None
        found = local._replace(why=refused.failure.error().message)
    if lacks(found.platforms, platform):
        known = ", ".join(found.platforms)
        raise LockError(
            f"{reference.familiar} is there for {known}, and not for {platform}",
            hint="take an image that is there for it, or leave the platform out of docker.platforms and the matrix",
        )
    return found


def resolve_image(
    engine: Engine,
    image: BaseImage,
    platform: str,
    environ: Mapping[str, str],
    *,
    file: str = "Dockerfile",
    pause: Callable[[float], None] = time.sleep,
) -> Resolved:
    """The same for an image that a Dockerfile names; errors carry its line.

    ``platform`` is what FROM means where it says none. A frontend runs where the image is built, whatever that is for.
    """
    if image.reference is None:
        raise LockError(image.problem or f"{image.shown} is no image", file=file, line=image.line)
    wanted = image.platform or ("" if image.kind == "syntax" else platform)
    try:
        return resolve(engine, image.reference, wanted, environ, pause=pause)
    except CiEnvsError as error:
        error.file, error.line = file, image.line
        if isinstance(error, LockError) and image.near_stage:
            error.hint = f"no stage is called so{image.near_stage}; {error.hint}"
        raise


def current_digests(
    engine: Engine,
    images: Sequence[BaseImage],
    environ: Mapping[str, str],
    *,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[dict[str, str], dict[str, str]]:
    """What each needed tag is now, by its key; and for each that could not be asked, why.

    Also of those whose digest stands in the Dockerfile: so it is seen that their tags have moved on.
    """
    digests: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for image in images:
        if image.reference is None or not image.needed or not image.reference.tag:
            continue
        key = image.reference.key
        if key in digests or key in unknown:
            continue
        try:
            found = resolve(engine, _tag_of(image.reference), "", environ, pause=pause)
        except (LockError, BrokenError) as error:
            unknown[key] = error.message
            continue
        if found.local:
            unknown[key] = found.why
        else:
            digests[key] = found.digest
    return digests, unknown


def local_digest(engine: Engine, reference: Reference, environ: Mapping[str, str]) -> str:
    """What the engine has under this name; empty where it has nothing. No registry is asked."""
    found = _local(engine, reference, environ)
    return found.digest if found else ""


def _tag_of(reference: Reference) -> Reference:
    return msgspec.structs.replace(reference, digest="")


def _ask(engine: Engine, reference: Reference, environ: Mapping[str, str], pause: Callable[[float], None]) -> Resolved:
    if engine.kind == "podman":
        return _pull(engine, reference, environ)  # which tries more than once itself
    for waits in (*_PAUSES[: TRIES - 1], None):
        try:
            return _distribution(engine, reference)
        except _RefusedError as refused:
            if refused.failure.why != "passing" or waits is None:
                raise
            pause(waits)
    raise AssertionError("the last try returns or raises")


# Docker Engine


def _distribution(engine: Engine, reference: Reference) -> Resolved:
    from docker.errors import APIError, DockerException
    from requests.exceptions import ConnectionError as NoConnection
    from requests.exceptions import Timeout

    # A client of its own: the engine's waits as long as a large image may take.
    with replace(engine) as asking:
        asking.client.api.timeout = _ASK_SECONDS
        try:
            attrs = asking.client.images.get_registry_data(_asked(reference)).attrs
        except APIError as error:
            said = str(error.explanation or error)
            raise _RefusedError(judge(said, reference, engine="docker", status=error.status_code or 0)) from error
        except Timeout as error:
            said = f"timeout: no answer within {_ASK_SECONDS} s"
            raise _RefusedError(judge(said, reference, engine="docker")) from error
        except NoConnection as error:
            raise _no_engine(engine, error) from error
        except DockerException as error:  # its own configuration: a helper for credentials that fails
            raise LockError(
                f"{reference.familiar} could not be asked for: {error}", hint="look into Docker's config.json"
            ) from error
    digest = str((attrs.get("Descriptor") or {}).get("digest", ""))
    if not is_digest(digest):
        raise BrokenError(f"{engine.title} tells no digest of {reference.familiar}", hint="update the engine")
    return Resolved(digest, _platforms(attrs.get("Platforms") or ()))


def _asked(reference: Reference) -> str:
    return f"{reference.name}@{reference.digest}" if reference.digest else reference.key


def _platforms(said: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Attestations stand in an index as images for ``unknown/unknown``."""
    found = {
        "/".join(part for part in (one.get("os"), one.get("architecture"), one.get("variant")) if part) for one in said
    }
    return tuple(sorted(one for one in found if "/" in one and "unknown" not in one))


def _no_engine(engine: Engine, error: Exception) -> BrokenError:
    return BrokenError(f"{engine.title} at {engine.address} does not answer: {error}", hint="is it still running?")


# Podman


def _pull(engine: Engine, reference: Reference, environ: Mapping[str, str]) -> Resolved:
    name = reference.familiar if not reference.digest else _asked(reference)
    pulled = _podman(engine, environ, "pull", "--quiet", name, timeout=_PULL_SECONDS)
    if not pulled:
        raise _RefusedError(judge(pulled.stderr or _late(pulled), reference, engine="podman"))
    image = _podman_image(engine, name, environ)
    if image is None:
        raise BrokenError(f"{engine.title} pulled {name} and does not know it", hint="try again")
    listed = _listed(engine, name, environ)
    said = [one.get("platform") or {} for one in listed["manifests"]] if listed else [_own_platform(image)]
    return Resolved(reference.digest or _of_today(engine, reference, image, environ), _platforms(said))


def _own_platform(image: Mapping[str, Any]) -> dict[str, Any]:
    return {"os": image.get("Os"), "architecture": image.get("Architecture"), "variant": image.get("Variant")}


def _of_today(engine: Engine, reference: Reference, image: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """The digest that the tag has now.

    Podman shows every digest that the image ever had behind every name that it ever had; one of them is the digest
    under which the registry keeps, in this repository, what the tag names.
    """
    known = [str(one) for one in image.get("RepoDigests") or ()]
    # A short name may have been another registry's, by Podman's own configuration.
    names = [one for one in known if one.rpartition("@")[0] == reference.name] or known
    if len(names) > 1:
        wanted = _listed(engine, reference.familiar, environ)
        names = [name for name in names if wanted is not None and _listed(engine, name, environ) == wanted]
    digests = [name.rpartition("@")[2] for name in names]
    if not digests or not all(map(is_digest, digests)):
        raise BrokenError(f"{engine.title} does not tell which digest {reference.familiar} has", hint="try again")
    own = str(image.get("Digest", ""))
    return own if own in digests else digests[0]


def _listed(engine: Engine, name: str, environ: Mapping[str, str]) -> dict[str, Any] | None:
    """The index that a name means at the registry; empty for an image without one, ``None`` where nothing is there."""
    outcome = _podman(engine, environ, "manifest", "inspect", name)
    if not outcome:
        # Older ones fail for an image without an index, and newer ones show it.
        return {} if "as manifest lists" in outcome.stderr else None
    try:
        shown = json.loads(outcome.stdout)
    except (ValueError, RecursionError):
        return None
    return shown if isinstance(shown, dict) and isinstance(shown.get("manifests"), list) else {}


def _podman_image(engine: Engine, name: str, environ: Mapping[str, str]) -> dict[str, Any] | None:
    outcome = _podman(engine, environ, "image", "inspect", name)
    if not outcome:
        return None
    try:
        found = json.loads(outcome.stdout)
    except (ValueError, RecursionError) as error:
        raise BrokenError(f"podman image inspect {name} does not answer in JSON", hint="update Podman") from error
    return dict(found[0]) if found else None


def _podman(engine: Engine, environ: Mapping[str, str], *arguments: str, timeout: float = 120.0) -> Outcome:
    argv = ("podman", *arguments)
    return command.run(command.Command(argv, env={**environ, **engine.environ}, timeout=timeout, raw=True))


def _late(outcome: Outcome) -> str:
    return "timeout: the pull took too long" if outcome.timed_out else outcome.stdout


# Images of this machine


def _local(engine: Engine, reference: Reference, environ: Mapping[str, str]) -> Resolved | None:
    if engine.kind == "podman":
        image = _podman_image(engine, reference.familiar, environ)
        digest = str(image.get("Digest", "")) if image else ""
    else:
        image = _docker_image(engine, reference)
        # With containerd's store this is the manifest's digest, with the classic one the configuration's.
        digest = str(image.get("Id", "")) if image else ""
    if image is None or not is_digest(digest):
        return None
    return Resolved(digest, _platforms([_own_platform(image)]), local=True)


def _docker_image(engine: Engine, reference: Reference) -> dict[str, Any] | None:
    from docker.errors import APIError, ImageNotFound
    from requests.exceptions import RequestException

    try:
        return dict(engine.client.images.get(_asked(reference)).attrs)
    except ImageNotFound:
        return None
    except APIError as error:
        raise BrokenError(f"{engine.title} does not tell of {reference.familiar}: {error.explanation}") from error
    except RequestException as error:
        raise _no_engine(engine, error) from error
