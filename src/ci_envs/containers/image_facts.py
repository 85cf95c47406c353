"""What an engine knows of an image, in the words of a record.

The answers of Docker's two stores and of Podman have one shape and mean different things by it: an ``Id`` is the
configuration's digest, but with containerd's store that of the manifest (or of the index above it), and ``Size`` counts
compressed layers there and unpacked ones elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci_envs.containers.references import is_digest, parse_reference
from ci_envs.errors import BrokenError, BuildError, UsageError
from ci_envs.machine import arch_name
from ci_envs.model.image import ImageFacts
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_envs.containers.engine import Engine

__all__ = ["facts_of", "inspect_image"]

# What Go writes for a time that nobody has set.
_NO_TIME = "0001-01-01"


def inspect_image(engine: Engine, name: str) -> ImageFacts:
    """The image of a name or id. What only its builder knows (bases, builder, whether it can be repeated) is empty.

    Raises :class:`BuildError` where the engine has no such image, :class:`BrokenError` where it does not answer.
    """
    from docker.errors import DockerException, NotFound
    from requests.exceptions import RequestException  # what the SDK lets through of its transport

    try:
        answer = engine.client.images.get(name).attrs
    except NotFound as error:
        raise BuildError(f"{engine.kind} has no image {name}", hint="build or pull it first") from error
    except (DockerException, RequestException) as error:
        raise BrokenError(f"{engine.kind} does not tell what {name} is: {error}") from error
    return facts_of(answer, name, engine)


def facts_of(answer: Mapping[str, Any], name: str, engine: Engine) -> ImageFacts:
    """What an engine's answer says. Pure."""
    settings = answer.get("Config") or {}
    redact = Redactor()
    return ImageFacts(
        name=name,
        id=str(answer["Id"]),
        manifest=_manifest(answer, name, engine.store),
        config="" if engine.store == "containerd" else _digest(answer["Id"]),
        layers=tuple((answer.get("RootFS") or {}).get("Layers") or ()),
        bytes=int(answer.get("Size") or 0),
        os=str(answer.get("Os") or ""),
        arch=arch_name(answer["Architecture"]) if answer.get("Architecture") else "",
        variant=str(answer.get("Variant") or ""),
        created=_time(str(answer.get("Created") or "")),
        user=str(settings.get("User") or ""),
        labels={str(key): redact(str(value)) for key, value in sorted((settings.get("Labels") or {}).items())},
        variables=tuple(sorted({str(text).partition("=")[0] for text in settings.get("Env") or ()})),
        engine=engine.kind,
        engine_version=engine.version,
        store=engine.store,
    )


def _manifest(answer: Mapping[str, Any], name: str, store: str) -> str:
    """The manifest's digest; empty where the engine does not know it, or names an index of several."""
    if store == "containerd":
        # Docker tells the kind from version 28 on. Before, it is a manifest for what was built without attestations.
        descriptor = answer.get("Descriptor") or {"digest": answer["Id"]}
        is_index = any(word in str(descriptor.get("mediaType", "")) for word in ("index", "manifest.list"))
        return "" if is_index else _digest(descriptor.get("digest"))
    known = {repository: digest for repository, _, digest in map(_parted, answer.get("RepoDigests") or ())}
    return _digest(
        known.get(_repository(name)) or (next(iter(known.values())) if len(set(known.values())) == 1 else "")
    )


def _parted(text: object) -> tuple[str, str, str]:
    repository, at, digest = str(text).partition("@")
    return _repository(repository), at, digest


def _repository(name: str) -> str:
    """Without tag and digest, in its normal form; an id is of none."""
    try:
        return parse_reference(name).name
    except UsageError:
        return ""


def _digest(value: object) -> str:
    """Podman's own interface leaves the algorithm out."""
    text = str(value or "")
    return text if is_digest(text) else f"sha256:{text}" if is_digest(f"sha256:{text}") else ""


def _time(text: str) -> str:
    return "" if text.startswith(_NO_TIME) else text
