"""The client that reaches channels: mirrors, credentials, proxies, certificates, retries.

py-rattler 0.28 can make one from its own configuration (``Client.from_config``), and then looks for credentials before
it turns to a mirror: the password of the channel's own host is sent to whoever mirrors it, and the mirror's own is
never sent (``tests/component/test_conda_channels.py`` shows the order that is made here). So the parts are put
together in the right order. Two things only that other way can do: not to verify certificates, and nothing else.

rattler reads proxies, certificates and credentials from the variables of this process when a client is made. Where the
settings differ from those, the variables are set for the moment, by one thread at a time.
"""

from __future__ import annotations

import base64
import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ci_envs.conda.addresses import login, rest, without_login
from ci_envs.conda.engine import require_rattler
from ci_envs.conda.routes import Routes, routes
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rattler import Client

    from ci_envs.conda.channel_names import ChannelAddress
    from ci_envs.conda.channel_settings import ChannelSettings

__all__ = ["make_client"]

_MAKING = threading.Lock()

# What rattler reads, beside what is set here: https://docs.rs/reqwest (proxies), rattler_networking (credentials).
_READ = ("HOME", "USERPROFILE", "NETRC", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy")
_PROXIES = (("http", "http_proxy", "HTTP_PROXY"), ("https", "https_proxy", "HTTPS_PROXY"))


def make_client(
    settings: ChannelSettings, channels: Sequence[ChannelAddress] = (), *, answer_seconds: int | None = None
) -> Client:
    """A client for these channels by their canonical addresses, and for whatever a lock names.

    ``answer_seconds`` limits one whole answer: packages of gigabytes need more than repodata; 0 is no limit. Raises
    :class:`UsageError` for a file of credentials that cannot be read.
    """
    require_rattler()
    from rattler.exceptions import AuthenticationStorageError

    way = routes(settings, channels)
    seconds = settings.answer_seconds if answer_seconds is None else answer_seconds
    with _MAKING, _variables(settings):
        try:
            if not settings.verify:
                return _unverified(settings, way, seconds or None)
            return _verified(settings, way, seconds or None)
        except AuthenticationStorageError as error:
            raise UsageError(
                "rattler's file of credentials cannot be read", hint=f"see {settings.auth_file or _DEFAULT_FILE}"
            ) from error


_DEFAULT_FILE = "~/.rattler/credentials.json"


def _verified(settings: ChannelSettings, way: Routes, seconds: int | None) -> Client:
    from rattler import Client
    from rattler.networking import (
        AddHeadersMiddleware,
        AuthenticationMiddleware,
        GCSMiddleware,
        MirrorMiddleware,
        OciMiddleware,
        RetryMiddleware,
        S3Middleware,
    )

    # The first is the outermost: each try may go to another mirror, and credentials are those of who is asked.
    # A key without its slash would be the beginning of other channels' names too.
    mirrors = {f"{key}/": [f"{without_login(url)}/" for url in urls] for key, urls in way.mirrors.items()}
    logins = _logins(way)
    return Client(
        [
            RetryMiddleware(settings.retries),
            MirrorMiddleware(mirrors),
            AuthenticationMiddleware(),
            *([AddHeadersMiddleware(_headers(logins))] if logins else ()),
            OciMiddleware(),
            GCSMiddleware(),
            S3Middleware(),
        ],
        timeout=seconds,
    )


def _unverified(settings: ChannelSettings, way: Routes, seconds: int | None) -> Client:
    """Mirrors at other hosts and logins are refused: without a certificate nobody knows who is given the password."""
    from rattler import Client, Config

    elsewhere = [key for key, urls in way.mirrors.items() for url in urls if _host(url) != _host(key)]
    if elsewhere or _logins(way):
        raise UsageError(
            "ssl_verify: false cannot go together with mirrors, or a password in a channel's address",
            hint="let ssl_verify name a file with the certificates of your authority instead",
        )
    import tomli_w

    mirrors = {key: list(urls) for key, urls in way.mirrors.items()}
    config = Config.from_toml(tomli_w.dumps({"tls-no-verify": True, "mirrors": mirrors}))
    return Client.from_config(config, max_retries=settings.retries, timeout=seconds)


def _logins(way: Routes) -> list[tuple[str, str, str]]:
    """Host, path and header of every address that has a user."""
    found: list[tuple[str, str, str]] = []
    for _, _, fetches in way.ways:
        for url in fetches:
            user, password = login(url)
            if user:
                header = base64.b64encode(f"{user}:{password}".encode()).decode()
                found.append((_host(url), unquote(urlsplit(url).path).rstrip("/"), f"Basic {header}"))
    return found


def _headers(logins: list[tuple[str, str, str]]) -> Callable[[str, str], dict[str, str] | None]:
    def headers(host: str, path: str) -> dict[str, str] | None:
        asked = unquote(path)
        for of_host, of_path, header in logins:
            if host == of_host and rest(asked, of_path) is not None:
                return {"Authorization": header}
        return None

    return headers


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


@contextlib.contextmanager
def _variables(settings: ChannelSettings) -> Iterator[None]:
    """The variables of this process as the settings want them, as far as they differ."""
    wanted = _wanted(settings)
    before = {name: os.environ.get(name) for name in wanted}
    changed = {name: value for name, value in wanted.items() if value != before[name]}
    try:
        for name, value in changed.items():
            _set(name, value)
        yield
    finally:
        for name in changed:
            _set(name, before[name])


def _wanted(settings: ChannelSettings) -> dict[str, str | None]:
    wanted: dict[str, str | None] = {name: settings.environ.get(name) for name in _READ}
    wanted["RATTLER_AUTH_FILE"] = settings.auth_file or None
    bundle = settings.certificates
    is_folder = bool(bundle) and Path(bundle).is_dir()
    wanted["SSL_CERT_FILE"] = None if is_folder else bundle or None
    wanted["SSL_CERT_DIR"] = bundle if is_folder else settings.environ.get("SSL_CERT_DIR")
    for scheme, *names in _PROXIES:
        for name in names:
            wanted[name] = settings.proxies.get(scheme) or settings.environ.get(name)
    return wanted


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
