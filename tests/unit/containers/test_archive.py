"""Images in archives: what is read, and what is refused."""

from __future__ import annotations

import gzip
import json
import tarfile
import tempfile
import tracemalloc
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.oci_archive import (
    Item,
    MadeImage,
    MadeLayer,
    digest_of,
    layer_tar,
    pack,
    write_docker_archive,
    write_oci_archive,
)

from ci_envs.containers import layer as layer_module
from ci_envs.containers.archive import instruction, read_image
from ci_envs.errors import BrokenError

if TYPE_CHECKING:
    from ci_envs.containers.archive import Image
    from ci_envs.containers.layer import Entry

HELLO = layer_tar(Item("srv/", kind="dir", mode=0o755), Item("srv/hello", b"hello\n"))


def one(path: Path, tar: bytes = HELLO, **facts: object) -> Path:
    """An archive of one layer."""
    return write_oci_archive(path / "image.tar", MadeImage([MadeLayer(tar, "RUN make", **facts)]))  # type: ignore[arg-type] # by name


def entries(path: Path) -> list[Entry]:
    image = read_image(path)
    return [entry for layer in image.layers for entry in image.files(layer)]


def refused(path: Path) -> str:
    with pytest.raises(BrokenError) as told:
        entries(path)
    return str(told.value)


# --- what is read


def test_an_image_tells_its_digests_configuration_and_layers(tmp_path: Path) -> None:
    made = MadeImage(
        [MadeLayer(HELLO, "COPY hello /srv/ # buildkit"), MadeLayer(layer_tar(Item("b")), "RUN touch b", "none")],
        config={"User": "1000"},
        empty_steps=["ENV A=1"],
    )

    image = read_image(write_oci_archive(tmp_path / "x.tar", made))

    assert image.config_digest == digest_of(made.config_bytes)
    assert image.config["config"] == {"User": "1000"}
    assert image.manifest.startswith("sha256:")
    assert [(layer.number, layer.command, layer.diff_id) for layer in image.layers] == [
        (1, "COPY hello /srv/ # buildkit", digest_of(HELLO)),
        (2, "RUN touch b", digest_of(layer_tar(Item("b")))),
    ]
    assert image.layers[0].digest == digest_of(gzip.compress(HELLO, mtime=0))
    assert image.layers[1].size == len(layer_tar(Item("b")))


def test_every_kind_of_entry_is_told_from_the_others(tmp_path: Path) -> None:
    tar = layer_tar(
        Item("./a", b"1", mode=0o4755, uid=7, gid=8),
        Item("/etc/", kind="dir", mode=0o755),
        Item("etc/link", kind="link", target="../a"),
        Item("etc/hard", kind="hardlink", target="./a"),
        Item("etc/pipe", kind="fifo"),
        Item("dev/null", kind="device"),
        Item("etc/.wh.gone"),
        Item("opt/.wh..wh..opq"),
        Item(".wh.top"),
    )

    found = entries(one(tmp_path, tar))

    assert [(entry.path, entry.kind, entry.target) for entry in found] == [
        ("a", "file", ""),
        ("etc", "dir", ""),
        ("etc/link", "link", "../a"),
        ("etc/hard", "hardlink", "a"),
        ("etc/pipe", "fifo", ""),
        ("dev/null", "device", ""),
        ("etc/gone", "whiteout", ""),
        ("opt", "opaque", ""),
        ("top", "whiteout", ""),
    ]
    assert found[0][2:7] == (0o4755, 7, 8, 1_700_000_000_000_000_000, 1)
    assert found[0].sha256 == digest_of(b"1").removeprefix("sha256:")
    assert ("device", "0:0") in found[5].more


def test_times_below_a_second_and_extended_attributes_are_kept(tmp_path: Path) -> None:
    records = {"mtime": "1700000000.123456789", "SCHILY.xattr.security.capability": "\x01", "atime": "5"}

    (entry,) = entries(one(tmp_path, layer_tar(Item("a", records=records))))

    assert entry.mtime == 1_700_000_000_123_456_789
    assert entry.xattrs == (("security.capability", "\x01"),)
    assert ("atime", "5") in entry.more


@pytest.mark.parametrize("time", ["nan", "inf", "1e999999"])
def test_a_time_that_is_none_is_no_trouble(tmp_path: Path, time: str) -> None:
    (entry,) = entries(one(tmp_path, layer_tar(Item("a", records={"mtime": time}))))

    assert entry.mtime == 0


def test_a_name_that_is_no_utf_8_survives(tmp_path: Path) -> None:
    tar = layer_tar(Item("caf.e")).replace(b"caf.e", b"caf\xe9e")
    broken = bytearray(tar)
    broken[148:156] = b"%06o\0 " % sum(broken[:148] + b" " * 8 + broken[156:512])

    (entry,) = entries(one(tmp_path, bytes(broken)))

    assert entry.path.encode("utf-8", "surrogateescape") == b"caf\xe9e"


def test_a_layer_of_many_gzip_members_is_one_layer(tmp_path: Path) -> None:
    packed = gzip.compress(HELLO[:700], mtime=0) + gzip.compress(HELLO[700:], mtime=0)

    assert [entry.path for entry in entries(one(tmp_path, packed=packed))] == ["srv", "srv/hello"]


def test_a_layer_compressed_with_zstandard_is_read_where_something_can(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    half = len(HELLO) // 2
    frames = [zstandard.ZstdCompressor().compress(part) for part in (HELLO[:half], HELLO[half:])]

    found = entries(one(tmp_path, packed=b"".join(frames), kind="application/vnd.oci.image.layer.v1.tar+zstd"))

    assert [entry.path for entry in found] == ["srv", "srv/hello"]


def test_without_anything_that_reads_zstandard_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    monkeypatch.setitem(__import__("sys").modules, "compression.zstd", None)

    said = refused(one(tmp_path, packed=b"\x28\xb5\x2f\xfd" + b"x" * 100))

    assert said == (
        "layer 1 in image.tar cannot be read: it is compressed with Zstandard, which this Python cannot read (3.14 can)"
    )


def test_a_docker_archive_is_read_too(tmp_path: Path) -> None:
    made = MadeImage([MadeLayer(HELLO, "RUN make")])

    image = read_image(write_docker_archive(tmp_path / "x.tar", made))

    assert (image.manifest, image.config_digest) == ("", digest_of(made.config_bytes))
    assert [entry.path for entry in image.files(image.layers[0])] == ["srv", "srv/hello"]


def test_a_docker_archive_may_name_its_layers_by_links(tmp_path: Path) -> None:
    made = MadeImage([MadeLayer(HELLO)])
    files = {
        "config.json": made.config_bytes,
        "blob.tar": HELLO,
        "manifest.json": json.dumps([{"Config": "config.json", "Layers": ["id/layer.tar"]}]).encode(),
    }
    items = [Item(name, data) for name, data in files.items()]
    path = tmp_path / "x.tar"
    path.write_bytes(layer_tar(*items, Item("id/layer.tar", kind="link", target="../blob.tar")))

    assert len(entries(path)) == 2


# --- several platforms


def two_platforms(path: Path, *, nested: bool = False) -> Path:
    made = [MadeImage([MadeLayer(HELLO)], architecture=word) for word in ("amd64", "arm64")]
    return write_oci_archive(path / "x.tar", *made, nested=nested)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("asked", ["linux/arm64", "linux/arm64/v8"])
def test_the_image_of_the_platform_that_was_asked_for_is_read(tmp_path: Path, *, nested: bool, asked: str) -> None:
    assert read_image(two_platforms(tmp_path, nested=nested), asked).config["architecture"] == "arm64"


def test_of_several_platforms_one_must_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BrokenError, match="one must be asked for: linux/amd64, linux/arm64"):
        read_image(two_platforms(tmp_path))


def test_a_platform_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BrokenError, match="no image of linux/riscv64; those in it: linux/amd64, linux/arm64"):
        read_image(two_platforms(tmp_path), "linux/riscv64")


def test_an_attestation_is_no_image(tmp_path: Path) -> None:
    path = one(tmp_path)
    with tarfile.open(path) as archive:
        files = {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr] # all are files
    index = json.loads(files["index.json"])
    attestation = {**index["manifests"][0], "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    index["manifests"].append(attestation)

    image = read_image(pack(tmp_path / "y.tar", {**files, "index.json": json.dumps(index).encode()}))

    assert image.manifest == index["manifests"][0]["digest"]


# --- what is refused


def altered(path: Path, change: object) -> Path:
    """The archive with its files changed by a function, digests left as they are."""
    with tarfile.open(path) as archive:
        files = {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr] # all are files
    change(files)  # type: ignore[operator] # a function of the test
    return pack(path.with_name("altered.tar"), files)


def blob_of(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def test_a_layer_whose_bytes_are_not_those_of_its_digest_is_refused(tmp_path: Path) -> None:
    path = one(tmp_path, packed="none")
    other = layer_tar(Item("srv/", kind="dir", mode=0o755), Item("srv/hello", b"jello\n"))

    said = refused(altered(path, lambda files: files.update({blob_of(digest_of(HELLO)): other})))

    assert said.startswith("layer 1 in altered.tar cannot be read: the files in it are not those of the image's")


def test_the_same_files_compressed_otherwise_than_the_manifest_says_are_refused(tmp_path: Path) -> None:
    first = gzip.compress(HELLO, mtime=0)
    second = gzip.compress(HELLO, mtime=1)
    assert len(first) == len(second)

    said = refused(altered(one(tmp_path), lambda files: files.update({blob_of(digest_of(first)): second})))

    assert "its bytes are not those that the manifest names" in said


def test_an_altered_configuration_is_refused(tmp_path: Path) -> None:
    made = MadeImage([MadeLayer(HELLO)])
    path = write_oci_archive(tmp_path / "x.tar", made)
    other = made.config_bytes.replace(b"linux", b"xinul")

    said = refused(altered(path, lambda files: files.update({blob_of(digest_of(made.config_bytes)): other})))

    assert "is altered: its digest is sha256:" in said


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    name = blob_of(digest_of(HELLO))

    said = refused(altered(one(tmp_path, packed="none"), lambda files: files.pop(name)))

    assert said == f"altered.tar cannot be read: it lacks {name}, which is layer 1"


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    path = one(tmp_path, layer_tar(Item("a", b"x" * 100_000)), packed="none")
    path.write_bytes(path.read_bytes()[:50_000])

    assert "image.tar cannot be read: it ends within blobs/sha256/" in refused(path)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty file"),
        (b"no tar at all" * 100, "invalid header"),
        (layer_tar(Item("a")), "it is no archive of an image"),
    ],
)
def test_what_is_no_archive_of_an_image_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(data)

    assert why in refused(path)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.tar") == "none.tar cannot be read: No such file or directory"


@pytest.mark.parametrize(
    "index",
    [
        b"[]",
        b"{",
        b'{"manifests": {}}',
        b'{"manifests": [7]}',
        b'{"manifests": [{"digest": 7}]}',
        b'{"manifests": [{"digest": "sha256:../../../etc/passwd"}]}',
        b'{"manifests": [{"digest": "md5:00"}]}',
        b"[" * 100_000,
        b"{}",
    ],
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, index: bytes) -> None:
    path = write_oci_archive(tmp_path / "x.tar", MadeImage([MadeLayer(HELLO)]), index=index)

    assert refused(path).startswith("x.tar cannot be read: ")


def test_a_document_larger_than_any_is_not_read(tmp_path: Path) -> None:
    path = write_oci_archive(tmp_path / "x.tar", MadeImage([MadeLayer(HELLO)]), index=b" " * (9 << 20))

    assert "index.json has 9437184 bytes, which no such document has" in refused(path)


def test_other_diff_ids_than_layers_are_refused(tmp_path: Path) -> None:
    made = MadeImage([MadeLayer(HELLO)])
    files = {
        "config.json": made.config_bytes,
        "a.tar": HELLO,
        "manifest.json": json.dumps([{"Config": "config.json", "Layers": ["a.tar", "a.tar"]}]).encode(),
    }

    assert "its manifest has 2 layers, its configuration 1" in refused(pack(tmp_path / "x.tar", files))


def test_a_kind_of_layer_that_is_not_known_is_not_taken_for_empty(tmp_path: Path) -> None:
    path = one(tmp_path, packed=b"whatever it is", kind="application/vnd.oci.image.layer.v1.tar+brotli")

    assert "of a kind that is not known: application/vnd.oci.image.layer.v1.tar+brotli" in refused(path)


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (gzip.compress(HELLO)[:-20], "ended before the end-of-stream marker"),
        (gzip.compress(HELLO)[:-8] + b"\0" * 8, "CRC check failed"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0" + b"\xff" * 50, "invalid"),
    ],
)
def test_damaged_compression_is_refused(tmp_path: Path, packed: bytes, why: str) -> None:
    assert why in refused(one(tmp_path, packed=packed))


# --- hostile layers


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    tar = bytearray(layer_tar(Item("a"), Item("b"), Item("c")))
    tar[512] ^= 1  # b

    assert "a header in it cannot be read" in refused(one(tmp_path, bytes(tar)))


def test_what_stands_behind_the_end_is_not_overlooked(tmp_path: Path) -> None:
    assert "there is something behind its end" in refused(one(tmp_path, HELLO + layer_tar(Item("hidden"))))


def test_a_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    assert "unexpected end of data" in refused(one(tmp_path, layer_tar(Item("a", b"x" * 5000))[:2000]))


def test_a_header_that_claims_gigabytes_costs_no_memory(tmp_path: Path) -> None:
    """A PAX header of 32 MiB is a few bytes once compressed; tarfile would read it as a whole."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 32 << 20
    path = one(tmp_path, info.tobuf() + bytes(info.size) + HELLO)
    tracemalloc.start()

    said = refused(path)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "a header in it is larger than" in said
    assert peak < 12 << 20


def test_headers_upon_headers_without_end_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type = tarfile.XHDTYPE

    assert "nested without end" in refused(one(tmp_path, info.tobuf() * 3000 + HELLO))


def test_a_sparse_file_that_claims_exabytes_is_refused(tmp_path: Path) -> None:
    records = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,0",
        "GNU.sparse.size": str(1 << 60),
    }
    records |= {"GNU.sparse.name": "a", "GNU.sparse.realsize": str(1 << 60)}

    assert "claims 1152921504606846976 bytes" in refused(one(tmp_path, layer_tar(Item("a", records=records))))


def test_a_layer_that_decompresses_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, "_LARGEST", 1 << 20)

    assert "it holds more than 0 GiB" in refused(one(tmp_path, layer_tar(Item("a", bytes(1 << 20)))))


def test_more_entries_than_any_layer_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, "_MOST_ENTRIES", 1)

    assert "it has more than 1 entries" in refused(one(tmp_path))


def test_the_digests_are_compared_even_where_nobody_reads_the_content(tmp_path: Path) -> None:
    """What stands between the last entry and the end of the blob is read, too."""
    packed = gzip.compress(HELLO, mtime=0)
    image = read_image(one(tmp_path, packed=packed + gzip.compress(b"", mtime=0)))
    (layer,) = image.layers

    assert layer.digest != digest_of(packed)
    assert len(list(image.files(layer))) == 2


def test_a_large_file_is_never_held_as_a_whole(tmp_path: Path) -> None:
    blob = zlib.compressobj(wbits=31)
    tar = layer_tar(Item("big", bytes(24 << 20)))
    path = one(tmp_path, tar, packed=blob.compress(tar) + blob.flush())
    del tar
    tracemalloc.start()

    (entry,) = entries(path)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert entry.size == 24 << 20
    assert peak < 12 << 20


@given(position=st.integers(min_value=0), byte=st.integers(0, 255))
def test_an_altered_byte_is_refused_or_changes_nothing(position: int, byte: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = one(Path(folder), layer_tar(Item("a", b"1" * 600), Item("b", kind="link", target="a")), packed="none")
        before = entries(path)
        data = bytearray(path.read_bytes())
        data[position % len(data)] = byte
        path.write_bytes(data)

        try:
            after = entries(path)
        except BrokenError:
            return
        assert after == before


# --- lines of history


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("RUN /bin/sh -c make all # buildkit", "RUN make all"),
        ("RUN |2 TOKEN=hunter2 B=b c /bin/sh -c make # buildkit", "RUN make"),
        ("|1 TOKEN=hunter2 /bin/sh -c make", "RUN make"),
        ("RUN |1 TOKEN=hunter2 /bin/bash -o pipefail -ec make | tee x # buildkit", "RUN make | tee x"),
        ("RUN |1 TOKEN=hunter2 /usr/bin/make # buildkit", "RUN ..."),
        ("/bin/sh -c make", "RUN make"),
        ('/bin/sh -c #(nop)  CMD ["sh"]', 'CMD ["sh"]'),
        ("COPY a.txt /srv/ # buildkit", "COPY a.txt /srv/"),
        ("ENV A=1", "ENV A=1"),
        ("", ""),
    ],
)
def test_a_line_of_history_reads_like_its_instruction(command: str, shown: str) -> None:
    assert instruction(command) == shown


def image_of(path: Path) -> Image:
    return read_image(path)


def test_a_history_that_does_not_fit_the_layers_names_none(tmp_path: Path) -> None:
    made = MadeImage([MadeLayer(HELLO, "RUN make")], config={})
    document = json.loads(made.config_bytes)
    document["history"].append({"created_by": "RUN more"})
    files = {
        "config.json": json.dumps(document).encode(),
        "a.tar": HELLO,
        "manifest.json": json.dumps([{"Config": "config.json", "Layers": ["a.tar"]}]).encode(),
    }

    assert [layer.command for layer in image_of(pack(tmp_path / "x.tar", files)).layers] == [""]
