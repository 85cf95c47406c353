from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.work import a_work

if TYPE_CHECKING:
    from pathlib import Path

LOCK = "# made\nidna==3.7\n"


@pytest.mark.parametrize("there", [LOCK, LOCK.replace("\n", "\r\n")], ids=["lines of Linux", "lines of Windows"])
def test_a_lock_that_says_the_same_is_left_alone(tmp_path: Path, there: str) -> None:
    (tmp_path / "requirements.txt").write_bytes(there.encode())
    work = a_work(tmp_path, stage="lock")
    work.keep_lock("requirements.txt", LOCK)
    assert (tmp_path / "requirements.txt").read_bytes() == there.encode()
    assert work.findings == []


@pytest.mark.parametrize(("there", "verb"), [(None, "made"), ("idna==3.6\r\n", "renewed"), ("", "renewed")])
def test_a_lock_is_written_with_the_lines_of_every_system(tmp_path: Path, there: str | None, verb: str) -> None:
    if there is not None:
        (tmp_path / "requirements.txt").write_bytes(there.encode())
    work = a_work(tmp_path, stage="lock")
    work.keep_lock("requirements.txt", LOCK)
    assert (tmp_path / "requirements.txt").read_bytes() == LOCK.encode()
    (finding,) = work.findings
    assert (finding.code, finding.title) == ("LOCK003", f"lock {verb}")


def test_every_name_of_the_temporary_folder_is_the_legs_own(tmp_path: Path) -> None:
    work = a_work(tmp_path, environ={"TEMP": "C:\\Temp", "TMP": "C:\\Temp", "TMPDIR": "/elsewhere"})
    assert {work.tool_environment[name] for name in ("TMPDIR", "TEMP", "TMP")} == {str(work.temp)}
