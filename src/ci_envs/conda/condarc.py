"""What a user told conda, mamba and micromamba: ``.condarc`` files and ``CONDA_*`` variables.

The order of the files is conda's (``conda/base/constants.py``, ``SEARCH_PATH``), with mamba's own between a user's and
a prefix's (``Configuration::compute_default_rc_sources``); later files win, variables win over all. Lists are joined,
the winner's words first; tables are merged key by key; anything else is the winner's as a whole. conda's comment flags
(``#!final``, ``#!top``) are not read. Keys that have no say in where packages come from are passed over: conda has
some 130 of them, and ``conda config --validate`` is their judge. Starts nothing, reaches no network.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs.documents import load_yaml
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci_envs.documents import Document

__all__ = ["SYSTEM", "Condarc", "Said", "condarc_files", "expand_home", "is_true", "read_condarc"]

#: Where a Unix keeps the settings of all its users.
SYSTEM = (Path("/etc"), Path("/var/lib"))

_NAMES = (".condarc", "condarc", "condarc.d")

#: Keys whose value is a list, a table of text, a table of lists, or one value; beside them, their other names.
_LISTS = ("channels", "default_channels", "allowlist_channels", "denylist_channels", "migrated_channel_aliases")
_TABLES = ("custom_channels", "proxy_servers")
_TABLES_OF_LISTS = ("custom_multichannels", "mirrored_channels")
_VALUES = (
    "channel_alias",
    "channel_priority",
    "client_ssl_cert",
    "offline",
    "remote_max_retries",
    "ssl_verify",
)
_OTHER_NAMES = {"whitelist_channels": "allowlist_channels", "channel": "channels", "verify_ssl": "ssl_verify"}

#: No condarc that a person keeps is larger.
MAX_BYTES = 1024 * 1024


class Said(msgspec.Struct, frozen=True):
    """One value with the place where it stands."""

    value: Any
    #: ``~/.condarc``, or the name of a variable.
    file: str
    #: 0 for a variable.
    line: int = 0

    @property
    def place(self) -> str:
        """For a message: ``~/.condarc:3``."""
        return f"{self.file}:{self.line}" if self.line else self.file


class Condarc(msgspec.Struct, frozen=True):
    """What was said, by key; the winner first."""

    said: dict[str, tuple[Said, ...]] = {}

    def value(self, key: str) -> Said | None:
        """The winner's value; ``None`` where nobody said anything."""
        return next((said for said in self.said.get(key, ()) if said.value is not None), None)

    def words(self, key: str) -> tuple[Said, ...]:
        """The words of all lists under a key, each once."""
        found: dict[str, Said] = {}
        for said in self.said.get(key, ()):
            for word in said.value or ():
                found.setdefault(word, Said(word, said.file, said.line))
        return tuple(found.values())

    def table(self, key: str) -> dict[str, Said]:
        """The merged table under a key: text by name."""
        found: dict[str, Said] = {}
        for said in self.said.get(key, ()):
            for name, value in (said.value or {}).items():
                found.setdefault(name, Said(value, said.file, said.line))
        return found


def condarc_files(environ: Mapping[str, str], home: Path) -> list[Path]:
    """The files that may be there, in the order in which they are read; the last one wins."""
    folders = [Path(environ.get("PROGRAMDATA") or "C:/ProgramData") / "conda"]
    if sys.platform != "win32":
        folders = [folder / "conda" for folder in SYSTEM]
    folders += [Path(environ[name]) for name in ("CONDA_ROOT", "MAMBA_ROOT_PREFIX") if environ.get(name)]
    if environ.get("XDG_CONFIG_HOME"):
        folders.append(Path(environ["XDG_CONFIG_HOME"]) / "conda")
    folders += [home / ".config" / "conda", home / ".conda"]
    files = [folder / name for folder in folders for name in _NAMES]
    files += [home / ".condarc", home / ".mamba" / ".mambarc", home / ".mamba" / "mambarc", home / ".mambarc"]
    if environ.get("CONDA_PREFIX"):
        files += [Path(environ["CONDA_PREFIX"]) / name for name in (*_NAMES, ".mambarc")]
    files += [Path(environ[name]).expanduser() for name in ("CONDARC", "MAMBARC") if environ.get(name)]
    return list(dict.fromkeys(_opened(files)))


def read_condarc(environ: Mapping[str, str], home: Path) -> Condarc:
    """Everything that was said; :class:`UsageError` with file and line for what cannot be meant."""
    said: dict[str, list[Said]] = {}
    for key, one in _from_environment(environ):
        said.setdefault(key, []).append(one)
    for path in reversed(condarc_files(environ, home)):
        for key, one in _from_file(path, home):
            said.setdefault(key, []).append(one)
    return Condarc({key: tuple(values) for key, values in said.items()})


def _opened(paths: Iterable[Path]) -> Iterator[Path]:
    """``condarc.d`` stands for the YAML files in it, by name."""
    for path in paths:
        if not path.name.endswith(".d"):
            yield path
        elif path.is_dir():
            yield from sorted(each for each in path.iterdir() if each.suffix in (".yml", ".yaml"))


def _from_file(path: Path, home: Path) -> Iterator[tuple[str, Said]]:
    shown = f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)
    text = _text(path, shown)
    document = load_yaml(text, file=shown) if text else None
    if document is None or document.data is None:
        return
    if not isinstance(document.data, dict):
        raise document.error("must be a table of settings", hint="`conda config --show-sources` shows what conda reads")
    table: dict[str, Any] = document.data
    for written, value in table.items():
        key = _OTHER_NAMES.get(written, written)
        if value is not None and (kept := _checked(key, value, document, written)) is not None:
            yield key, Said(kept, shown, document.line(written))


def _text(path: Path, shown: str) -> str:
    try:
        if not path.is_file():
            return ""
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=shown) from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"has {len(data)} bytes; {MAX_BYTES} are the most that is read", file=shown)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("is not UTF-8", file=shown, line=data[: error.start].count(b"\n") + 1) from error


def _checked(key: str, value: Any, document: Document, written: str) -> Any:
    """The value in its key's shape; ``None`` for a key that is not ours."""
    if key in _LISTS:
        return _list(value, document, written)
    if key in _TABLES or key in _TABLES_OF_LISTS:
        if not isinstance(value, dict):
            raise document.error(f"{written} must be a table", written)
        if key in _TABLES_OF_LISTS:
            return {name: _list(item, document, written, name) for name, item in value.items()}
        if wrong := next((name for name, item in value.items() if not isinstance(item, str | None)), ""):
            raise document.error(f"{written}: {wrong} must be text", written, wrong)
        return value
    if key not in _VALUES:
        return None
    if isinstance(value, (list, dict)):
        raise document.error(f"{written} must be one value", written)
    return value


def _list(value: Any, document: Document, *path: str) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise document.error(f"{path[-1]} must be a list of text", *path)
    return tuple(item.strip() for item in items if item.strip())


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Said]]:
    """``CONDA_<KEY>``, else mamba's ``MAMBA_<KEY>``; lists are separated by commas."""
    names = {key: key for key in (*_LISTS, *_VALUES)} | _OTHER_NAMES
    for prefix in ("CONDA_", "MAMBA_"):
        for written, key in names.items():
            variable = prefix + written.upper()
            if text := environ.get(variable, "").strip():
                words = tuple(word.strip() for word in text.strip("[]").split(",") if word.strip())
                yield key, Said(words if key in _LISTS else text, variable)


def is_true(value: Any) -> bool | None:
    """conda's reading of a truth value (``conda.auxlib.type_coercion``); ``None`` where it is none."""
    word = str(value).strip().lower()
    if word in ("true", "yes", "on", "y", "1"):
        return True
    return False if word in ("false", "no", "off", "n", "0", "<false>", "none", "non", "") else None


def expand_home(text: str, home: Path) -> str:
    """``~`` at a path's beginning, as the settings' owner meant it."""
    return str(home) + text[1:] if text == "~" or text.startswith(("~/", f"~{os.sep}")) else text
