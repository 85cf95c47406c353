"""What a generated image is built with, each at one version with hashes: uv, pip, py-rattler. Pure, over shipped data.

Inside of a build there is nothing but the base's own Python. What installs the environment is fetched there by name,
version and hash, so that the Dockerfile needs no second image and whoever keeps it can build it anywhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from ci_envs.decoding import convert
from ci_envs.resources import resource

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ImageTool", "image_tools", "requirement_lines", "tools_text"]

#: The platforms of generated images, as wheels name them.
_ARCHES = ("x86_64", "aarch64")

_HEAD = "# What installs inside of generated images: wheels for Linux, by SHA-256. Renew with: nox -s relock\n"


class ImageTool(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a tool, for some of the Pythons."""

    name: str
    version: str
    #: A PEP 508 marker; empty where it is for every Python.
    marker: str = ""
    #: File -> SHA-256 in hexadecimal.
    wheels: dict[str, str]

    @property
    def line(self) -> str:
        """``uv==0.13.8 --hash=sha256:... --hash=...``: a line of what ``pip install --require-hashes -r`` reads."""
        marker = f" ; {self.marker}" if self.marker else ""
        return " ".join([f"{self.name}=={self.version}{marker}", *(f"--hash=sha256:{h}" for h in self.wheels.values())])


@cache
def image_tools() -> tuple[ImageTool, ...]:
    """All of them, in the order of their names."""
    from ci_envs.documents import load_yaml

    read = load_yaml(resource("tools/image.yml").read_text("utf-8"), file="tools/image.yml").data
    return tuple(convert(one, ImageTool) for one in read)


def requirement_lines(*names: str) -> tuple[str, ...]:
    """The requirements with hashes for these tools; pip itself chooses by the Python that it runs under."""
    return tuple(tool.line for tool in image_tools() if tool.name in names)


def tools_text(tools: Iterable[ImageTool]) -> str:
    """The text of ``resources/tools/image.yml`` for these; of their files those that an image of Linux can use."""
    parts = [_HEAD]
    for tool in sorted(tools, key=lambda tool: (tool.name, tool.version)):
        parts.append(f'- name: {tool.name}\n  version: "{tool.version}"\n')
        parts += [f"  marker: '{tool.marker}'\n"] if tool.marker else []
        rows = (f"    {name}: {sha256}\n" for name, sha256 in sorted(tool.wheels.items()) if _fits_images(name))
        parts += ["  wheels:\n", *rows]
    return "".join(parts)


def _fits_images(file: str) -> bool:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        platforms = {tag.platform for tag in parse_wheel_filename(file)[3]}
    except InvalidWheelFilename:
        return False
    return any(p == "any" or (p.startswith(("manylinux", "musllinux")) and p.endswith(_ARCHES)) for p in platforms)
