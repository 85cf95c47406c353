"""The folder of a binary cache: where it may lie, what of it is whole, and what nix's words about it mean."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from tests.support.work import a_leg, a_work

from ci_envs.capture import Outcome
from ci_envs.errors import BrokenError, UsageError
from ci_envs.model.config import Config, NixConfig
from ci_envs.nix.binary_cache import cache_failure
from ci_envs.nix.cache_entries import Entry, forget_unfinished, info_file, read_entries, take_out
from ci_envs.nix.cache_folder import cache_folder, filled_cache

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.work import Work

HASH = "0" * 32
DATA = b"an archive"


def a_cache(folder: Path, name: str = "hello-1.0", *, digest: str = HASH, **fields: str) -> Entry:
    """An entry, with its archive; ``fields`` say something else of it."""
    (folder / "nar").mkdir(parents=True, exist_ok=True)
    (folder / "nar" / f"{name}.nar").write_bytes(DATA)
    told = {
        "StorePath": f"/nix/store/{digest}-{name}",
        "URL": f"nar/{name}.nar",
        "FileHash": f"sha256:{hashlib.sha256(DATA).hexdigest()}",
        "FileSize": str(len(DATA)),
        "NarHash": f"sha256:{'1' * 64}",
        "NarSize": "100",
        "Sig": "key-1:abc",
        **fields,
    }
    text = "".join(f"{key}: {value}\n" for key, value in told.items() if value != "absent")
    (folder / f"{digest}.narinfo").write_text(text)
    return next(entry for entry in read_entries(folder) if entry.file.stem == digest)


def a_job(project: Path, cache: str) -> Work:
    return a_work(project, leg=a_leg(pattern="nix"), config=Config(nix=NixConfig(cache=cache)))


# Where it lies.


def test_a_relative_folder_is_one_of_the_project(tmp_path: Path) -> None:
    assert cache_folder(a_job(tmp_path, "kept/nix")) == tmp_path.resolve() / "kept/nix"


def test_an_absolute_folder_may_lie_anywhere(tmp_path: Path) -> None:
    assert cache_folder(a_job(tmp_path / "project", str(tmp_path / "kept"))) == tmp_path / "kept"


def test_no_folder_is_no_cache(tmp_path: Path) -> None:
    assert cache_folder(a_job(tmp_path, "")) is None
    assert filled_cache(a_job(tmp_path, "")) is None


def test_a_folder_is_filled_once_nix_has_put_something_there(tmp_path: Path) -> None:
    work = a_job(tmp_path, "kept")
    a_cache(tmp_path / "kept")
    assert filled_cache(work) is None

    (tmp_path / "kept/nix-cache-info").touch()

    assert filled_cache(work) == tmp_path.resolve() / "kept"


@pytest.mark.parametrize("name", ["../kept", "link", "link/kept"])
def test_a_relative_folder_must_not_lead_out(tmp_path: Path, name: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "link").symlink_to(tmp_path)

    with pytest.raises(UsageError, match="lies outside the project"):
        cache_folder(a_job(project, name))


# What is in it.


def test_an_entry_says_what_it_is(tmp_path: Path) -> None:
    entry = a_cache(tmp_path)

    assert entry.path == f"/nix/store/{HASH}-hello-1.0"
    assert entry.name == "hello-1.0"
    assert entry.nar_hash == f"sha256:{'1' * 64}"
    assert entry.keys == {"key-1"}
    assert entry.needs_signature
    assert entry.is_whole
    assert entry.is_intact
    assert info_file(tmp_path, entry.path) == entry.file


def test_a_path_whose_name_follows_from_its_content_needs_no_signature(tmp_path: Path) -> None:
    assert not a_cache(tmp_path, CA="text:sha256:x").needs_signature


@pytest.mark.parametrize(
    "fields",
    [
        {"StorePath": f"/nix/store/{'2' * 32}-hello-1.0"},
        {"StorePath": "absent"},
        {"NarHash": "absent"},
        {"FileSize": "11"},
        {"URL": "absent"},
        {"URL": "nar/absent.nar"},
        {"URL": "../secret"},
        {"URL": "nar/../../secret"},
        {"URL": "/etc/passwd"},
        {"URL": "nar/\0"},
    ],
)
def test_an_entry_that_lacks_something_or_leads_elsewhere_is_not_whole(tmp_path: Path, fields: dict[str, str]) -> None:
    (tmp_path / "secret").write_bytes(DATA)
    entry = a_cache(tmp_path / "cache", **fields)

    assert not entry.is_whole
    assert not entry.is_intact


def test_an_archive_of_the_same_length_with_other_bytes_is_not_intact(tmp_path: Path) -> None:
    entry = a_cache(tmp_path)
    (tmp_path / entry.fields["URL"]).write_bytes(DATA[::-1])

    assert entry.is_whole
    assert not entry.is_intact


@pytest.mark.parametrize("text", [b"", b"\xff\x00", b"no colon", b"StorePath: \n" * 1000])
def test_what_cannot_be_read_says_nothing(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "x.narinfo").write_bytes(text)

    (entry,) = read_entries(tmp_path)

    assert not entry.is_whole
    assert entry.name == "x.narinfo"


def test_what_is_taken_out_takes_its_archive_along_unless_another_has_it_too(tmp_path: Path) -> None:
    alone, shared = a_cache(tmp_path, "alone"), a_cache(tmp_path, "shared", digest="2" * 32)
    other = a_cache(tmp_path, "other", digest="3" * 32, URL="nar/shared.nar")
    outside = a_cache(tmp_path, "outside", digest="4" * 32, URL="../kept")
    (tmp_path.parent / "kept").write_text("not ours")

    take_out([alone, shared, outside], [other])

    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{'3' * 32}.narinfo", "nar"]
    assert sorted(path.name for path in (tmp_path / "nar").iterdir()) == ["other.nar", "outside.nar", "shared.nar"]
    assert (tmp_path.parent / "kept").exists()


def test_what_a_killed_copy_left_goes_once_nobody_can_be_writing_it(tmp_path: Path) -> None:
    import os

    a_cache(tmp_path)
    old, new = tmp_path / "nar" / "x.nar.zst.tmp.12.3", tmp_path / "y.narinfo.tmp.12.4"
    for file in (old, new):
        file.touch()
    os.utime(old, (1, 1))

    forget_unfinished(tmp_path)

    assert not old.exists()
    assert new.exists()


# What nix says of it.

ALTERED = f"""error: hash mismatch importing path '/nix/store/{HASH}-hello-1.0';
         specified: sha256:0c832dbp5l5722g9swpfg845l6gm1iaw26kki55w9wsqj9l1yy0g
         got:       sha256:19lgxkvi4ck8gwqmb1nx03y6pcav17jx77cms8w5lxpavr1f8rcc
error: some substitutes for the outputs of derivation '/nix/store/x.drv' failed (usually happens due to networking
"""


def test_what_nix_refused_is_named_with_the_files_that_hold_it(tmp_path: Path) -> None:
    entry = a_cache(tmp_path / "kept")
    a_cache(tmp_path / "kept", "fine", digest="2" * 32)

    error = cache_failure(a_job(tmp_path, "kept"), Outcome(("nix",), 1, stderr=ALTERED))

    assert isinstance(error, BrokenError)
    assert error.message.startswith(f"hello-1.0 in the binary cache {tmp_path / 'kept'} is damaged or was altered")
    assert error.hint.endswith(f"remove {entry.file} {entry.archive}")


def test_what_nix_could_not_read_is_found_by_its_hash(tmp_path: Path) -> None:
    a_cache(tmp_path / "kept", "fine")
    entry = a_cache(tmp_path / "kept", "torn", digest="2" * 32, FileHash=f"sha256:{'3' * 64}")
    said = "error: Failed to read archive (Truncated zstd input)"

    error = cache_failure(a_job(tmp_path, "kept"), Outcome(("nix",), 1, stderr=said))

    assert error is not None
    assert error.message.startswith("torn in the binary cache")
    assert "fine" not in error.hint
    assert str(entry.file) in error.hint


@pytest.mark.parametrize("said", ["error: builder for 'x.drv' failed with exit code 1", ""])
def test_another_failure_is_none_of_the_cache(tmp_path: Path, said: str) -> None:
    a_cache(tmp_path / "kept")

    assert cache_failure(a_job(tmp_path, "kept"), Outcome(("nix",), 1, stderr=said)) is None


def test_a_failure_without_a_cache_is_none_of_it(tmp_path: Path) -> None:
    assert cache_failure(a_job(tmp_path, ""), Outcome(("nix",), 1, stderr=ALTERED)) is None
    assert cache_failure(a_job(tmp_path, "absent"), Outcome(("nix",), 1, stderr=ALTERED)) is None
