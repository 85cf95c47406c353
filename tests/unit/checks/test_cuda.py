from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.environments import FakeEnvironment, a_context, dist, lock_of, said

from ci_envs.checks.cuda import CudaPartsAgree, DriverIsNewEnough
from ci_envs.errors import ToolMissing
from ci_envs.model.lock import Pin

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.checks import Context
    from ci_envs.command import Outcome
    from ci_envs.model.inventory import Distribution

TORCH_CU12 = (
    "torch 2.8.0",
    "nvidia-cublas-cu12 12.8.4.1",
    "nvidia-cuda-cupti-cu12 12.8.90",
    "nvidia-cuda-nvrtc-cu12 12.8.93",
    "nvidia-cuda-runtime-cu12 12.8.90",
    "nvidia-cudnn-cu12 9.10.2.21",
    "nvidia-cufile-cu12 1.13.1.3",
    "nvidia-nccl-cu12 2.27.3",
    "nvidia-nvjitlink-cu12 12.8.93",
    "nvidia-nvtx-cu12 12.8.90",
)
JAX_CU13 = (
    "jax 0.8.0",
    "jax-cuda13-plugin 0.8.0",
    "nvidia-cublas 13.1.0.3",
    "nvidia-cuda-cupti 13.0.85",
    "nvidia-cuda-nvrtc 13.0.88",
    "nvidia-cuda-runtime 13.0.96",
    "nvidia-cudnn-cu13 9.13.1.26",
    "nvidia-cufft 12.0.0.61",
    "nvidia-cusparse 12.6.3.3",
    "nvidia-ml-py 13.580.65",
    "nvidia-nvjitlink 13.0.88",
)


def installed(*texts: str) -> list[Distribution]:
    return [dist(*text.split()) for text in texts]


def a_leg_with(folder: Path, *distributions: Distribution, accelerator: str = "cuda12", **more: Any) -> Context:
    return a_context(folder, *distributions, leg={"accelerator": accelerator}, **more)


def told(context: Context) -> list[str]:
    return [f"{f.code} {f.severity} {f.message}" for f in CudaPartsAgree().run(context)]


# --- parts


@pytest.mark.parametrize(
    ("packages", "accelerator"),
    [(TORCH_CU12, "cuda12"), (TORCH_CU12, "cuda12.8"), (TORCH_CU12, "cuda"), (JAX_CU13, "cuda13"), ((), "cuda12")],
)
def test_packages_as_they_are_installed_together_agree(
    tmp_path: Path, packages: tuple[str, ...], accelerator: str
) -> None:
    assert told(a_leg_with(tmp_path, *installed(*packages), accelerator=accelerator)) == []


def test_nobody_asks_in_a_leg_for_the_cpu_unless_a_cuda_is_expected(tmp_path: Path) -> None:
    mixed = installed("nvidia-cublas-cu11 11.11.3.6", "nvidia-cublas-cu12 12.8.4.1")
    plain = a_leg_with(tmp_path, *mixed, accelerator="cpu")
    assert (told(plain), plain.facts) == ([], {})
    assert told(a_leg_with(tmp_path, *mixed, accelerator="rocm6.2")) == []
    assert len(told(a_leg_with(tmp_path, *mixed, accelerator="cpu", expect={"cuda": "12"}))) == 2


def test_wheels_for_two_cudas_are_told_with_their_names(tmp_path: Path) -> None:
    packages = installed(*TORCH_CU12, "nvidia-cudnn-cu11 8.9.4.25", "nvidia-cuda-runtime 13.0.96")
    first, *others = told(a_leg_with(tmp_path, *packages))
    assert first == (
        "ENV503 error NVIDIA's wheels are for more than one CUDA: nvidia-cudnn-cu11 8.9.4.25 for CUDA 11; "
        "nvidia-cublas-cu12 12.8.4.1, nvidia-cuda-cupti-cu12 12.8.90, nvidia-cuda-nvrtc-cu12 12.8.93 and 5 more "
        "for CUDA 12; nvidia-cuda-runtime 13.0.96 for CUDA 13"
    )
    assert others == [
        "ENV503 error nvidia-cudnn-cu11 8.9.4.25 is for CUDA 11; CUDA 12 was asked for",
        "ENV503 error nvidia-cuda-runtime 13.0.96 is for CUDA 13.0; CUDA 12 was asked for",
    ]


def test_nccl_runs_beside_any_cuda(tmp_path: Path) -> None:
    assert told(a_leg_with(tmp_path, *installed(*JAX_CU13, "nvidia-nccl-cu12 2.27.3"), accelerator="cuda13")) == []


@pytest.mark.parametrize("accelerator", ["cuda11", "cuda13", "cuda12.4"])
def test_another_cuda_than_the_legs_is_an_error(tmp_path: Path, accelerator: str) -> None:
    context = a_leg_with(tmp_path, *installed(*TORCH_CU12), accelerator=accelerator)
    asked = accelerator.removeprefix("cuda")
    assert told(context) == [
        f"ENV503 error nvidia-cuda-cupti-cu12 12.8.90 is for CUDA 12.8; CUDA {asked} was asked for"
    ]


def test_condas_cuda_is_held_against_the_legs_too(tmp_path: Path) -> None:
    packages = [
        dist("cuda-version", "11.8", manager="conda", build="h70ddcb2_3"),
        dist("cuda-nvrtc", "11.8.89", manager="conda", build="0"),
    ]
    assert told(a_leg_with(tmp_path, *packages)) == [
        "ENV503 error conda's cuda-version 11.8 is for CUDA 11.8; CUDA 12 was asked for"
    ]
    assert told(a_leg_with(tmp_path, *packages, accelerator="cuda11")) == []


def test_parts_of_several_releases_are_a_warning(tmp_path: Path) -> None:
    packages = installed(
        "nvidia-cuda-runtime-cu12 12.8.90", "nvidia-cuda-nvrtc-cu12 12.9.86", "nvidia-nvjitlink-cu12 12.6.85"
    )
    assert told(a_leg_with(tmp_path, *packages)) == [
        "ENV503 warning parts of one toolkit are of several releases: nvidia-cuda-runtime-cu12 12.8.90 of CUDA 12.8; "
        "nvidia-cuda-nvrtc-cu12 12.9.86 of CUDA 12.9"
    ]


TOOLKIT = tuple(
    f"{spec}; (sys_platform == 'linux' or sys_platform == 'win32') and extra == '{extra}'"
    for spec, name in (("nvidia-cublas==13.1.0.3.*", "cublas"), ("nvidia-cufft==12.0.0.61.*", "cufft"))
    for extra in ("all", name)
)


def with_toolkit(folder: Path, *texts: str, asks: str = "cuda-toolkit[cublas]==13.0.2") -> list[str]:
    torch = dist("torch", "2.13.0", requires=(f"{asks}; platform_system == 'Linux'",))
    toolkit = dist("cuda-toolkit", "13.0.2", requires=(*TOOLKIT, "no requirement at all", "tilus; extra <= 'x'"))
    return told(a_leg_with(folder, torch, toolkit, *installed(*texts), accelerator="cuda13"))


def test_what_a_requirement_of_the_toolkits_meta_package_asks_for_must_be_there(tmp_path: Path) -> None:
    assert with_toolkit(tmp_path, "nvidia-cublas 13.1.0.3", "nvidia-cufft 12.0.0.61") == []
    assert with_toolkit(tmp_path, "nvidia-cublas 13.2.0.9") == [
        "ENV503 error cuda-toolkit 13.0.2 is nvidia-cublas==13.1.0.3.*; 13.2.0.9 is installed"
    ]
    assert with_toolkit(tmp_path) == [
        "ENV503 error cuda-toolkit 13.0.2 is nvidia-cublas==13.1.0.3.*; it is not installed"
    ]


def test_parts_that_nobody_asked_the_meta_package_for_are_a_warning(tmp_path: Path) -> None:
    assert with_toolkit(tmp_path, "nvidia-cublas 13.1.0.3", "nvidia-cufft 12.1.0.1") == [
        "ENV503 warning cuda-toolkit 13.0.2 is nvidia-cufft==12.0.0.61.*; 12.1.0.1 is installed"
    ]
    assert with_toolkit(tmp_path, asks="numpy") == []
    assert with_toolkit(tmp_path, asks="cuda_toolkit") == []


@pytest.mark.parametrize("wanted", ["newest", "12; rm"])
def test_a_wish_that_is_no_version_is_not_this_checks(tmp_path: Path, wanted: str) -> None:
    assert told(a_leg_with(tmp_path, *installed(*TORCH_CU12), expect={"cuda": wanted})) == []


def test_what_the_packages_are_for_is_for_the_record(tmp_path: Path) -> None:
    context = a_leg_with(tmp_path, *installed(*TORCH_CU12))
    told(context)
    assert context.facts["cuda"] == {
        "version": "12.8",
        "lowest-driver": "525.60.13",
        "why": "nvidia-cuda-cupti-cu12 12.8.90 is for CUDA 12.8; CUDA 12.x needs driver 525.60.13",
    }
    image = Pin(name="docker.io/nvidia/cuda", version="13.0.1-base-ubuntu24.04", source="image")
    newer = a_leg_with(tmp_path, *installed(*TORCH_CU12), lock=lock_of(image))
    told(newer)
    assert newer.facts["cuda"]["lowest-driver"] == "580.65.06"
    nothing = a_leg_with(tmp_path, *installed("numpy 2.0"))
    told(nothing)
    assert nothing.facts == {}


# --- driver

GONE = ToolMissing("there is no program 'nvidia-smi' here")


def driver(folder: Path, smi: Outcome | Exception, cuda: str = "12.4", *texts: str, **more: Any) -> list[str]:
    def answer(_argv: tuple[str, ...]) -> Outcome:
        if isinstance(smi, Exception):
            raise smi
        return smi

    context = a_leg_with(folder, *installed(*texts), environment=FakeEnvironment(answer), **more)
    if cuda:
        lowest = {"12.4": {"lowest-driver": "525.60.13"}}.get(cuda, {})
        context.facts["cuda"] = {"version": cuda, "why": f"x is for CUDA {cuda}", **lowest}
    return [f"{f.code} {f.severity} {f.message}" for f in DriverIsNewEnough().run(context)]


@pytest.mark.parametrize("version", ["525.60.13", "525.60.14", "525.105.17", "530.30.02", "1000.1"])
def test_a_driver_that_is_new_enough_is_well(tmp_path: Path, version: str) -> None:
    assert driver(tmp_path, said(f"{version}\n{version}\n")) == []


@pytest.mark.parametrize("version", ["525.60.02", "525.9.13", "470.57.02", "99.999"])
def test_an_older_driver_is_an_error(tmp_path: Path, version: str) -> None:
    assert driver(tmp_path, said(f"{version}\n")) == [
        f"ENV505 error driver {version} is on this machine; x is for CUDA 12.4"
    ]


def test_a_package_that_makes_up_for_an_old_driver_makes_it_a_warning(tmp_path: Path) -> None:
    assert driver(tmp_path, said("470.57.02\n"), "12.4", "cuda-compat-12-4 550.54.15") == [
        "ENV505 warning driver 470.57.02 is on this machine; x is for CUDA 12.4; "
        "cuda-compat-12-4 550.54.15 may make up for it"
    ]


@pytest.mark.parametrize(
    "smi", [GONE, said("No devices were found\n", code=6), said(""), said("[N/A]\n"), said("NVIDIA-SMI has failed\n")]
)
def test_a_machine_without_a_driver_is_not_judged(tmp_path: Path, smi: Outcome | Exception) -> None:
    assert driver(tmp_path, smi) == []


@pytest.mark.parametrize(
    ("cuda", "more"),
    [
        ("14.0", {}),
        ("", {}),
        ("12.4", {"accelerator": "cpu"}),
        ("12.4", {"expect_gpu": False}),
        ("12.4", {"interpreter": {"os": "windows"}}),
    ],
)
def test_no_driver_is_looked_at_where_nothing_is_known_or_none_is_asked_for(
    tmp_path: Path, cuda: str, more: dict[str, Any]
) -> None:
    assert driver(tmp_path, said("1.0\n"), cuda, **more) == []


def test_both_are_asked_in_a_leg_that_expects_a_gpu(tmp_path: Path) -> None:
    assert len(driver(tmp_path, said("1.0\n"), accelerator="cpu", expect_gpu=True)) == 1


def test_facts_can_be_kept_as_json(tmp_path: Path) -> None:
    context = a_leg_with(tmp_path, *installed(*JAX_CU13))
    told(context)
    assert json.loads(json.dumps(context.facts)) == context.facts
