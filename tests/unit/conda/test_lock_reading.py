from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.conda.lock_values import CASES, CHANNEL, COMMIT, case, conda, lock, refusal

from ci_envs.conda.lock_reading import findings_of, read_lock, sniff, weak_hashes
from ci_envs.documents import load_yaml
from ci_envs.locks.reading import text_digest

if TYPE_CHECKING:
    from pathlib import Path

BASE = case("categories")
SECRET = "hunter22"


def edited(old: str, new: str, text: str = BASE) -> str:
    assert old in text
    return text.replace(old, new, 1)


def line_of(text: str, words: str) -> int:
    return text[: text.index(words)].count("\n") + 1


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_shape_is_read_and_every_package_of_it_is_whole(path: Path) -> None:
    read = read_lock(path.read_text("utf-8"), path="conda-lock.yml")

    assert read.format == "conda-lock"
    assert read.platforms
    assert all(
        one.url and one.platform in read.platforms and (one.md5 or one.sha256 or "+" in one.url)
        for one in read.packages
    )
    assert all(one.subdir and one.build for one in read.packages if one.manager == "conda")
    assert not any(one.name.startswith("__") for one in read.packages)
    assert [one.code for one in findings_of(read)] == (["LOCK020"] if path.stem == "first-version" else [])


def test_a_package_has_all_that_its_entry_and_its_address_tell() -> None:
    found = {one.name: one for one in read_lock(BASE, path="locks/x.conda-lock.yml").packages}
    url = f"{CHANNEL}/linux-64/_openmp_mutex-4.5-2_gnu.tar.bz2"

    mutex = found["_openmp_mutex"]
    assert (mutex.version, mutex.build, mutex.subdir, mutex.url) == ("4.5", "2_gnu", "linux-64", url)
    assert (mutex.md5, mutex.sha256) == (text_digest(url)[:32], text_digest(url))
    assert mutex.depends == ("_libgcc_mutex 0.1", "libgomp >=7.5.0")
    assert found["pluggy"].subdir == "noarch"
    assert found["pluggy"].platform == "linux-64"
    assert found["sphinx"].depends == ("pluggy", "python >=3.10")


def test_one_entry_for_each_category_becomes_one_package_with_all_of_them() -> None:
    read = read_lock(BASE, path="conda-lock.yml")

    assert {one.name: one.categories for one in read.packages if one.categories != ("main",)} == {
        "pluggy": ("dev", "docs"),
        "pytest": ("dev",),
        "sphinx": ("docs",),
    }
    assert [one.name for one in read.of("linux-64", ("main", "docs")) if "main" not in one.categories] == [
        "pluggy",
        "sphinx",
    ]


def test_the_second_version_has_all_categories_in_one_entry() -> None:
    assert {one.name: one.categories for one in read_lock(case("second-version"), path="x").packages}["tool"] == (
        "dev",
        "docs",
    )


def test_metadata_are_read_and_what_is_of_the_moment_is_not() -> None:
    text = edited("  sources:", "  time_metadata:\n    created_at: 2025-01-01T00:00:00Z\n  sources:")
    read = read_lock(text, path="conda-lock.yml")

    assert read.sources == ("main.yml", "dev.yml", "docs.yml")
    assert read.content_hash == {"linux-64": text_digest("linux-64")}
    assert read == read_lock(BASE, path="conda-lock.yml")


def test_dependencies_may_be_a_list_of_match_specs() -> None:
    text = edited("    _libgcc_mutex: '0.1'\n    libgomp: '>=7.5.0'\n", "  - libgomp >=7.5.0\n  - _libgcc_mutex=0.1\n")
    found = {one.name: one for one in read_lock(text, path="x").packages}

    assert found["_openmp_mutex"].depends == ("_libgcc_mutex =0.1", "libgomp >=7.5.0")


def test_distributions_have_names_as_pep_503_asks_and_their_addresses() -> None:
    found = {one.name: one for one in read_lock(case("platforms-and-pip"), path="x").of("win-64")}

    assert found["requests"].depends == (
        "charset-normalizer >=2,<4",
        "idna >=2.5,<4",
        "urllib3 >=1.21.1,<1.26.0 || >1.26.0",
    )
    assert found["requests"].manager == "pip"
    assert found["charset-normalizer"].url.endswith("win_amd64.whl")


def test_the_commit_of_a_repository_is_not_taken_for_a_hash() -> None:
    found = {one.name: one for one in read_lock(case("pip-by-address"), path="x").packages}

    assert found["requests"].url == f"git+https://code.example/requests.git@{COMMIT}"
    assert found["requests"].sha256 == ""
    assert found["cowsay"].version == "0.0.0"


def test_variables_in_place_of_a_token_are_no_secret_and_stay_in_the_channel_alone() -> None:
    read = read_lock(case("variables"), path="x")

    assert read.channels == ("https://host.example/t/${CHANNEL_TOKEN}/private", "conda-forge")
    assert [one.url for one in read.packages if one.name == "secretlib"] == [
        "https://host.example/private/linux-64/secretlib-1.2-0.conda"
    ]
    assert read.findings == ()


def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing() -> None:
    assert read_lock("\ufeff" + BASE.replace("\n", "\r\n"), path="x") == read_lock(BASE, path="x")


def test_packages_come_in_the_order_in_which_they_are_written() -> None:
    head, _, rest = BASE.partition("package:\n")
    entries = rest.split("- name:")[1:]
    shuffled = head + "package:\n" + "".join(f"- name:{one}" for one in reversed(entries))

    assert read_lock(shuffled, path="x") == read_lock(BASE, path="x")


def test_an_md5_of_digits_and_one_e_is_text() -> None:
    found = {one.name: one for one in read_lock(case("first-version"), path="x").packages}

    assert found["libgomp"].md5 == "12e45678901234567890123456789012"


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        (f"https://me:{SECRET}@channel.example/conda-forge", "https://channel.example/conda-forge"),
        (f"https://{SECRET}@channel.example/conda-forge", "https://channel.example/conda-forge"),
        (f"https://channel.example/t/{SECRET}/conda-forge", "https://channel.example/conda-forge"),
        (f"https://$USER:{SECRET}@channel.example/conda-forge", "https://channel.example/conda-forge"),
    ],
)
def test_a_secret_in_an_address_is_taken_out_and_told(address: str, plain: str) -> None:
    url = f"{CHANNEL}/linux-64/libgomp-14.2.0-h77fa898_1.conda"
    text = edited(url, f"{address}/linux-64/libgomp-14.2.0-h77fa898_1.conda")
    text = edited("  - url: conda-forge", f"  - url: {address}", text)
    read = read_lock(text, path="conda-lock.yml")

    assert {one.name: one.url for one in read.packages}[
        "libgomp"
    ] == f"{plain}/linux-64/libgomp-14.2.0-h77fa898_1.conda"
    assert read.channels == (plain,)
    [finding] = findings_of(read)
    assert (finding.code, finding.severity) == ("LOCK021", "error")
    assert finding.line == line_of(text, "- name: libgomp")
    assert "libgomp" in finding.message
    assert SECRET not in repr(read) + repr(finding)


@pytest.mark.parametrize("stands", ["$USER:$PASSWORD@", "${USER}@", "***@", "<TOKEN>@"])
def test_what_stands_for_a_secret_is_taken_out_and_is_none(stands: str) -> None:
    url = f"https://{stands}channel.example/conda-forge/linux-64/libgomp-14.2.0-h77fa898_1.conda"
    read = read_lock(edited(f"{CHANNEL}/linux-64/libgomp-14.2.0-h77fa898_1.conda", url), path="x")

    assert read.findings == ()
    assert {one.name: one.url for one in read.packages}["libgomp"].startswith(CHANNEL)


def test_what_begins_with_t_below_an_index_is_no_token() -> None:
    url = "https://files.example/packages/source/t/toml/toml-0.10.2.tar.gz"
    text = case("platforms-and-pip").replace("https://files.example/packages/76/c6/idna-3.10-py3-none-any.whl", url)
    read = read_lock(text, path="x")

    assert {one.url for one in read.packages if one.name == "idna"} == {url}
    assert read.findings == ()


def test_text_of_a_lock_reaches_a_message_on_one_line_and_short() -> None:
    name = '"x\\n::error::boo' + "o" * 500 + '"'
    error = refusal(edited("- name: libgcc\n", f"- name: {name}\n  licence: MIT\n"))

    assert "\n" not in error.message
    assert len(error.message) < 200


def test_several_secrets_are_one_finding_that_counts_them() -> None:
    read = read_lock(BASE.replace("https://channel", f"https://{SECRET}@channel"), path="x")

    [finding] = read.findings
    assert "and so do 8 more" in finding.message  # one of the nine entries is the first


def test_packages_that_an_md5_alone_vouches_for_are_kept_and_told() -> None:
    read = read_lock(case("first-version"), path="conda-lock.yml")

    assert len(weak_hashes(read)) == 6
    [finding] = findings_of(read)
    assert finding.message.startswith("_libgcc_mutex 0.1 and 5 more have no SHA-256 in conda-lock.yml")


def test_one_weak_package_is_told_in_the_singular_and_strong_ones_are_not() -> None:
    assert findings_of(lock(conda("a"))) == ()
    [finding] = findings_of(lock(conda("a", sha256=""), conda("b")))
    assert finding.message.startswith("a 1.0 has no SHA-256")


@pytest.mark.parametrize(
    ("text", "path", "is_one"),
    [
        ("# platform: linux-64\n@EXPLICIT\n", "conda-lock.yml", "explicit"),
        ("@EXPLICIT\r\n", "x", "explicit"),
        ("version: 6\nenvironments:\n  default: {}\n", "conda-lock.yml", "pixi"),
        ("version: 6\n", "pixi.lock", "pixi"),
        (BASE, "pixi.lock", "conda-lock"),
        ("", "", "conda-lock"),
    ],
)
def test_the_text_tells_its_format(text: str, path: str, is_one: str) -> None:
    assert sniff(text, path) == is_one


EDITS = (CASES[0].parent / "sick/edits.yaml").read_text("utf-8")
SICK: list[dict[str, str]] = load_yaml(EDITS, file="edits.yaml").data


@pytest.mark.parametrize("sick", SICK, ids=lambda sick: sick["case"])
def test_sick_input_is_refused_with_its_line(sick: dict[str, str]) -> None:
    text = edited(sick["replace"], sick["by"])
    error = refusal(text)

    assert sick["says"] in error.message
    assert error.file == "conda-lock.yml"
    assert error.line == (line_of(text, sick["at"]) if "at" in sick else error.line)
    assert error.line > 0
    assert "\n" not in error.message


def test_an_unquoted_version_is_told_to_be_quoted() -> None:
    assert refusal(edited("version: '0.1'", "version: 0.10")).hint == "write it in quotes"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("    md5: ", "    md5: '" + "0" * 32 + "' #"), "with another address, another hash or other dependencies"),
        (("  version: 1.5.0", "  version: 1.4.0"), "as version 1.5.0"),
        (("  category: docs", "  category: dev"), "the same"),
    ],
)
def test_a_package_that_stands_twice_is_refused_with_both_lines(change: tuple[str, str], words: str) -> None:
    head, name, tail = BASE.rpartition("- name: pluggy")
    second = edited(*change, name + tail)
    if "1.4.0" in second:
        second = edited("pluggy-1.5.0", "pluggy-1.4.0", second)
    error = refusal(head + second)

    first = line_of(BASE, "- name: pluggy")
    assert f"stands here a second time for linux-64: in line {first}, {words}" in error.message
    assert error.line == head.count("\n") + 1


def test_a_repository_without_a_commit_is_no_lock() -> None:
    error = refusal(edited(f"@{COMMIT}", "@main", case("pip-by-address")))

    assert "requests is not pinned to a commit" in error.message


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "just text", "- a\n- b\n"])
def test_what_is_no_table_is_no_lock(text: str) -> None:
    assert "is no lock file" in refusal(text).message


def test_characters_that_yaml_forbids_are_named_with_their_line() -> None:
    assert refusal("version: 1\nmetadata: \x07\n").line == 2
    assert "surrogate" in refusal("version: 1\nmetadata: '\ud800'\n").message


def test_nesting_has_an_end() -> None:
    assert "nested deeper" in refusal("version: 1\nmetadata: " + "[" * 500 + "]" * 500).message
