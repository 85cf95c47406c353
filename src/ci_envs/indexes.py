"""Where the user's packages come from, told to every tool: pip's settings to uv, and uv's to pip.

pip reads pip.conf and ``PIP_*``, uv reads uv.toml and ``UV_*``, and neither reads the other's. A user has set one of
the two. Found by experiment with uv 0.13.8:

- a ``file:`` index that does not exist, or has no folder for a project, is passed over, as pip does;
- an index page that lists no file ends uv's search (``first-index``, its guard against dependency confusion);
  pip goes on to the next index;
- a find-links folder that does not exist is an error for uv and a warning for pip, so such ones are not handed on;
- ``UV_FIND_LINKS`` is separated by commas, ``UV_INDEX`` and ``UV_INSECURE_HOST`` by blanks, ``PIP_*`` by blanks;
- ``UV_HTTP_TIMEOUT`` must be a whole number; SSL_CERT_FILE replaces uv's certificates, as ``cert`` does pip's.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import msgspec

from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "IndexSettings",
    "as_pip",
    "as_uv",
    "bare_index",
    "index_settings",
    "pip_config_files",
    "read_settings",
    "uv_sets",
    "uv_tables",
]

# Where a Unix keeps the settings of all its users.
_ETC = Path("/etc")

_NAME = "pip.ini" if sys.platform == "win32" else "pip.conf"


class IndexSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where pip would look, and how. Empty where the user set nothing. Addresses may hold passwords."""

    default_index: str = ""
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    cert: str = ""
    client_cert: str = ""
    proxy: str = ""
    #: As written: seconds, and a count.
    timeout: str = ""
    retries: str = ""
    keyring_provider: str = ""
    #: What the user set for uv, for certificates and for proxies: variables by name.
    variables: dict[str, str] = {}
    #: What uv's own files decide, in the words of :func:`uv_sets`.
    own: frozenset[str] = frozenset()


# The variables that stand beside pip's: uv's own, and those that programs share.
_BESIDE = re.compile(r"UV_[A-Z0-9_]+|SSL_C[A-Z_]+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(HTTPS?|ALL)_PROXY", re.IGNORECASE)


def index_settings(
    environ: Mapping[str, str], *, home: Path | None = None, project: Mapping[str, Any] | None = None
) -> IndexSettings:
    """The user's settings, read from where pip and uv read them.

    ``project`` is ``[tool.uv]`` of the project (or its uv.toml): what it says is said for uv, and not overridden.
    Raises :class:`UsageError` where a configuration file of pip's cannot be read.
    """
    home = home or Path.home()
    texts = [(str(path), _read(path)) for path in pip_config_files(environ, home)]
    tables = [project or {}, *uv_tables(environ, home)]
    settings = read_settings(environ, texts, home=home)
    return msgspec.structs.replace(settings, own=frozenset().union(*map(uv_sets, tables)))


def uv_tables(environ: Mapping[str, str], home: Path) -> list[dict[str, Any]]:
    """What uv's configuration files of the user and of the machine say, those first that win."""
    return [_toml(path) for path in _uv_config_files(environ, home)]


def pip_config_files(environ: Mapping[str, str], home: Path) -> list[Path]:
    """pip's configuration files in the order in which they are read, later ones winning.

    https://pip.pypa.io/en/stable/topics/configuration/#location: global, user (legacy first), site, PIP_CONFIG_FILE,
    which replaces the user's where it exists, and all of them where it is the null device.
    """
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    files = _global_files(environ)
    if not (named and Path(named).exists()):
        files += _user_files(environ, home)
    if environ.get("VIRTUAL_ENV"):
        files.append(Path(environ["VIRTUAL_ENV"]) / _NAME)
    return [*files, Path(named)] if named else files


def read_settings(environ: Mapping[str, str], texts: Iterable[tuple[str, str]], *, home: Path) -> IndexSettings:
    """What ``pip config list`` would show: files (name and text), then ``PIP_*``, each setting as a whole.

    Sections ``[global]`` and then ``[install]``; an empty value counts as none.
    """
    values: dict[str, str] = {}
    sections = [_sections(name, text) for name, text in texts]
    for section in ("global", "install"):
        for parsed in sections:
            values.update(parsed.get(section, {}))
    values.update({_key(name[4:]): value for name, value in environ.items() if name.startswith("PIP_") and value})
    return IndexSettings(
        default_index=values.get("index-url", values.get("pypi-url", "")),
        extra_indexes=tuple(values.get("extra-index-url", "").split()),
        find_links=tuple(_expanded(link, home) for link in values.get("find-links", "").split()),
        no_index=values.get("no-index", "").lower() in ("1", "y", "yes", "t", "true", "on"),
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
        cert=_expanded(values.get("cert", ""), home),
        client_cert=_expanded(values.get("client-cert", ""), home),
        proxy=values.get("proxy", ""),
        timeout=values.get("timeout", values.get("default-timeout", "")),
        retries=values.get("retries", ""),
        keyring_provider=values.get("keyring-provider", ""),
        variables={name: value for name, value in environ.items() if value and _BESIDE.fullmatch(name)},
    )


def as_uv(settings: IndexSettings, *, exists: Callable[[str], bool] = os.path.exists) -> dict[str, str]:
    """pip's settings as ``UV_*`` and the like, less what the user told uv itself, by variable or by file.

    uv has no variable for ``no-index``; callers give it the flag where :attr:`IndexSettings.no_index` is set.
    """
    environ = settings.variables
    certificates = settings.cert or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or ""
    answers = (
        ("default", "UV_DEFAULT_INDEX", settings.default_index, ("UV_INDEX_URL",)),
        ("extra", "UV_INDEX", " ".join(settings.extra_indexes), ("UV_EXTRA_INDEX_URL",)),
        ("find-links", "UV_FIND_LINKS", ",".join(_uv_links(settings.find_links, exists)), ()),
        ("insecure", "UV_INSECURE_HOST", " ".join(settings.trusted_hosts), ()),
        ("", "SSL_CERT_FILE", certificates, ("SSL_CERT_DIR", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS")),
        ("", "SSL_CLIENT_CERT", settings.client_cert, ()),
        ("", "UV_HTTP_TIMEOUT", _whole(settings.timeout), ("UV_REQUEST_TIMEOUT",)),
        ("", "UV_HTTP_RETRIES", _whole(settings.retries), ()),
        ("keyring", "UV_KEYRING_PROVIDER", "subprocess" if settings.keyring_provider == "subprocess" else "", ()),
        ("", "HTTPS_PROXY", settings.proxy, ("https_proxy", "ALL_PROXY", "all_proxy")),
        ("", "HTTP_PROXY", settings.proxy, ("http_proxy", "ALL_PROXY", "all_proxy")),
    )
    return {
        name: value
        for key, name, value, rivals in answers
        if value and key not in settings.own and not any(environ.get(rival) for rival in (name, *rivals))
    }


def as_pip(settings: IndexSettings) -> dict[str, str]:
    """The settings as ``PIP_*``, with what only uv was told where pip was told nothing.

    ``PIP_CONFIG_FILE`` is the null device: the files were read here, and their other settings (``user``, ``target``,
    ``no-deps``, ``constraint``, ``pre``) would bend what is locked or built.
    """
    environ = settings.variables
    told = settings.default_index or settings.extra_indexes or settings.find_links
    from_uv = IndexSettings() if told else _of_uv(environ)
    cert = settings.cert or (
        "" if environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") else environ.get("SSL_CERT_FILE", "")
    )
    values = {
        "PIP_INDEX_URL": settings.default_index or from_uv.default_index,
        "PIP_EXTRA_INDEX_URL": " ".join(settings.extra_indexes or from_uv.extra_indexes),
        "PIP_FIND_LINKS": " ".join(settings.find_links or from_uv.find_links),
        "PIP_NO_INDEX": "1" if settings.no_index else "",
        "PIP_TRUSTED_HOST": " ".join(settings.trusted_hosts) or environ.get("UV_INSECURE_HOST", ""),
        "PIP_CERT": cert,
        "PIP_CLIENT_CERT": settings.client_cert,
        "PIP_PROXY": settings.proxy,
        "PIP_DEFAULT_TIMEOUT": settings.timeout or environ.get("UV_HTTP_TIMEOUT", ""),
        "PIP_RETRIES": settings.retries or environ.get("UV_HTTP_RETRIES", ""),
        "PIP_KEYRING_PROVIDER": settings.keyring_provider or environ.get("UV_KEYRING_PROVIDER", ""),
    }
    return {name: value for name, value in values.items() if value} | {"PIP_CONFIG_FILE": os.devnull}


def uv_sets(table: Mapping[str, Any]) -> frozenset[str]:
    """Which of ``default``, ``extra``, ``find-links``, ``insecure`` and ``keyring`` a uv.toml or ``[tool.uv]`` decides.

    https://docs.astral.sh/uv/reference/settings/: at the top or, for ``uv pip``, under ``pip``. An index that is
    ``explicit`` serves only the packages that name it, so it decides neither.
    """
    found: set[str] = set()
    for scope in (table, table.get("pip")):
        if not isinstance(scope, dict):
            continue
        indexes = scope.get("index")
        listed = indexes if isinstance(indexes, list) else []
        open_to_all = [index for index in listed if isinstance(index, dict) and not index.get("explicit")]
        found |= {"default" if index.get("default") else "extra" for index in open_to_all}
        keys = {"index-url": "default", "extra-index-url": "extra", "allow-insecure-host": "insecure"}
        keys |= {"find-links": "find-links", "keyring-provider": "keyring"}
        found |= {word for key, word in keys.items() if scope.get(key)}
    return frozenset(found)


def _of_uv(environ: Mapping[str, str]) -> IndexSettings:
    extra = f"{environ.get('UV_INDEX', '')} {environ.get('UV_EXTRA_INDEX_URL', '')}".split()
    return IndexSettings(
        default_index=bare_index(environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL", ""), environ),
        extra_indexes=tuple(bare_index(index, environ) for index in extra),
        # A comma separates uv's, a blank pip's: a folder with a blank in its name is written as an address.
        find_links=tuple(
            Path(link).absolute().as_uri() if " " in link else link
            for link in environ.get("UV_FIND_LINKS", "").split(",")
            if link
        ),
    )


def bare_index(written: str, environ: Mapping[str, str]) -> str:
    """``name=address`` as pip knows it: the address, with the login that uv takes from UV_INDEX_<NAME>_*."""
    name, equals, address = written.partition("=")
    if not equals or "/" in name or ":" in name:
        return written
    word = "".join(c if c.isalnum() else "_" for c in name).upper()
    user, password = (environ.get(f"UV_INDEX_{word}_{end}", "") for end in ("USERNAME", "PASSWORD"))
    parts = urlsplit(address)
    if not (user or password) or "@" in parts.netloc:
        return address
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))


def _uv_links(links: Iterable[str], exists: Callable[[str], bool]) -> Iterable[str]:
    for link in links:
        path = unquote(urlsplit(link).path) if link.startswith("file:") else link
        if "://" in link and not link.startswith("file:"):
            yield link
        elif exists(path):
            yield Path(path).absolute().as_uri() if "," in link else link


def _global_files(environ: Mapping[str, str]) -> list[Path]:
    if sys.platform == "win32":
        return [Path(environ.get("PROGRAMDATA", r"C:\ProgramData")) / "pip" / _NAME]
    if sys.platform == "darwin":
        return [Path("/Library/Application Support/pip") / _NAME]
    folders = [folder for folder in environ.get("XDG_CONFIG_DIRS", str(_ETC / "xdg")).split(os.pathsep) if folder]
    return [*(Path(folder) / "pip" / _NAME for folder in folders), _ETC / _NAME]


def _user_files(environ: Mapping[str, str], home: Path) -> list[Path]:
    if sys.platform == "win32":
        return [home / "pip" / _NAME, Path(environ.get("APPDATA", home / "AppData/Roaming")) / "pip" / _NAME]
    current = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
    mac = home / "Library/Application Support/pip"
    if sys.platform == "darwin" and mac.is_dir():
        current = mac
    return [home / ".pip" / _NAME, current / _NAME]


def _uv_config_files(environ: Mapping[str, str], home: Path) -> list[Path]:
    """uv's own files (https://docs.astral.sh/uv/concepts/configuration-files/)."""
    if environ.get("UV_CONFIG_FILE"):
        return [Path(environ["UV_CONFIG_FILE"])]
    if sys.platform == "win32":
        roots = [environ.get("APPDATA", home / "AppData/Roaming"), environ.get("PROGRAMDATA", r"C:\ProgramData")]
    else:
        system = [folder for folder in environ.get("XDG_CONFIG_DIRS", str(_ETC / "xdg")).split(os.pathsep) if folder]
        roots = [environ.get("XDG_CONFIG_HOME") or home / ".config", *system, _ETC]
    return [Path(root) / "uv" / "uv.toml" for root in roots]


def _sections(name: str, text: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise UsageError(
            f"pip's configuration file cannot be read: {error.message.splitlines()[0]}",
            file=name,
            hint="pip config debug",
        ) from error
    return {
        section: {_key(key): value for key, value in parser.items(section) if value}
        for section in parser.sections()
        if section in ("global", "install")
    }


def _key(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _expanded(path: str, home: Path) -> str:
    return str(home / path[2:]) if path.startswith("~/") else path


def _whole(number: str) -> str:
    """Rounded up: uv takes whole numbers only."""
    try:
        return str(max(1, -int(-float(number) // 1)))
    except (ValueError, OverflowError):
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=str(path)) from error


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError:
        return {}  # uv will say so itself
