"""Where channels are and how they are reached: conda's settings, rattler's, our own table, and variables, in one value.

Two kinds of settings are told apart. Those that say how the files of a channel are reached (mirrors, proxies,
certificates, credentials, offline) leave no trace in a lock. Those that say what a name means (``channel_alias``,
``custom_channels``, ``default_channels``, and ``channels`` where an intent names none) do, so whoever uses one gets a
finding that names the file. Of rattler's own configuration (https://rattler.prefix.dev, ``rattler/config.toml``) only
the first kind is read: its ``default-channels`` would make a lock depend on the machine.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ci_envs.cache import conda_cache
from ci_envs.conda import condarc
from ci_envs.conda.condarc import Condarc, Said, expand_home, is_true, read_condarc
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_envs.model.config import CondaConfig

__all__ = ["DEFAULT_ALIAS", "ChannelSettings", "Priority", "channel_settings"]

Priority = Literal["strict", "flexible", "disabled"]

#: What a bare name stands below, where nobody says otherwise (conda's ``DEFAULT_CHANNEL_ALIAS``).
DEFAULT_ALIAS = "https://conda.anaconda.org"

#: After the first try; conda's ``remote_max_retries``.
RETRIES = 3

#: For a whole answer. rattler itself has no limit at all, and a server that never answers would be waited for for ever.
ANSWER_SECONDS = 300

_NO_ALIAS = Said(DEFAULT_ALIAS, "")
_OUR_TABLE = "conda.mirrors of the project's configuration"


@dataclass(frozen=True, kw_only=True)
class ChannelSettings:
    """What decides where channels are. Values may hold passwords: it is never shown, and not written anywhere."""

    environ: Mapping[str, str] = field(repr=False)
    home: Path
    #: The project's folder, which relative channels are relative to; ``None`` where there is none.
    root: Path | None = None
    #: Our own folder: ``pkgs``, ``repodata``, ``packages``.
    cache: Path
    #: For an intent that names no channel.
    channels: tuple[Said, ...] = ()
    alias: Said = _NO_ALIAS
    #: What ``defaults`` stands for; empty for conda's own.
    defaults: tuple[Said, ...] = ()
    custom: dict[str, Said] = field(default_factory=dict, repr=False)
    multi: dict[str, Said] = field(default_factory=dict, repr=False)
    #: A channel's name or address -> addresses with the same files, the most wanted first.
    mirrors: dict[str, Said] = field(default_factory=dict, repr=False)
    allowed: tuple[Said, ...] = ()
    denied: tuple[Said, ...] = ()
    priority: Priority = "strict"
    #: The file that said so; empty where it was the project's own configuration, or nobody.
    priority_from: str = ""
    offline: bool = False
    #: Whether certificates are verified at all.
    verify: bool = True
    #: A file or folder of certificates; empty for the system's.
    certificates: str = ""
    client_certificate: bool = False
    #: ``http`` and ``https`` -> address.
    proxies: dict[str, str] = field(default_factory=dict, repr=False)
    #: rattler's file of credentials, beside ``RATTLER_AUTH_FILE``.
    auth_file: str = ""
    retries: int = RETRIES
    answer_seconds: int = ANSWER_SECONDS
    #: What is made once for these settings, by what it is: an open gateway knows repodata that it has read.
    made: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def repodata(self) -> Path:
        """Where repodata is kept between runs."""
        return self.cache / "repodata"


def channel_settings(
    environ: Mapping[str, str], config: CondaConfig, *, home: Path | None = None, root: Path | None = None
) -> ChannelSettings:
    """The user's settings; :class:`UsageError` with file and line where one cannot be meant."""
    named = environ.get("HOME") or environ.get("USERPROFILE")
    home = home or (Path(named) if named else Path.home())
    said = read_condarc(environ, home)
    rattler = _rattler_config(environ, home)
    verify, certificates = _verification(said, environ, home)
    priority, priority_from = _priority(said, config)
    return ChannelSettings(
        environ=environ,
        home=home,
        root=root,
        cache=conda_cache(environ),
        channels=said.words("channels"),
        alias=_alias(said),
        defaults=said.words("default_channels"),
        custom=said.table("custom_channels"),
        multi=said.table("custom_multichannels"),
        mirrors=_mirrors(config, said, rattler),
        allowed=said.words("allowlist_channels"),
        denied=said.words("denylist_channels"),
        priority=priority,
        priority_from=priority_from,
        offline=_truth(said, "offline"),
        verify=verify and rattler.get("tls-no-verify") is not True,
        certificates=certificates,
        client_certificate=said.value("client_ssl_cert") is not None,
        proxies=_proxies(said, rattler),
        auth_file=environ.get("RATTLER_AUTH_FILE", "") or _text(rattler, "authentication-override-file"),
        retries=_retries(said),
    )


def _alias(said: Condarc) -> Said:
    found = said.value("channel_alias")
    if found is None:
        return _NO_ALIAS
    if "://" not in str(found.value):
        raise _error(found, f"channel_alias: {found.value!r} is no address", "write it with https://")
    return found


def _priority(said: Condarc, config: CondaConfig) -> tuple[Priority, str]:
    """The project's word, else the user's, else strict: what conda-forge recommends, and what hides least."""
    if config.channel_priority:
        return config.channel_priority, ""
    found = said.value("channel_priority")
    if found is None:
        return "strict", ""
    word = str(found.value).strip().lower()
    # conda's own reading of the truth values that this once was.
    words: dict[str, Priority] = {"strict": "strict", "flexible": "flexible", "disabled": "disabled"}
    words |= {"true": "flexible", "false": "disabled"}
    if word not in words:
        raise _error(found, f"channel_priority: {found.value!r} is none of strict, flexible and disabled", "")
    return words[word], "" if words[word] == "strict" else found.place


def _verification(said: Condarc, environ: Mapping[str, str], home: Path) -> tuple[bool, str]:
    """Whether certificates are verified, and against which: ``ssl_verify``, then what requests and rattler read."""
    found = said.value("ssl_verify")
    word = "true" if found is None else str(found.value).strip()
    named = next((environ[name] for name in _BUNDLES if environ.get(name)), "")
    if (truth := is_true(word)) is not None:
        return truth, named
    if word in ("truststore", "<system>"):
        return True, ""
    path = expand_home(word, home)
    if found is not None and not Path(path).exists():
        raise _error(
            found,
            f"ssl_verify: {word!r} is neither true, false, truststore nor a file that is there",
            "it names the certificates of the authorities to trust, in PEM",
        )
    return True, path


# rattler's own first, then those of requests, which conda goes by.
_BUNDLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def _mirrors(config: CondaConfig, said: Condarc, rattler: dict[str, Any]) -> dict[str, Said]:
    """The project's, then mamba's ``mirrored_channels``, then rattler's; the first to name a channel decides."""
    found = {name: Said(tuple(urls), _OUR_TABLE) for name, urls in config.mirrors.items()}
    for name, one in said.table("mirrored_channels").items():
        found.setdefault(name, one)
    table = rattler.get("mirrors")
    for name, urls in table.items() if isinstance(table, dict) else ():
        if isinstance(urls, list) and all(isinstance(url, str) for url in urls):
            found.setdefault(name, Said(tuple(urls), "rattler/config.toml"))
    return {name: one for name, one in found.items() if one.value}


def _proxies(said: Condarc, rattler: dict[str, Any]) -> dict[str, str]:
    """By scheme; conda's ``scheme://host`` keys have no counterpart in rattler, and are left out."""
    table = rattler.get("proxy-config")
    found = {key: _text(table, key) for key in ("http", "https")} if isinstance(table, dict) else {}
    for key, one in said.table("proxy_servers").items():
        if key in ("http", "https") and one.value:
            found[key] = one.value
        elif key == "all" and one.value:
            found |= {scheme: found.get(scheme) or one.value for scheme in ("http", "https")}
    return {key: value for key, value in found.items() if value}


def _truth(said: Condarc, key: str) -> bool:
    found = said.value(key)
    truth = is_true(found.value) if found else False
    if truth is None and found is not None:
        raise _error(found, f"{key}: {found.value!r} is neither true nor false", "")
    return bool(truth)


def _retries(said: Condarc) -> int:
    found = said.value("remote_max_retries")
    if found is None:
        return RETRIES
    if not str(found.value).isdigit():
        raise _error(found, f"remote_max_retries: {found.value!r} is no count", "")
    return min(int(found.value), 10)


def _rattler_config(environ: Mapping[str, str], home: Path) -> dict[str, Any]:
    """rattler's own files, merged by key, the user's last."""
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    merged: dict[str, Any] = {}
    for folder in (condarc.SYSTEM[0] / "rattler", config / "rattler", home / ".rattler"):
        path = folder / "config.toml"
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"is not valid TOML: {error}", file=str(path)) from error
        merged |= table
    return merged


def _text(table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    return value if isinstance(value, str) else ""


def _error(said: Said, message: str, hint: str) -> UsageError:
    return UsageError(message, file=said.file, line=said.line, hint=hint)
