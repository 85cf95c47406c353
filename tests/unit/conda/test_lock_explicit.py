from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from tests.unit.conda.lock_values import CASES, CHANNEL, case, conda, lock, pip, refusal, refused, sha

from ci_envs.conda.explicit import in_dependency_order, write_explicit
from ci_envs.conda.lock_reading import findings_of, read_lock
from ci_envs.conda.lock_rules import need

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.conda import CondaLock

URL = f"{CHANNEL}/linux-64/python-3.12.8-h9e4cc4f_1_cpython.conda"
NOARCH = f"{CHANNEL}/noarch/pip-24.3.1-pyh8b19718_2.tar.bz2"
MD5, SHA256 = sha("x")[:32], sha("x")


def read(*lines: str, platform: str = "linux-64") -> CondaLock:
    return read_lock("\n".join((f"# platform: {platform}", "@EXPLICIT", *lines)) + "\n", path="conda-linux-64.lock")


@pytest.mark.parametrize(
    ("fragment", "md5", "sha256"),
    [
        ("", "", ""),
        (f"#{MD5}", MD5, ""),
        (f"#sha256:{SHA256}", "", SHA256),
        (f"#{SHA256}", "", SHA256),
        (f"#{MD5.upper()}", MD5, ""),
    ],
)
def test_every_form_of_a_hash_that_tools_write_is_read(fragment: str, md5: str, sha256: str) -> None:
    [package] = read(f"{URL}{fragment}").packages

    assert (package.md5, package.sha256, package.url) == (md5, sha256, URL)
    assert (package.name, package.version, package.build) == ("python", "3.12.8", "h9e4cc4f_1_cpython")


def test_the_order_of_the_file_is_kept_and_its_channels_are_known() -> None:
    other = "https://channel.example/label/dev/noarch/abc-1-0.conda"
    found = read("# made by hand", "", URL, NOARCH, f"  {other}  ")

    assert [one.name for one in found.packages] == ["python", "pip", "abc"]
    assert [one.subdir for one in found.packages] == ["linux-64", "noarch", "noarch"]
    assert {one.platform for one in found.packages} == {"linux-64"}
    assert (found.format, found.platforms) == ("explicit", ("linux-64",))
    assert found.channels == (CHANNEL, "https://channel.example/label/dev")


def test_the_platform_is_told_by_the_files_where_the_header_does_not() -> None:
    assert read_lock(f"@EXPLICIT\r\n{URL}\r\n{NOARCH}\r\n", path="x").platforms == ("linux-64",)


@pytest.mark.parametrize(
    ("text", "words", "at"),
    [
        (f"@EXPLICIT\n{NOARCH}\n", "does not say which platform it is for", 0),
        (f"@EXPLICIT\n{URL}\n{CHANNEL}/osx-64/a-1-0.conda\n", "holds packages for linux-64 and osx-64", 0),
        (f"# platform: linux-64\n{URL}\n@EXPLICIT\n", "an address stands above @EXPLICIT", 2),
        (f"# platform: win-64\n@EXPLICIT\n{URL}\n", "is locked for win-64 with a file for linux-64", 3),
        ("# platform: linux-64\n@EXPLICIT\npython=3.12\n", "'python=3.12' is no address of a conda package", 3),
        (f"# platform: linux-64\n@EXPLICIT\n{CHANNEL}/linux-64/a.conda\n", "is no address of a conda package", 3),
        (f"# platform: linux-64\n@EXPLICIT\n{URL}#abc\n", "the md5 of python 3.12.8 has 3 characters", 3),
        (f"# platform: linux-64\n@EXPLICIT\n{URL}#sha256:{MD5}\n", "the sha256 of python 3.12.8 has 32 characters", 3),
        (f"# platform: linux-64\n@EXPLICIT\n{URL}\n{URL}#{MD5}\n", "python 3.12.8 stands here a second time", 4),
        (f"# platform: linux-64\n@EXPLICIT\n{URL}\n=======\n{URL}\n", "a merge that was not ended", 4),
        (f"# platform: linux-64\n@EXPLICIT\nftp{URL[5:]}\n", "begins with ftp:", 3),
        (f"# platform: linux-64\n@EXPLICIT\n{CHANNEL}/../linux-64/a-1-0.conda\n", "holds '..'", 3),
    ],
)
def test_sick_lines_are_refused_by_their_number(text: str, words: str, at: int) -> None:
    error = refusal(text, "conda-linux-64.lock")

    assert words in error.message
    assert (error.file, error.line) == ("conda-linux-64.lock", at)


def test_a_token_is_told_and_not_kept() -> None:
    found = read(URL.replace("channel.example", "channel.example/t/tk-12345-abc"))

    assert found.packages[0].url == URL
    [secret] = findings_of(found)
    assert (secret.code, secret.line) == ("LOCK021", 3)
    assert "tk-12345" not in repr(found)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_what_is_written_is_read_as_the_same_packages(path: Path, kind: Literal["md5", "sha256"]) -> None:
    whole = read_lock(path.read_text("utf-8"), path="conda-lock.yml")
    for platform in whole.platforms:
        text = write_explicit(whole, platform, hash=kind)
        found = read_lock(text, path="x").packages
        assert {(p.manager, p.name, p.url, p.build) for p in found} == {
            (p.manager, p.name, p.url, p.build) for p in whole.of(platform)
        }
        strong = [p for p in whole.of(platform) if p.sha256 and p.manager == "conda"]
        kept = {p.name: p.sha256 or p.md5 for p in found}
        assert all(kept[p.name] == getattr(p, kind) for p in strong)


def test_the_hash_that_is_there_is_written_where_the_asked_one_is_not() -> None:
    text = write_explicit(lock(conda("a", sha256=""), conda("b", md5=""), conda("c", md5="", sha256="")), "linux-64")

    a, b, c = text.splitlines()[2:]
    assert "#sha256:" not in a
    assert a.endswith(sha(f"{CHANNEL}/linux-64/a-1.0-h1_0.conda")[:32])
    assert "#sha256:" in b
    assert "#" not in c
    assert "#sha256:" in write_explicit(lock(conda("b", md5="")), "linux-64", hash="md5")


def test_each_package_stands_below_those_that_it_needs() -> None:
    whole = read_lock(case("platforms-and-pip"), path="x")
    names = [one.name for one in in_dependency_order([p for p in whole.of("linux-64") if p.manager == "conda"])]

    assert names == ["python", "setuptools", "pip"]


def test_python_stands_above_pip_though_it_needs_it() -> None:
    packages = [
        conda("pip", "1", "python", "setuptools"),
        conda("python", "3", "pip", "zlib"),
        conda("setuptools", "1", "python"),
        conda("zlib"),
    ]

    assert [one.name for one in in_dependency_order(packages)] == ["zlib", "python", "setuptools", "pip"]


def test_circles_and_long_chains_come_to_an_end() -> None:
    circle = [conda("a", "1", "b"), conda("b", "1", "c"), conda("c", "1", "a")]
    assert sorted(one.name for one in in_dependency_order(circle)) == ["a", "b", "c"]

    chain = [conda(f"p{number}", "1", f"p{number + 1}") for number in range(3000)]
    ordered = [one.name for one in in_dependency_order(chain)]
    assert ordered == [f"p{number}" for number in range(2999, -1, -1)]
    assert need(chain[0].depends[0])[0] == "p1"


def test_distributions_are_comments_that_conda_lock_and_micromamba_read() -> None:
    one = pip("fruit", "1.0")
    text = write_explicit(lock(conda("a"), one), "linux-64")

    assert text.splitlines()[-1] == f"# pip fruit @ {one.url}#sha256={one.sha256}"


def test_a_platform_that_is_not_locked_is_named() -> None:
    error = refused(lambda: write_explicit(lock(conda("a")), "win-64"))

    assert str(error) == "conda-lock.yml: is not locked for win-64; it is for linux-64"


def test_categories_choose_what_is_written() -> None:
    whole = read_lock(case("categories"), path="x")

    assert "/sphinx-" not in write_explicit(whole, "linux-64", ("main", "dev"))
    assert "/pluggy-" in write_explicit(whole, "linux-64", ("main", "dev"))
