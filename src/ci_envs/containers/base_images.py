"""The image that a generated Dockerfile is built on, and how Python gets into it. Pure, over shipped data.

``resources/base-images.yml`` names an image for each Python and each CUDA. What is known of an image that somebody has
configured has to be asked of it: :data:`PROBE` runs in it, :func:`probed` reads the answer.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Literal

import msgspec

from ci_envs.containers.references import parse_reference
from ci_envs.decoding import convert
from ci_envs.errors import UsageError
from ci_envs.resources import resource

if TYPE_CHECKING:
    from ci_envs.containers.references import Reference
    from ci_envs.model.config import Config
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock

__all__ = [
    "PROBE",
    "BaseImage",
    "PythonPlan",
    "PythonSource",
    "all_bases",
    "base_for",
    "brings_cuda",
    "is_conda",
    "is_nix",
    "probed",
    "python_plan",
    "python_source",
    "tools_base",
]

#: Who brings the interpreter: the image itself, its distribution's packages, or uv, which downloads one.
PythonSource = Literal["base", "apt", "uv"]

# What brings CUDA's libraries beside what uses them: NVIDIA's wheels, JAX's, conda's packages. `cuda-version` is an
# empty package that only holds the others to a version.
_CUDA_WHEEL = re.compile(r"nvidia-cuda-runtime.*|nvidia-.+-cu\d+|jax-cuda\d+-(?:plugin|pjrt)")
_CUDA_CONDA = re.compile(r"cuda(?!-version$)(?:-.+|toolkit)")
# PyTorch's own index marks the builds that come with CUDA: 2.4.1+cu121.
_CUDA_LOCAL = re.compile(r".+\+cu\d+")
_SERIES = re.compile(r"\d+\.\d+")


class Distribution(msgspec.Struct, frozen=True):
    """What holds for every image of one release of a distribution."""

    #: ``apt``, ``apk``, ``dnf``; empty where nobody knows.
    packages: str = ""
    #: The series that its own packages bring.
    pythons: tuple[str, ...] = ()
    #: ``glibc 2.36`` or ``musl 1.2``.
    libc: str = ""


class BaseImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image to build on, and what is known of it. Unknown facts are empty."""

    #: With its tag; :attr:`reference` has the digest, too.
    image: str
    #: Empty where no one has confirmed it: then a registry has to be asked.
    digest: str = ""
    #: ``debian-12``, ``ubuntu-24.04``, as ``/etc/os-release`` has ID and VERSION_ID.
    distribution: str = ""
    packages: str = ""
    #: The series that its distribution's packages would bring.
    pythons: tuple[str, ...] = ()
    libc: str = ""
    #: The series that are installed in it, with ``python3.12`` on PATH.
    brings: tuple[str, ...] = ()
    #: Those of them that can make an environment with pip: Debian has ensurepip in a package of its own.
    ensurepip: tuple[str, ...] = ()
    #: ``12.4``, for an image that has CUDA's libraries.
    cuda: str = ""
    #: Whether a person has named it.
    configured: bool = False

    @property
    def reference(self) -> Reference:
        """The image, held fast where its digest is known."""
        named = parse_reference(self.image)
        return named.with_digest(self.digest) if self.digest and not named.digest else named

    @property
    def is_known(self) -> bool:
        """Whether it is known what is inside."""
        return bool(self.distribution)


class PythonPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How an image comes to its interpreter."""

    source: PythonSource
    #: What runs the tools that make the environment: ``python3.12``.
    executable: str
    #: Packages of the distribution that the image needs for its interpreter, and those that only the making needs.
    packages: tuple[str, ...] = ()
    bootstrap: tuple[str, ...] = ()


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    image: str
    distribution: str
    digest: str = ""
    confirmed: bool = False
    cuda: str = ""

    def base(self, distributions: dict[str, Distribution], brings: tuple[str, ...] = ()) -> BaseImage:
        facts = distributions[self.distribution]
        return BaseImage(
            image=self.image,
            digest=self.digest if self.confirmed else "",
            distribution=self.distribution,
            packages=facts.packages,
            pythons=facts.pythons,
            libc=facts.libc,
            brings=brings,
            ensurepip=brings,
            cuda=self.cuda,
        )


class _Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    python: dict[str, _Row]
    plain: _Row
    nix: _Row
    cuda: dict[str, _Row]
    distributions: dict[str, Distribution]


@cache
def _known() -> _Known:
    from ci_envs.documents import load_yaml

    return convert(load_yaml(resource("base-images.yml").read_text("utf-8"), file="base-images.yml").data, _Known)


def all_bases() -> dict[str, BaseImage]:
    """Every image of the data, by what it is for: ``3.12``, ``cuda12``, ``nix``, ``plain``."""
    known = _known()
    found = {series: row.base(known.distributions, (series,)) for series, row in known.python.items()}
    found |= {key: row.base(known.distributions) for key, row in known.cuda.items()}
    return {**found, "nix": known.nix.base(known.distributions), "plain": known.plain.base(known.distributions)}


def base_for(leg: Leg, config: Config, lock: Lock) -> BaseImage:
    """The image that the leg's generated Dockerfile is built on.

    What is configured, else nix's own where nix builds what is inside, else CUDA's image where the leg asks for CUDA
    and the lock does not bring it, else Python's; where conda brings Python, or no image has the leg's, a plain one.
    Raises :class:`UsageError` where CUDA is asked for in a version that no image of the data has.
    """
    if config.docker.base_image:
        return BaseImage(image=_filled(config.docker.base_image, leg), configured=True)
    if is_nix(lock):
        return all_bases()["nix"]
    if leg.accelerator.startswith("cuda") and not brings_cuda(lock):
        return _cuda_base(leg.accelerator)
    bases = all_bases()
    return bases["plain"] if is_conda(lock) else bases.get(leg.python, bases["plain"])


def tools_base(base: BaseImage) -> BaseImage | None:
    """Where conda's packages are put together, for an image that has no Python to do it; ``None`` where it has one.

    An image that a person has configured is the only one that is used: another may not be within reach.
    """
    if base.configured or base.brings:
        return None
    pythons = _known().python
    newest = max(pythons, key=_number)
    return all_bases()[newest]


def brings_cuda(lock: Lock) -> bool:
    """Whether CUDA's libraries are among what is locked."""
    for pin in lock.pins:
        names = _CUDA_CONDA if pin.manager == "conda" else _CUDA_WHEEL
        if names.fullmatch(pin.name) or (pin.name == "torch" and _CUDA_LOCAL.fullmatch(pin.version)):
            return True
    return False


def python_source(base: BaseImage, python: str) -> PythonSource:
    """Who brings the interpreter of a series (``3.12``, ``3.13t``, ``pypy3.10``) into an image."""
    if python in base.brings:
        return "base"
    return "apt" if base.packages == "apt" and python in base.pythons else "uv"


def python_plan(base: BaseImage, python: str, *, conda: bool = False) -> PythonPlan:
    """How a series gets into an image that is built on ``base``; with ``conda``, what puts its packages together.

    Raises :class:`UsageError` where it cannot: what is missing would have to come from apt, and there is none.
    """
    source = "base" if conda else python_source(base, python)
    if source == "base" and not conda:
        return _planned(base, source, f"python{python}", () if python in base.ensurepip else (f"python{python}-venv",))
    if source == "apt":
        packages = (f"python{python}",)
        return _planned(base, source, f"python{python}", (f"python{python}-venv",), packages)
    # Any Python can run what fetches another, or conda's packages: py-rattler wants 3.10.
    usable = [series for series in base.ensurepip if _number(series) >= (3, 10)]
    if usable:
        return _planned(base, source, f"python{usable[-1]}")
    return _planned(base, source, "python3", ("ca-certificates", "python3-venv"))


def _planned(
    base: BaseImage,
    source: PythonSource,
    executable: str,
    bootstrap: tuple[str, ...] = (),
    packages: tuple[str, ...] = (),
) -> PythonPlan:
    if (bootstrap or packages) and base.is_known and base.packages != "apt":
        raise UsageError(
            f"{base.image} has no Python that can make environments, and no apt to install one with",
            hint="let docker.base-image name an image with Python: docker.io/library/python:{python}-slim-bookworm",
        )
    return PythonPlan(source=source, executable=executable, bootstrap=bootstrap, packages=packages)


def _number(series: str) -> tuple[int, ...]:
    return tuple(map(int, series.split(".")))


def is_nix(lock: Lock) -> bool:
    """Whether it is the inputs of a nix shell that are locked."""
    return "nix" in lock.covers


def is_conda(lock: Lock) -> bool:
    """Whether conda brings what is locked, its Python too."""
    return lock.format in ("conda-lock", "explicit", "pixi")


def _filled(image: str, leg: Leg) -> str:
    text = image.replace("{python}", leg.python)
    if "{" in text or "}" in text:
        raise UsageError(
            f"docker.base-image is {image!r}, and {{python}} is all that can stand in braces there",
            hint="write {python}, or the version itself",
        )
    parse_reference(text)
    return text


def _cuda_base(accelerator: str) -> BaseImage:
    known = _known()
    version = accelerator.removeprefix("cuda")
    for key, row in known.cuda.items():
        if accelerator == key or version == row.cuda:
            return row.base(known.distributions)
    has = ", ".join(f"{key} ({row.cuda})" for key, row in known.cuda.items())
    raise UsageError(
        f"no image with CUDA {version} is known, and the lock does not bring CUDA; there are {has}",
        hint="name one with docker.base-image, or lock packages that bring CUDA",
    )


#: Runs in an image, as anybody, and says what :func:`probed` reads. Nothing but a POSIX shell is needed.
PROBE: tuple[str, ...] = (
    "/bin/sh",
    "-c",
    """\
. /etc/os-release 2>/dev/null; echo "distribution=${ID-}-${VERSION_ID-}"
for tool in apt-get apk dnf; do command -v "$tool" >/dev/null 2>&1 && echo "packages=${tool%-get}" && break; done
echo "libc=$(getconf GNU_LIBC_VERSION 2>/dev/null)"
ldd /bin/sh 2>/dev/null | grep -q musl && echo "libc=musl"
echo "cuda=${CUDA_VERSION-}"
for series in $(seq 9 20); do
  python="$(command -v "python3.$series")" && "$python" -c pass 2>/dev/null || continue
  echo "brings=3.$series"
  "$python" -c 'import ensurepip, venv' 2>/dev/null && echo "ensurepip=3.$series"
done
true
""",
)


def probed(base: BaseImage, said: str) -> BaseImage:
    """The image with what :data:`PROBE` said of it. What it said is an image's own word, and is read as such."""
    told: dict[str, list[str]] = {}
    for line in said.splitlines():
        name, _, value = line.partition("=")
        if value.strip():
            told.setdefault(name, []).append(value.strip())
    distribution = told.get("distribution", ["-"])[0]
    facts = _known().distributions.get(distribution, Distribution())
    return msgspec.structs.replace(
        base,
        distribution=distribution.strip("-") or "unknown",
        packages=told.get("packages", [""])[0],
        pythons=facts.pythons,
        libc=told.get("libc", [""])[-1],
        brings=_series(told.get("brings", [])),
        ensurepip=_series(told.get("ensurepip", [])),
        cuda=".".join(told.get("cuda", [""])[0].split(".")[:2]),
    )


def _series(values: list[str]) -> tuple[str, ...]:
    return tuple(value for value in values if _SERIES.fullmatch(value))
