from __future__ import annotations

from tests.unit.conda.lock_values import COMMIT, case, conda, lock, pip

from ci_envs.conda.lock_reading import read_lock, to_pins
from ci_envs.model.lock import Lock, Pin


def test_a_conda_package_has_its_build_and_its_strongest_hash_and_no_address() -> None:
    strong, weak, bare = conda("a"), conda("b", sha256=""), conda("c", sha256="", md5="")

    assert to_pins(lock(bare, weak, strong), "linux-64") == (
        Pin(name="a", version="1.0", source="channel", build="h1_0", hashes=(f"sha256:{strong.sha256}",)),
        Pin(name="b", version="1.0", source="channel", build="h1_0", hashes=(f"md5:{weak.md5}",)),
        Pin(name="c", version="1.0", source="channel", build="h1_0"),
    )


def test_only_the_platform_and_the_categories_that_are_asked_for_are_pinned() -> None:
    one = lock(conda("a"), conda("b", categories=("dev",)), conda("a", "2.0", platform="win-64", subdir="win-64"))

    assert [pin.version for pin in to_pins(one, "win-64")] == ["2.0"]
    assert [pin.name for pin in to_pins(one, "linux-64", ("main",))] == ["a"]
    assert [pin.name for pin in to_pins(one, "linux-64", ("main", "dev"))] == ["a", "b"]
    assert to_pins(one, "osx-64") == ()


def test_a_distribution_of_an_index_has_no_address_in_its_pin() -> None:
    one = pip("charset-normalizer", "3.4.1")

    assert to_pins(lock(one), "linux-64") == (
        Pin(name="charset-normalizer", version="3.4.1", hashes=(f"sha256:{one.sha256}",)),
    )


def test_distributions_of_addresses_repositories_and_folders_keep_theirs() -> None:
    pins = {pin.name: pin for pin in to_pins(read_lock(case("pip-by-address"), path="x"), "linux-64")}

    assert pins["fruit"].source == "index"
    assert pins["cowsay"].source == "url"
    assert pins["cowsay"].location == "https://code.example/cow/archive/refs/tags/v6.1.tar.gz"
    assert pins["cowsay"].version == "", "only a build knows it, and 0.0.0 is none that would be installed"
    assert (pins["requests"].source, pins["requests"].version) == ("vcs", "2.32.4")
    assert pins["requests"].location == f"git+https://code.example/requests.git@{COMMIT}"
    assert pins["requests"].hashes == ()

    [pin] = to_pins(lock(pip("x", "0.0.0", url="file:///srv/x-1.5-py3-none-any.whl")), "linux-64")
    assert (pin.source, pin.version) == ("path", "1.5")


def test_a_mirror_does_not_change_the_digest_of_a_lock() -> None:
    def digest(host: str) -> str:
        same = {"md5": "", "sha256": "0" * 64}
        packages = [
            conda("a", channel=f"https://{host}/conda-forge", **same),
            pip("b", url=f"https://{host}/b-1.0-py3-none-any.whl", sha256="1" * 64),
        ]
        return Lock(path="x", format="conda-lock", sha256="", pins=to_pins(lock(*packages), "linux-64")).digest

    assert digest("a.example") == digest("b.example")
