from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.environments import FakeEnvironment, a_context, dist, said

from ci_envs.checks.libraries import LibrariesAreFound

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.checks import Context
    from ci_envs.command import Outcome

PLACES = {"prefix": "/env", "base_prefix": "/usr", "paths": {"purelib": "lib/site", "platlib": "lib/site"}}


def row(library: str, path: str = "pkg/_core.so", owner: str = "pkg", version: str = "1.0") -> dict[str, str]:
    return {"library": library, "object": path, "owner": owner, "version": version}


def answered(*rows: dict[str, str], more: int = 0) -> Outcome:
    return said(json.dumps({"objects": 7, "foreign": 0, "malformed": 0, "missing": rows, "more": more}) + "\n")


class Found:
    """What the check found, left out and ran."""

    def __init__(
        self, folder: Path, outcome: Outcome, *packages: str, accelerator: str = "cuda12", **more: Any
    ) -> None:
        self.environment = FakeEnvironment(lambda _argv: outcome)
        installed = [dist(*text.split()) for text in packages]
        places = more.pop("interpreter", PLACES)
        conda = [dist("python", manager="conda")] if more.pop("conda", False) else []
        self.context: Context = a_context(
            folder,
            *installed,
            *conda,
            environment=self.environment,
            leg={"accelerator": accelerator},
            interpreter=places,
            **more,
        )
        self.findings = [f"{f.code} {f.severity} {f.message}" for f in LibrariesAreFound().run(self.context)]
        self.left_out = self.context.left_out


NOWHERE = "it is neither in the environment nor where the loader looks"


def test_a_leg_for_the_cpu_reads_nothing(tmp_path: Path) -> None:
    found = Found(tmp_path, answered(row("libx.so")), accelerator="cpu")
    assert (found.findings, found.left_out, found.environment.calls, found.context.facts) == ([], [], [], {})
    assert Found(tmp_path, answered(row("libx.so")), accelerator="cpu", expect={"cuda": "12"}).findings != []


def test_all_is_found_and_how_much_was_read_is_for_the_record(tmp_path: Path) -> None:
    found = Found(tmp_path, answered())
    assert (found.findings, found.left_out) == ([], [])
    assert found.context.facts["libraries"] == {"objects": 7, "of-the-driver": [], "optional": [], "missing": []}
    (call,) = found.environment.calls
    assert call.argv == ("bin/python", "-I", "-S", "-", "/env")
    assert "def scan(" in call.stdin


@pytest.mark.parametrize(
    ("interpreter", "conda", "folders"),
    [
        (PLACES, False, ("/env",)),
        ({**PLACES, "prefix": "/opt/conda", "base_prefix": "/opt/conda"}, True, ("/opt/conda",)),
        ({**PLACES, "prefix": "/usr", "base_prefix": "/usr"}, False, ("/usr/lib/site",)),
        (
            {"prefix": "/usr", "base_prefix": "/usr", "paths": {"purelib": "/usr/local/lib/x", "platlib": "lib/y"}},
            False,
            ("/usr/local/lib/x", "/usr/lib/y"),
        ),
    ],
)
def test_the_environments_own_folders_are_read_and_not_the_systems(
    tmp_path: Path, interpreter: dict[str, Any], conda: bool, folders: tuple[str, ...]
) -> None:
    found = Found(tmp_path, answered(), interpreter=interpreter, conda=conda)
    assert found.environment.calls[0].argv[4:] == folders


@pytest.mark.parametrize(
    "library",
    ["libcuda.so.1", "libcuda.so", "libnvidia-ml.so.1", "libnvcuvid.so.1", "libnvidia-encode.so.1", "libnvoptix.so.1"],
)
def test_what_comes_with_a_driver_is_excused_and_said(tmp_path: Path, library: str) -> None:
    found = Found(tmp_path, answered(row(library)))
    assert found.findings == []
    assert found.context.facts["libraries"]["of-the-driver"] == [library]


@pytest.mark.parametrize("library", ["libcudart.so.12", "libcublasLt.so.12", "libcufft.so.11", "libnvrtc.so.12"])
def test_a_library_of_the_legs_cuda_is_an_error(tmp_path: Path, library: str) -> None:
    found = Found(tmp_path, answered(row(library)))
    cuda = "11 and 12" if library == "libcurand.so.10" else "12"
    assert found.findings == [
        f"ENV504 error pkg/_core.so of pkg 1.0 needs {library}, a library of CUDA {cuda}: {NOWHERE}"
    ]


def test_a_library_of_another_cuda_and_any_other_is_a_warning(tmp_path: Path) -> None:
    found = Found(tmp_path, answered(row("libcudart.so.11.0"), row("libGL.so.1", owner="", version="")))
    assert found.findings == [
        f"ENV504 warning pkg/_core.so of pkg 1.0 needs libcudart.so.11.0, a library of CUDA 11: {NOWHERE}",
        f"ENV504 warning pkg/_core.so needs libGL.so.1: {NOWHERE}",
    ]
    assert found.context.facts["libraries"]["missing"] == ["libGL.so.1", "libcudart.so.11.0"]


@pytest.mark.parametrize(
    ("accelerator", "package", "severity"),
    [
        ("cuda", "torch 2.9.0+cu130", "error"),
        ("cuda", "numpy 2.0", "warning"),
        ("cuda13", "torch 2.2.0+cu121", "error"),
        ("cuda12", "torch 2.9.0+cu130", "warning"),
    ],
)
def test_the_cuda_is_the_legs_and_else_the_packages(
    tmp_path: Path, accelerator: str, package: str, severity: str
) -> None:
    (told,) = Found(tmp_path, answered(row("libcublas.so.13")), package, accelerator=accelerator).findings
    assert told.startswith(f"ENV504 {severity} ")


@pytest.mark.parametrize(
    ("owner", "path", "library"),
    [
        ("nvidia_cufile_cu12", "nvidia/cufile/lib/libcufile_rdma.so.1", "libmlx5.so.1"),
        ("nvidia-cufile", "nvidia/cu13/lib/libcufile_rdma.so.1", "librdmacm.so.1"),
        ("nvidia_nvshmem_cu12", "nvidia/nvshmem/lib/nvshmem_bootstrap_mpi.so.3", "libmpi.so.40"),
        ("libnvshmem3", "lib/nvshmem_transport_ibrc.so.3.0.0", "libibverbs.so.1"),
        ("bitsandbytes", "bitsandbytes/libbitsandbytes_cuda118.so", "libcudart.so.11.0"),
        ("torchcodec", "torchcodec/libtorchcodec_core4.so", "libavcodec.so.58"),
        ("torchaudio", "torchaudio/lib/libtorchaudio_ffmpeg6.so", "libavutil.so.58"),
        ("cupy_cuda12x", "cupy_backends/cuda/libs/cudnn.cpython-312-x86_64-linux-gnu.so", "libcudnn.so.8"),
        ("numba", "numba/np/ufunc/tbbpool.cpython-312-x86_64-linux-gnu.so", "libtbb.so.12"),
    ],
)
def test_what_is_opened_only_where_it_fits_is_excused_and_said(
    tmp_path: Path, owner: str, path: str, library: str
) -> None:
    found = Found(tmp_path, answered(row(library, path, owner)))
    assert found.findings == []
    assert found.context.facts["libraries"]["optional"] == [library]
    assert Found(tmp_path, answered(row(library, path, "another"))).findings != []


def test_objects_of_one_distribution_are_one_finding_and_errors_come_first(tmp_path: Path) -> None:
    rows = [row("libGL.so.1", f"cv2/{n}.so", "opencv") for n in range(3)]
    found = Found(tmp_path, answered(*rows, row("libcublas.so.12", owner="late")))
    assert found.findings == [
        f"ENV504 error pkg/_core.so of late 1.0 needs libcublas.so.12, a library of CUDA 12: {NOWHERE}",
        f"ENV504 warning cv2/0.so of opencv 1.0 (and 2 more) needs libGL.so.1: {NOWHERE}",
    ]


def test_many_libraries_are_told_up_to_a_number(tmp_path: Path) -> None:
    found = Found(tmp_path, answered(*(row(f"lib{number}.so") for number in range(50)), more=9))
    assert len(found.findings) == 21
    assert found.findings[-1] == "ENV504 warning 30 more libraries are not found"
    assert found.left_out == ["shared objects: 9 more that do not find a library"]


def test_names_out_of_a_hostile_file_are_plain_lines(tmp_path: Path) -> None:
    (told,) = Found(tmp_path, answered(row("lib\n::error::x\x1b[31m.so", "a\nb.so" * 99, "o\nwner"))).findings
    assert "\n" not in told
    assert "\x1b" not in told
    assert len(told) < 800


@pytest.mark.parametrize(
    ("outcome", "more", "why"),
    [
        (said("oops", code=1), {}, "reading them exited with 1: oops"),
        (said(timed_out=True, seconds=300), {}, "reading them was ended after 300 s"),
        (said('{"objects": "many"}'), {}, 'reading them exited with 0: {"objects": "many"}'),
        (answered(), {"interpreter": {**PLACES, "os": "windows"}}, "no way to read those of windows yet"),
        (answered(), {"interpreter": {**PLACES, "version": ""}}, "there is no Python inside to read them with"),
        (answered(), {"interpreter": {}}, "where its packages are is not known"),
    ],
)
def test_what_could_not_be_read_is_no_pass_and_is_said(
    tmp_path: Path, outcome: Outcome, more: dict[str, Any], why: str
) -> None:
    found = Found(tmp_path, outcome, **more)
    assert (found.findings, found.left_out) == ([], [f"shared objects: {why}"])
