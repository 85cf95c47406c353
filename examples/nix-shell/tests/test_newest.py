import os
import shutil
import sys

from newest import HERE, newest, rows
from packaging.version import Version


def test_ten_is_more_than_nine_and_a_later_date_is_no_newer_version():
    found = newest(rows(HERE / "releases.log"))
    assert found == {"tidepool": Version("1.10.0"), "kelp": Version("0.4.post1")}


def test_comments_and_half_lines_are_no_rows(tmp_path):
    log = tmp_path / "releases.log"
    log.write_text("# a b c\n2026-01-01 kelp\n\n2026-01-02 kelp 1.0 chi\n")
    assert list(rows(log)) == [("kelp", Version("1.0"))]


def test_the_shell_says_which_log():
    assert os.environ["RELEASES"] == "releases.log"


def test_awk_and_python_are_of_the_store():
    assert shutil.which("awk").startswith("/nix/store/")
    assert sys.executable.startswith("/nix/store/")
