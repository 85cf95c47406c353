"""The image that a project describes itself, by nixpkgs' ``dockerTools``: it is built, and taken as it is.

``buildImage`` and ``buildLayeredImage`` make an archive, as a rule compressed; ``streamLayeredImage`` makes a program
that writes one. https://nixos.org/manual/nixpkgs/stable/#sec-pkgs-dockerTools
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs import command
from ci_envs.containers.archive import read_image
from ci_envs.containers.delivering import ArchivedImage
from ci_envs.decoding import decode
from ci_envs.errors import BuildError
from ci_envs.nix.binary_cache import cache_failure, cache_words, keep_closure
from ci_envs.nix.cache_folder import cache_folder
from ci_envs.nix.closure import read_closure
from ci_envs.nix.failures import build_error, failure_of
from ci_envs.nix.flake_copy import as_nix_copies_it
from ci_envs.nix.tool import run_nix
from ci_envs.work import TOOL_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from ci_envs.nix.described import Description
    from ci_envs.nix.tool import Nix
    from ci_envs.work import Work

__all__ = ["ProjectImage", "build_project_image"]

_CHUNK = 1 << 20

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class ProjectImage(msgspec.Struct, frozen=True, kw_only=True):
    """What the project's own description made."""

    #: The archive as nix, or its program, wrote it; it may be compressed.
    written: Path
    #: The same, not compressed.
    archive: Path
    name: str = ""
    config: str = ""
    manifest: str = ""
    layers: tuple[str, ...] = ()

    @property
    def archived(self) -> ArchivedImage:
        """As engines load it."""
        return ArchivedImage(self.archive, self.name, self.manifest, self.config, self.layers)


def build_project_image(work: Work, nix: Nix, described: Description, attribute: str, room: Path) -> ProjectImage:
    """Builds the attribute and reads what it is. ``room`` is an empty folder for archives.

    Raises :class:`BuildError` where it cannot be built, or is no archive of an image.
    """
    link = room / "result"
    with as_nix_copies_it(work, nix, described) as seen:
        built = _built(work, nix, _words(seen, attribute), link)
    written = _streamed(work, link, room) if _is_program(built) else built
    if not written.is_file():
        raise BuildError(
            f"{attribute} is {built}, which is neither an archive nor a program that writes one",
            hint="nix.image is the attribute of what dockerTools.buildImage or streamLayeredImage makes",
            file=described.file,
        )
    archive = _plain(written, room, attribute)
    image = read_image(archive)
    return ProjectImage(
        written=written,
        archive=archive,
        name=_name(archive),
        config=image.config_digest,
        manifest=image.manifest,
        layers=tuple(layer.diff_id for layer in image.layers),
    )


def _built(work: Work, nix: Nix, words: tuple[str, ...], link: Path) -> Path:
    """The store path, which ``link`` keeps there; the leg's binary cache has it for the next job."""
    outcome = run_nix(work, nix, "build", *words, *cache_words(work, nix), "--out-link", link)
    if not outcome:
        raise cache_failure(work, outcome) or build_error(failure_of(outcome, work))
    built = link.resolve()
    if cache_folder(work) is not None:
        keep_closure(work, nix, read_closure(work, nix, [str(built)]))
    return built


def _words(described: Description, attribute: str) -> tuple[str, ...]:
    """What names the image to ``nix build``: of a flake a package, unless the attribute says otherwise. No lock is
    written: that is the lock stage's to do."""
    if described.kind == "flake":
        lock = "--no-write-lock-file" if described.overrides else "--no-update-lock-file"
        return (f"{described.reference}#{attribute}", lock, *described.overrides)
    return ("--file", str(described.path), attribute, *described.overrides)


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _streamed(work: Work, program: Path, room: Path) -> Path:
    """What a program writes to its standard output; a shell sends it to a file, past what is kept of output here."""
    written = room / "streamed.tar"
    outcome = command.run(
        command.Command(
            argv=("/bin/sh", "-c", 'exec "$0" > "$1"', str(program), str(written)),
            cwd=work.project.root,
            env=work.tool_environment,
            timeout=TOOL_TIMEOUT_SECONDS,
            log=work.log,
            hold=work.hold,
        )
    )
    if not outcome:
        raise BuildError(
            f"{program.resolve()} did not write the image: {outcome.tail(1)}",
            hint=f"the log has all of it: {work.layout.shown(work.log)}",
        )
    return written


def _plain(written: Path, room: Path, attribute: str) -> Path:
    """The archive without gzip around it, so that its parts can be read where they lie."""
    with written.open("rb") as file:
        begins = file.read(4)
    if begins == _ZSTD:
        raise BuildError(f"{attribute} is compressed by zstd, which is not read here", hint='write `compressor = "gz"`')
    if not begins.startswith(_GZIP):
        return written
    plain = room / "plain.tar"
    try:
        with gzip.open(written) as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BuildError(f"{attribute} is no archive of an image: {error}") from error
    return plain


class _Named(msgspec.Struct):
    """One image of ``manifest.json``."""

    names: tuple[str, ...] | None = msgspec.field(name="RepoTags", default=None)


def _name(archive: Path) -> str:
    """What a docker-archive calls its image; empty where nothing is said."""
    with contextlib.suppress(KeyError, msgspec.MsgspecError), tarfile.open(archive, "r:") as tar:
        file: Any = tar.extractfile("manifest.json")
        told = decode(file.read(), list[_Named])
        return next((name for one in told for name in one.names or ()), "")
    return ""
