"""The docker client that the tool is given behind a firewall."""

from __future__ import annotations

import json
import stat
import sys
from typing import TYPE_CHECKING

from ci_envs.containers.devcontainer_shim import main, mounted_everywhere, write_shim
from ci_envs.containers.firewall import BUNDLE, CA, CA_FILE, PIP, PIP_CONF, Firewall, Mount
from ci_envs.containers.secrets import Secret

if TYPE_CHECKING:
    from pathlib import Path

MOUNTS = (Mount(PIP, PIP_CONF), Mount(CA, CA_FILE), Mount(CA, BUNDLE))
FIREWALL = Firewall(
    secrets=(Secret(PIP, value="[global]\n"), Secret(CA, value="-----")),
    build_args={"HTTPS_PROXY": "http://me:canary@proxy.example"},
    mounts=MOUNTS,
)

#: As the tool writes it: the project's file, and what installs a feature.
DOCKERFILE = """\
FROM r.example/python AS dev_container_auto_added_stage_label
RUN pip install apple
FROM dev_container_auto_added_stage_label AS dev_containers_target_stage
RUN --mount=type=bind,from=dev_containers_feature_content_source,source=git_0,target=/tmp/git_0 \\
    ./devcontainer-features-install.sh
"""


def test_every_run_mounts_the_settings_and_those_of_features_leave_the_bundle_alone() -> None:
    lines = mounted_everywhere(DOCKERFILE, MOUNTS).splitlines()
    assert len(lines) == len(DOCKERFILE.splitlines())
    assert lines[1] == f"RUN {' '.join(map(str, MOUNTS))} pip install apple"
    assert str(MOUNTS[0]) in lines[3]
    assert str(MOUNTS[1]) in lines[3]
    assert BUNDLE not in lines[3]


def test_nothing_else_of_the_file_changes() -> None:
    assert mounted_everywhere("FROM a\r\nCOPY b c\r\n", MOUNTS) == "FROM a\r\nCOPY b c\r\n"


def test_the_client_hands_secrets_over_as_files_and_no_value_as_a_word(tmp_path: Path) -> None:
    script = write_shim(tmp_path, "/usr/bin/docker", FIREWALL)
    text = script.read_text()
    assert stat.S_IMODE(script.stat().st_mode) == 0o700
    assert f"--secret=id={PIP},src={tmp_path / PIP}" in text
    assert "--build-arg=HTTPS_PROXY" in text
    assert "canary" not in text
    assert "exec /usr/bin/docker" in text
    assert sys.executable in text
    assert (tmp_path / PIP).read_text() == "[global]\n"


def test_paths_with_blanks_and_quotes_stay_one_word(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    text = write_shim(folder, "/opt/my docker/docker", FIREWALL).read_text()
    assert "exec '/opt/my docker/docker' \"$@\"" in text
    assert "it'\"'\"'s here" in text


def test_the_file_that_is_built_gets_the_mounts(tmp_path: Path) -> None:
    mounts, file = tmp_path / "mounts.json", tmp_path / "Dockerfile-with-features"
    mounts.write_text(json.dumps([[mount.id, mount.target] for mount in MOUNTS]))
    file.write_bytes(DOCKERFILE.encode())
    main([str(mounts), "buildx", "build", "--load", "-f", str(file), "-t", "x", "."])
    assert file.read_text() == mounted_everywhere(DOCKERFILE, MOUNTS)


def test_bytes_that_are_no_text_come_through(tmp_path: Path) -> None:
    mounts, file = tmp_path / "mounts.json", tmp_path / "Dockerfile"
    mounts.write_text(json.dumps([[PIP, PIP_CONF]]))
    file.write_bytes(b"FROM a\n# caf\xe9\nRUN true\n")
    main([str(mounts), "buildx", "build", "-f", str(file), "."])
    assert file.read_bytes() == f"FROM a\n# caf\xe9\nRUN {MOUNTS[0]} true\n".encode("latin-1")
