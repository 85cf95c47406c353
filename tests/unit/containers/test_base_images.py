from __future__ import annotations

from typing import Any

import pytest
from tests.support.work import a_leg

from ci_envs.containers.base_images import (
    BaseImage,
    all_bases,
    base_for,
    brings_cuda,
    probed,
    python_plan,
    python_source,
    tools_base,
)
from ci_envs.containers.references import is_digest
from ci_envs.errors import UsageError
from ci_envs.model.config import Config, DockerConfig
from ci_envs.model.lock import Lock, Pin


def a_lock(*names: str, form: str = "requirements", **pin: Any) -> Lock:
    source = "channel" if form == "conda-lock" else "index"
    pins = tuple(Pin(**{"name": name, "version": "1", "source": source, **pin}) for name in names)
    return Lock(path="lock", format=form, sha256="0" * 64, pins=pins)


def docker(**settings: Any) -> Config:
    return Config(docker=DockerConfig(**settings))


def test_every_python_has_a_base_and_every_digest_is_one() -> None:
    bases = all_bases()
    assert {"3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "cuda11", "cuda12", "cuda13", "nix", "plain"} <= bases.keys()
    for key, base in bases.items():
        assert is_digest(base.digest), key
        assert base.reference.digest == base.digest
        assert base.reference.registry == "docker.io"
        assert key == "nix" or (base.libc and base.packages == "apt")


def test_no_two_images_of_the_data_have_one_digest() -> None:
    digests = [base.digest for base in all_bases().values()]
    assert len(set(digests)) == len(digests)


def test_the_base_of_a_python_is_an_image_of_that_python() -> None:
    base = base_for(a_leg(python="3.13"), Config(), a_lock("numpy"))
    assert base.image == "docker.io/library/python:3.13-slim-bookworm"
    assert base.brings == base.ensurepip == ("3.13",)
    assert not base.configured


def test_a_shell_of_nix_is_built_where_nix_is() -> None:
    lock = Lock(path="flake.lock", format="flake.lock", sha256="0" * 64, covers=("nix",))
    base = base_for(a_leg(), Config(), lock)
    assert base == all_bases()["nix"]
    assert (base.packages, base.is_known) == ("", True)
    assert base_for(a_leg(), docker(base_image="nix.example/nix:1"), lock).configured


def test_a_python_that_no_image_has_gets_the_plain_one() -> None:
    for python in ("3.13t", "pypy3.10", "3.42"):
        base = base_for(a_leg(python=python), Config(), a_lock())
        assert base == all_bases()["plain"]
        assert python_source(base, python) == "uv"


def test_a_configured_base_is_taken_with_the_python_filled_in() -> None:
    base = base_for(a_leg(), docker(base_image="registry.example/team/python:{python}"), a_lock())
    assert str(base.reference) == "registry.example/team/python:3.12"
    assert base.configured
    assert not base.is_known


@pytest.mark.parametrize("image", ["python:{pythn}", "python:{", "Python:3", "a b"])
def test_a_base_that_is_none_is_an_error(image: str) -> None:
    with pytest.raises(UsageError):
        base_for(a_leg(), docker(base_image=image), a_lock())


CUDA = ["nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime", "nvidia-cublas-cu11", "jax-cuda12-plugin", "jax-cuda13-pjrt"]


@pytest.mark.parametrize("name", CUDA)
def test_wheels_that_bring_cuda_make_the_plain_image_enough(name: str) -> None:
    assert brings_cuda(a_lock("torch", name))
    assert base_for(a_leg(accelerator="cuda12"), Config(), a_lock(name)) == all_bases()["3.12"]


@pytest.mark.parametrize("name", ["cuda-cudart", "cuda-toolkit", "cudatoolkit", "cuda-nvcc-tools"])
def test_conda_packages_that_bring_cuda_do_as_well(name: str) -> None:
    lock = a_lock("python", name, form="conda-lock")
    assert brings_cuda(lock)
    assert base_for(a_leg(accelerator="cuda12"), Config(), lock) == all_bases()["plain"]


def test_the_build_of_torch_says_that_it_comes_with_cuda() -> None:
    assert brings_cuda(a_lock("torch", version="2.4.1+cu121"))
    assert not brings_cuda(a_lock("torch", version="2.4.1+cpu"))


@pytest.mark.parametrize("name", ["nvidia-ml-py", "cupy-cuda12x", "numba-cuda", "cuda-python", "jax"])
def test_what_uses_cuda_does_not_bring_it(name: str) -> None:
    assert not brings_cuda(a_lock(name))
    assert base_for(a_leg(accelerator="cuda12"), Config(), a_lock(name)).cuda == "12.4"


def test_condas_name_for_a_version_of_cuda_is_an_empty_package() -> None:
    assert not brings_cuda(a_lock("cuda-version", form="conda-lock"))


@pytest.mark.parametrize(
    ("accelerator", "cuda"),
    [
        ("cuda11", "11.8"),
        ("cuda12", "12.4"),
        ("cuda12.4", "12.4"),
        ("cuda12.8", "12.8"),
        ("cuda13", "13.0"),
        ("cuda13.0", "13.0"),
    ],
)
def test_a_leg_for_cuda_gets_an_image_of_that_cuda(accelerator: str, cuda: str) -> None:
    base = base_for(a_leg(accelerator=accelerator), Config(), a_lock("cupy-cuda12x"))
    assert base.cuda == cuda
    assert base.image.startswith(f"docker.io/nvidia/cuda:{cuda}.")


def test_a_cuda_that_no_image_has_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"CUDA 12\.1 is known.*cuda12 \(12\.4\)") as caught:
        base_for(a_leg(accelerator="cuda12.1"), Config(), a_lock())
    assert "docker.base-image" in caught.value.hint


def test_another_accelerator_has_no_image_of_its_own() -> None:
    assert base_for(a_leg(accelerator="rocm6.2"), Config(), a_lock()) == all_bases()["3.12"]


def test_the_python_of_a_cuda_image_is_its_distributions_or_uvs() -> None:
    base = all_bases()["cuda12"]
    assert python_source(base, "3.10") == "apt"
    assert python_source(base, "3.12") == "uv"
    assert python_plan(base, "3.10").packages == ("python3.10",)
    assert python_plan(base, "3.10").bootstrap == ("python3.10-venv",)
    fetched = python_plan(base, "3.12")
    assert (fetched.executable, fetched.packages, fetched.bootstrap) == (
        "python3",
        (),
        ("ca-certificates", "python3-venv"),
    )


def test_an_image_of_python_needs_no_package() -> None:
    plan = python_plan(all_bases()["3.9"], "3.9")
    assert (plan.source, plan.executable, plan.packages, plan.bootstrap) == ("base", "python3.9", (), ())


def test_conda_is_put_together_where_there_is_a_python() -> None:
    bases = all_bases()
    beside = tools_base(bases["plain"])
    assert beside == bases["3.14"]
    assert tools_base(bases["3.12"]) is None
    assert tools_base(BaseImage(image="registry.example/x", configured=True)) is None
    assert python_plan(bases["3.12"], "3.11", conda=True).executable == "python3.12"
    old = python_plan(bases["3.9"], "3.9", conda=True)
    assert (old.executable, old.bootstrap) == ("python3", ("ca-certificates", "python3-venv")), "py-rattler wants 3.10"


SAID = """\
distribution=alpine-3.22.1
packages=apk
libc=
libc=musl
cuda=12.4.131
brings=3.12
ensurepip=3.12
brings=3.13
brings=$(rm -rf /)
nonsense
"""


def test_what_an_image_says_of_itself_is_read() -> None:
    base = probed(BaseImage(image="alpine", configured=True), SAID)
    assert base.distribution == "alpine-3.22.1"
    assert (base.packages, base.libc, base.cuda) == ("apk", "musl", "12.4")
    assert base.brings == ("3.12", "3.13")
    assert base.ensurepip == ("3.12",)
    assert base.configured
    assert base.is_known


def test_a_known_distribution_adds_the_pythons_that_it_could_bring() -> None:
    base = probed(BaseImage(image="x"), "distribution=debian-12\npackages=apt\n")
    assert base.pythons == ("3.11",)
    assert python_source(base, "3.11") == "apt"


def test_an_image_that_says_nothing_is_known_to_have_nothing() -> None:
    base = probed(BaseImage(image="scratch"), "")
    assert base.is_known
    assert not base.brings
    with pytest.raises(UsageError, match="no apt to install one"):
        python_plan(base, "3.12")


def test_debians_python_without_venv_needs_a_package_and_alpines_is_an_error() -> None:
    debian = probed(BaseImage(image="x"), "distribution=debian-12\npackages=apt\nbrings=3.11\n")
    assert python_plan(debian, "3.11").bootstrap == ("python3.11-venv",)
    alpine = probed(BaseImage(image="x"), "distribution=alpine-3.22\npackages=apk\nbrings=3.12\n")
    with pytest.raises(UsageError):
        python_plan(alpine, "3.12")
