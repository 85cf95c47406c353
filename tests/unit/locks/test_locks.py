from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ci_envs.locks import READERS, sniff

HASHED = f"apple==2.0 --hash=sha256:{'a' * 64}\n"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("uv.lock", "", "uv.lock"),
        ("sub/pylock.dev.toml", "", "pylock"),
        ("requirements.txt", HASHED, "requirements"),
        ("locks/uv-py312-linux-x86_64.txt", "apple==2.0\n", "requirements"),
        ("requirements.lock", HASHED, "requirements"),
        ("requirements.txt", "apple>=2\n", None),
        ("requirements.in", HASHED, None),
        ("pyproject.toml", "", None),
        ("poetry.lock", "[[package]]\nname = 'x'\n", None),
    ],
)
def test_a_lock_is_known_by_its_name_and_its_text(path: str, text: str, expected: str | None) -> None:
    assert sniff(path, text) == expected


def test_every_format_but_that_of_uv_has_a_reader() -> None:
    assert set(READERS) == {"requirements", "pylock"}


def test_importing_the_readers_does_not_import_packaging() -> None:
    source = Path(sys.modules["ci_envs.locks"].__file__ or "").parent
    for module in source.glob("*.py"):
        early = [
            line
            for line in module.read_text("utf-8").splitlines()
            if line.startswith(("from packaging", "import packaging"))
        ]
        assert not early, module.name
