"""The accelerator asked for is visible, and its absence is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ci_envs.durations import seconds
from ci_envs.errors import ToolMissing
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.checks import Context

__all__ = ["AcceleratorIsVisible"]

# Each framework is asked in a process of its own and answers with one JSON line: devices, and the CUDA it was built
# for. torch: torch.version.cuda, torch.cuda.device_count(); cupy: runtimeGetVersion() is 12040 for 12.4;
# jax: jax.devices("gpu") raises where there is none.
_QUESTIONS = {
    "torch": "import json, torch; print(json.dumps([torch.cuda.device_count(), torch.version.cuda or '']))",
    "cupy": "import json, cupy; v = cupy.cuda.runtime.runtimeGetVersion(); "
    "print(json.dumps([cupy.cuda.runtime.getDeviceCount(), f'{v // 1000}.{v % 1000 // 10}']))",
    "jax": "import json, jax; print(json.dumps([len(jax.devices('gpu')), '']))",
}


class AcceleratorIsVisible:
    """torch, cupy and jax see a device where the leg asks for one. No GPU on the machine is no pass and is said."""

    code = "ENV501"
    title = "accelerator"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV501 device not seen, ENV502 another CUDA; no GPU here is left out, or an error where one is expected."""
        expected = context.config.expect_gpu
        if expected is False or (context.leg.accelerator == "cpu" and expected != True):  # noqa: E712 - "auto" is no True
            return
        if not _machine_has_gpu(context):
            if expected is True:
                yield self._finding("check.expect-gpu is true, and there is no GPU on this machine")
            else:
                context.left_out.append("accelerator: no GPU on this machine")
            return
        installed = {d.name for d in context.inventory.distributions}
        asked = [name for name in _QUESTIONS if any(d == name or d.startswith(f"{name}-cuda") for d in installed)]
        if not asked:
            context.left_out.append("accelerator: none of torch, cupy and jax is installed")
        for framework in asked:
            yield from self._ask(context, framework)

    def _ask(self, context: Context, framework: str) -> Iterator[Finding]:
        outcome = context.environment.run(
            [str(context.environment.python), "-c", _QUESTIONS[framework]],
            timeout=seconds(context.config.timeout),
            log=context.log,
        )
        try:
            devices, cuda = msgspec.json.decode(
                (outcome.stdout.strip().splitlines() or ["[0, '']"])[-1], type=tuple[int, str]
            )
        except msgspec.MsgspecError:
            devices, cuda = 0, ""
        if not outcome or not devices:
            yield self._finding(f"{framework} sees no GPU on a machine that has one: {outcome.tail(1)}")
        wanted = context.config.expect.get("cuda", context.leg.accelerator.removeprefix("cuda"))
        if cuda and wanted and not f"{cuda}.".startswith(f"{wanted}."):
            yield Finding(
                code="ENV502",
                severity="error",
                title="another CUDA",
                message=f"{framework} was built for CUDA {cuda}; {wanted} was asked for",
            )

    def _finding(self, message: str) -> Finding:
        return Finding(code=self.code, severity="error", title="no accelerator", message=message)


def _machine_has_gpu(context: Context) -> bool:
    try:
        outcome = context.environment.run(["nvidia-smi", "--list-gpus"], timeout=60, log=context.log)
    except ToolMissing:
        return False
    return bool(outcome) and "GPU" in outcome.stdout
