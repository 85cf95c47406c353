from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.locks.intent import refusal

from ci_envs.errors import LockError
from ci_envs.locks.uvlock import UvLockFacts, facts

# As uv 0.13 writes it: it takes the credentials out of a registry's address, and leaves them in a direct one.
LOCK = """\
version = 1
revision = 5
requires-python = ">=3.10"

[options]
resolution-mode = "lowest-direct"
prerelease-mode = "allow"
exclude-newer = "2026-01-01T00:00:00Z"

[[package]]
name = "apple"
version = "1.2"
source = { registry = "https://index.example/simple" }
dependencies = [
    { name = "eggy", marker = "sys_platform == 'win32'" },
]
wheels = [
    { url = "https://files.example/apple-1.2-py3-none-any.whl", hash = "sha256:00" },
]

[[package]]
name = "apple"
version = "2.0"
source = { registry = "../wheels" }
wheels = [
    { path = "apple-2.0-py3-none-any.whl" },
]

[[package]]
name = "demo"
version = "1.0"
source = { virtual = "." }

[[package]]
name = "eggy"
version = "3.1"
source = { url = "https://me:secret-word@direct.example/eggy-3.1-py3-none-any.whl" }

[[package]]
name = "fruit"
source = { git = "ssh://git@git.example/team/fruit?rev=main#0123456789abcdef0123456789abcdef01234567" }

[[package]]
name = "tool"
version = "0.1"
source = { editable = "tool" }
sdist = { url = "https://files.example/tool-0.1.tar.gz", hash = "sha256:00" }
"""


def test_facts_are_read_without_resolving() -> None:
    assert facts(LOCK) == UvLockFacts(
        version=1,
        revision=5,
        requires_python=">=3.10",
        packages={
            "apple": ("1.2", "2.0"), "demo": ("1.0",), "eggy": ("3.1",), "fruit": (), "tool": ("0.1",),
        },
        members=("demo", "tool"),
        hosts=("direct.example", "files.example", "git.example", "index.example"),
        credentials=("eggy",),
        exclude_newer="2026-01-01T00:00:00Z",
        resolution="lowest-direct",
        prerelease="allow",
    )  # fmt: skip


def test_a_lock_of_the_defaults_says_so() -> None:
    plain = facts('version = 1\nrequires-python = ">=3.12"\n')
    assert (plain.resolution, plain.exclude_newer, plain.packages) == ("highest", "", {})


@pytest.mark.parametrize("version", ["2", '"1"', "true", "[]"])
def test_another_format_is_refused(version: str) -> None:
    with pytest.raises(LockError, match="has format version") as caught:
        facts(f"version = {version}\n")
    assert "uv lock" in caught.value.hint


def test_what_is_no_toml_is_refused_with_its_file() -> None:
    with pytest.raises(LockError, match="is not valid TOML") as caught:
        facts("<<<<<<< HEAD\nversion = 1\n", path="sub/uv.lock")
    assert caught.value.file == "sub/uv.lock"


PIECES = st.sampled_from([*LOCK.split("\n"), "[[package]]", "package = 1", "[options]", "[package]", "name = 1"])


@settings(deadline=None)
@given(st.lists(PIECES, max_size=25).map("\n".join) | st.text(max_size=100))
def test_any_text_is_read_or_refused_with_an_error_of_ours(text: str) -> None:
    error = refusal(lambda: facts(text))
    assert error is None or error.file == "uv.lock"
