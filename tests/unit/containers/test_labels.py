from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ci_envs.containers.labels import (
    LABEL_LEG,
    LABEL_RUN,
    LABEL_STATE,
    image_name,
    image_repository,
    is_over,
    leg_labels,
    state_key,
    this_run,
)
from ci_envs.layout import Layout


def layout(name: str) -> Layout:
    return Layout(root=Path("/project"), state=Path("/project") / name)


def test_a_state_folder_has_one_key_and_another_has_another() -> None:
    key = state_key(layout(".ci-envs"))

    assert key == state_key(layout(".ci-envs"))
    assert key != state_key(layout("other"))
    assert len(key) == 12
    assert set(key) <= set("0123456789abcdef")


def test_a_container_tells_whose_it_is() -> None:
    labels = leg_labels("0123456789ab", "docker-py312-linux-x86_64")

    assert labels == {LABEL_STATE: "0123456789ab", LABEL_LEG: "docker-py312-linux-x86_64", LABEL_RUN: this_run()}


def test_the_name_of_an_image_is_looked_for_on_no_registry() -> None:
    assert image_name("0123456789ab", "docker-py312") == "localhost/ci-envs/0123456789ab:docker-py312"
    assert image_name("0123456789ab", "x").startswith(image_repository("0123456789ab"))


def test_a_run_that_goes_on_is_not_over() -> None:
    assert not is_over(this_run())


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not asked there")
def test_the_run_of_a_process_that_is_gone_is_over() -> None:
    machine, _, rest = this_run().partition("-")

    # Linux counts processes up to 2^22: https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html.
    assert is_over(f"{machine}-{2**22 + 1}-{rest.partition('-')[2]}")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the kernel does not tell when a process began")
def test_a_process_that_was_given_the_same_number_later_is_another() -> None:
    machine = this_run().partition("-")[0]

    assert is_over(f"{machine}-{os.getpid()}-1")


def test_what_another_machine_runs_is_not_ours_to_judge() -> None:
    assert not is_over("ffffffff-1-1")


@pytest.mark.parametrize("word", ["", "x", "a-b-c"])
def test_what_names_no_process_is_over(word: str) -> None:
    assert is_over(word)
