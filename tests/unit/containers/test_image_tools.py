from __future__ import annotations

import re
from pathlib import Path

from ci_envs.containers.image_tools import ImageTool, image_tools, requirement_lines, tools_text
from ci_envs.resources import resource

ROOT = Path(__file__).parents[3]


def locked(name: str, lock: Path) -> dict[str, set[str]]:
    """Version -> hashes that a lock has of a distribution."""
    text = lock.read_text("utf-8")
    found = re.finditer(rf"^{re.escape(name)}==(\S+)[^\n]*((?: \\\n    --hash=sha256:\w+)+)", text, re.MULTILINE)
    return {one[1]: set(re.findall(r"sha256:(\w+)", one[2])) for one in found}


def test_every_wheel_is_one_that_a_lock_of_this_project_names() -> None:
    locks = {
        "uv": ROOT / "requirements/ci-envs.txt",
        "py-rattler": ROOT / "requirements/conda.txt",
        "pip": resource("tools/pip-tools.txt"),
    }
    for tool in image_tools():
        known = locked(tool.name, locks[tool.name])
        assert tool.version in known, f"{tool.name} {tool.version} is no longer what is locked: {sorted(known)}"
        assert set(tool.wheels.values()) <= known[tool.version]
    assert {tool.name for tool in image_tools()} == set(locks)


def test_both_architectures_and_both_c_libraries_have_a_wheel() -> None:
    for name in ("uv", "py-rattler"):
        (tool,) = (one for one in image_tools() if one.name == name)
        for arch in ("x86_64", "aarch64"):
            for libc in ("manylinux", "musllinux"):
                assert any(arch in wheel and libc in wheel for wheel in tool.wheels), (name, arch, libc)


def test_the_data_is_what_the_function_makes_of_it() -> None:
    assert tools_text(image_tools()) == resource("tools/image.yml").read_text("utf-8")


def test_a_requirement_carries_its_marker_and_every_hash() -> None:
    lines = requirement_lines("pip")
    assert [line.partition(" --hash")[0] for line in lines] == [
        f"pip=={tool.version} ; {tool.marker}" for tool in image_tools() if tool.name == "pip"
    ]
    (uv,) = requirement_lines("uv")
    assert uv.count("--hash=sha256:") == len(next(one for one in image_tools() if one.name == "uv").wheels)


def test_only_wheels_for_linux_on_two_processors_are_kept() -> None:
    wheels = {
        "x-1-py3-none-any.whl": "a" * 64,
        "x-1-py3-none-win_amd64.whl": "b" * 64,
        "x-1-py3-none-manylinux_2_17_s390x.whl": "c" * 64,
        "x-1-cp310-abi3-musllinux_1_2_aarch64.whl": "d" * 64,
        "x-1.tar.gz": "e" * 64,
        "no wheel.whl": "f" * 64,
    }
    kept = re.findall(r"(\w)\1{63}", tools_text([ImageTool(name="x", version="1", wheels=wheels)]))
    assert sorted(kept) == ["a", "d"]
