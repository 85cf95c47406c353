"""What a build needs behind a firewall: certificates, proxies and package indexes of the user, leaving no trace.

They are handed over as BuildKit's secrets, which are mounted while a RUN goes on, and as those build arguments that
every builder knows without a declaration and keeps out of history and cache
(https://docs.docker.com/build/building/variables/#pre-defined-build-arguments). Nothing is handed over where the user
has set nothing: what builds without a firewall is not touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import tomli_w

from ci_envs import indexes
from ci_envs.containers.secrets import LARGEST, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci_envs.containers.dockerfile import Dockerfile, Instruction
    from ci_envs.work import Work

__all__ = [
    "BUNDLE",
    "CA",
    "CA_FILE",
    "PIP",
    "PIP_CONF",
    "UV",
    "UV_TOML",
    "Firewall",
    "Mount",
    "fitted",
    "gather",
    "mounted",
    "user_firewall",
]

PIP = "ci-envs-pip"
UV = "ci-envs-uv"
CA = "ci-envs-ca"

#: Where pip and uv look for the settings of all users.
PIP_CONF = "/etc/pip.conf"
UV_TOML = "/etc/uv/uv.toml"
#: Where Debian, Ubuntu, Alpine and Arch keep the certificates that OpenSSL, GnuTLS, curl and git go by.
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
#: The same certificates for pip, in a RUN that replaces the file above too.
CA_FILE = f"/run/secrets/{CA}"

#: What every builder knows without ``ARG``.
PROXIES = tuple(
    name
    for word in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")
    for name in (word, word.lower())
)

# Where the systems keep their certificates, and where an administrator adds one.
_BUNDLES = (
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
)
_ADDED = (
    "usr/local/share/ca-certificates",
    "etc/pki/ca-trust/source/anchors",
    "etc/ca-certificates/trust-source/anchors",
    "etc/pki/trust/anchors",
)
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")

_CERTIFICATE = re.compile(r"-----BEGIN (TRUSTED )?CERTIFICATE-----.*?-----END \1?CERTIFICATE-----", re.DOTALL)

# A RUN that has such a word may put a new bundle in the place of the mounted one, which cannot be done: EBUSY. Debian's
# packages bring ca-certificates along where nobody names it.
_REPLACES_BUNDLE = re.compile(
    r"ca-certificates|update-ca-|ca-trust|c_rehash|/etc/ssl|/etc/pki|\b(?:apt|apt-get|aptitude|dpkg)\b"
    r"|\bapk\b[^\n]*\bupgrade\b"
)


@dataclass(frozen=True, slots=True)
class Mount:
    """A secret, and the path at which a RUN has it."""

    id: str
    target: str

    def __str__(self) -> str:
        return f"--mount=type=secret,id={self.id},target={self.target},mode=0444"


@dataclass(frozen=True, slots=True)
class Firewall:
    """What a build is handed. False where that is nothing."""

    secrets: tuple[Secret, ...] = ()
    #: Of the predefined ones alone. They may hold passwords, and are handed over by variables.
    build_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[Mount, ...] = ()
    #: What is not handed over, and why.
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.secrets or self.build_args)


def user_firewall(work: Work, *, network: str = "") -> Firewall:
    """What the caller of ``work`` has set. ``network``: that of the build, ``host`` where it shares the machine's."""
    told = work.environ.get("HOME") or work.environ.get("USERPROFILE")
    home = Path(told) if told else Path.home()
    settings = indexes.index_settings(work.environ, home=home, project=work.project.table("tool", "uv"))
    return gather(
        settings, indexes.uv_tables(work.environ, home), work.environ, loopback=network == "host", root=Path("/")
    )


def gather(
    settings: indexes.IndexSettings,
    tables: Iterable[Mapping[str, Any]],
    environ: Mapping[str, str],
    *,
    loopback: bool = False,
    root: Path,
) -> Firewall:
    """The settings as secrets and build arguments.

    ``tables`` are uv's configuration files, those first that win; ``loopback``: whether a build reaches services of
    this machine at 127.0.0.1; ``root`` is the folder of the system.
    """
    notes: list[str] = []
    certificates = _certificates(settings, root, notes)
    texts = {
        PIP: _pip_conf(settings, bool(certificates), notes),
        UV: _uv_toml(settings, tables, bool(certificates), notes),
        CA: certificates,
    }
    secrets = tuple(Secret(name, value=text, private=name != CA) for name, text in texts.items() if text)
    given = {secret.id for secret in secrets}
    mounts = (Mount(PIP, PIP_CONF), Mount(UV, UV_TOML), Mount(CA, CA_FILE), Mount(CA, BUNDLE))
    return Firewall(
        secrets=secrets,
        build_args=_proxies(environ, loopback, notes),
        mounts=tuple(mount for mount in mounts if mount.id in given),
        notes=tuple(dict.fromkeys(notes)),
    )


def fitted(firewall: Firewall, dockerfile: Dockerfile) -> Firewall:
    """Less the proxies that the Dockerfile declares by ``ARG``: their values would stand in the image's history."""
    declared = {
        word.text.partition("=")[0]: one.first
        for one in dockerfile.instructions
        if one.name == "ARG"
        for word in one.words()
    }
    wrong = [name for name in firewall.build_args if name in declared]
    if not wrong:
        return firewall
    notes = tuple(
        f"{dockerfile.file}:{declared[name]} declares ARG {name}, whose value would stand in the image's history: "
        "it is not handed over; every RUN has it without that line"
        for name in wrong
    )
    kept = {name: value for name, value in firewall.build_args.items() if name not in declared}
    return replace(firewall, build_args=kept, notes=(*firewall.notes, *notes))


# --- a Dockerfile


def mounted(text: str, dockerfile: Dockerfile, firewall: Firewall) -> str:
    """A Dockerfile whose every RUN has the secrets mounted; lines, heredocs and other flags stay as they are.

    ``dockerfile`` is ``text``, read. No command changes and history shows no mount, so that the image is the same as
    without them; what a RUN mounts itself is left to it.
    """
    pieces, at = [], 0
    for instruction in dockerfile.instructions:
        flags = "".join(f" {mount}" for mount in firewall.mounts if _fits(mount, instruction))
        if instruction.name == "RUN" and not instruction.on_build and flags:
            start = len(instruction.line) - len(instruction.line.lstrip())
            after = instruction.spans(start, start + len("RUN"))[-1][1]
            pieces += [text[at:after], flags]
            at = after
    return "".join([*pieces, text[at:]])


def _fits(mount: Mount, instruction: Instruction) -> bool:
    flags = [word.text for word in instruction.flags]
    if any(mount.id in flag.split(",")[1:] or f"={mount.target}" in flag or f"id={mount.id}" in flag for flag in flags):
        return False
    return mount.target != BUNDLE or not replaces_bundle(instruction)


def replaces_bundle(instruction: Instruction) -> bool:
    """Whether a RUN may put a new bundle of certificates in the place of the old one."""
    said = "\n".join([instruction.line, *(heredoc.content for heredoc in instruction.heredocs)])
    return bool(_REPLACES_BUNDLE.search(said))


# --- pip


def _pip_conf(settings: indexes.IndexSettings, has_certificates: bool, notes: list[str]) -> str:
    told = indexes.as_pip(settings)
    links = list(_reachable(told.get("PIP_FIND_LINKS", "").split(), "find-links", notes))
    index = list(_reachable(told.get("PIP_INDEX_URL", "").split(), "index-url", notes))
    values = {
        "index-url": index,
        "extra-index-url": list(_reachable(told.get("PIP_EXTRA_INDEX_URL", "").split(), "extra-index-url", notes)),
        "find-links": links,
        "no-index": ["true"] if settings.no_index else [],
        "trusted-host": told.get("PIP_TRUSTED_HOST", "").split(),
        "proxy": told.get("PIP_PROXY", "").split(),
        "cert": [CA_FILE] if has_certificates else [],
    }
    if not any(values.values()):
        return ""
    patience = {"timeout": told.get("PIP_DEFAULT_TIMEOUT", "").split(), "retries": told.get("PIP_RETRIES", "").split()}
    lines = [_ini(name, words) for name, words in (values | patience).items() if words]
    return "\n".join(["[global]", *lines, ""])


def _ini(name: str, words: list[str]) -> str:
    return f"{name} = {words[0]}" if len(words) == 1 else "\n    ".join([f"{name} =", *words])


# --- uv: https://docs.astral.sh/uv/reference/settings/

_UV_KEYS = (
    *("index", "index-url", "extra-index-url", "find-links", "no-index", "index-strategy", "allow-insecure-host"),
    *("native-tls", "system-certs"),
)


def _uv_toml(
    settings: indexes.IndexSettings, tables: Iterable[Mapping[str, Any]], has_certificates: bool, notes: list[str]
) -> str:
    """uv is told what it is told outside: of pip's index and certificates, and not of pip's extra indexes."""
    found: dict[str, Any] = {}
    for table in tables:
        found = {**{key: table[key] for key in _UV_KEYS if key in table}, **found}
    variables = settings.variables
    told = indexes.as_uv(_narrow(settings)) | {name: variables[name] for name in variables if name.startswith("UV_")}
    default = told.get("UV_DEFAULT_INDEX") or told.get("UV_INDEX_URL", "")
    extra = f"{told.get('UV_INDEX', '')} {told.get('UV_EXTRA_INDEX_URL', '')}".split()
    named = [_with_login(index, variables) for index in found.get("index", ()) if isinstance(index, dict)]
    if default:
        named = [index for index in named if not index.get("default")]
        found["index-url"] = indexes.bare_index(default, variables)
    if extra:
        found["extra-index-url"] = [indexes.bare_index(index, variables) for index in extra]
    links = [link for link in told.get("UV_FIND_LINKS", "").split(",") if link] or found.get("find-links", [])
    found |= {
        "index": [index for index in named if list(_reachable([str(index.get("url", ""))], "index", notes))],
        "index-url": "".join(_reachable([str(found.get("index-url", ""))], "index-url", notes)),
        "extra-index-url": list(_reachable(found.get("extra-index-url", []), "extra-index-url", notes)),
        "find-links": list(_reachable(links, "find-links", notes)),
        "allow-insecure-host": told.get("UV_INSECURE_HOST", "").split() or found.get("allow-insecure-host", []),
    }
    if strategy := told.get("UV_INDEX_STRATEGY"):
        found["index-strategy"] = strategy
    if has_certificates and "system-certs" not in found:
        # The older of its two names: a uv of any age reads it.
        found["native-tls"] = True
    return tomli_w.dumps({key: value for key, value in found.items() if value})


def _narrow(settings: indexes.IndexSettings) -> indexes.IndexSettings:
    import msgspec

    links = settings.find_links if settings.no_index else ()
    return msgspec.structs.replace(settings, extra_indexes=(), find_links=links)


def _with_login(index: dict[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    address = indexes.bare_index(f"{index.get('name', '')}={index.get('url', '')}", variables)
    return {**index, "url": address} if index.get("name") else index


def _reachable(addresses: Iterable[str], name: str, notes: list[str]) -> Iterator[str]:
    """Those that are no folder of this machine, which a build does not see."""
    for address in addresses:
        if not address:
            continue
        if urlsplit(address).scheme in ("http", "https"):
            yield address
        else:
            notes.append(f"{name} of the user's settings is a folder of this machine, which a build does not see")


# --- certificates


def _certificates(settings: indexes.IndexSettings, root: Path, notes: list[str]) -> str:
    """What this machine's tools trust, where somebody has changed that: the user's files and the system's bundle."""
    named = [settings.cert, *(settings.variables.get(name, "") for name in _CA_VARIABLES)]
    files = [Path(name) for name in dict.fromkeys(named) if name]
    if not files and not _added(root):
        return ""
    files += [path for name in _BUNDLES if (path := root / name).is_file()][:1]
    found: dict[str, None] = {}
    for file in files:
        blocks = _blocks(file)
        if not blocks:
            notes.append(f"{file.name}, which is to hold certificates, holds none that can be read")
        found |= dict.fromkeys(blocks)
    text = "".join(f"{block}\n" for block in found)
    if len(text) > LARGEST:
        notes.append("the certificates are more than 500 KiB, which no builder hands over")
        return ""
    return text


def _blocks(file: Path) -> list[str]:
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return []
    return [found[0].replace("\r\n", "\n") for found in _CERTIFICATE.finditer(text)]


def _added(root: Path) -> bool:
    """Whether an administrator has added an authority to those that the system brings."""
    suffixes = (".crt", ".pem", ".cer")
    return any(
        path.suffix in suffixes for name in _ADDED if (root / name).is_dir() for path in (root / name).rglob("*")
    )


# --- proxies


def _proxies(environ: Mapping[str, str], loopback: bool, notes: list[str]) -> dict[str, str]:
    found = {name: environ[name] for name in PROXIES if environ.get(name)}
    for name in [name for name in found if name.upper() != "NO_PROXY"]:
        if not loopback and _is_loopback(found[name]):
            del found[name]
            notes.append(f"{name} names this machine, which is another one inside of a build: it is not handed over")
    return found if any(name.upper() != "NO_PROXY" for name in found) else {}


def _is_loopback(address: str) -> bool:
    try:
        host = urlsplit(address if "//" in address else f"//{address}").hostname or ""
    except ValueError:
        return False
    return host == "localhost" or host.startswith("127.") or host == "::1"
