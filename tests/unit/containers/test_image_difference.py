"""Two images side by side: what differs, in which layer, and why."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.support.oci_archive import (
    Item,
    MadeImage,
    MadeLayer,
    digest_of,
    layer_tar,
    write_docker_archive,
    write_oci_archive,
)

from ci_envs.containers.archive import read_image
from ci_envs.containers.image_difference import Comparison, compare, compare_images, known_reason
from ci_envs.documents import load_yaml
from ci_envs.errors import BrokenError
from ci_envs.resources import resource

if TYPE_CHECKING:
    from pathlib import Path

BASE = MadeLayer(layer_tar(Item("etc/os-release", b"ID=made\n")), "ADD rootfs.tar /")


def compared(folder: Path, first: MadeImage, second: MadeImage) -> Comparison:
    return compare(write_oci_archive(folder / "1.tar", first), write_oci_archive(folder / "2.tar", second))


def of_layers(folder: Path, first: bytes, second: bytes, command: str = "RUN /bin/sh -c make # buildkit") -> Comparison:
    """Two images of two layers, of which the second is not the same."""
    made = (MadeImage([BASE, MadeLayer(tar, command)]) for tar in (first, second))
    return compared(folder, *made)


def rows(comparison: Comparison, limit: int = 0) -> list[tuple[str, str, str]]:
    return [(each.path, each.kind, each.reason) for each in comparison.differences(limit)]


def test_two_builds_of_the_same_bytes_have_no_difference(tmp_path: Path) -> None:
    made = MadeImage([BASE])

    found = compared(tmp_path, made, made)

    assert (found.same, found.same_files, rows(found)) == (True, True, [])
    assert found.first == found.second


def test_a_file_that_differs_is_named_with_its_layer_and_instruction(tmp_path: Path) -> None:
    found = of_layers(tmp_path, layer_tar(Item("a", b"1"), Item("b")), layer_tar(Item("a", b"2"), Item("b")))

    assert not found.same
    assert not found.same_files
    assert rows(found) == [("layer 2 (RUN make): /a", "content", "")]
    assert [(layer.number, layer.instruction, layer.kind) for layer in found.layers] == [(2, "RUN make", "files")]
    assert found.layers[0].first == digest_of(layer_tar(Item("a", b"1"), Item("b")))


def test_the_reason_is_told_where_it_is_known(tmp_path: Path) -> None:
    found = of_layers(tmp_path, layer_tar(Item("var/log/dpkg.log", b"1")), layer_tar(Item("var/log/dpkg.log", b"2")))

    ((path, kind, reason),) = rows(found)
    assert (path, kind) == ("layer 2 (RUN make): /var/log/dpkg.log", "content")
    assert reason == (
        "a log of the package manager, with the time of each line. Cure: remove it in the RUN that installs"
    )


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        (Item("a", b"1"), Item("a", b"2"), "content"),
        (Item("a", mode=0o644), Item("a", mode=0o600), "mode"),
        (Item("a", mode=0o755), Item("a", mode=0o4755), "mode"),
        (Item("a", uid=1), Item("a", uid=2), "owner"),
        (Item("a", gid=1), Item("a", gid=2), "owner"),
        (Item("a", mtime=1), Item("a", mtime=2), "time"),
        (Item("a", mtime=1), Item("a", records={"mtime": "1.000000001"}), "time"),
        (Item("a", kind="link", target="b"), Item("a", kind="link", target="c"), "link target"),
        (Item("a", kind="hardlink", target="b"), Item("a", kind="hardlink", target="c"), "link target"),
        (Item("a"), Item("a", records={"SCHILY.xattr.user.x": "1"}), "extended attributes"),
        (Item("a"), Item("a", records={"atime": "1"}), "header"),
        (Item("a"), Item("a", kind="dir"), "kind, content"),
        (Item("a", b"1", mtime=1), Item("a", b"2", mtime=2), "content, time"),
    ],
)
def test_what_of_a_file_differs_is_told(tmp_path: Path, first: Item, second: Item, what: str) -> None:
    found = of_layers(tmp_path, layer_tar(first), layer_tar(second))

    assert [row[:2] for row in rows(found)] == [("layer 2 (RUN make): /a", what)]


def test_only_a_time_has_the_cure_for_times_whatever_the_file(tmp_path: Path) -> None:
    found = of_layers(tmp_path, layer_tar(Item("etc/shadow", mtime=1)), layer_tar(Item("etc/shadow", mtime=2)))

    assert rows(found)[0][2].startswith("rewrite-timestamp=true")


def test_files_of_only_one_image_are_told_apart(tmp_path: Path) -> None:
    found = of_layers(tmp_path, layer_tar(Item("a"), Item("b")), layer_tar(Item("b"), Item("c")))

    assert rows(found) == [
        ("layer 2 (RUN make): /a", "only-in-a", ""),
        ("layer 2 (RUN make): /c", "only-in-b", ""),
    ]


def test_a_removal_is_no_file(tmp_path: Path) -> None:
    found = of_layers(tmp_path, layer_tar(Item("a"), Item("b")), layer_tar(Item("a"), Item("b"), Item(".wh.c")))

    assert rows(found) == [("layer 2 (RUN make): /c", "only-in-b", "removed from a lower layer")]


def test_a_file_and_the_removal_of_what_was_there_are_two_things(tmp_path: Path) -> None:
    found = of_layers(tmp_path, layer_tar(Item("a"), Item(".wh.a")), layer_tar(Item("a")))

    assert rows(found) == [("layer 2 (RUN make): /a", "only-in-a", "removed from a lower layer")]


def test_a_path_that_stands_twice_is_compared_twice(tmp_path: Path) -> None:
    found = of_layers(
        tmp_path, layer_tar(Item("a", b"1"), Item("a", b"2")), layer_tar(Item("a", b"1"), Item("a", b"3"))
    )

    assert rows(found) == [("layer 2 (RUN make): /a", "content", "")]


def test_only_the_order_is_no_difference_of_files(tmp_path: Path) -> None:
    found = of_layers(tmp_path, layer_tar(Item("a"), Item("b"), Item("c")), layer_tar(Item("a"), Item("c"), Item("b")))

    assert rows(found) == [
        ("layer 2 (RUN make)", "order", "the same files, put into the tar in another order"),
    ]


def test_the_same_entries_in_other_bytes_are_told(tmp_path: Path) -> None:
    tar = layer_tar(Item("a"))

    found = of_layers(tmp_path, tar, tar + bytes(10240))

    assert [row[:2] for row in rows(found)] == [("layer 2 (RUN make)", "tar")]


def test_another_compressor_is_no_difference_of_files(tmp_path: Path) -> None:
    other = MadeLayer(BASE.tar, BASE.command, gzip.compress(BASE.tar, 1, mtime=0))

    found = compared(tmp_path, MadeImage([BASE]), MadeImage([other]))

    assert (found.same, found.same_files) == (False, True)
    assert [row[:2] for row in rows(found)] == [("layer 1 (ADD rootfs.tar /)", "compression")]


def test_a_layer_of_only_one_image_is_told(tmp_path: Path) -> None:
    found = compared(tmp_path, MadeImage([BASE]), MadeImage([BASE, MadeLayer(layer_tar(Item("a")), "COPY a /")]))

    assert ("layer 2 (COPY a /)", "only-in-b", "") in rows(found)
    assert not found.same_files


def test_the_configuration_is_compared_key_by_key(tmp_path: Path) -> None:
    first = MadeImage([BASE], {"User": "1000", "Labels": {"a": "1", "b": "1"}, "Cmd": ["sh"]})
    second = MadeImage([BASE], {"User": "1001", "Labels": {"a": "2"}, "Cmd": ["sh"], "WorkingDir": "/srv"})

    assert rows(compared(tmp_path, first, second)) == [
        ("config: User", "different", "1000 and 1001"),
        ("config: label a", "different", "1 and 2"),
        ("config: label b", "only-in-a", ""),
        ("config: WorkingDir", "only-in-b", ""),
    ]


def test_the_time_of_a_build_has_its_cure(tmp_path: Path) -> None:
    first, second = (MadeImage([BASE], created=f"2024-01-02T03:04:0{second}Z") for second in (5, 6))

    found = rows(compared(tmp_path, first, second))

    assert [row[0] for row in found] == ["config: created", "config: step 1 (ADD rootfs.tar /): created"]
    assert all(row[2].startswith("the time of the build: SOURCE_DATE_EPOCH") for row in found)


def test_values_of_variables_and_build_arguments_are_not_shown(tmp_path: Path) -> None:
    """Both may be secrets; that they differ may be told."""
    first, second = (
        MadeImage(
            [MadeLayer(layer_tar(Item("a", mtime=1)), f"RUN |1 TOKEN={secret} /bin/sh -c make # buildkit")],
            {"Env": [f"TOKEN={secret}", "LANG=C"]},
            empty_steps=[f"ARG TOKEN={secret}"],
        )
        for secret in ("canary-one", "canary-two")
    )

    found = compared(tmp_path, first, second)

    assert [row[:2] for row in rows(found)] == [
        ("config: variable TOKEN", "different"),
        ("config: step 1: instruction", "different"),
        ("config: step 2 (RUN make): instruction", "different"),
    ]
    assert b"canary" not in msgspec.json.encode(found)


def test_a_password_in_an_instruction_is_masked(tmp_path: Path) -> None:
    command = "RUN /bin/sh -c pip install --index-url https://me:hunter2@index.example/simple x"

    found = of_layers(tmp_path, layer_tar(Item("a", b"1")), layer_tar(Item("a", b"2")), command)

    assert b"hunter2" not in msgspec.json.encode((found, found.differences()))


def test_annotations_of_the_manifest_are_compared(tmp_path: Path) -> None:
    first, second = (MadeImage([BASE], annotations={"a": word}) for word in "12")

    found = compared(tmp_path, first, second)

    assert rows(found) == [("manifest: annotation a", "different", "1 and 2")]
    assert found.same_files


def test_a_difference_is_never_silent(tmp_path: Path) -> None:
    """Two manifests that say the same in other bytes are two manifests."""
    made = MadeImage([BASE])
    first = write_docker_archive(tmp_path / "1.tar", made)
    second = tmp_path / "2.tar"
    second.write_bytes(
        first.read_bytes().replace(b'"architecture": "amd64", "os": "linux"', b'"os": "linux", "architecture": "amd64"')
    )

    found = compare(first, second)

    assert not found.same
    assert rows(found) == [
        ("manifest and configuration", "different", "the same values, written in other bytes"),
    ]


def test_an_archive_without_a_manifest_is_compared_by_configuration(tmp_path: Path) -> None:
    made = MadeImage([BASE])

    found = compare(write_oci_archive(tmp_path / "1.tar", made), write_docker_archive(tmp_path / "2.tar", made))

    assert (found.same, found.first) == (True, digest_of(made.config_bytes))


def test_many_paths_that_differ_in_one_way_may_be_counted(tmp_path: Path) -> None:
    first, second = (
        layer_tar(*(Item(f"{n:03}", mtime=time) for n in range(50)), Item("x", b"%d" % time)) for time in (1, 2)
    )

    found = of_layers(tmp_path, first, second)

    assert len(found.differences()) == 51
    assert [row[:2] for row in rows(found, limit=2)] == [
        ("layer 2 (RUN make): /000", "time"),
        ("layer 2 (RUN make): /001", "time"),
        ("layer 2 (RUN make): /x", "content"),
        ("layer 2 (RUN make): 48 more paths", "time"),
    ]


def test_a_path_that_is_no_utf_8_can_be_written_down(tmp_path: Path) -> None:
    def tar(data: bytes) -> bytes:
        made = bytearray(layer_tar(Item("caf.e", data)))
        made[3:4] = b"\xe9"
        made[148:156] = b"%06o\0 " % sum(made[:148] + b" " * 8 + made[156:512])
        return bytes(made)

    found = of_layers(tmp_path, tar(b"1"), tar(b"2"))

    assert msgspec.json.decode(msgspec.json.encode(found.differences()))[0][0] == r"layer 2 (RUN make): /caf\xe9e"


def test_a_long_instruction_is_cut_in_a_layers_name(tmp_path: Path) -> None:
    command = f"RUN /bin/sh -c {'make ' * 100}# buildkit"

    found = of_layers(tmp_path, layer_tar(Item("a", b"1")), layer_tar(Item("a", b"2")), command)

    assert len(found.layers[0].name) < 80
    assert found.layers[0].instruction == f"RUN {'make ' * 100}".rstrip()


def test_a_layer_that_was_altered_is_no_difference_but_an_error(tmp_path: Path) -> None:
    altered = MadeLayer(layer_tar(Item("a", b"1")), packed=layer_tar(Item("a", b"3")))
    first = MadeImage([altered])
    second = MadeImage([MadeLayer(layer_tar(Item("a", b"2")))])

    with pytest.raises(BrokenError, match=r"layer 1 in 1\.tar cannot be read: the files in it are not those"):
        compared(tmp_path, first, second)


@pytest.mark.parametrize("config", [{"history": [7]}, {"history": "x"}, {"config": [1]}, {"config": {"Env": {"a": 1}}}])
def test_a_configuration_of_strange_shape_is_compared_all_the_same(tmp_path: Path, config: dict[str, Any]) -> None:
    image = read_image(write_oci_archive(tmp_path / "x.tar", MadeImage([BASE])))
    other = replace(image, config={**image.config, **config}, manifest="sha256:other")

    assert not compare_images(image, other).same


# --- the table of known reasons

ROWS = load_yaml(resource("changing-files.yml").read_text("utf-8"), file="changing-files.yml").data


@pytest.mark.parametrize("row", ROWS, ids=[row["example"] for row in ROWS])
def test_each_row_of_the_table_is_reached(row: dict[str, str]) -> None:
    assert set(row) == {"path", "example", "why", "cure"}
    assert re.fullmatch(row["path"], row["example"])
    assert known_reason(row["example"]) == f"{row['why']}. Cure: {row['cure']}"


@pytest.mark.parametrize(
    "path", ["usr/bin/python3", "srv/app.py", "var/logs/dpkg.log", "etc/fonts/fontconfig/x", "a.pyc.txt"]
)
def test_a_path_that_has_no_business_to_change_has_no_reason(path: str) -> None:
    assert known_reason(path) == ""
