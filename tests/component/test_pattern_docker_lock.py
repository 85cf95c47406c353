"""docker.lock through the program: made, held to, renewed, and what is said when a tag has moved."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.docker_projects import IMPORTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.component.docker_program_fixtures import MakeDocker
    from tests.support.docker_projects import DockerProgram, OwnImage

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]
pytest_plugins = ("tests.component.docker_program_fixtures",)


def files(own_base: OwnImage, text: str = "FROM OWN:one\nCOPY basket.py /app/\nWORKDIR /app\n") -> Mapping[str, str]:
    """A Dockerfile that installs nothing, with ``OWN`` for the test's own image."""
    return {"Dockerfile": text.replace("OWN", own_base.name), "basket.py": ""}


def locked(program: DockerProgram) -> list[dict[str, Any]]:
    """The images of docker.lock."""
    return list(json.loads((program.root / "docker.lock").read_text())["images"])


def lock(program: DockerProgram, *words: str) -> tuple[int, str]:
    """``ci-envs lock`` for the leg: the exit code, and all that was said."""
    done = program.do("lock", *program.words, *words)
    return done.code, done.said


def test_lock_writes_every_image_with_its_digest_platforms_and_day(make_docker: MakeDocker, own_base: OwnImage) -> None:
    two = own_base.put(f"{own_base.repository}:one", "two", note="another")
    text = "FROM OWN:one AS a\nFROM OWN:two\nCOPY --from=a /etc/debian_version /a\nCOPY --from=OWN:one /etc/hosts /b\n"
    program = make_docker("project", files(own_base, text))
    assert lock(program)[0] == 0
    one, other = locked(program)
    assert (one["image"], one["tag"], other["tag"], other["digest"]) == (own_base.name, "one", "two", two)
    assert one["digest"] != other["digest"]
    assert [word.partition("/")[0] for word in one["platforms"]] == ["linux"]
    assert one["when"].endswith("Z")
    before = (program.root / "docker.lock").read_bytes()
    assert lock(program)[0] == 0
    assert (program.root / "docker.lock").read_bytes() == before
    assert lock(program, "--check")[0] == 0
    assert lock(program, "--check", "--solve")[0] == 0
    assert (program.root / "docker.lock").read_bytes() == before


@pytest.mark.parametrize("mode", ["locked", "frozen"])
def test_a_lock_that_is_not_there_is_an_error_that_names_the_line_and_the_command(
    make_docker: MakeDocker, own_base: OwnImage, mode: str
) -> None:
    program = make_docker("project", files(own_base, "ARG A=1\nFROM OWN:one\n"))
    done = program.run(f"--lock-mode={mode}")
    assert done.code == 5, done.said
    assert "Dockerfile:2" in done.said
    assert own_base.name in done.said
    assert "ci-envs lock" in done.said
    assert not (program.root / "docker.lock").exists()
    assert lock(program, "--check")[0] == 5
    assert not (program.root / "docker.lock").exists()


def test_an_image_that_is_new_in_the_dockerfile_is_added_and_the_others_stay(
    make_docker: MakeDocker, own_base: OwnImage
) -> None:
    program = make_docker("project", files(own_base))
    assert lock(program)[0] == 0
    before = locked(program)
    own_base.put(f"{own_base.repository}:one", "two", note="another")
    own_base.put(f"{own_base.repository}:two", "one")
    program.write(files(own_base, "FROM OWN:one AS a\nFROM OWN:two\nCOPY --from=a /etc/hosts /a\n"))
    code, said = lock(program, "--check")
    assert (code, "Dockerfile:2" in said) == (5, True), said
    assert lock(program)[0] == 0
    one, two = locked(program)
    assert [one] == before
    assert two["tag"] == "two"


def test_a_moved_tag_is_built_as_it_was_locked_until_the_lock_is_upgraded(
    make_docker: MakeDocker, own_base: OwnImage
) -> None:
    program = make_docker("project", files(own_base), config='test: {command: "true"}\n')
    program.green()
    old = locked(program)[0]["digest"]
    first = program.inspect()["Id"]
    new = own_base.put(f"{own_base.repository}:one", "one", note="moved")
    assert new != old
    assert lock(program, "--check")[0] == 0, "the lock is in sync with the Dockerfile"
    program.green("--fresh", "--lock-mode=locked")
    assert program.inspect()["Id"] == first
    assert [base.digest for base in image_bases(program)] == [old]

    code, said = lock(program, "--check", "--solve")
    assert code == 5, said
    assert f"was {old} when it was locked" in said
    assert new in said
    assert locked(program)[0]["digest"] == old

    assert lock(program, "--upgrade")[0] == 0
    assert locked(program)[0]["digest"] == new
    program.green()
    assert [base.digest for base in image_bases(program)] == [new]
    assert program.inspect()["Config"]["Labels"] == {"note": "moved"}


def image_bases(program: DockerProgram) -> tuple[Any, ...]:
    image = program.told().image
    assert image is not None
    return image.bases


def test_update_mode_takes_what_a_tag_is_today(make_docker: MakeDocker, own_base: OwnImage) -> None:
    program = make_docker("project", files(own_base))
    assert lock(program)[0] == 0
    new = own_base.put(f"{own_base.repository}:one", "one", note="moved")
    done = program.run("--lock-mode=update", "--stages=detect,lock")
    assert locked(program)[0]["digest"] == new, done.said


def test_a_dockerfile_that_has_its_digests_needs_no_lock(make_docker: MakeDocker, own_base: OwnImage) -> None:
    digest = own_base.put(f"{own_base.repository}:one", "one")
    program = make_docker("project", files(own_base, f"FROM OWN:one@{digest}\n"))
    assert lock(program)[0] == 0
    assert lock(program, "--check")[0] == 0
    assert not (program.root / "docker.lock").exists()


def test_an_image_that_no_registry_has_is_locked_as_what_this_machine_has(
    make_docker: MakeDocker, own_base: OwnImage, base_image: str
) -> None:
    program = make_docker(
        "project", {"Dockerfile": "FROM localhost/ci-envs-test/own:1\n"}, config='test: {command: "true"}\n'
    )
    program.client.images.pull(base_image).tag("localhost/ci-envs-test/own", "1")
    try:
        program.green()
    finally:
        program.client.api.remove_image("localhost/ci-envs-test/own:1")
    (finding,) = program.found("IMG007")
    assert (finding.file, finding.line, finding.severity) == ("Dockerfile", 1, "warning")
    assert locked(program)[0]["local"] is True


def test_a_base_that_is_nowhere_is_said_with_its_line(make_docker: MakeDocker, own_base: OwnImage) -> None:
    program = make_docker("project", files(own_base, "ARG A=1\n\nFROM OWN:nothing\n"))
    code, said = lock(program)
    assert code == 5, said
    assert f"Dockerfile:3: {own_base.name}:nothing is not in" in said
    assert not (program.root / "docker.lock").exists()


def test_the_base_of_a_generated_dockerfile_is_locked_too(make_docker: MakeDocker, own_base: OwnImage) -> None:
    config = f"docker: {{base-image: '{own_base.name}:one'}}\n{IMPORTS}"
    program = make_docker("project", {"requirements.in": "apple\n"}, config=config)
    assert lock(program)[0] == 0
    assert [(one["image"], one["tag"]) for one in locked(program)] == [(own_base.name, "one")]
    assert lock(program, "--check")[0] == 0
    (program.root / "docker.lock").unlink()
    code, said = lock(program, "--check")
    assert code == 5
    assert f"{own_base.name}:one" in said


def test_platforms_that_are_asked_for_are_locked_for(make_docker: MakeDocker, own_base: OwnImage) -> None:
    program = make_docker("project", files(own_base), config="docker: {platforms: [linux/s390x]}\n")
    code, said = lock(program)
    assert code == 5, said
    assert "linux/s390x" in said


@pytest.mark.parametrize("text", ["{", '{"version": 9, "images": []}', '{"images": [{"image": "x"}]}'])
def test_a_lock_that_cannot_be_read_is_said(make_docker: MakeDocker, own_base: OwnImage, text: str) -> None:
    program = make_docker("project", {**files(own_base), "docker.lock": text})
    code, said = lock(program)
    assert code == 5, said
    assert "docker.lock" in said
    assert "Traceback" not in said
    assert (program.root / "docker.lock").read_text() == text
