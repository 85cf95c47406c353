"""What stands between the devcontainer tool and the docker client where a build needs the user's firewall settings.

The tool puts its own instructions behind those of a Dockerfile, to install the features, and has no flag for secrets
where it builds on an image. So it is given a client that has every RUN of the file mount them, and that hands them
over; everything else goes to the real client as it is.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ci_envs.containers.dockerfile import read_dockerfile
from ci_envs.containers.firewall import BUNDLE, CA, Firewall, Mount, mounted
from ci_envs.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "mounted_everywhere", "write_shim"]

_SCRIPT = """#!/bin/sh
if [ "$1 $2" = "buildx build" ]; then
    {python} -I -m {module} {mounts} "$@" || exit
    set -- "$@" {words}
fi
exec {docker} "$@"
"""

#: Of the instructions that install features. Many of them install ca-certificates, which replaces the mounted file.
_OF_FEATURES = "dev_containers_feature_content_source"


def write_shim(folder: Path, docker: str, firewall: Firewall) -> Path:
    """Writes the client into a folder that only we can read, with the secrets beside it. Its path."""
    words = [f"--build-arg={name}" for name in firewall.build_args]
    for secret in firewall.secrets:
        file = secret.file or folder / secret.id
        if secret.file is None:
            file.write_text(secret.value, encoding="utf-8")
        words.append(f"--secret=id={secret.id},src={file}")
    mounts = folder / "mounts.json"
    mounts.write_bytes(msgspec.json.encode([(mount.id, mount.target) for mount in firewall.mounts]))
    script = folder / "docker"
    script.write_text(
        _SCRIPT.format(
            python=shlex.quote(sys.executable),
            module=__name__,
            mounts=shlex.quote(str(mounts)),
            words=shlex.join(words),
            docker=shlex.quote(docker),
        ),
        encoding="utf-8",
    )
    script.chmod(0o700)
    return script


def mounted_everywhere(text: str, mounts: Sequence[Mount], file: str = "Dockerfile") -> str:
    """The file that the tool builds, with the mounts in every RUN: the project's and the tool's own."""
    made = mounted(text, read_dockerfile(text, file=file), Firewall(mounts=tuple(mounts)))
    bundle = f" {Mount(CA, BUNDLE)}"
    lines = (line.replace(bundle, "") if _OF_FEATURES in line else line for line in made.splitlines(keepends=True))
    return "".join(lines)


def main(words: Sequence[str]) -> None:
    """``MOUNTS buildx build ... -f FILE ...``: writes the mounts into FILE, which the tool or we have made for this."""
    mounts = [Mount(*pair) for pair in decode(Path(words[0]).read_bytes(), list[tuple[str, str]])]
    file = Path(words[list(words).index("-f") + 1])
    # Bytes that are no UTF-8 come through; line ends stay as they are.
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    made = mounted_everywhere(text, mounts, file.name)
    file.write_bytes(made.encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    main(sys.argv[1:])
