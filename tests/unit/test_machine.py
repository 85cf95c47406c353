from __future__ import annotations

import os
import platform
import re

import msgspec
import pytest

from ci_envs import machine


@pytest.mark.parametrize(
    ("word", "name"), [("linux", "linux"), ("darwin", "macos"), ("win32", "windows"), ("aix", "aix")]
)
def test_systems_have_the_names_that_legs_use(word: str, name: str) -> None:
    assert machine.os_name(word) == name


@pytest.mark.parametrize(
    ("word", "name"),
    [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("arm64", "aarch64"), ("aarch64", "aarch64"), ("ppc64le", "ppc64le")],
)
def test_architectures_have_the_names_that_legs_use(word: str, name: str) -> None:
    assert machine.arch_name(word) == name


def test_this_machine_says_what_it_is() -> None:
    facts = machine.facts()

    assert facts.os == machine.os_name()
    assert facts.arch == machine.arch_name(platform.machine())
    assert 0 < facts.cpus <= (os.cpu_count() or 1)
    if facts.os == "linux":
        assert re.fullmatch(r"(glibc \d+\.\d+|musl)?", facts.libc)


def test_the_facts_do_not_tell_whose_machine_it_is() -> None:
    said = msgspec.json.encode(machine.facts()).decode().lower()

    assert len(platform.node()) < 4 or platform.node().lower() not in said
