from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ci_envs.conda.channel_settings import ChannelSettings
from ci_envs.conda.routes import Routes
from ci_envs.containers.conda_stage import CONDA_FOLDER, conda_files, conda_secret
from ci_envs.errors import LockError
from ci_envs.model.conda import LockedPackage
from ci_envs.resources import install_conda, resource

CHANNEL = "https://conda.example/forge"


def a_package(**facts: Any) -> LockedPackage:
    usual = {
        "name": "numpy",
        "version": "2.1.0",
        "build": "py312_0",
        "subdir": "linux-64",
        "platform": "linux-64",
        "url": f"{CHANNEL}/linux-64/numpy-2.1.0-py312_0.conda",
        "sha256": "a" * 64,
        "depends": ("python >=3.12,<3.13.0a0",),
    }
    return LockedPackage(**{**usual, **facts})


def a_distribution(**facts: Any) -> LockedPackage:
    return a_package(**{"name": "melon", "version": "1.0", "build": "", "manager": "pip", "depends": (), **facts})


def test_the_list_has_what_the_lock_has_of_each_package() -> None:
    files = conda_files([a_package()], {"B": "2", "A": "1"})
    assert list(files) == [f"{CONDA_FOLDER}/install.py", f"{CONDA_FOLDER}/packages.json"]
    assert json.loads(files[f"{CONDA_FOLDER}/packages.json"]) == {
        "packages": [
            {
                "stem": "numpy-2.1.0-py312_0",
                "url": f"{CHANNEL}/linux-64/numpy-2.1.0-py312_0.conda",
                "sha256": "a" * 64,
                "md5": "",
                "depends": ["python >=3.12,<3.13.0a0"],
            }
        ],
        "variables": {"A": "1", "B": "2"},
    }
    assert files[f"{CONDA_FOLDER}/install.py"] == resource("install_conda.py").read_bytes()


def test_the_pip_part_is_asked_for_by_name_and_hash() -> None:
    url = "https://files.example/melon-1.0-py3-none-any.whl"
    files = conda_files([a_package(), a_distribution(url=url)], {})
    assert files[f"{CONDA_FOLDER}/pip.txt"].decode() == f"melon==1.0 --hash=sha256:{'a' * 64}\n"


@pytest.mark.parametrize("url", ["channel/linux-64/x-1-0.conda", "file:///srv/channel/linux-64/x-1-0.conda"])
def test_a_package_in_a_folder_is_refused(url: str) -> None:
    with pytest.raises(LockError, match="which the build of an image cannot see") as caught:
        conda_files([a_package(url=url)], {}, lock="conda-lock.yml")
    assert caught.value.file == "conda-lock.yml"


def ways(*rows: tuple[str, str, tuple[str, ...]]) -> Routes:
    return Routes(ChannelSettings(environ={}, home=Path("home"), cache=Path("cache")), rows)


def test_mirrors_are_handed_over_with_what_is_needed_to_reach_them() -> None:
    mirror = "https://user:pass@mirror.example/forge"
    secret = conda_secret(
        ways((CHANNEL, CHANNEL, (mirror,)), ("https://b.example", "https://b.example", ("https://b.example",)))
    )
    assert json.loads(secret) == {"mirrors": {CHANNEL: [mirror]}}


def test_without_mirrors_there_is_no_secret() -> None:
    assert conda_secret(ways((CHANNEL, CHANNEL, (CHANNEL,)))) == b""


def test_a_mirror_that_is_a_folder_is_refused() -> None:
    with pytest.raises(LockError, match="cannot reach"):
        conda_secret(ways((CHANNEL, "file:///srv/forge", ("file:///srv/forge",))))


# The script itself.


def test_a_file_is_asked_for_at_the_mirrors_of_its_channel() -> None:
    mirrors = {CHANNEL: ["https://m.example/f/", "https://n.example"], f"{CHANNEL}/sub": ["https://sub.example"]}
    assert install_conda.to_fetch(f"{CHANNEL}/noarch/a.conda", mirrors) == [
        "https://m.example/f/noarch/a.conda",
        "https://n.example/noarch/a.conda",
    ]
    assert install_conda.to_fetch(f"{CHANNEL}/sub/noarch/a.conda", mirrors) == ["https://sub.example/noarch/a.conda"]
    assert install_conda.to_fetch(f"{CHANNEL}er/a.conda", mirrors) == [f"{CHANNEL}er/a.conda"]


def test_what_lies_in_the_folder_of_downloads_is_compared_with_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "a.conda"
    file.write_bytes(b"content")
    right, md5 = hashlib.sha256(b"content").hexdigest(), hashlib.md5(b"content", usedforsecurity=False).hexdigest()
    assert install_conda.matches(file, {"sha256": right, "md5": ""})
    assert install_conda.matches(file, {"sha256": "", "md5": md5})
    assert not install_conda.matches(file, {"sha256": "0" * 64, "md5": md5})
    assert not install_conda.matches(file, {"sha256": "", "md5": ""}), "nothing speaks for it"


def test_a_kept_download_that_is_right_is_used_and_another_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install_conda, "CACHE", tmp_path)
    asked: list[str] = []

    def download(address: str, path: Path) -> None:
        asked.append(address)
        path.write_bytes(b"content")

    monkeypatch.setattr(install_conda, "download", download)
    package = {"url": f"{CHANNEL}/noarch/a.conda", "sha256": hashlib.sha256(b"content").hexdigest(), "md5": ""}
    path = install_conda.bring(package, {})
    assert path.read_bytes() == b"content"
    assert install_conda.bring(package, {}) == path
    assert len(asked) == 1
    path.write_bytes(b"altered")
    assert install_conda.bring(package, {}).read_bytes() == b"content"
    assert len(asked) == 2


def test_a_channel_that_gives_another_file_ends_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_conda, "CACHE", tmp_path)
    monkeypatch.setattr(install_conda, "download", lambda _address, path: path.write_bytes(b"other"))
    with pytest.raises(SystemExit, match="another file than the one that the lock names"):
        install_conda.bring({"url": f"{CHANNEL}/noarch/a.conda", "sha256": "0" * 64, "md5": ""}, {})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_only_the_web_is_a_way_to_a_channel(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="file: is no way"):
        install_conda.download("file:///etc/passwd", tmp_path / "x")
