"""Packages that are no Python: a compiled tool, scripts that run on linking, GPU variants, and stubs for solving."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.support.channel_archive import PLACEHOLDER, TIMESTAMP, Member, Package, text_member
from tests.support.channel_python import native_platform

from ci_envs.command import Command, run

__all__ = [
    "PLATFORMS",
    "data_package",
    "post_link_package",
    "program_package",
    "stub_package",
    "stub_python",
    "tool_package",
    "variant_packages",
]

#: The platforms that a lock is made for.
PLATFORMS = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")

_LIBRARY = """\
const char *greeting(void) { return "hello from"; }
"""

# The array, and no pointer to a literal: the placeholder must stand in the file once and whole.
_PROGRAM = """\
#include <stdio.h>
extern const char *greeting(void);
static const char prefix[] = PREFIX;
int main(void) { printf("%s %s\\n", greeting(), prefix); return 0; }
"""

_SCRIPT = """\
#!/bin/sh
echo "hello from {prefix}"
"""


def stub_package(
    name: str,
    version: str,
    build: str = "0",
    *,
    depends: tuple[str, ...] = (),
    constrains: tuple[str, ...] = (),
    platform: str = "noarch",
    build_number: int = 0,
    track_features: str = "",
    timestamp: int = TIMESTAMP,
) -> Package:
    """A package with one small file, for solving; ``noarch`` is a platform too."""
    told = Member(path=f"share/{name}/about.txt", data=f"{name} {version} {build}\n".encode())
    return Package(
        name=name,
        version=version,
        build=build,
        build_number=build_number,
        platform=platform,
        noarch="generic" if platform == "noarch" else "",
        depends=depends,
        constrains=constrains,
        track_features=track_features,
        timestamp=timestamp,
        members=(told,),
    )


def stub_python(version: str, platform: str, *, depends: tuple[str, ...] = ()) -> Package:
    """A ``python`` that cannot run, for locking on other platforms; as :func:`python_package` names itself."""
    series = ".".join(version.split(".")[:2])
    digits = series.replace(".", "")
    return stub_package(
        "python",
        version,
        "0_cpython",
        platform=platform,
        depends=depends,
        constrains=(f"python_abi {series}.* *_cp{digits}",),
    )


def data_package(name: str = "tzdata", version: str = "2025b") -> Package:
    """Data for any platform, as ``tzdata`` is: no code, no prefix."""
    zones = ("Europe/Paris", "Pacific/Auckland", "UTC")
    members = tuple(Member(path=f"share/zoneinfo/{zone}", data=b"TZif2\0" + zone.encode()) for zone in zones)
    return Package(
        name=name, version=version, build="h78e105d_0", noarch="generic", members=members, license="LicenseRef-PD"
    )


def tool_package(
    name: str = "hello-native",
    version: str = "1.0",
    *,
    build_number: int = 0,
    placeholder: str = PLACEHOLDER,
    depends: tuple[str, ...] = (),
) -> Package:
    """A program that is not Python: prints ``hello from <prefix>``, by a shared library of its own.

    Compiled where there is a C compiler, with the placeholder as a string inside; else a shell script. With it come
    text files that name the prefix, links, an empty file, and scripts and variables for activation:
    ``HELLO_HOME`` (activate.d, unset in deactivate.d) and ``HELLO_GREETING`` (env_vars.d).
    """
    return Package(
        name=name,
        version=version,
        build=f"h5eee18b_{build_number}",
        build_number=build_number,
        platform=native_platform(),
        depends=depends,
        members=(*_program(name, placeholder), *_texts(name, placeholder)),
    )


def program_package(program: Path, name: str, version: str) -> Package:
    """A program of this machine that needs no more than the C library, as it is."""
    member = Member(path=f"bin/{program.name}", data=program.read_bytes(), mode=0o755)
    return Package(name=name, version=version, build="hb9d3cd8_0", platform=native_platform(), members=(member,))


def _program(name: str, placeholder: str) -> tuple[Member, ...]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        script = _SCRIPT.format(prefix=placeholder)
        return (text_member(f"bin/{name}", script, mode=0o755, placeholder=placeholder),)
    shared = f"lib{name}.so"
    program, library = _compiled(compiler, placeholder, f"{shared}.1")
    return (
        Member(path=f"bin/{name}", data=program, mode=0o755, placeholder=placeholder, file_mode="binary"),
        Member(path=f"lib/{shared}", link=f"{shared}.1", mode=0o777),
        Member(path=f"lib/{shared}.1", data=library, mode=0o755),
    )


@cache
def _compiled(compiler: str, placeholder: str, shared: str) -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        _compile(folder, compiler, _LIBRARY, shared, "-shared", "-fPIC", f"-Wl,-soname,{shared}")
        beside = ("-Wl,-rpath,$ORIGIN/../lib", f"./{shared}", f'-DPREFIX="{placeholder}"')
        _compile(folder, compiler, _PROGRAM, "hello", *beside)
        return Path(folder, "hello").read_bytes(), Path(folder, shared).read_bytes()


def _compile(folder: str, compiler: str, source: str, out: str, *flags: str) -> None:
    # Names relative to the folder and no build id: the same bytes wherever it is compiled.
    Path(folder, f"{out}.c").write_text(source, encoding="utf-8")
    argv = (compiler, "-O0", "-s", "-Wl,--build-id=none", "-o", out, f"{out}.c", *flags)
    outcome = run(Command(argv, cwd=Path(folder), timeout=60))
    if not outcome:
        raise RuntimeError(f"cannot compile {out}:\n{outcome.tail()}")


def _texts(name: str, prefix: str) -> tuple[Member, ...]:
    texts = {
        f"etc/{name}/{name}.conf": f"[paths]\nhome = {prefix}/share/{name}\nlog = {prefix}/var/{name}.log\n",
        f"etc/conda/activate.d/{name}.sh": f'export HELLO_HOME="$CONDA_PREFIX/share/{name}"\n',
        f"etc/conda/deactivate.d/{name}.sh": "unset HELLO_HOME\n",
        f"etc/conda/env_vars.d/{name}.json": '{"HELLO_GREETING": "hello"}\n',
        f"lib/pkgconfig/{name}.pc": f"prefix={prefix}\nlibdir=${{prefix}}/lib\nName: {name}\n",
        f"share/{name}/data.txt": "plain data\n",
        f"share/{name}/empty": "",
    }
    files = [text_member(path, text, placeholder=prefix) for path, text in texts.items()]
    script = text_member(f"bin/{name}-script", _SCRIPT.format(prefix=prefix), mode=0o755, placeholder=prefix)
    return (*files, script, Member(path=f"share/{name}/link.txt", link="data.txt", mode=0o777))


def post_link_package(name: str = "linker", version: str = "1.0") -> Package:
    """A package whose scripts run when it is linked and unlinked, and say so in ``$PREFIX/share/<name>/``."""
    folder = f"$PREFIX/share/{name}"
    linked = f'#!/bin/sh\nmkdir -p "{folder}"\necho "$PKG_NAME $PKG_VERSION" > "{folder}/linked.txt"\n'
    unlinked = f'#!/bin/sh\nrm -f "{folder}/linked.txt"\n'
    return Package(
        name=name,
        version=version,
        noarch="generic",
        members=(
            Member(path=f"bin/.{name}-post-link.sh", data=linked.encode(), mode=0o755),
            Member(path=f"bin/.{name}-pre-unlink.sh", data=unlinked.encode(), mode=0o755),
            Member(path=f"share/{name}/data.txt", data=b"data\n"),
        ),
    )


# A package in builds for CPU and GPU.

#: What conda-forge asks of the system, by the first word of the platform.
_SYSTEM = {"linux": ("__glibc >=2.17,<3.0.a0",), "osx": ("__osx >=11.0",), "win": ("ucrt >=10.0.20348.0",)}

#: Between builds that are as good otherwise a solver takes the newest: each CUDA's was made an hour after the last.
_CUDAS = {"12.4": "cuda124", "12.6": "cuda126"}


def variant_packages(
    series: str = "3.12",
    platforms: tuple[str, ...] = ("linux-64", "linux-aarch64", "osx-arm64", "win-64"),
    version: str = "2.6.0",
) -> tuple[Package, ...]:
    """``pytorch`` in builds for CPU and CUDA, as conda-forge lays them out, and what these depend on; no Python.

    CUDA builds (linux and win) ask for ``__cuda`` and for a ``cuda-version``; their higher build number makes them
    the first choice wherever there is a ``__cuda``. ``pytorch-cpu`` and ``pytorch-gpu`` choose by name, and the
    mutex ``_openmp_mutex`` has a second build that its ``track_features`` make the last choice.
    """
    found = [_cuda_version(cuda) for cuda in ("11.8", *_CUDAS, "12.8")]
    found.append(stub_package("ucrt", "10.0.22621.0", platform="win-64"))
    for platform in platforms:
        found += [_torch(series, platform, version), *_mutexes(platform)]
        found.append(_chooser("pytorch-cpu", "cpu", platform, version))
        if not platform.startswith("osx"):
            found += [_torch(series, platform, version, cuda) for cuda in _CUDAS]
            found.append(_chooser("pytorch-gpu", "cuda", platform, version))
    return tuple(found)


def _cuda_version(version: str) -> Package:
    major = version.partition(".")[0]
    constrains = (f"cudatoolkit {version}|{version}.*", f"__cuda >={major}")
    return stub_package("cuda-version", version, "h5d125a7_3", build_number=3, constrains=constrains)


def _torch(series: str, platform: str, version: str, cuda: str = "") -> Package:
    major, minor = series.split(".")
    digits, system = f"{major}{minor}", platform.partition("-")[0]
    number = 200 if cuda else 0
    word = _CUDAS[cuda] if cuda else "cpu_generic"
    python = (f"python >={series},<{major}.{int(minor) + 1}.0a0", f"python_abi {series}.* *_cp{digits}")
    mutex = ("_openmp_mutex >=4.5",) if system == "linux" else ()
    ours = ("__cuda", f"cuda-version >={cuda},<13") if cuda else ()
    chosen, other = ("pytorch-gpu", "pytorch-cpu") if cuda else ("pytorch-cpu", "pytorch-gpu")
    return stub_package(
        "pytorch",
        version,
        f"{word}_py{digits}_h6c0bcb4_{number}",
        build_number=number,
        platform=platform,
        depends=(*python, *_SYSTEM[system], *mutex, *ours),
        constrains=(f"{chosen} =={version}", f"{other} <0.0a0"),
        timestamp=TIMESTAMP + 3_600_000 * list(_CUDAS).index(cuda) if cuda else TIMESTAMP,
    )


def _chooser(name: str, word: str, platform: str, version: str) -> Package:
    return stub_package(name, version, f"{word}_h9d8d2a4_0", platform=platform, depends=(f"pytorch {version} {word}*",))


def _mutexes(platform: str) -> list[Package]:
    if not platform.startswith("linux"):
        return []
    return [
        stub_package("_openmp_mutex", "4.5", "2_gnu", build_number=2, platform=platform),
        stub_package(
            "_openmp_mutex", "4.5", "3_kmp_llvm", build_number=3, platform=platform, track_features="openmp_kmp"
        ),
    ]
