"""The accelerator asked for is visible, and its absence is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ci_envs.cuda import CudaFacts, built_for, cuda_facts, fits
from ci_envs.decoding import decode
from ci_envs.durations import seconds
from ci_envs.endings import how_it_ended
from ci_envs.errors import ToolMissing
from ci_envs.model.record import Finding
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.checks import Context
    from ci_envs.model.config import CheckConfig
    from ci_envs.model.leg import Leg

__all__ = ["AcceleratorIsVisible", "asks_for_device", "wanted_cuda"]

#: Framework -> the CUDA that it was built for (empty: none), and how many devices it sees. cupy's 12040 is 12.4; jax
#: tells no version, and raises where it sees no device.
_QUESTIONS = {
    "torch": ("torch.version.cuda or ''", "torch.cuda.device_count()"),
    "cupy": (
        "'%d.%d' % divmod(cupy.cuda.runtime.runtimeGetVersion() // 10, 100)",
        "cupy.cuda.runtime.getDeviceCount()",
    ),
    "jax": ("None", "len(jax.devices('gpu'))"),
}

# The version first: it is known on a machine without a GPU, too.
_SCRIPT = """\
import json, {name}
answer = dict(cuda=None, devices=0, error="")
try:
    answer["cuda"] = {cuda}
    answer["devices"] = {devices}
except Exception as error:
    answer["error"] = "%s: %s" % (type(error).__name__, error)
print(json.dumps(answer))
"""

_LISTING_SECONDS = 60.0


class _Answer(msgspec.Struct):
    """What a framework says of itself."""

    #: ``12.4``; empty where it was built without CUDA; ``None`` where it does not tell.
    cuda: str | None
    devices: int
    error: str


class AcceleratorIsVisible:
    """torch, cupy and jax see a device where the leg asks for one. No GPU on the machine is no pass and is said."""

    code = "ENV501"
    title = "no accelerator"
    advice = "install a build for it, or say check.expect-gpu: false where none is to be had"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV501 device not seen, ENV502 built for another CUDA, which needs no GPU to be known."""
        wants_device, cuda = asks_for_device(context.leg, context.config), wanted_cuda(context)
        if not wants_device and cuda is None:
            return
        answers = {framework: _ask(context, framework) for framework in _frameworks(context)}
        seen = any(answer.devices for answer, _ in answers.values())
        absence = _why_no_gpu(context, seen=seen) if wants_device else ""
        if absence and context.config.expect_gpu is True:
            yield self._finding(f"check.expect-gpu is true, and there is {absence}")
        elif absence:
            context.left_out.append(f"accelerator: {absence}")
        if not answers:
            context.left_out.append("accelerator: none of torch, cupy and jax is installed")
        for framework, (answer, problem) in answers.items():
            if wants_device and not absence and not answer.devices:
                yield self._finding(f"{framework} sees no GPU on a machine that has one{problem and ': '}{problem}")
            built = _built(context, framework, answer, wants_device=wants_device)
            if built is not None and built.version:
                context.facts.setdefault("cuda", cuda_facts(built, context.leg.os))
            if built is not None and cuda is not None:
                yield from _compared(framework, built, cuda)

    def _finding(self, message: str) -> Finding:
        return Finding(code=self.code, severity="error", title=self.title, message=message)


def asks_for_device(leg: Leg, config: CheckConfig) -> bool:
    """Whether a GPU is to be looked for; a verdict on one lasts no longer than the run that gave it."""
    return config.expect_gpu is True or (leg.accelerator != "cpu" and config.expect_gpu == "auto")


def wanted_cuda(context: Context) -> str | None:
    """The leg's CUDA: ``12.4`` or a specifier, empty for any, ``None`` where nothing is said of it."""
    if "cuda" in context.config.expect:
        return context.config.expect["cuda"]
    kind, found, version = context.leg.accelerator.partition("cuda")
    return version if found and not kind else None


def _frameworks(context: Context) -> list[str]:
    """cupy's wheels are named after a CUDA: ``cupy-cuda12x``."""
    installed = {each.name for each in context.inventory.distributions} - set(context.config.skip_imports)
    return [name for name in _QUESTIONS if any(each == name or each.startswith(f"{name}-cuda") for each in installed)]


def _why_no_gpu(context: Context, *, seen: bool) -> str:
    """Empty where there is one: nvidia-smi lists it, or a framework has seen it where there is no nvidia-smi."""
    accelerator = context.leg.accelerator
    if accelerator != "cpu" and not accelerator.startswith("cuda"):
        return f"no way to look for {accelerator} yet"
    try:
        outcome = context.environment.run(["nvidia-smi", "--list-gpus"], timeout=_LISTING_SECONDS, log=context.log)
    except ToolMissing:
        return "" if seen else _nowhere(context)
    if seen or (outcome and "GPU" in outcome.stdout):
        return ""
    said = one_line(outcome.tail(1), 200)
    return f"{_nowhere(context)} (nvidia-smi says: {said})" if said else _nowhere(context)


def _nowhere(context: Context) -> str:
    """Of a container it is not known what its machine has: its engine says what it cannot hand on."""
    notes = context.environment.notes(context.log)
    told = next((one_line(note, 200).rstrip(".") for note in notes if "NVIDIA runtime" in note), "")
    return f"no GPU in the container: {told}" if told else "no GPU on this machine"


def _ask(context: Context, framework: str) -> tuple[_Answer, str]:
    """What it answers, in a process of its own, and what went wrong."""
    cuda, devices = _QUESTIONS[framework]
    outcome = context.environment.run(
        [str(context.environment.python), "-c", _SCRIPT.format(name=framework, cuda=cuda, devices=devices)],
        timeout=seconds(context.config.timeout),
        log=context.log,
    )
    try:
        answer = decode((outcome.stdout.strip().splitlines() or [""])[-1], _Answer)
    except msgspec.DecodeError:
        said = one_line(outcome.tail(1), 300)
        return _Answer(None, 0, ""), f"{how_it_ended(outcome)}{said and ': '}{said}"
    return answer, one_line(answer.error, 300)


def _built(context: Context, framework: str, answer: _Answer, *, wants_device: bool) -> CudaFacts | None:
    """What it was built for: as it says, else as its metadata has it.

    That jax has no plugin is no news where it sees a device all the same, or is to see none.
    """
    if answer.cuda is not None:
        return CudaFacts(answer.cuda, f"{framework} itself")
    told = built_for(context.inventory.distributions, framework)
    return None if told is not None and not told.version and (answer.devices or not wants_device) else told


def _compared(framework: str, built: CudaFacts, wanted: str) -> Iterator[Finding]:
    """Findings for a framework that was built for another CUDA than is wanted, or for none."""
    from packaging.specifiers import InvalidSpecifier

    try:
        is_well = fits(built.version, wanted)
    except InvalidSpecifier:
        message = f"check.expect says cuda: {wanted!r}, which is no version"
    else:
        if is_well:
            return
        for_what = f"for CUDA {built.version}" if built.version else "without CUDA"
        message = f"{framework} was built {for_what}; {f'CUDA {wanted}'.strip()} was asked for"
    yield Finding(code="ENV502", severity="error", title="another CUDA", message=message)
