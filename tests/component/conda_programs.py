"""ci-envs over conda projects: what they are made of, and what their records say.

The fixtures are in ``conda_program_fixtures.py``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.component.running import PYTHON

from ci_envs.machine import arch_name, os_name
from ci_envs.model.leg import make_leg

if TYPE_CHECKING:
    from tests.component.program import Program

    from ci_envs.model.record import Finding, RunRecord

__all__ = ["CONDA_LEG", "SMALL", "environment_file", "finding", "record_of", "use_channel", "why"]

CONDA_LEG = make_leg(pattern="conda", python=PYTHON, os=os_name(), arch=arch_name()).id


def environment_file(*specs: str, pip: tuple[str, ...] = (), more: str = "") -> str:
    """An ``environment.yml`` with these match specs."""
    lines = ["channels: [conda-forge, nodefaults]", "dependencies:", *(f"  - {json.dumps(spec)}" for spec in specs)]
    lines += ["  - pip:", *(f"    - {json.dumps(line)}" for line in pip)] if pip else []
    return "\n".join([*lines, more, ""])


#: Something of every kind: a compiled tool, noarch modules with an entry point, a ``pip:`` part with a script.
SMALL: dict[str, str] = {
    "environment.yml": environment_file("python", "hello-native ==1.0", "apple", pip=("plum",)),
    "ci-envs.yml": 'test:\n  command: python -c "import apple, plum"\n',
}


def use_channel(program: Program, address: str) -> None:
    """Has conda-forge be served from there: from a mirror, as far as anybody can tell."""
    condarc = program.root.parent / f"{program.root.name}.condarc"
    condarc.write_text(json.dumps({"mirrored_channels": {"conda-forge": [address]}}), encoding="utf-8")
    program.env["CONDARC"] = str(condarc)


def record_of(program: Program) -> RunRecord:
    """The leg's record."""
    record = program.record
    assert record is not None
    return record


def why(program: Program) -> str:
    """What the build stage said."""
    stage = record_of(program).stage("build")
    assert stage is not None, record_of(program).reason
    return stage.reason


def finding(program: Program, code: str) -> Finding:
    """The one finding with this code."""
    (found,) = (each for each in record_of(program).findings if each.code == code)
    return found
