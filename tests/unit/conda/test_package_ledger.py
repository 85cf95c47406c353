from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.conda.package_files import PackageFiles
from ci_envs.conda.package_ledger import Attestation, PackageLedger, PackageNote, attest_records
from ci_envs.model.conda import LockedPackage
from ci_envs.model.conda_record import Claim, CondaRecord, read_record

if TYPE_CHECKING:
    from pathlib import Path

SHA256, MD5 = "a" * 64, "b" * 32
POINT = "spam-run = spam.cli:main.run"
BODY = (
    "# -*- coding: utf-8 -*-\nimport re\nimport sys\n\nfrom spam.cli import main\n\nif __name__ == '__main__':\n"
    "{indent}sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])\n{indent}sys.exit(main.run())\n"
)
MODULE = "lib/python3.12/site-packages/spam/cli.py"


def files(**changes: Any) -> PackageFiles:
    rows = (
        Claim("site-packages/spam/cli.py", "", "hardlink", "1" * 64, "", "", "", ""),
        Claim("python-scripts/tool", "", "hardlink", "2" * 64, "", "/old", "text", ""),
        Claim("share/link", "", "softlink", "", "", "", "", ""),
    )
    usual: dict[str, Any] = {
        "name": "spam",
        "version": "1.0",
        "build": "0",
        "subdir": "noarch",
        "rows": rows,
        "links": {"share/link": "target"},
        "executable": frozenset({"python-scripts/tool"}),
        "entry_points": (POINT,),
    }
    return PackageFiles(**{**usual, **changes})


def record(**changes: Any) -> dict[str, Any]:
    paths = [
        {"_path": MODULE, "path_type": "hardlink", "sha256": "1" * 64},
        {
            "_path": "bin/tool",
            "path_type": "hardlink",
            "sha256": "2" * 64,
            "sha256_in_prefix": "3" * 64,
            "prefix_placeholder": "/old",
            "file_mode": "text",
        },
        {"_path": "share/link", "path_type": "softlink"},
        {"_path": "bin/spam-run", "path_type": "unix_python_entry_point"},
        {"_path": "lib/python3.12/site-packages/spam/__pycache__/cli.cpython-312.pyc", "path_type": "pyc_file"},
    ]
    told = {"name": "spam", "version": "1.0", "build": "0", "subdir": "noarch", "sha256": SHA256}
    return {**told, "paths_data": {"paths": paths}, **changes}


class Prefix:
    """An environment that has what the record says."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "prefix"
        (self.path / "bin").mkdir(parents=True)
        (self.path / "share").mkdir()
        (self.path / "share/link").symlink_to("target")
        self.script(f"#!{self.path}/bin/python3.12\n{BODY.format(indent=chr(9))}")
        self.told = record()
        self.ledger = PackageLedger(folder / "ledger")
        self.packages = [
            LockedPackage(name="spam", version="1.0", build="0", platform="linux-64", url="u", sha256=SHA256, md5=MD5)
        ]
        self.executable: set[str] | None = {"bin/tool", "bin/spam-run"}

    def script(self, text: str, name: str = "spam-run") -> None:
        (self.path / "bin" / name).write_text(text)

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.told["paths_data"]["paths"]
        return rows

    @property
    def record(self) -> CondaRecord:
        return read_record("conda-meta/spam-1.0-0.json", json.dumps(self.told).encode())

    def ask(self, *, trust_first: bool = False) -> str:
        """The verdict on the one package."""
        told = attest_records(
            self.path, self.packages, [self.record], self.ledger, trust_first=trust_first, executable=self.executable
        )
        return next((name for name in Attestation.__dataclass_fields__ if getattr(told, name)), "")


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    return Prefix(tmp_path)


def test_what_was_downloaded_is_known(prefix: Prefix) -> None:
    assert prefix.ask() == "unknown"
    prefix.ledger.learn(SHA256, files())
    assert prefix.ask() == "matched"


def test_a_private_cache_is_trusted_at_first_sight_and_held_to_it(prefix: Prefix) -> None:
    assert prefix.ask(trust_first=True) == "learned"
    assert prefix.ask() == "matched"
    prefix.rows[0]["sha256"] = "9" * 64
    assert prefix.ask(trust_first=True) == "altered"


def test_a_download_replaces_what_was_only_seen(prefix: Prefix) -> None:
    prefix.rows[0]["sha256"] = "9" * 64
    assert prefix.ask(trust_first=True) == "learned"
    prefix.ledger.learn(SHA256, files())
    assert prefix.ask() == "altered"


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, {"sha256": "9" * 64}),
        (0, {"_path": "lib/python3.12/site-packages/spam/other.py"}),
        (0, {"_path": "../escaped"}),
        (0, {"path_type": "directory"}),
        (1, {"prefix_placeholder": "/other"}),
        (1, {"file_mode": "binary"}),
        (2, {"path_type": "hardlink", "sha256": "1" * 64}),
        (3, {"_path": "bin/other-run"}),
        (3, {"path_type": "pyc_file"}),
    ],
)
def test_a_record_that_was_edited_with_its_files_is_found(prefix: Prefix, number: int, change: dict[str, str]) -> None:
    prefix.ledger.learn(SHA256, files())
    prefix.rows[number] |= change
    assert prefix.ask() == "altered"


def test_a_file_that_is_missing_from_the_record_or_more_is_found(prefix: Prefix) -> None:
    prefix.ledger.learn(SHA256, files())
    last = prefix.rows.pop(0)
    assert prefix.ask() == "altered"
    prefix.rows.extend([last, {**last, "_path": "share/more"}])
    assert prefix.ask() == "altered"


def test_a_link_that_leads_elsewhere_is_found(prefix: Prefix) -> None:
    prefix.ledger.learn(SHA256, files())
    (prefix.path / "share/link").unlink()
    assert prefix.ask() == "altered"
    (prefix.path / "share/link").symlink_to("elsewhere")
    assert prefix.ask() == "altered"


def test_a_file_that_became_executable_is_found(prefix: Prefix) -> None:
    prefix.ledger.learn(SHA256, files())
    prefix.executable = {"bin/tool", MODULE}
    assert prefix.ask() == "altered"
    prefix.executable = None  # a file system without such a mark
    assert prefix.ask() == "matched"


def test_a_placeholder_that_no_record_tells_of_is_missed(prefix: Prefix) -> None:
    """Nobody could tell then whether such a file is its package's; mamba's records are completed before."""
    prefix.ledger.learn(SHA256, files())
    del prefix.rows[1]["prefix_placeholder"], prefix.rows[1]["file_mode"]
    assert prefix.ask() == "altered"


@pytest.mark.parametrize("indent", ["\t", "    "])
@pytest.mark.parametrize("first", ["#!{python}", "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\" #'''"])
def test_scripts_of_every_front_end_are_the_entry_points(prefix: Prefix, indent: str, first: str) -> None:
    prefix.ledger.learn(SHA256, files())
    prefix.script(f"{first.format(python=f'{prefix.path}/bin/python3.12')}\n{BODY.format(indent=indent)}")
    assert prefix.ask() == "matched"


@pytest.mark.parametrize(
    "text",
    [
        "#!{prefix}/bin/python3.12\nimport os; os.system('x')\n" + BODY,
        "#!{prefix}/bin/python3.12\n" + BODY.replace("main.run", "evil.run"),
        "#!{prefix}/bin/python3.12 -c x\n" + BODY,
        "#!/usr/bin/python3.12\n" + BODY,
        BODY,
        "",
    ],
)
def test_a_script_that_does_something_else_is_found(prefix: Prefix, text: str) -> None:
    prefix.ledger.learn(SHA256, files())
    prefix.script(text.replace("{prefix}", str(prefix.path)).replace("{indent}", "\t"))
    assert prefix.ask() == "altered"


def test_a_package_that_is_not_installed_is_another_checks_finding(prefix: Prefix) -> None:
    told = attest_records(prefix.path, prefix.packages, [], prefix.ledger)
    assert told == Attestation()


def test_the_locks_hash_counts_and_not_what_the_record_says(prefix: Prefix) -> None:
    prefix.ledger.learn("c" * 64, files(links={"share/link": "other"}))
    prefix.ledger.learn(SHA256, files())
    prefix.told["sha256"] = "c" * 64
    assert prefix.ask() == "matched"


def test_a_lock_with_md5_alone_is_held_to_what_was_downloaded_by_it(prefix: Prefix) -> None:
    prefix.packages = [LockedPackage(name="spam", version="1.0", platform="linux-64", url="u", md5=MD5)]
    prefix.told["sha256"] = ""
    assert prefix.ask() == "unattested"
    prefix.ledger.learn(SHA256, files())
    prefix.ledger.learn_md5(MD5, SHA256)
    assert prefix.ask() == "matched"


@pytest.mark.parametrize("note", [b"", b"{}", b'{"paths": "sha256:x"}', b'{"paths": 1, "name": "x"}'])
def test_a_note_that_cannot_be_read_is_none(prefix: Prefix, tmp_path: Path, note: bytes) -> None:
    prefix.ledger.learn(SHA256, files())
    next((tmp_path / "ledger").rglob("*.json")).write_bytes(note)
    assert prefix.ledger.known(SHA256) == ""
    assert prefix.ask() == "unknown"


def test_of_two_that_see_a_package_at_once_the_first_one_wins(prefix: Prefix) -> None:
    first, second = (PackageNote(name="spam", version="1.0", build="0", paths=f"sha256:{digit * 64}") for digit in "12")
    assert prefix.ledger.trust(SHA256, first) == first
    assert prefix.ledger.trust(SHA256, second) == first


@pytest.mark.parametrize("sha256", ["", "x" * 64, "A" * 64, "1" * 63, 7])
def test_an_md5_stands_for_a_hash_or_for_nothing(prefix: Prefix, tmp_path: Path, sha256: object) -> None:
    prefix.ledger.learn_md5(MD5, SHA256)
    assert prefix.ledger.sha256_of(MD5) == SHA256
    next((tmp_path / "ledger").rglob("md5-*.json")).write_text(json.dumps({"sha256": sha256}))
    assert prefix.ledger.sha256_of(MD5) == prefix.ledger.sha256_of("") == ""


def test_findings_are_errors_for_what_is_altered_and_warnings_for_what_is_unknown() -> None:
    told = Attestation(altered=("a",), unknown=("b",)).findings
    assert [(each.code, each.severity, each.message[:3]) for each in told] == [
        ("ENV143", "error", "a: "),
        ("ENV143", "warning", "b: "),
    ]
