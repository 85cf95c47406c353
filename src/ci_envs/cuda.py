"""Which CUDA packages are for, by their names, versions and builds alone, and what it asks of a driver.

Nothing is imported or run: it is known from a lock, before anything is built. What NVIDIA documents is data:
``resources/cuda.yml``.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from ci_envs.model.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "CudaFacts",
    "Package",
    "built_for",
    "cuda_facts",
    "cuda_of",
    "documented",
    "fits",
    "lowest_driver",
    "major_of",
    "release_of_part",
    "wheel_of_cuda",
]


class Package(Protocol):
    """A pin of a lock, or what is installed."""

    @property
    def name(self) -> str:
        """Normalised."""

    @property
    def version(self) -> str:
        """As its manager spells it."""

    @property
    def build(self) -> str:
        """conda's build string."""

    @property
    def manager(self) -> str:
        """``python``, ``conda`` or ``image``; others say nothing of CUDA."""


class CudaFacts(msgspec.Struct, frozen=True):
    """A CUDA, and which package says so."""

    #: ``12.4``; ``12`` where no more than that is said; empty: built without CUDA.
    version: str
    #: ``torch 2.2.0+cu121``.
    how: str

    @property
    def major(self) -> str:
        """``12``."""
        return self.version.partition(".")[0]

    @property
    def lowest_driver(self) -> str:
        """See :func:`lowest_driver`."""
        return lowest_driver(self.version)


#: How much a package's word counts where several speak of one major version: frameworks first.
_FRAMEWORK, _TOOLKIT, _PART, _NAME = range(4)

#: conda's names of what Python calls torch, cupy and jax.
_OF_CONDA = {"torch": ("pytorch", "libtorch"), "cupy": ("cupy", "cupy-core"), "jax": ("jaxlib",)}

# torch 2.2.0+cu121, +cu118, +cu92.
_TORCH_LOCAL = re.compile(r"\+cu(\d{2,3})\b")
# jaxlib 0.4.23+cuda12.cudnn89, as they were before plugins.
_JAXLIB_LOCAL = re.compile(r"\+cuda(\d{2})\.")
# cupy-cuda12x, cupy-cuda110, cupy-cuda102.
_CUPY = re.compile(r"cupy-cuda(\d{2,3})x?")
# jax-cuda12-plugin, jax-cuda12-pjrt.
_JAX = re.compile(r"jax-cuda(\d{2})-(?:plugin|pjrt)")
_SUFFIX = re.compile(r"-cu(\d{2})$")
# conda-forge: cuda126_mkl_py312h..., cuda118py310h...; of the channel pytorch: py3.12_cuda12.4_cudnn9.1.0_0.
_BUILD = re.compile(r"cuda_?(\d{1,2}\.\d|\d{2,3}(?!\d))")
_CPU_BUILD = re.compile(r"(?:^|_)cpu(?:_|py|h|$)")
_RELEASE = re.compile(r"(\d+)\.(\d+)")
_FIRST_NUMBER = re.compile(r"\d+")


def cuda_of(packages: Lock | Iterable[Package]) -> CudaFacts | None:
    """The CUDA of a lock's packages, or of these; ``None`` where none of them speaks of one.

    Where they disagree it is the newest: a driver that is new enough for that one runs the others, too.
    """
    there = packages.pins if isinstance(packages, Lock) else packages
    said = [(int(facts.major), "." in facts.version, -rank, facts) for rank, facts in _said(there) if facts.version]
    return max(said, key=lambda one: one[:3])[-1] if said else None


def built_for(packages: Iterable[Package], framework: str) -> CudaFacts | None:
    """What the metadata of ``torch``, ``cupy`` or ``jax`` says; ``None`` where it says nothing.

    torch of the Python index is built for a CUDA that only its requirements name: NVIDIA's wheels.
    """
    there = list(packages)
    own = [facts for each in there for facts in _of_framework(each, framework)]
    if own:
        return max(own, key=lambda facts: facts.version)
    names = {each.name for each in there if each.manager == "python"}
    if framework == "jax" and "jaxlib" in names and not any(name.startswith("jax-") for name in names):
        return CudaFacts("", "no plugin of jax for CUDA is installed")
    if framework == "torch" and "torch" in names:
        return next((facts for rank, facts in _said(there) if rank in (_TOOLKIT, _PART)), None)
    return None


def wheel_of_cuda(package: Package) -> str:
    """The major version of CUDA that one of NVIDIA's wheels is for; empty for what runs beside any, and for others."""
    name = package.name
    if package.manager != "python" or not name.startswith("nvidia-"):
        return ""
    if (found := _SUFFIX.search(name)) is not None:
        return "" if name.removesuffix(found[0]) in documented()["of-any-cuda"] else found[1]
    release = _RELEASE.match(package.version)
    return release[1] if release and name in documented()["parts"] else ""


def release_of_part(package: Package) -> str:
    """The CUDA (``12.8``) that a part of the toolkit is of, where its version tells; empty for anything else."""
    release = _RELEASE.match(package.version)
    is_part = package.manager == "python" and _SUFFIX.sub("", package.name) in documented()["parts"]
    return f"{release[1]}.{release[2]}" if is_part and release else ""


def major_of(wanted: str) -> str:
    """``12`` of ``12.4``, ``==12.*`` and ``>=12.1,<13``; empty where nothing is said."""
    found = _FIRST_NUMBER.search(wanted)
    return found[0] if found else ""


def lowest_driver(cuda: str) -> str:
    """The lowest driver of Linux that runs programs of a CUDA (``12.4``, ``12``); empty where none is known."""
    drivers: dict[str, str] = documented()["drivers"]
    return drivers.get(cuda) or drivers.get(cuda.partition(".")[0], "")


def cuda_facts(facts: CudaFacts, os: str = "linux") -> dict[str, str]:
    """What a record says of a CUDA: ``version``, ``why`` and, where it is known, ``lowest-driver``: Linux's."""
    driver, series = facts.lowest_driver if os == "linux" else "", facts.version
    if driver and series not in documented()["drivers"]:
        series = f"{facts.major}.x"
    known = {"lowest-driver": driver} if driver else {}
    why = f"{facts.how} is for CUDA {facts.version}"
    return {"version": facts.version, **known, "why": f"{why}; CUDA {series} needs driver {driver}" if driver else why}


def fits(built: str, wanted: str) -> bool:
    """Whether a CUDA is the one asked for: ``12`` is any 12.x, ``12.4`` any 12.4.x, ``>=12.1`` as it says.

    Of ``12`` alone no minor version is known, so it fits where one of them would. An empty ``wanted`` is any CUDA, an
    empty ``built`` is none. ``packaging.specifiers.InvalidSpecifier`` where ``wanted`` is none.
    """
    from packaging.specifiers import SpecifierSet

    text = wanted.strip()
    if text[:1].isdigit():
        text = f"=={text.removesuffix('.*')}.*"
    asked = SpecifierSet(text)
    if not built:
        return False
    candidates = [built] if "." in built else [f"{built}.{minor}" for minor in range(20)]
    return any(asked.contains(each) for each in candidates)


def _said(packages: Iterable[Package]) -> Iterator[tuple[int, CudaFacts]]:
    """Who says what, with how much it counts."""
    for each in packages:
        yield from ((_FRAMEWORK, facts) for name in _OF_CONDA for facts in _of_framework(each, name))
        yield from _of_toolkit(each)


def _of_framework(package: Package, framework: str) -> Iterator[CudaFacts]:
    name, version, build = package.name, package.version, package.build
    if package.manager == "conda" and name in _OF_CONDA[framework]:
        found = _BUILD.search(build)
        if found or _CPU_BUILD.search(build):
            yield CudaFacts(_number(found[1]) if found else "", f"conda's {name} {version} {build}")
    elif package.manager == "python":
        digits = _OF_PYTHON[framework](name, version)
        if digits is not None:
            yield CudaFacts(_number(digits), f"{name} {version}")


def _of_torch(name: str, version: str) -> str | None:
    if name != "torch":
        return None
    found = _TORCH_LOCAL.search(version)
    return found[1] if found else "" if "+cpu" in version else None


def _of_cupy(name: str, _version: str) -> str | None:
    found = _CUPY.fullmatch(name)
    return found[1] if found else None


def _of_jax(name: str, version: str) -> str | None:
    found = _JAX.fullmatch(name) or (_JAXLIB_LOCAL.search(version) if name == "jaxlib" else None)
    return found[1] if found else None


#: Each takes name and version, and gives the digits of a CUDA, nothing for none, ``None`` where nothing is said.
_OF_PYTHON = {"torch": _of_torch, "cupy": _of_cupy, "jax": _of_jax}


def _number(digits: str) -> str:
    """``126`` is 12.6, ``92`` is 9.2, and ``12`` is 12: there was a CUDA 9.2 and no 1.2."""
    if "." in digits or len(digits) < 2 or (len(digits) == 2 and digits < "80"):
        return digits
    return f"{digits[:-1]}.{digits[-1]}"


def _of_toolkit(package: Package) -> Iterator[tuple[int, CudaFacts]]:
    name, release = package.name, _RELEASE.match(package.version)
    how = f"{name} {package.version}"
    number = f"{release[1]}.{release[2]}" if release else ""
    if package.manager == "conda" and number and name in ("cuda-version", "cudatoolkit", "pytorch-cuda"):
        yield _TOOLKIT, CudaFacts(number, f"conda's {how}")
    elif package.manager == "image" and number and name.endswith("nvidia/cuda"):
        yield _TOOLKIT, CudaFacts(number, f"the image {name}:{package.version}")
    elif package.manager == "python" and number and name == "cuda-toolkit":
        yield _TOOLKIT, CudaFacts(number, how)
    elif major := wheel_of_cuda(package):
        part = release_of_part(package)
        yield (_PART, CudaFacts(part, how)) if part else (_NAME, CudaFacts(major, how))


@cache
def documented() -> dict[str, Any]:
    """``resources/cuda.yml``."""
    from ci_envs.documents import load_yaml
    from ci_envs.resources import resource

    path = resource("cuda.yml")
    data: dict[str, Any] = load_yaml(path.read_text(encoding="utf-8"), file=path.name).data
    return data
