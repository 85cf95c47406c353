"""Types that many threads read at once, the first time. In a process of its own: it may end by a signal."""

from __future__ import annotations

import sys

import pytest

from ci_envs.command import Command, run

pytestmark = pytest.mark.component

# Each round has types of its own, the last of which holds the others; annotations are texts, as everywhere here.
AT_ONCE = """\
import sys, threading, types
from ci_envs.decoding import convert, decode

sys.setswitchinterval(1e-6)
FIELDS = "".join(f"    f{number}: int = 0\\n" for number in range(20))

def kind(number):
    module = types.ModuleType(f"round_{number}")
    sys.modules[module.__name__] = module
    lines = ["from __future__ import annotations", "import msgspec"]
    for depth in range(5):
        below = f"    below: Kind{depth - 1} | None = None\\n" if depth else ""
        lines.append(f"class Kind{depth}(msgspec.Struct, frozen=True):\\n{FIELDS}{below}")
    exec("\\n".join(lines), module.__dict__)
    return module.Kind4

for number in range(300):
    wanted, gate, found = kind(number), threading.Barrier(4), []

    def read(which):
        gate.wait()
        if which % 2:
            found.append(decode('{"f0": 1, "below": {"f1": 2}}', wanted))
        else:
            found.append(convert({"f0": 1, "below": {"f1": 2}}, wanted))

    threads = [threading.Thread(target=read, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(one.f0, one.below.f1) for one in found] == [(1, 2)] * 4, found
"""


def test_threads_that_read_the_first_of_a_type_at_once_do_not_end_the_process() -> None:
    outcome = run(Command((sys.executable, "-c", AT_ONCE), timeout=120))
    assert outcome.returncode == 0, outcome.output
