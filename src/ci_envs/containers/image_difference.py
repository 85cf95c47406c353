"""Two images side by side: whether their manifests are one, and otherwise what differs, where, and why.

What is in an image is told by its layers' diff_ids, which are digests of their tars before compression; what is
pulled and pushed by its manifest. So three things are told apart: the same manifest; the same files in other bytes
(another compressor); other files. Only layers whose diff_ids differ are read.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from ci_envs.containers.archive import instruction, read_image
from ci_envs.digest import Difference
from ci_envs.documents import load_yaml
from ci_envs.redact import Redactor
from ci_envs.resources import resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ci_envs.containers.archive import Image
    from ci_envs.containers.layer import Entry, Layer

__all__ = ["Comparison", "FileDifference", "LayerDifference", "compare", "compare_images", "known_reason"]

_WHEN = "the time of the build: SOURCE_DATE_EPOCH, or Buildah's --timestamp, makes it the same"
_FILE_TIME = "rewrite-timestamp=true with SOURCE_DATE_EPOCH, or Buildah's --timestamp, makes it the same"

#: How much of an instruction names a layer.
_SHOWN = 60


class FileDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One path of a layer."""

    #: Without a slash at its beginning; bytes that are no UTF-8 are escaped (``\\xff``).
    path: str
    kind: Literal["only-in-first", "only-in-second", "different"]
    #: Of ``content``, ``kind``, ``mode``, ``owner``, ``time``, ``link target``, ``extended attributes``, ``header``.
    what: tuple[str, ...] = ()
    #: Why, and what to do about it, where that is known.
    reason: str = ""


class LayerDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One layer that is not the same in both."""

    #: From 1, the lowest first.
    number: int
    #: The Dockerfile's instruction, as far as the history tells; that of the first image where both have one.
    instruction: str = ""
    #: ``compression``: the same files, compressed to other bytes. ``order``: the same entries, in another order.
    #: ``tar``: the same entries in the same order, written in other bytes.
    kind: Literal["files", "order", "tar", "compression", "only-in-first", "only-in-second"]
    #: diff_ids; of ``compression`` the digests of the blobs.
    first: str = ""
    second: str = ""
    files: tuple[FileDifference, ...] = ()

    @property
    def name(self) -> str:
        """``layer 3 (RUN make)``."""
        line = " ".join(self.instruction.split())
        short = line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."
        return f"layer {self.number} ({short})" if short else f"layer {self.number}"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two images. Where ``same`` is false there is at least one difference."""

    same: bool
    #: ``sha256:<hex>`` of the manifests; of the configurations where an archive has no manifest.
    first: str
    second: str
    #: What of manifest and configuration differs. Values of variables are not told: they may be secrets.
    facts: tuple[Difference, ...] = ()
    layers: tuple[LayerDifference, ...] = ()

    @property
    def same_files(self) -> bool:
        """Whether the two hold the same files in the same tars, whatever their configuration and compression."""
        return all(layer.kind == "compression" for layer in self.layers)

    def differences(self, limit: int = 0) -> tuple[Difference, ...]:
        """Everything as a list, facts first. Of one layer at most ``limit`` (0: all) paths that differ in one way."""
        return (*self.facts, *(row for layer in self.layers for row in _rows(layer, limit)))


def compare(first: Path, second: Path, platform: str = "") -> Comparison:
    """Compares the images in two archives.

    Raises :class:`BrokenError` where one of them cannot be read, or is not what its own digests say.
    """
    return compare_images(read_image(first, platform), read_image(second, platform))


def compare_images(first: Image, second: Image) -> Comparison:
    """Compares two images that were read. Layers that both have with one diff_id are not read."""
    with_manifests = bool(first.manifest and second.manifest)
    ours, theirs = (image.manifest if with_manifests else image.config_digest for image in (first, second))
    if ours == theirs:
        return Comparison(same=True, first=ours, second=theirs)
    facts = tuple(_facts(first, second))
    layers = tuple(_layers(first, second, by_manifest=with_manifests))
    if not facts and not layers:
        facts = (Difference("manifest and configuration", "different", "the same values, written in other bytes"),)
    return Comparison(same=False, first=ours, second=theirs, facts=facts, layers=layers)


def _rows(layer: LayerDifference, limit: int) -> Iterator[Difference]:
    match layer.kind:
        case "only-in-first" | "only-in-second":
            yield Difference(layer.name, "only-in-a" if layer.kind == "only-in-first" else "only-in-b", "")
        case "compression":
            yield Difference(layer.name, "compression", "the same files: another compressor, or another version of it")
        case "order":
            yield Difference(layer.name, "order", "the same files, put into the tar in another order")
        case "tar":
            yield Difference(
                layer.name, "tar", "the same files in a tar of other bytes: another version of the builder"
            )
        case "files":
            yield from _file_rows(layer, limit)


def _file_rows(layer: LayerDifference, limit: int) -> Iterator[Difference]:
    told: Counter[tuple[str, str]] = Counter()
    for file in layer.files:
        kind = _KINDS[file.kind] or ", ".join(file.what)
        told[kind, file.reason] += 1
        if not limit or told[kind, file.reason] <= limit:
            yield Difference(f"{layer.name}: /{file.path}", kind, file.reason)
    for (kind, reason), count in told.items():
        if limit and count > limit:
            yield Difference(f"{layer.name}: {count - limit} more paths", kind, reason)


_KINDS = {"only-in-first": "only-in-a", "only-in-second": "only-in-b", "different": ""}


# --- manifest and configuration


def _facts(first: Image, second: Image) -> Iterator[Difference]:
    if first.manifest and second.manifest:
        yield from _compared(dict(_manifest_facts(first)), dict(_manifest_facts(second)))
    yield from _compared(dict(_config_facts(first.config)), dict(_config_facts(second.config)))
    absent: dict[str, Any] = {}
    steps = zip_longest(_steps(first.config), _steps(second.config), fillvalue=absent)
    for number, (ours, theirs) in enumerate(steps, 1):
        made = {instruction(str(step.get("created_by") or "")) for step in (ours, theirs)}
        name = f"config: step {number}{f' ({_short(min(made))})' if len(made) == 1 and made != {''} else ''}"
        yield from _compared(dict(_step_facts(name, ours)), dict(_step_facts(name, theirs)))


class _Fact(NamedTuple):
    value: Any
    #: What a person sees of it; empty for what nobody should.
    shown: str
    reason: str = ""


def _compared(ours: Mapping[str, _Fact], theirs: Mapping[str, _Fact]) -> Iterator[Difference]:
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(name), theirs.get(name)
        if one is None or other is None:
            yield Difference(name, "only-in-b" if one is None else "only-in-a", "")
        elif one.value != other.value:
            shown = f"{one.shown} and {other.shown}" if one.shown and other.shown and one.shown != other.shown else ""
            yield Difference(name, "different", "; ".join(filter(None, (one.reason, shown))))


def _manifest_facts(image: Image) -> Iterator[tuple[str, _Fact]]:
    for key, value in image.described.items():
        if key == "annotations" and isinstance(value, dict):
            yield from ((f"manifest: annotation {_printable(name)}", _shown(each)) for name, each in value.items())
        elif key not in ("config", "layers"):
            yield f"manifest: {_printable(key)}", _shown(value)
    yield "manifest: kind of the configuration", _shown((image.described.get("config") or {}).get("mediaType", ""))
    for layer in image.layers:
        yield f"manifest: kind of layer {layer.number}", _shown(layer.media_type)
        for name, each in layer.annotations.items():
            yield f"manifest: annotation {_printable(name)} of layer {layer.number}", _shown(each)


def _config_facts(config: Mapping[str, Any]) -> Iterator[tuple[str, _Fact]]:
    for key, value in config.items():
        if key == "config" and isinstance(value, dict):
            yield from _run_facts(value)
        elif key == "created":
            yield "config: created", _shown(value, _WHEN)
        elif key not in ("history", "rootfs"):  # the steps and the layers tell
            yield f"config: {_printable(key)}", _shown(value)


def _run_facts(config: Mapping[str, Any]) -> Iterator[tuple[str, _Fact]]:
    """How the image is run. Absent, null and empty mean the same to every engine, and still are other bytes."""
    for key, value in config.items():
        if key == "Env" and isinstance(value, list):
            for text in value:
                name, _, setting = str(text).partition("=")
                yield f"config: variable {_printable(name)}", _Fact(setting, "")
        elif key == "Labels" and isinstance(value, dict):
            yield from ((f"config: label {_printable(name)}", _shown(each)) for name, each in value.items())
        else:
            yield f"config: {_printable(key)}", _shown(value)


def _steps(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    history = config.get("history")
    return [step for step in history if isinstance(step, dict)] if isinstance(history, list) else []


def _step_facts(name: str, step: Mapping[str, Any]) -> Iterator[tuple[str, _Fact]]:
    """What a line of history says; not how the instruction itself reads, since it holds values of variables."""
    for key, value in step.items():
        known = {"created_by": "instruction"}.get(key, _printable(key))
        shown = "" if key == "created_by" else _short(value)
        yield f"{name}: {known}", _Fact(value, shown, _WHEN if key == "created" else "")


def _shown(value: Any, reason: str = "") -> _Fact:
    return _Fact(value, _short(value), reason)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    line = " ".join(Redactor()(text).split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."


# --- layers


def _layers(first: Image, second: Image, *, by_manifest: bool) -> Iterator[LayerDifference]:
    for ours, theirs in zip(first.layers, second.layers, strict=False):
        if ours.diff_id != theirs.diff_id:
            yield _differing(first, ours, second, theirs)
        elif by_manifest and ours.digest != theirs.digest:
            yield _described(ours, "compression", ours.digest, theirs.digest)
    count = min(len(first.layers), len(second.layers))
    yield from (_described(layer, "only-in-first", first=layer.diff_id) for layer in first.layers[count:])
    yield from (_described(layer, "only-in-second", second=layer.diff_id) for layer in second.layers[count:])


def _described(layer: Layer, kind: Any, first: str = "", second: str = "") -> LayerDifference:
    made = Redactor()(instruction(layer.command))
    return LayerDifference(number=layer.number, instruction=made, kind=kind, first=first, second=second)


def _differing(first: Image, ours: Layer, second: Image, theirs: Layer) -> LayerDifference:
    described = _described(ours if ours.command else theirs, "files", ours.diff_id, theirs.diff_id)
    before, after = _numbered(first.files(ours)), _numbered(second.files(theirs))
    # The second layer is read past the first one's entries; those that are the same are let go.
    left = {key: (index, entry) for index, (key, entry) in enumerate(before)}
    files: list[FileDifference] = []
    reached, in_order = -1, True
    for key, entry in after:
        index, other = left.pop(key, (reached, None))
        in_order = in_order and index >= reached
        reached = index
        if other is None:
            files.append(_alone(entry, "only-in-second"))
        elif other != entry:
            files.append(_different(other, entry))
    files += [_alone(entry, "only-in-first") for _, entry in left.values()]
    if files:
        return msgspec.structs.replace(described, files=tuple(sorted(files, key=lambda file: file.path)))
    return msgspec.structs.replace(described, kind="tar" if in_order else "order")


def _numbered(entries: Iterable[Entry]) -> Iterator[tuple[tuple[str, str, int], Entry]]:
    """Each entry with a name of its own: a tar may hold one path many times, and what hides one beside it."""
    seen: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        key = (entry.path, entry.kind if entry.kind in ("whiteout", "opaque") else "")
        seen[key] += 1
        yield (*key, seen[key]), entry


def _alone(entry: Entry, kind: Literal["only-in-first", "only-in-second"]) -> FileDifference:
    what = {"whiteout": "removed from a lower layer", "opaque": "hides what lower layers have in it"}.get(
        entry.kind, ""
    )
    reason = "; ".join(filter(None, (what, known_reason(entry.path))))
    return FileDifference(path=_printable(entry.path), kind=kind, reason=reason)


def _different(ours: Entry, theirs: Entry) -> FileDifference:
    what = tuple(_aspects(ours, theirs))
    reason = _FILE_TIME if what == ("time",) else known_reason(ours.path) if "content" in what else ""
    return FileDifference(path=_printable(ours.path), kind="different", what=what, reason=reason)


def _aspects(ours: Entry, theirs: Entry) -> Iterator[str]:
    pairs = {
        "kind": (ours.kind, theirs.kind),
        "content": ((ours.sha256, ours.size), (theirs.sha256, theirs.size)),
        "link target": (ours.target, theirs.target),
        "mode": (ours.mode, theirs.mode),
        "owner": ((ours.uid, ours.gid), (theirs.uid, theirs.gid)),
        "time": (ours.mtime, theirs.mtime),
        "extended attributes": (ours.xattrs, theirs.xattrs),
        "header": (ours.more, theirs.more),
    }
    return (name for name, (one, other) in pairs.items() if one != other)


def _printable(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


# --- known reasons


@cache
def _known() -> tuple[tuple[re.Pattern[str], str], ...]:
    rows = load_yaml(resource("changing-files.yml").read_text("utf-8"), file="changing-files.yml").data
    return tuple((re.compile(row["path"], re.DOTALL), f"{row['why']}. Cure: {row['cure']}") for row in rows)


def known_reason(path: str) -> str:
    """Why a file of this path is another in each build, and what to do about it; empty where that is not known."""
    return next((reason for pattern, reason in _known() if pattern.fullmatch(path)), "")
