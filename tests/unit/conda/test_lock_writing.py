from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.conda.lock_values import (
    CASES,
    CHANNEL,
    COMMIT,
    FILES,
    case,
    conda,
    line,
    lock,
    pip,
    refused,
    spec,
    without_findings,
)

from ci_envs.conda.content_hash import content_hash
from ci_envs.conda.lock_reading import read_lock
from ci_envs.conda.lock_writing import merge, normal, write_conda_lock

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.conda import CondaLock, LockedPackage


def again(one: CondaLock) -> CondaLock:
    return read_lock(write_conda_lock(one), path=one.path)


@pytest.mark.parametrize("path", [p for p in CASES if p.stem != "first-version"], ids=lambda path: path.stem)
def test_what_is_written_is_what_was_read(path: Path) -> None:
    read = read_lock(path.read_text("utf-8"), path="conda-lock.yml")

    assert again(read) == read
    assert normal(read) == read


def test_a_lock_with_md5s_alone_is_written_as_it_is() -> None:
    read = read_lock(case("first-version"), path="conda-lock.yml")

    assert without_findings(again(read)) == without_findings(read)


def test_the_bytes_are_the_same_whatever_the_order_was() -> None:
    packages = list(read_lock(case("platforms-and-pip"), path="x").packages)
    first = write_conda_lock(lock(*packages, content_hash={"linux-64": "1", "win-64": "2"}))
    packages.reverse()
    turned = [replace(one, depends=tuple(reversed(one.depends))) for one in packages]
    second = lock(*turned, content_hash={"win-64": "2", "linux-64": "1"}, platforms=("win-64", "osx-arm64", "linux-64"))

    assert write_conda_lock(second) == first


def test_the_header_says_how_to_renew_it_and_nothing_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_USER", CHANNEL)
    text = write_conda_lock(lock(conda("a"), path="locks/conda-py312.conda-lock.yml"))

    assert text.startswith("# A lock file in the format of conda-lock")
    assert "conda-lock install --name YOURENV conda-py312.conda-lock.yml" in text
    assert "SOME_USER" not in text
    assert not {"time_metadata", "git_metadata", "inputs_metadata"} & yaml.safe_load(text)["metadata"].keys()


def test_the_keys_stand_in_the_order_that_conda_lock_gives_them() -> None:
    text = write_conda_lock(
        lock(conda("apple", "1.10", "pear >=2"), sources=("environment.yml",), content_hash={"linux-64": "12"})
    )
    [entry] = yaml.safe_load(text)["package"]

    assert list(entry) == [
        "name",
        "version",
        "manager",
        "platform",
        "dependencies",
        "url",
        "hash",
        "category",
        "optional",
    ]
    assert entry["version"] == "1.10"
    assert yaml.safe_load(text)["metadata"] == {
        "content_hash": {"linux-64": "12"},
        "channels": [{"url": CHANNEL, "used_env_vars": []}],
        "platforms": ["linux-64"],
        "sources": ["environment.yml"],
    }


def test_a_package_of_two_categories_has_two_entries_and_main_is_not_optional() -> None:
    text = write_conda_lock(lock(conda("a", categories=("dev", "docs")), conda("b")))

    assert [(one["name"], one["category"], one["optional"]) for one in yaml.safe_load(text)["package"]] == [
        ("a", "dev", True),
        ("a", "docs", True),
        ("b", "main", False),
    ]


def test_variables_of_a_channel_are_written_into_the_addresses_of_its_packages() -> None:
    text = write_conda_lock(read_lock(case("variables"), path="x"))
    written = yaml.safe_load(text)

    assert written["metadata"]["channels"][0] == {
        "url": "https://host.example/t/${CHANNEL_TOKEN}/private",
        "used_env_vars": ["CHANNEL_TOKEN"],
    }
    assert "https://host.example/t/${CHANNEL_TOKEN}/private/linux-64/secretlib-1.2-0.conda" in text


@pytest.mark.parametrize("md5", ["12e45678901234567890123456789012", "0" * 32, "1" * 32, "0x" + "1" * 30])
def test_hashes_that_some_readers_take_for_numbers_are_written_in_quotes(md5: str) -> None:
    text = write_conda_lock(lock(replace(conda("a"), md5=md5)))

    assert f"md5: '{md5}'" in text


def test_a_long_dependency_list_and_odd_text_stay_on_their_lines() -> None:
    names = [f"package-with-a-long-name-{number} >=1.2.3,<2.0a0|>=3.0,<4" for number in range(40)]
    one = lock(conda("apple", "1!2.0+x_1", *names))

    assert again(one) == normal(one)


def test_a_conda_package_without_an_md5_is_refused_since_the_format_demands_one() -> None:
    error = refused(lambda: write_conda_lock(lock(conda("numpy", "2.1.0", md5=""))))

    assert error.message.startswith("numpy 2.1.0 has no MD5")
    assert error.file == "conda-lock.yml"
    assert error.hint


def test_stand_ins_for_virtual_packages_are_left_out() -> None:
    assert [one.name for one in again(lock(conda("__glibc", "2.28"), conda("a"))).packages] == ["a"]


def test_distributions_that_come_from_an_address_say_so() -> None:
    packages = [
        pip("indexed", "1.0"),
        pip("cow", "6.1", url="https://code.example/v6.1.tar.gz"),
        pip("repo", "2.0", url=f"git+https://code.example/repo.git@{COMMIT}", sha256=""),
    ]
    one = lock(*packages)
    sources = {entry["name"]: entry.get("source") for entry in yaml.safe_load(write_conda_lock(one))["package"]}

    assert sources["indexed"] is None
    assert sources["cow"] == {"type": "url", "url": f"https://code.example/v6.1.tar.gz#sha256={packages[1].sha256}"}
    assert sources["repo"] == {"type": "url", "url": packages[2].url}
    assert again(one) == normal(one)


@pytest.mark.parametrize(
    ("depends", "joined"),
    [
        (("python >=3.9", "python <4"), "python <4,>=3.9"),
        (("python", "python >=3.9"), "python >=3.9"),
        (("python *", "python >=3.9"), "python >=3.9"),
        (("python >=3.9", "python 3.12.* *_cp312"), "python 3.12.*,>=3.9 *_cp312"),
        (("python <3|>4", "python !=3.5"), "python !=3.5,<3|!=3.5,>4"),
        (("Python>=3.9", "python  >=3.9"), "python >=3.9"),
        (("python * *_cpython", "python * *_cpython"), "python * *_cpython"),
    ],
)
def test_what_is_said_twice_of_a_dependency_is_joined_to_what_both_mean(depends: tuple[str, ...], joined: str) -> None:
    [package] = normal(lock(conda("a", "1", *depends))).packages

    assert package.depends == (joined,)


NAMES = st.sampled_from(["apple", "_pear", "lib-plum", "zlib.ng", "python", "no", "on", "null", "1e5", "0x1f"])
VERSIONS = st.sampled_from(["1.0", "2", "1.10", "1e10", "2024a", "1!3.0", "0.1+x", "12_3", "0o17", "no"])
SAID = st.sampled_from(["", ">=1.2,<2.0a0", "*", "3.12.* *_cp312", "2.7.*|>=3.4", "1.0", "==1.*", "* *_llvm", "=1"])


@st.composite
def packages(draw: st.DrawFn) -> LockedPackage:
    platform = draw(st.sampled_from(["linux-64", "osx-arm64", "win-64"]))
    categories = tuple(sorted(draw(st.sets(st.sampled_from(["main", "dev", "docs"]), min_size=1))))
    needs = [f"{name} {said}".strip() for name, said in draw(st.lists(st.tuples(NAMES, SAID), max_size=4))]
    digits = draw(st.sampled_from(["0123456789abcdef", "0", "e1"]))
    md5 = "".join(draw(st.lists(st.sampled_from(digits), min_size=32, max_size=32)))
    if draw(st.booleans()):
        name = draw(NAMES.filter(lambda one: one[0].isalpha() and "." not in one))
        return pip(name, "1.0", platform=platform, categories=categories)
    subdir = draw(st.sampled_from([platform, "noarch"]))
    return conda(draw(NAMES), draw(VERSIONS), *needs, platform=platform, subdir=subdir, categories=categories, md5=md5)


@settings(max_examples=150, deadline=None)
@given(st.lists(packages(), max_size=6), st.lists(st.sampled_from(["environment.yml", "dev/no.yml"]), unique=True))
def test_any_lock_survives_being_written_and_read(found: list[LockedPackage], sources: list[str]) -> None:
    unique = {(one.manager, one.name, one.platform): one for one in found}.values()
    one = lock(*unique, sources=tuple(sources), platforms=("linux-64", "osx-arm64", "win-64"))

    assert again(one) == normal(one)
    assert write_conda_lock(again(one)) == write_conda_lock(one)


def test_the_platforms_of_the_new_lock_replace_those_of_the_old_one() -> None:
    old = lock(
        conda("a", "1"),
        conda("a", "1", platform="win-64", subdir="win-64"),
        content_hash={"linux-64": "1", "win-64": "2"},
    )
    new = lock(conda("b", "2"), content_hash={"linux-64": "3"}, sources=("environment.yml",))
    merged = merge(old, new)

    assert [(one.name, one.platform) for one in merged.packages] == [("a", "win-64"), ("b", "linux-64")]
    assert merged.platforms == ("linux-64", "win-64")
    assert merged.content_hash == {"linux-64": "3", "win-64": "2"}
    assert merged.sources == ("environment.yml",)


def test_a_platform_that_lost_all_its_packages_does_not_get_the_old_ones_back() -> None:
    merged = merge(lock(conda("a", "1")), lock(platforms=("linux-64",)))

    assert merged.packages == ()


def test_platforms_of_other_channels_are_not_kept_beside_new_ones() -> None:
    old = lock(conda("a", platform="win-64", subdir="noarch"), channels=("https://u:pw@channel.example/other",))
    error = refused(lambda: merge(old, lock(conda("a"))))

    assert (
        error.message == f"was locked for win-64 from https://channel.example/other, and the channels are now {CHANNEL}"
    )
    assert error.hint == "lock all of its platforms again: linux-64, win-64"
    assert merge(replace(old, platforms=("linux-64",)), lock(conda("a"))).channels == (CHANNEL,)


class TestContentHash:
    CHANNELS = ("conda-forge",)

    def test_it_is_the_same_whatever_the_order_and_another_for_another_intent(self) -> None:
        specs = [spec("numpy >=2"), spec("zlib")]
        one = content_hash(specs, self.CHANNELS, "linux-64", {})

        assert len(one) == 64
        assert content_hash(specs[::-1], self.CHANNELS, "linux-64", {}) == one
        assert content_hash([spec("numpy >=3"), spec("zlib")], self.CHANNELS, "linux-64", {}) != one
        assert content_hash(specs, ("other",), "linux-64", {}) != one
        assert content_hash(specs, self.CHANNELS, "win-64", {}) != one
        assert content_hash(specs, self.CHANNELS, "linux-64", {}, [line("requests")]) != one
        assert content_hash(specs, self.CHANNELS, "linux-64", {"__cuda": "12.4"}) != one

    def test_lines_of_other_platforms_and_those_that_no_file_has_do_not_count(self) -> None:
        one = content_hash([spec("zlib")], self.CHANNELS, "linux-64", {})
        more = [spec("zlib"), spec("pywin32", platforms=("win-64",)), spec("python 3.12.*", line=0, file="")]

        assert content_hash(more, (*self.CHANNELS, "nodefaults"), "linux-64", {}) == one

    def test_what_conda_lock_cannot_read_has_a_stable_hash_too(self) -> None:
        odd = [line(f"{FILES}/x.whl"), line("-r more.txt")]
        one = content_hash([spec("zlib")], self.CHANNELS, "linux-64", {}, odd)

        assert one == content_hash([spec("zlib")], self.CHANNELS, "linux-64", {}, odd[::-1])
        assert one != content_hash([spec("zlib")], self.CHANNELS, "linux-64", {}, odd[:1])
        assert len(one) == 64
