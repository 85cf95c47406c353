from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.environments import FakeEnvironment, a_context, dist, said

from ci_envs.checks.accelerator import AcceleratorIsVisible, asks_for_device
from ci_envs.errors import ToolMissing
from ci_envs.model.config import CheckConfig
from ci_envs.model.leg import make_leg

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.command import Outcome

GPU = said("GPU 0: NVIDIA H100 (UUID: GPU-0)\n")
NO_GPU = ToolMissing("there is no program 'nvidia-smi' here")


def answers(cuda: str | None, devices: int, error: str = "") -> Outcome:
    return said("a greeting of the framework\n" + json.dumps({"cuda": cuda, "devices": devices, "error": error}))


SEEN = answers("12.4", 1)


class Found:
    """What the check found, left out and ran."""

    def __init__(
        self,
        folder: Path,
        *installed: str,
        smi: Outcome | Exception = GPU,
        asked: Outcome = SEEN,
        accelerator: str = "cuda12",
        notes: tuple[str, ...] = (),
        **check: Any,
    ) -> None:
        def answer(argv: tuple[str, ...]) -> Outcome:
            if argv[0] != "nvidia-smi":
                return asked
            if isinstance(smi, Exception):
                raise smi
            return smi

        self.environment = FakeEnvironment(answer, not_activated=notes)
        leg = {"accelerator": accelerator}
        context = a_context(
            folder, *(dist(*text.split()) for text in installed), environment=self.environment, leg=leg, **check
        )
        self.findings = [f"{f.code} {f.message}" for f in AcceleratorIsVisible().run(context)]
        self.left_out = context.left_out
        self.facts = context.facts


def test_a_leg_for_the_cpu_asks_nothing(tmp_path: Path) -> None:
    found = Found(tmp_path, "torch", accelerator="cpu")
    assert (found.findings, found.left_out, found.environment.calls) == ([], [], [])


def test_a_gpu_that_is_seen_is_well(tmp_path: Path) -> None:
    found = Found(tmp_path, "torch", "jax", "numpy")
    assert (found.findings, found.left_out) == ([], [])
    assert len(found.environment.calls) == 3


@pytest.mark.parametrize("smi", [NO_GPU, said("No devices found\n", code=6), said("")])
def test_no_gpu_is_no_pass_and_is_said(tmp_path: Path, smi: Outcome | Exception) -> None:
    found = Found(tmp_path, "torch", smi=smi, asked=answers("12.4", 0))
    assert found.findings == []
    assert found.left_out[0].startswith("accelerator: no GPU on this machine")


def test_a_driver_that_is_broken_is_said(tmp_path: Path) -> None:
    found = Found(tmp_path, smi=said("Failed to initialize NVML: Driver/library version mismatch\n", code=18))
    assert found.left_out[0] == (
        "accelerator: no GPU on this machine "
        "(nvidia-smi says: Failed to initialize NVML: Driver/library version mismatch)"
    )


def test_no_gpu_is_an_error_where_one_is_expected(tmp_path: Path) -> None:
    found = Found(tmp_path, smi=NO_GPU, expect_gpu=True)
    assert found.findings == ["ENV501 check.expect-gpu is true, and there is no GPU on this machine"]


def test_a_gpu_can_be_expected_of_a_leg_that_names_none(tmp_path: Path) -> None:
    assert Found(tmp_path, "torch", accelerator="cpu", expect_gpu=True).findings == []
    found = Found(tmp_path, "torch", accelerator="cpu", expect_gpu=True, asked=answers("", 0))
    assert found.findings == ["ENV501 torch sees no GPU on a machine that has one"]


def test_no_gpu_is_looked_for_where_none_is_expected(tmp_path: Path) -> None:
    found = Found(tmp_path, "torch", smi=NO_GPU, asked=answers("12.4", 0), expect_gpu=False)
    assert (found.findings, found.left_out) == ([], [])
    assert not any(call.argv[0] == "nvidia-smi" for call in found.environment.calls)


def test_a_framework_that_sees_nothing_is_told_with_its_error(tmp_path: Path) -> None:
    found = Found(tmp_path, "cupy-cuda12x", asked=answers("12.4", 0, "CUDARuntimeError: driver is too old"))
    assert found.findings == ["ENV501 cupy sees no GPU on a machine that has one: CUDARuntimeError: driver is too old"]


def test_a_framework_that_gives_no_answer_sees_nothing(tmp_path: Path) -> None:
    found = Found(tmp_path, "torch", asked=said(code=-11, stderr="Segmentation fault\n"))
    assert found.findings == [
        "ENV501 torch sees no GPU on a machine that has one: was ended by SIGSEGV: Segmentation fault"
    ]


@pytest.mark.parametrize(
    ("wanted", "built"),
    [("12", "12.4"), ("12.4", "12.4"), ("12.*", "12.4"), (">=12.1", "12.4"), ("==12.*", "12.1"), ("", "11.8")],
)
def test_the_cuda_asked_for_is_well(tmp_path: Path, wanted: str, built: str) -> None:
    assert Found(tmp_path, "torch", asked=answers(built, 1), expect={"cuda": wanted}).findings == []


@pytest.mark.parametrize(
    ("check", "built", "told"),
    [
        ({}, "11.8", "torch was built for CUDA 11.8; CUDA 12 was asked for"),
        ({}, "", "torch was built without CUDA; CUDA 12 was asked for"),
        ({"accelerator": "cuda"}, "", "torch was built without CUDA; CUDA was asked for"),
        ({"accelerator": "cuda1"}, "12.4", "torch was built for CUDA 12.4; CUDA 1 was asked for"),
        ({"expect": {"cuda": "12.1"}}, "12.4", "torch was built for CUDA 12.4; CUDA 12.1 was asked for"),
        ({"expect": {"cuda": "newest"}}, "12.4", "check.expect says cuda: 'newest', which is no version"),
    ],
)
def test_another_cuda_is_told_with_and_without_a_gpu(
    tmp_path: Path, check: dict[str, Any], built: str, told: str
) -> None:
    assert Found(tmp_path, "torch", asked=answers(built, 1), **check).findings == [f"ENV502 {told}"]
    assert Found(tmp_path, "torch", smi=NO_GPU, asked=answers(built, 0), **check).findings == [f"ENV502 {told}"]


def test_an_expected_cuda_is_looked_at_in_a_leg_for_the_cpu_too(tmp_path: Path) -> None:
    found = Found(tmp_path, "torch", accelerator="cpu", asked=answers("", 0), expect={"cuda": "12.4"})
    assert found.findings == ["ENV502 torch was built without CUDA; CUDA 12.4 was asked for"]


def test_jax_tells_no_version(tmp_path: Path) -> None:
    assert Found(tmp_path, "jax", asked=answers(None, 2), expect={"cuda": "12.4"}).findings == []


def test_nobody_to_ask_is_said(tmp_path: Path) -> None:
    found = Found(tmp_path, "numpy")
    assert found.left_out == ["accelerator: none of torch, cupy and jax is installed"]


def test_a_framework_whose_import_is_skipped_is_not_asked(tmp_path: Path) -> None:
    found = Found(tmp_path, "torch", "jax", skip_imports=("jax",))
    assert not any("import json, jax" in call.argv[-1] for call in found.environment.calls)


def test_an_accelerator_that_nobody_can_look_for_yet_is_said(tmp_path: Path) -> None:
    found = Found(tmp_path, "torch", accelerator="rocm6.2", asked=answers("", 1))
    assert (found.findings, found.left_out) == ([], ["accelerator: no way to look for rocm6.2 yet"])
    expected = Found(tmp_path, accelerator="rocm6.2", expect_gpu=True)
    assert expected.findings == ["ENV501 check.expect-gpu is true, and there is no way to look for rocm6.2 yet"]


@pytest.mark.parametrize(
    ("accelerator", "expect", "asks"),
    [
        ("cpu", "auto", False),
        ("cpu", False, False),
        ("cpu", True, True),
        ("cuda12", "auto", True),
        ("cuda12", True, True),
        ("cuda12", False, False),
    ],
)
def test_who_asks_for_a_device(accelerator: str, expect: Any, asks: bool) -> None:
    leg = make_leg(pattern="uv", python="3.12", os="linux", arch="x86_64", accelerator=accelerator)
    assert asks_for_device(leg, CheckConfig(expect_gpu=expect)) is asks


# --- what metadata says, without an import


BROKEN = said(code=1, stderr="ImportError: no\n")


@pytest.mark.parametrize(
    ("installed", "told"),
    [
        (("torch 2.2.0+cu118",), ["ENV502 torch was built for CUDA 11.8; CUDA 12 was asked for"]),
        (("torch 2.2.0+cu121",), []),
        (("torch 2.2.0+cpu",), ["ENV502 torch was built without CUDA; CUDA 12 was asked for"]),
        (("torch 2.2.0",), []),
        (("cupy-cuda11x 13.0",), ["ENV502 cupy was built for CUDA 11; CUDA 12 was asked for"]),
        (
            ("jax 0.8", "jaxlib 0.8", "jax-cuda13-plugin 0.8"),
            ["ENV502 jax was built for CUDA 13; CUDA 12 was asked for"],
        ),
        (("jax 0.8", "jaxlib 0.8", "jax-cuda12-plugin 0.8", "jax-cuda12-pjrt 0.8"), []),
        (("jax 0.8", "jaxlib 0.8"), ["ENV502 jax was built without CUDA; CUDA 12 was asked for"]),
    ],
)
@pytest.mark.parametrize("asked", [BROKEN, answers(None, 0, "RuntimeError: no driver")])
def test_metadata_tells_the_cuda_of_a_framework_that_does_not(
    tmp_path: Path, installed: tuple[str, ...], told: list[str], asked: Outcome
) -> None:
    assert Found(tmp_path, *installed, smi=NO_GPU, asked=asked).findings == told


def test_a_framework_that_sees_no_gpu_on_a_machine_without_one_fails_nothing(tmp_path: Path) -> None:
    packages = ("cupy-cuda12x 13.0", "jax 0.8", "jaxlib 0.8", "jax-cuda12-plugin 0.8")
    for asked in (BROKEN, answers(None, 0, "CUDARuntimeError: cudaErrorInsufficientDriver")):
        found = Found(tmp_path, *packages, smi=NO_GPU, asked=asked)
        assert (found.findings, found.left_out) == ([], ["accelerator: no GPU on this machine"])


def test_a_jax_for_the_cpu_is_well_where_no_gpu_is_expected_and_where_it_sees_one(tmp_path: Path) -> None:
    assert Found(tmp_path, "jax 0.8", "jaxlib 0.8", smi=NO_GPU, asked=BROKEN, expect_gpu=False).findings == []
    assert Found(tmp_path, "jax 0.8", "jaxlib 0.8", asked=answers(None, 1)).findings == []


def test_a_gpu_that_a_framework_sees_is_there_though_no_nvidia_smi_lists_it(tmp_path: Path) -> None:
    found = Found(tmp_path, "torch", smi=NO_GPU, asked=answers("12.4", 1), expect_gpu=True)
    assert (found.findings, found.left_out) == ([], [])


def test_the_record_says_which_cuda_a_framework_has_told(tmp_path: Path) -> None:
    assert Found(tmp_path, "torch").facts["cuda"] == {
        "version": "12.4",
        "lowest-driver": "525.60.13",
        "why": "torch itself is for CUDA 12.4; CUDA 12.x needs driver 525.60.13",
    }
    assert Found(tmp_path, "torch", asked=answers("", 0), smi=NO_GPU).facts == {}


# --- containers


NOTE = "docker 26.1.5 has no NVIDIA runtime, so no GPU is seen inside"


def test_of_a_container_it_is_said_what_its_engine_cannot_hand_on(tmp_path: Path) -> None:
    found = Found(tmp_path, smi=NO_GPU, notes=("a script failed", NOTE))
    assert found.left_out[0] == f"accelerator: no GPU in the container: {NOTE}"
    expected = Found(tmp_path, smi=NO_GPU, notes=(NOTE,), expect_gpu=True)
    assert expected.findings == [f"ENV501 check.expect-gpu is true, and there is no GPU in the container: {NOTE}"]
