"""A folder of layers, and the archive that is made of it."""

from __future__ import annotations

import hashlib
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.containers.oci_layout import begin, prune, write_archive
from ci_envs.errors import BrokenError

if TYPE_CHECKING:
    from pathlib import Path


def _blob(folder: Path, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    path = folder / "blobs" / "sha256" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return f"sha256:{digest}"


def _image(folder: Path, *layers: bytes) -> str:
    config = {"digest": _blob(folder, b'{"config": 1}')}
    described = {"config": config, "layers": [{"digest": _blob(folder, layer)} for layer in layers]}
    manifest = _blob(folder, json.dumps(described).encode())
    entry: dict[str, Any] = {"digest": manifest, "annotations": {"io.containerd.image.name": "localhost/x:1"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [{"digest": "sha256:0"}, entry]}))
    return manifest


def test_the_archive_holds_the_image_alone_and_is_the_same_each_time(tmp_path: Path) -> None:
    manifest = _image(tmp_path, b"one", b"two", b"one")
    other = _blob(tmp_path, b"of another image")
    write_archive(tmp_path, manifest, tmp_path / "a.tar")
    write_archive(tmp_path, manifest, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        names = tar.getnames()
        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]  # it is a file
    assert names[:2] == ["oci-layout", "index.json"]
    assert len(names) == 2 + 4
    assert f"blobs/{other.replace(':', '/')}" not in names
    assert [entry["digest"] for entry in index["manifests"]] == [manifest]
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "localhost/x:1"


def test_what_no_image_needs_is_removed(tmp_path: Path) -> None:
    manifest = _image(tmp_path, b"one")
    _blob(tmp_path, b"of another image")
    prune(tmp_path, manifest)
    assert len(list((tmp_path / "blobs" / "sha256").iterdir())) == 3


def test_a_new_build_finds_no_index_of_an_old_one(tmp_path: Path) -> None:
    _image(tmp_path / "layers", b"one")
    begin(tmp_path / "layers")
    assert not (tmp_path / "layers" / "index.json").exists()
    assert (tmp_path / "layers" / "blobs").is_dir()
    begin(tmp_path / "new")
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize("index", [None, "", "{}", '{"manifests": [1]}', '{"manifests": []}'])
def test_an_image_that_is_not_there_is_the_builders_fault(tmp_path: Path, index: str | None) -> None:
    begin(tmp_path)
    if index is not None:
        (tmp_path / "index.json").write_text(index)
    with pytest.raises(BrokenError):
        write_archive(tmp_path, "sha256:abc", tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()


def test_bytes_that_are_not_their_digests_are_not_handed_on(tmp_path: Path) -> None:
    manifest = _image(tmp_path, b"one")
    (tmp_path / "blobs" / "sha256" / hashlib.sha256(b"one").hexdigest()).write_bytes(b"two")
    with pytest.raises(BrokenError, match="a kept layer is altered"):
        write_archive(tmp_path, manifest, tmp_path / "a.tar")


def test_a_digest_leads_to_no_other_place(tmp_path: Path) -> None:
    manifest = _blob(tmp_path, json.dumps({"config": {"digest": "sha256:../../x"}, "layers": []}).encode())
    with pytest.raises(BrokenError, match="is no digest"):
        prune(tmp_path, manifest)
