"""What is known of a GPU environment where there is no GPU: with objects that a compiler made, and with real wheels.

The loader of this machine is asked beside us: what it opens we must find, and what we miss it must not open.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.component.running import PYTHON, Ran, run_verb
from tests.support.index import Index
from tests.support.projects import private_environment, write_project
from tests.support.wheels import make_wheel

from ci_envs.command import Command, run
from ci_envs.resources import shared_objects_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads shared objects of Linux"),
]

OPEN = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
#: With libraries of their own beside them (numpy.libs, scipy.libs), and without.
REAL = ("numpy", "scipy", "pyyaml", "msgspec")
PLATFORM = sysconfig.get_platform().replace("-", "_").replace(".", "_")


class Compiler:
    """Makes shared objects of one empty function in a folder; the C library is not one of their needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "x.c").write_text("int nothing(void) { return 0; }\n")

    def make(self, path: str, *needs: Path, soname: str = "", words: tuple[str, ...] = ()) -> Path:
        """An object at a path in the folder, linked with others by their sonames."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        named = (f"-Wl,-soname,{soname}",) if soname else ()
        linked = ("-Wl,--no-as-needed", *(str(need) for need in needs), *words, *named)
        outcome = run(
            Command(("cc", "-shared", "-fPIC", "-nostdlib", "-o", str(target), str(self.folder / "x.c"), *linked))
        )
        assert outcome, outcome.output
        return target


@pytest.fixture
def compiler(tmp_path: Path) -> Compiler:
    return Compiler(tmp_path / "made")


def ask(prefix: Path, python: str = sys.executable, env: Mapping[str, str] | None = None) -> Any:
    """What the reader says of a folder, run as it is run inside environments."""
    argv = (python, "-I", "-S", "-", str(prefix))
    outcome = run(Command(argv, stdin=shared_objects_text(), env={**os.environ, **(env or {})}, timeout=60))
    assert outcome, outcome.output
    return json.loads(outcome.stdout)


def opens(path: Path, env: Mapping[str, str] | None = None) -> bool:
    """Whether the loader of this machine opens it."""
    return bool(run(Command((sys.executable, "-c", OPEN, str(path)), env={**os.environ, **(env or {})}, timeout=60)))


def finds_all(path: Path, env: Mapping[str, str] | None = None) -> bool:
    """Whether we say so, of an object in a folder of its own."""
    answer = ask(path.parent, env=env)
    assert answer["objects"] == 1
    return not answer["missing"]


# --- we and the loader


@pytest.mark.parametrize(
    ("words", "is_there"),
    [
        ((), False),
        (("-Wl,-rpath,$ORIGIN/../libs", "-Wl,--disable-new-dtags"), True),
        (("-Wl,-rpath,$ORIGIN/../libs", "-Wl,--enable-new-dtags"), True),
        (("-Wl,-rpath,${ORIGIN}/../libs",), True),
        (("-Wl,-rpath,$ORIGIN",), False),
        (("-Wl,-rpath,/nowhere:$ORIGIN/../libs:",), True),
    ],
)
def test_a_library_is_found_by_the_paths_in_an_object_as_the_loader_finds_it(
    compiler: Compiler, words: tuple[str, ...], is_there: bool
) -> None:
    library = compiler.make("libs/libours.so.1.2", soname="libours.so.1")
    (library.parent / "libours.so.1").symlink_to(library.name)
    made = compiler.make("own/made.so", library, words=words)
    assert (opens(made), finds_all(made)) == (is_there, is_there)
    library.unlink()
    assert (opens(made), finds_all(made)) == (False, False)


def test_the_loaders_variable_counts(compiler: Compiler) -> None:
    library = compiler.make("libs/libours.so.1", soname="libours.so.1")
    made = compiler.make("own/made.so", library)
    told = {"LD_LIBRARY_PATH": str(library.parent)}
    assert (opens(made, told), finds_all(made, told)) == (True, True)


def test_the_machines_own_libraries_are_found(compiler: Compiler) -> None:
    made = compiler.make("own/made.so", words=("-lgcc_s", "-lc", "-lm"))
    assert (opens(made), finds_all(made)) == (True, True)
    outcome = run(Command(("readelf", "-d", str(made))))
    assert "libc.so.6" in outcome.stdout


def test_a_library_that_another_package_brings_is_taken_for_found(compiler: Compiler) -> None:
    library = compiler.make("site/nvidia/lib/libours.so.1", soname="libours.so.1")
    made = compiler.make("site/torch/lib/made.so", library)
    assert not opens(made)
    preloaded = f"import ctypes; ctypes.CDLL({str(library)!r}); ctypes.CDLL({str(made)!r})"
    assert run(Command((sys.executable, "-c", preloaded)))
    assert ask(compiler.folder / "site")["missing"] == []


def test_no_false_alarm_over_real_wheels(world_wheels: Callable[..., Path], tmp_path: Path, uv_bin: str) -> None:
    wheels = world_wheels(*REAL)
    prefix = tmp_path / "env"
    for words in (
        ("venv", "-q", "--python", sys.executable, str(prefix)),
        ("pip", "install", "-q", "--offline", "--no-index", f"--find-links={wheels}", f"--python={prefix}", *REAL),
    ):
        outcome = run(Command((uv_bin, *words), timeout=100))
        assert outcome, outcome.output
    answer = ask(prefix, str(prefix / "bin/python"))
    assert answer["missing"] == []
    assert (answer["malformed"], answer["foreign"], answer["more"]) == (0, 0, 0)
    assert answer["objects"] > 100
    bundled = next(prefix.glob("lib/python*/site-packages/numpy.libs/*openblas*.so"))
    bundled.unlink()
    (lost,) = {row["library"] for row in ask(prefix, str(prefix / "bin/python"))["missing"]}
    assert lost == bundled.name
    assert {row["owner"] for row in ask(prefix)["missing"]} == {"numpy"}


def test_this_interpreters_own_prefix_is_whole() -> None:
    assert ask(Path(sys.prefix))["missing"] == []


# --- a leg


FAKE_TORCH = """\
import os


class version:
    cuda = "12.8"


class cuda:
    @staticmethod
    def device_count():
        return int(os.environ.get("FAKE_GPUS", "0"))
"""


@pytest.fixture
def shelf(fruit: Path, tmp_path: Path, compiler: Compiler) -> Iterator[Index]:
    """Packages as torch and NVIDIA's wheels are made: objects that find each other once they are loaded."""
    folder = tmp_path / "packages"
    shutil.copytree(fruit, folder)
    driver = compiler.make("libcuda.so.1", soname="libcuda.so.1")
    gone = compiler.make("libours-gone.so.1", soname="libours-gone.so.1")
    cublas = compiler.make("libcublas.so.12", driver, soname="libcublas.so.12")
    rdma = compiler.make("libcufile_rdma.so.1", gone, soname="libcufile_rdma.so.1")
    torch = compiler.make("libtorch_cuda.so", cublas, driver, words=("-Wl,-rpath,$ORIGIN",))
    plugin = compiler.make("plugin.so", gone, driver)
    tags = f"py3-none-{PLATFORM}"
    torch_needs = ["nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12"]
    packages: tuple[tuple[str, str, dict[str, Path | str], list[str]], ...] = (
        ("nvidia-cublas-cu12", "12.8.4.1", {"nvidia/cublas/lib/libcublas.so.12": cublas}, []),
        ("nvidia-cuda-runtime-cu12", "12.8.90", {}, []),
        ("nvidia-cuda-nvrtc-cu11", "11.8.89", {}, []),
        ("nvidia-cufile-cu12", "1.13.1.3", {"nvidia/cufile/lib/libcufile_rdma.so.1": rdma}, []),
        ("torch", "2.8.0", {"torch/__init__.py": FAKE_TORCH, "torch/lib/libtorch_cuda.so": torch}, torch_needs),
        ("torch-alone", "1.0", {"torch_alone/__init__.py": "", "torch_alone/lib.so": torch}, []),
        ("plugged", "1.0", {"plugged/__init__.py": "", "plugged/plugin.so": plugin}, []),
    )
    for name, version, modules, requires in packages:
        files = {path: text if isinstance(text, str) else text.read_bytes() for path, text in modules.items()}
        make_wheel(folder, name, version, modules=files, requires=requires, tags=tags)
    with Index(folder) as running:
        yield running


@pytest.fixture
def env(shelf: Index, tmp_path: Path) -> dict[str, str]:
    return private_environment(shelf.url, tmp_path / "home", tmp_path / "cache")


@pytest.fixture
def no_smi(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Variables of a machine without a GPU, whatever this one has."""
    return with_smi(env, tmp_path, "echo 'No devices were found' >&2; exit 6")


def with_smi(env: dict[str, str], tmp_path: Path, script: str) -> dict[str, str]:
    program = tmp_path / "driver" / "nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {**env, "PATH": f"{program.parent}{os.pathsep}{env['PATH']}"}


def go(folder: Path, env: Mapping[str, str], *packages: str, accelerator: str = "cuda12", config: str = "") -> Ran:
    matrix = f'axes: {{pattern: [uv], python: ["{PYTHON}"], accelerator: [{accelerator}]}}\n'
    files = {"requirements.in": "\n".join(packages), "matrices/default.yml": matrix, "ci-envs.yml": config}
    return run_verb(["run", "--stages=lock,build,check"], env, write_project(folder, files))


def told(ran: Ran) -> list[str]:
    findings = [f"{f.code} {f.severity} {f.message}" for f in ran.record.findings if f.code.startswith("ENV50")]
    return sorted(findings)


def test_a_gpu_leg_without_a_gpu_is_checked_as_far_as_can_be_and_says_the_rest(
    tmp_path: Path, no_smi: dict[str, str]
) -> None:
    ran = go(tmp_path / "project", no_smi, "torch", "nvidia-cufile-cu12")
    assert ran.code == 0, ran.output
    assert told(ran) == []
    reason = ran.stage("check").reason
    assert reason.endswith("skipped accelerator: no GPU on this machine (nvidia-smi says: No devices were found)")
    assert ran.record.extra["cuda"] == {
        "version": "12.8",
        "lowest-driver": "525.60.13",
        "why": "nvidia-cuda-runtime-cu12 12.8.90 is for CUDA 12.8; CUDA 12.x needs driver 525.60.13",
    }
    assert ran.record.extra["libraries"] == {
        "objects": 3,
        "of-the-driver": ["libcuda.so.1"],
        "optional": ["libours-gone.so.1"],
        "missing": [],
    }


def test_the_same_leg_fails_where_a_gpu_is_expected(tmp_path: Path, no_smi: dict[str, str]) -> None:
    ran = go(tmp_path / "project", no_smi, "torch", config="check: {expect-gpu: true}\n")
    assert ran.code == 7
    assert [text.split(" (")[0] for text in told(ran)] == [
        "ENV501 error check.expect-gpu is true, and there is no GPU on this machine"
    ]
    assert ran.record.extra["cuda"]["lowest-driver"] == "525.60.13", "what is known is said all the same"


def test_a_library_of_cuda_that_no_package_brings_fails_the_leg_and_any_other_is_a_warning(
    tmp_path: Path, no_smi: dict[str, str]
) -> None:
    ran = go(tmp_path / "project", no_smi, "torch-alone", "plugged")
    assert ran.code == 7
    site = f"lib/python{PYTHON}/site-packages"
    nowhere = "it is neither in the environment nor where the loader looks"
    assert told(ran) == [
        f"ENV504 error {site}/torch_alone/lib.so of torch-alone 1.0 needs libcublas.so.12, a library of CUDA 12: "
        + nowhere,
        f"ENV504 warning {site}/plugged/plugin.so of plugged 1.0 needs libours-gone.so.1: {nowhere}",
    ]
    assert "nstall what brings it" in ran.stage("check").reason


def test_packages_for_two_cudas_fail_the_leg(tmp_path: Path, no_smi: dict[str, str]) -> None:
    ran = go(tmp_path / "project", no_smi, "torch", "nvidia-cuda-nvrtc-cu11")
    assert ran.code == 7
    assert told(ran) == [
        "ENV503 error NVIDIA's wheels are for more than one CUDA: nvidia-cuda-nvrtc-cu11 11.8.89 for CUDA 11; "
        "nvidia-cublas-cu12 12.8.4.1, nvidia-cuda-runtime-cu12 12.8.90 for CUDA 12",
        "ENV503 error nvidia-cuda-nvrtc-cu11 11.8.89 is for CUDA 11.8; CUDA 12 was asked for",
    ]


def test_a_leg_for_another_cuda_fails(tmp_path: Path, no_smi: dict[str, str]) -> None:
    ran = go(tmp_path / "project", no_smi, "torch", accelerator="cuda13")
    assert ran.code == 7
    assert told(ran) == [
        "ENV502 error torch was built for CUDA 12.8; CUDA 13 was asked for",
        "ENV503 error nvidia-cuda-runtime-cu12 12.8.90 is for CUDA 12.8; CUDA 13 was asked for",
    ]


def test_a_leg_for_the_cpu_is_asked_none_of_it(tmp_path: Path, no_smi: dict[str, str]) -> None:
    packages = ("torch-alone", "plugged", "nvidia-cuda-nvrtc-cu11", "nvidia-cuda-runtime-cu12")
    ran = go(tmp_path / "project", no_smi, *packages, accelerator="cpu")
    assert ran.code == 0, ran.output
    assert told(ran) == []
    assert not {"cuda", "libraries"} & ran.record.extra.keys()


@pytest.mark.parametrize(("driver", "code"), [("470.57.02", 7), ("525.60.13", 0)])
def test_a_driver_that_is_too_old_for_the_cuda_fails_the_leg(
    tmp_path: Path, env: dict[str, str], driver: str, code: int
) -> None:
    script = f'case "$1" in --list-gpus) echo "GPU 0: NVIDIA H100 (UUID: GPU-0)";; *) echo {driver};; esac'
    ran = go(tmp_path / "project", {**with_smi(env, tmp_path, script), "FAKE_GPUS": "1"}, "torch")
    assert ran.code == code, ran.output
    why = "nvidia-cuda-runtime-cu12 12.8.90 is for CUDA 12.8; CUDA 12.x needs driver 525.60.13"
    assert told(ran) == ([f"ENV505 error driver {driver} is on this machine; {why}"] if code else [])
