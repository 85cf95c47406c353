"""The accelerator asked for is visible, and its absence is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ci_envs.checks.installed import specifier
from ci_envs.durations import seconds
from ci_envs.endings import how_it_ended
from ci_envs.errors import ToolMissing
from ci_envs.model.record import Finding
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.specifiers import SpecifierSet

    from ci_envs.checks import Context
    from ci_envs.model.config import CheckConfig
    from ci_envs.model.leg import Leg

__all__ = ["AcceleratorIsVisible", "asks_for_device"]

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
        wants_device, cuda = asks_for_device(context.leg, context.config), _wanted_cuda(context)
        if not wants_device and cuda is None:
            return
        absence = _why_no_gpu(context) if wants_device else ""
        if absence and context.config.expect_gpu is True:
            yield self._finding(f"check.expect-gpu is true, and there is {absence}")
        elif absence:
            context.left_out.append(f"accelerator: {absence}")
        frameworks = _frameworks(context)
        if not frameworks:
            context.left_out.append("accelerator: none of torch, cupy and jax is installed")
        for framework in frameworks:
            answer, problem = _ask(context, framework)
            if wants_device and not absence and (answer is None or not answer.devices):
                yield self._finding(f"{framework} sees no GPU on a machine that has one{problem and ': '}{problem}")
            if answer is not None and answer.cuda is not None and cuda is not None:
                yield from _compared(framework, answer.cuda, cuda)

    def _finding(self, message: str) -> Finding:
        return Finding(code=self.code, severity="error", title=self.title, message=message)


def asks_for_device(leg: Leg, config: CheckConfig) -> bool:
    """Whether a GPU is to be looked for; a verdict on one lasts no longer than the run that gave it."""
    return config.expect_gpu is True or (leg.accelerator != "cpu" and config.expect_gpu == "auto")


def _wanted_cuda(context: Context) -> str | None:
    """``12.4`` or a specifier, empty for any CUDA, ``None`` where nothing is said of it."""
    if "cuda" in context.config.expect:
        return context.config.expect["cuda"]
    kind, found, version = context.leg.accelerator.partition("cuda")
    return version if found and not kind else None


def _frameworks(context: Context) -> list[str]:
    """cupy's wheels are named after a CUDA: ``cupy-cuda12x``."""
    installed = {each.name for each in context.inventory.distributions} - set(context.config.skip_imports)
    return [name for name in _QUESTIONS if any(each == name or each.startswith(f"{name}-cuda") for each in installed)]


def _why_no_gpu(context: Context) -> str:
    """Empty where there is one."""
    accelerator = context.leg.accelerator
    if accelerator != "cpu" and not accelerator.startswith("cuda"):
        return f"no way to look for {accelerator} yet"
    try:
        outcome = context.environment.run(["nvidia-smi", "--list-gpus"], timeout=_LISTING_SECONDS, log=context.log)
    except ToolMissing:
        return "no GPU on this machine"
    if outcome and "GPU" in outcome.stdout:
        return ""
    said = one_line(outcome.tail(1), 200)
    return f"no GPU on this machine (nvidia-smi says: {said})" if said else "no GPU on this machine"


def _ask(context: Context, framework: str) -> tuple[_Answer | None, str]:
    """What it answers, in a process of its own, and what went wrong."""
    cuda, devices = _QUESTIONS[framework]
    outcome = context.environment.run(
        [str(context.environment.python), "-c", _SCRIPT.format(name=framework, cuda=cuda, devices=devices)],
        timeout=seconds(context.config.timeout),
        log=context.log,
    )
    try:
        answer = msgspec.json.decode((outcome.stdout.strip().splitlines() or [""])[-1], type=_Answer)
    except msgspec.DecodeError:
        said = one_line(outcome.tail(1), 300)
        return None, f"{how_it_ended(outcome)}{said and ': '}{said}"
    return answer, one_line(answer.error, 300)


def _compared(framework: str, built: str, wanted: str) -> Iterator[Finding]:
    """Findings for a framework that was built for another CUDA than is wanted, or for none."""
    from packaging.specifiers import InvalidSpecifier

    try:
        fits = bool(built) and _cuda_specifier(wanted).contains(built)
    except InvalidSpecifier:
        message = f"check.expect says cuda: {wanted!r}, which is no version"
    else:
        if fits:
            return
        for_what = f"for CUDA {built}" if built else "without CUDA"
        message = f"{framework} was built {for_what}; {f'CUDA {wanted}'.strip()} was asked for"
    yield Finding(code="ENV502", severity="error", title="another CUDA", message=message)


def _cuda_specifier(wanted: str) -> SpecifierSet:
    """``12`` is any 12.x: who asks for a CUDA seldom means a minor release that was not written."""
    text = wanted.strip()
    return specifier(f"{text}.*" if text[:1].isdigit() and not text.endswith(".*") else text)
