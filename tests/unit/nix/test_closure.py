"""What nix tells of a closure, in each form that a version of it has; and the digest of that."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ci_envs.errors import BuildError
from ci_envs.model.closure import Closure, StorePath
from ci_envs.nix.closure import closure_digest, parse_name, read_rows, told_closure

HELLO, GLIBC = (f"/nix/store/{letter * 32}-{name}" for letter, name in (("0", "hello-2.12.1"), ("1", "glibc-2.40-36")))
SRI = "sha256-77dlDcqTnlOIvhVcgRCg77MIUBXSOhzwYrzh+budw6g="
HEX = "sha256:efb7650dca939e5388be155c8110a0efb3085015d23a1cf062bce1f9bb9dc3a8"
BASE_32 = "sha256:1a63knxzkqdwcbq1qfnj2m80iczgl0882p0mps4577lkr86nbdzg"


def row(**more: Any) -> dict[str, Any]:
    return {"narHash": SRI, "narSize": 456, "references": [GLIBC, HELLO], "deriver": f"{HELLO}.drv", **more}


HELLO_PATH = StorePath(
    path=HELLO,
    name="hello",
    version="2.12.1",
    nar_hash=HEX,
    nar_size=456,
    references=(HELLO, GLIBC),
    deriver=f"{HELLO}.drv",
)

#: By the first version that says it so.
FORMS = {
    "2.4": [{"path": HELLO, **row()}],
    "2.19": {HELLO: row()},
    "2.33, --json-format 1": {HELLO: row(version=1, storeDir="/nix/store"), "version": 1, "storeDir": "/nix/store"},
    "2.33, --json-format 2": {
        "version": 2,
        "storeDir": "/nix/store",
        "info": {
            HELLO.rpartition("/")[2]: row(
                references=[path.rpartition("/")[2] for path in (GLIBC, HELLO)],
                deriver=f"{HELLO.rpartition('/')[2]}.drv",
            )
        },
    },
}


@pytest.mark.parametrize("told", FORMS.values(), ids=FORMS.keys())
def test_each_version_of_nix_is_understood(told: Any) -> None:
    assert told_closure(json.dumps(told)) == Closure(paths=(HELLO_PATH,))


@pytest.mark.parametrize("digest", [SRI, HEX, BASE_32, HEX.removeprefix("sha256:")])
def test_a_hash_is_the_same_in_whatever_base_nix_writes_it(digest: str) -> None:
    (found,) = told_closure(json.dumps({HELLO: row(narHash=digest)})).paths

    assert found.nar_hash == HEX


def test_paths_that_are_not_there_are_left_out() -> None:
    told = [{"path": GLIBC, "valid": False}, {"path": HELLO, **row()}]

    assert list(read_rows(json.dumps(told))) == [HELLO]
    assert list(read_rows(json.dumps({GLIBC: None, HELLO: row()}))) == [HELLO]


def test_who_made_it_and_whether_its_name_proves_it_is_told() -> None:
    told = {HELLO: row(ultimate=True, ca="fixed:r:sha256:x", deriver=None), GLIBC: row(ca=None)}

    fixed, glibc = told_closure(json.dumps(told)).paths

    assert (fixed.built_here, fixed.content_addressed, fixed.deriver) == (True, True, "")
    assert (glibc.built_here, glibc.content_addressed) == (False, False)


@pytest.mark.parametrize(
    "text", ["", "null", "3", '"x"', "[3]", "[{}]", '{"info": 3, "storeDir": "/nix"}', "[" * 100_000]
)
def test_what_is_no_closure_is_an_error(text: str) -> None:
    with pytest.raises(BuildError, match="cannot be read"):
        told_closure(text)


def test_another_hash_than_sha_256_is_an_error() -> None:
    with pytest.raises(BuildError, match="no SHA-256"):
        told_closure(json.dumps({HELLO: row(narHash="md5-rL0Y20zC+Fzt72VPzMSk2A==")}))


@pytest.mark.parametrize(
    ("name", "cut", "version"),
    [
        ("hello-2.12.1", "hello", "2.12.1"),
        ("python3-3.11.9-env", "python3-env", "3.11.9"),
        ("openssl-3.0.13-dev", "openssl-dev", "3.0.13"),
        ("python3.12-pip-24.0", "python3.12-pip", "24.0"),
        ("font-awesome-6", "font-awesome", "6"),
        ("nix-2.4pre20211006_53e4794", "nix", "2.4pre20211006_53e4794"),
        ("foo-1.0-unstable-2024-01-01", "foo", "1.0-unstable-2024-01-01"),
        ("foo-1.0-beta", "foo", "1.0-beta"),
        ("nix-shell-env", "nix-shell-env", ""),
        ("source", "source", ""),
        ("x-", "x-", ""),
    ],
)
def test_a_name_is_cut_into_name_output_and_version(name: str, cut: str, version: str) -> None:
    assert parse_name(f"/nix/store/{'0' * 32}-{name}") == (cut, version)


def a_path(name: str, *references: str, nar_hash: str = HEX) -> StorePath:
    return StorePath(path=f"/nix/store/{name}", name=name, nar_hash=nar_hash, nar_size=1, references=references)


def test_a_digest_is_over_paths_and_hashes_alone() -> None:
    first, second = a_path("a"), a_path("b")
    digest = closure_digest(Closure(paths=(first, second)))

    assert digest.startswith("sha256:")
    assert closure_digest(Closure(paths=(second, first))) == digest
    assert closure_digest(Closure(paths=(first, a_path("b", nar_hash=f"sha256:{'0' * 64}")))) != digest
    assert closure_digest(Closure(paths=(first,))) != digest


def test_the_output_that_holds_the_time_is_no_part_of_it() -> None:
    first = a_path("a")
    envs = [a_path("shell-env", nar_hash=f"sha256:{digit * 64}") for digit in "01"]

    digests = {closure_digest(Closure(paths=(first, env)), but=env.path) for env in envs}

    assert digests == {closure_digest(Closure(paths=(first,)))}


def test_what_something_refers_to_stands_before_it() -> None:
    closure = Closure(paths=(a_path("a", "/nix/store/b", "/nix/store/a"), a_path("b", "/nix/store/c"), a_path("c")))

    assert [one.name for one in closure.in_order] == ["c", "b", "a"]


def test_paths_that_refer_to_each_other_keep_their_order() -> None:
    closure = Closure(paths=(a_path("a", "/nix/store/b"), a_path("b", "/nix/store/a")))

    assert closure.in_order == closure.paths
