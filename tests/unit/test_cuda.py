"""What names, versions and builds of packages say of CUDA. The names and versions are those of real packages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from packaging.specifiers import InvalidSpecifier
from tests.support.environments import dist, lock_of

from ci_envs.cuda import (
    CudaFacts,
    built_for,
    cuda_facts,
    cuda_of,
    documented,
    fits,
    lowest_driver,
    major_of,
    release_of_part,
    wheel_of_cuda,
)
from ci_envs.model.lock import Pin

if TYPE_CHECKING:
    from ci_envs.cuda import Package


def package(text: str) -> Package:
    """``name version``, with a conda build behind it; ``image name version`` for an image."""
    words = text.split()
    if words[0] == "image":
        return Pin(name=words[1], version=words[2], source="image")
    if len(words) == 3:
        return Pin(name=words[0], version=words[1], source="channel", build=words[2])
    return Pin(name=words[0], version=words[1])


def packages(*texts: str) -> list[Package]:
    return [package(text) for text in texts]


@pytest.mark.parametrize(
    ("said", "version"),
    [
        (["torch 2.2.0+cu121"], "12.1"),
        (["torch 2.9.0+cu130"], "13.0"),
        (["torch 1.7.1+cu92"], "9.2"),
        (["cuda-toolkit 13.0.2", "nvidia-cublas 13.1.0.3", "nvidia-cusparse 12.6.3.3"], "13.0"),
        (["nvidia-cuda-runtime-cu12 12.8.90", "nvidia-cudnn-cu12 9.10.2.21", "torch 2.8.0"], "12.8"),
        (["nvidia-cuda-runtime 13.0.96"], "13.0"),
        (["nvidia-cudnn-cu12 9.10.2.21"], "12"),
        (["cupy-cuda12x 13.6.0"], "12"),
        (["cupy-cuda110 8.6.0"], "11.0"),
        (["cupy-cuda102 9.0.0"], "10.2"),
        (["jax 0.8.0", "jaxlib 0.8.0", "jax-cuda13-plugin 0.8.0", "jax-cuda13-pjrt 0.8.0"], "13"),
        (["jaxlib 0.4.23+cuda12.cudnn89"], "12"),
        (["pytorch 2.6.0 cuda126_mkl_py312hc0efe31_300"], "12.6"),
        (["pytorch 2.1.2 cuda118_py310h6f85f1c_301"], "11.8"),
        (["pytorch 2.5.1 py3.12_cuda12.4_cudnn9.1.0_0"], "12.4"),
        (["jaxlib 0.4.31 cuda120py312h4008524_200"], "12.0"),
        (["cuda-version 12.6 h7480c83_3", "cupy 13.3.0 py312h7d319b9_2"], "12.6"),
        (["cudatoolkit 11.8.0 h4ba93d1_13"], "11.8"),
        (["pytorch-cuda 12.1 ha16c6d3_6"], "12.1"),
        (["image docker.io/nvidia/cuda 12.4.1-cudnn-runtime-ubuntu22.04"], "12.4"),
    ],
)
def test_packages_tell_the_cuda_that_they_are_for(said: list[str], version: str) -> None:
    facts = cuda_of(packages(*said))
    assert facts is not None
    assert facts.version == version
    assert any(each.name in facts.how and each.version in facts.how for each in packages(*said))


@pytest.mark.parametrize(
    "said",
    [
        [],
        ["numpy 2.2.0"],
        ["torch 2.13.0"],
        ["torch 2.13.0+cpu"],
        ["torch 2.5.0+rocm6.2"],
        ["pytorch 2.6.0 cpu_generic_py312_hb3a1a2a_0"],
        ["nvidia-ml-py 13.580.65"],
        ["nvidia-cudnn-frontend 1.12.0"],
        ["nvidia-nccl-cu12 2.27.3"],  # xgboost requires it on any machine
        ["cupy 13.6.0"],
        ["jax-rocm60-plugin 0.4.35"],
        ["cuda-python 12.8.0"],
        ["image docker.io/library/python 3.12-slim"],
        ["nvidia-cuda-runtime not.a.version"],
    ],
)
def test_packages_that_say_nothing_of_cuda_say_nothing(said: list[str]) -> None:
    assert cuda_of(packages(*said)) is None


def test_the_newest_cuda_speaks_for_all_and_a_framework_before_its_parts() -> None:
    said = ["nvidia-cuda-runtime-cu12 12.8.90", "torch 2.6.0+cu124", "cuda-version 11.8 0", "jax-cuda12-plugin 0.4"]
    assert cuda_of(packages(*said)) == CudaFacts("12.4", "torch 2.6.0+cu124")
    assert cuda_of(packages(*reversed(said))) == CudaFacts("12.4", "torch 2.6.0+cu124")
    newer = cuda_of(packages(*said, "cupy-cuda13x 14.0.0"))
    assert newer == CudaFacts("13", "cupy-cuda13x 14.0.0")


def test_installed_distributions_speak_as_pins_do() -> None:
    assert cuda_of([dist("torch", "2.2.0+cu121")]) == CudaFacts("12.1", "torch 2.2.0+cu121")
    assert cuda_of(lock_of(Pin(name="torch", version="2.2.0+cu121"))) == CudaFacts("12.1", "torch 2.2.0+cu121")
    assert CudaFacts("12.1", "").lowest_driver == "525.60.13"
    conda = dist("pytorch", "2.6.0", manager="conda", build="cuda126_mkl_py312hc0efe31_300")
    assert cuda_of([conda]) == CudaFacts("12.6", "conda's pytorch 2.6.0 cuda126_mkl_py312hc0efe31_300")
    assert cuda_of([dist("cuda-version", "12.6", manager="dpkg")]) is None


@pytest.mark.parametrize(
    ("framework", "said", "version"),
    [
        ("torch", ["torch 2.2.0+cu121"], "12.1"),
        ("torch", ["torch 2.2.0+cpu"], ""),
        ("torch", ["torch 2.2.0"], None),
        ("torch", ["torch 2.8.0", "nvidia-cuda-runtime-cu12 12.8.90"], "12.8"),
        ("torch", ["nvidia-cuda-runtime-cu12 12.8.90"], None),
        ("torch", ["torch 2.8.0", "cupy-cuda11x 13.0"], None),
        ("torch", ["pytorch 2.6.0 cpu_generic_py312_0", "torch 2.6.0"], ""),
        ("cupy", ["cupy-cuda12x 13.6.0", "torch 2.2.0+cu121"], "12"),
        ("cupy", ["cupy 13.6.0", "torch 2.2.0+cu121"], None),
        ("jax", ["jax 0.8.0", "jaxlib 0.8.0", "jax-cuda12-plugin 0.8.0"], "12"),
        ("jax", ["jax 0.8.0", "jaxlib 0.8.0"], ""),
        ("jax", ["jax 0.8.0", "jaxlib 0.8.0", "jax-metal 0.1.1"], None),
        ("jax", ["jaxlib 0.4.31 cuda120py312h4008524_200", "jaxlib 0.4.31"], "12.0"),
    ],
)
def test_a_framework_is_known_by_its_metadata(framework: str, said: list[str], version: str | None) -> None:
    facts = built_for(packages(*said), framework)
    assert (None if facts is None else facts.version) == version


@pytest.mark.parametrize(
    ("said", "major", "release"),
    [
        ("nvidia-cublas-cu12 12.8.4.1", "12", ""),
        ("nvidia-cudnn-cu13 9.13.1.26", "13", ""),
        ("nvidia-cuda-nvrtc-cu11 11.8.89", "11", "11.8"),
        ("nvidia-cuda-nvrtc 13.0.88", "13", "13.0"),
        ("nvidia-nvtx 13.0.85", "13", "13.0"),
        ("nvidia-cufft 12.0.0.61", "", ""),
        ("nvidia-nccl-cu12 2.27.3", "", ""),
        ("nvidia-ml-py 13.580.65", "", ""),
        ("cudf-cu12 25.8.0", "", ""),
        ("cuda-nvrtc 12.6.85 hbd13f7d_0", "", ""),
    ],
)
def test_nvidias_wheels_by_their_suffix_or_their_version(said: str, major: str, release: str) -> None:
    assert (wheel_of_cuda(package(said)), release_of_part(package(said))) == (major, release)


@pytest.mark.parametrize(
    ("cuda", "driver"),
    [
        ("13.0", "580.65.06"),
        ("13", "580.65.06"),
        ("12.9", "525.60.13"),
        ("12.0", "525.60.13"),
        ("11.8", "450.80.02"),
        ("11.0", "450.36.06"),
        ("10.2", "440.33"),
        ("10", ""),
        ("14.0", ""),
        ("", ""),
    ],
)
def test_the_lowest_driver_is_that_of_the_major_version(cuda: str, driver: str) -> None:
    assert lowest_driver(cuda) == driver


def test_a_record_says_what_needs_the_driver_and_why() -> None:
    facts = CudaFacts("12.1", "torch 2.2.0+cu121")
    assert cuda_facts(facts) == {
        "version": "12.1",
        "lowest-driver": "525.60.13",
        "why": "torch 2.2.0+cu121 is for CUDA 12.1; CUDA 12.x needs driver 525.60.13",
    }
    assert cuda_facts(facts, "windows") == {"version": "12.1", "why": "torch 2.2.0+cu121 is for CUDA 12.1"}
    assert cuda_facts(CudaFacts("14.0", "x 1")) == {"version": "14.0", "why": "x 1 is for CUDA 14.0"}
    assert "CUDA 11.0 needs driver 450.36.06" in cuda_facts(CudaFacts("11.0", "x 1"))["why"]


@pytest.mark.parametrize(
    ("built", "wanted", "is_well"),
    [
        ("12.4", "12", True),
        ("12.4", "12.4", True),
        ("12.4", "12.*", True),
        ("12.4", ">=12.1,<13", True),
        ("12.4", "", True),
        ("12.4", "12.1", False),
        ("12.4", "1", False),
        ("12.4", ">=12.6", False),
        ("12", "12.4", True),
        ("12", ">=12.6", True),
        ("12", "11", False),
        ("", "", False),
        ("", "12", False),
    ],
)
def test_a_cuda_fits_what_was_asked_for_as_far_as_it_is_known(built: str, wanted: str, is_well: bool) -> None:
    assert fits(built, wanted) is is_well


def test_what_is_no_version_is_refused() -> None:
    with pytest.raises(InvalidSpecifier):
        fits("12.4", "newest")


@pytest.mark.parametrize(("text", "major"), [("12.4", "12"), (">=12.1,<13", "12"), ("==13.*", "13"), ("", "")])
def test_the_major_version_that_is_asked_for(text: str, major: str) -> None:
    assert major_of(text) == major


def test_the_table_has_what_the_code_reads() -> None:
    table = documented()
    assert set(table) == {"drivers", "parts", "of-any-cuda", "driver-libraries", "toolkit-libraries", "optional"}
    assert all(re.fullmatch(r"\d+(\.\d+)*", text) for row in table["drivers"].items() for text in row)
    assert {"libcuda", "libnvidia-ml"} <= set(table["driver-libraries"])
    assert not any(".so" in name for name in table["driver-libraries"])
    assert set(table["toolkit-libraries"]) <= set(table["drivers"])
    assert all(".so." in name for names in table["toolkit-libraries"].values() for name in names)
    assert all(set(rule) == {"owner", "object"} for rule in table["optional"])
    assert {rule["owner"] for rule in table["optional"]} == {rule["owner"].lower() for rule in table["optional"]}
