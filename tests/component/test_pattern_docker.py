"""Pattern docker, from end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.docker_projects import IMPORTS

if TYPE_CHECKING:
    from tests.component.docker_program_fixtures import MakeDocker

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]
pytest_plugins = ("tests.component.docker_program_fixtures",)

#: Requirements, and a module that the tests import.
FRUIT = {"requirements.in": "apple\npear\nplum[jam]\n", "basket.py": "import apple\n"}
GENERATED = f"docker: {{base-image: BASE}}\n{IMPORTS}"


def test_first(make_docker: MakeDocker) -> None:
    program = make_docker("first", FRUIT, config=GENERATED)
    done = program.green("-v")
    print(done.said)
    print(program.record_file.read_text())
    print(program.inspect())
    import time
    t = time.time(); done = program.green("-v"); print(time.time() - t, done.said)
    print(program.images(), program.containers())
