"""Pattern docker over a Dockerfile of the project's own, on a real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON
from tests.support.docker_projects import DOCKER_LEG, outside_leg

if TYPE_CHECKING:
    from tests.component.docker_program_fixtures import MakeDocker
    from tests.support.docker_projects import OwnImage

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]
pytest_plugins = ("tests.component.docker_program_fixtures",)

PINS = "apple==1.1\npear==1.1\nseed==1.5\n"

#: Two stages and one that nobody needs; a target, an argument, and an image that something is copied from.
STAGES = """\
ARG SERIES
FROM LIBRARY:${SERIES}-slim-bookworm AS deps
COPY requirements.txt /tmp/
RUN python -m venv /opt/env && /opt/env/bin/pip install --no-deps -r /tmp/requirements.txt

FROM LIBRARY:${SERIES}-slim-bookworm AS app
COPY --from=deps /opt/env /opt/env
COPY --from=OWN:one /etc/debian_version /debian_version
ENV PATH=/opt/env/bin:$PATH
WORKDIR /app
COPY basket.py ./

FROM app AS never
RUN exit 1
"""

FLAT = """\
FROM BASE
COPY requirements.txt /tmp/
RUN pip install --no-deps --no-cache-dir -r /tmp/requirements.txt
WORKDIR /app
COPY basket.py ./
"""

CONFIG = """\
docker: {target: app, build-args: {SERIES: "{python}"}}
test:
  command: python -c "import basket, apple, pear"
"""


def test_a_dockerfile_is_built_as_it_is_from_the_digests_of_its_images(
    make_docker: MakeDocker, base_image: str, own_base: OwnImage
) -> None:
    library = base_image.partition(":")[0] if base_image.count(":") == 1 else base_image.rpartition(":")[0]
    text = STAGES.replace("LIBRARY", library).replace("OWN", own_base.name)
    files = {"Dockerfile": text, "requirements.txt": PINS, "basket.py": "import apple\n"}
    program = make_docker("stages", files, config=CONFIG)
    program.green()
    record = program.told()
    assert record.image is not None
    assert record.lock is not None
    assert {base.name for base in record.image.bases} == {base_image, f"{own_base.name}:one"}
    assert all(base.digest.startswith("sha256:") for base in record.image.bases)
    assert (record.lock.path, record.lock.more) == ("requirements.txt", ("docker.lock",))
    unpinned = program.found("IMG001")
    assert [(each.file, each.line, each.severity) for each in unpinned] == [
        ("Dockerfile", line, "info") for line in (2, 6, 8)
    ]
    digests = {base.name: base.digest for base in record.image.bases}
    assert f"{own_base.name}:one@{digests[f'{own_base.name}:one']}" in unpinned[2].message
    assert "Dockerfile" in {each.file for each in record.evidence}
    installed = {each.name: each.version for each in record.inventory if each.manager == "python" and not each.seed}
    assert installed == {"apple": "1.1", "pear": "1.1", "seed": "1.5"}
    assert record.image.labels == {}, "a person's file is built as it is"
    assert record.image.reproducible
    assert (program.root / "Dockerfile").read_text() == text

    program.words, program.leg = ("--pattern=uv", f"--python={PYTHON}"), outside_leg("uv")
    program.write({"ci-envs.yml": CONFIG.replace("basket, ", "")})
    program.green()
    host = program.told().environment
    assert host is not None
    assert record.environment is not None
    assert record.environment.digest == host.digest


def test_the_systems_own_interpreter_may_have_it_all(make_docker: MakeDocker) -> None:
    files = {"Dockerfile": FLAT, "requirements.txt": PINS, "basket.py": "import apple\n"}
    program = make_docker("flat", files, config=CONFIG.split("\n", 1)[1])
    program.green()
    installed = {each.name for each in program.told().inventory if each.manager == "python" and not each.seed}
    assert installed == {"apple", "pear", "seed"}
    program.write({"Dockerfile": FLAT + "RUN true\n"})
    program.green()
    assert program.stage("build").reason == "built: dockerfile and sources changed"


def test_a_dockerfile_without_any_lock_is_green_and_what_is_not_known_is_said(make_docker: MakeDocker) -> None:
    config = "test:\n  command: python -c 'import apple'\n"
    text = "FROM BASE\nCOPY requirements.in /tmp/\nRUN pip install -r /tmp/requirements.in\n"
    program = make_docker("intent", {"Dockerfile": text, "requirements.in": "apple\n"}, config=config)
    program.green()
    (finding,) = program.found("LOCK008")
    assert (finding.file, finding.severity) == ("Dockerfile", "warning")
    assert "requirements.in" in finding.message
    record = program.told()
    assert "apple" in {each.name for each in record.inventory}
    assert not program.found("ENV102")


def test_an_image_that_differs_from_the_lock_fails_its_check_by_name(make_docker: MakeDocker) -> None:
    more = "RUN pip uninstall -y pear && pip install --no-deps seed==1.0 sugar==1.0\n"
    files = {"Dockerfile": FLAT + more, "requirements.txt": PINS, "basket.py": ""}
    program = make_docker("differs", files)
    done = program.run()
    assert done.code == 7, done.said
    assert program.told().status == "failed"
    found = {code: [each.message for each in program.found(code)] for code in ("ENV101", "ENV102", "ENV103")}
    assert [len(messages) for messages in found.values()] == [1, 1, 1], found
    assert "pear" in found["ENV101"][0]
    assert "sugar" in found["ENV102"][0]
    assert "1.0" in found["ENV103"][0]
    assert "1.5" in found["ENV103"][0]


PYTEST = """\
FROM BASE
COPY requirements.txt /tmp/
RUN pip install --no-cache-dir -r /tmp/requirements.txt
WORKDIR /app
COPY basket ./basket
"""

IN_BASKET = {
    "Dockerfile": PYTEST,
    "requirements.txt": PINS + "pytest\n",
    ".dockerignore": "tests\n",
    "basket/__init__.py": "from basket.core import ripe\n",
    "basket/core.py": "ripe = True\n",
    "tests/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef two():\n    return 2\n",
    "tests/data.txt": "two\n",
    "tests/test_basket.py": """\
from pathlib import Path

import basket


def test_it_is_the_images_own():
    assert basket.ripe
    assert Path(basket.__file__).parent == Path("/app/basket")


def test_what_lies_beside_the_tests_is_there(two):
    assert Path(__file__).with_name("data.txt").read_text() == "two\\n"
""",
}


def test_the_images_own_sources_are_tested_with_tests_that_it_leaves_out(make_docker: MakeDocker) -> None:
    program = make_docker("basket", IN_BASKET, config="test: {command: python -m pytest}\n")
    program.green()
    tests = program.told().tests
    assert tests is not None
    assert (tests.passed, tests.failed) == (2, 0)
    assert (program.root / tests.junit).is_file()
    assert program.inside("sh", "-c", "ls /app") == "basket\n"

    program.write({"Dockerfile": PYTEST.replace("COPY basket ./basket", "COPY basket/__init__.py ./basket/")})
    done = program.run()
    assert done.code == 8, done.said
    assert program.told().status == "failed"
    assert "basket.core" in (program.layout.log(DOCKER_LEG, "test")).read_text()
