from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.environments import FakeEnvironment, a_context, dist, lock_of

from ci_envs.checks.conda import (
    ActivationIsWhole,
    ChannelsAreNotMixed,
    CondaDependenciesAreMet,
    ManagersDoNotOverlap,
    PipHasWhatCondaHas,
)
from ci_envs.checks.imports import modules_to_import
from ci_envs.checks.installed import InstalledEqualsLocked, MetadataIsConsistent
from ci_envs.model.lock import Lock, Pin, Requirement

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.checks import Check
    from ci_envs.model.inventory import Distribution

FORGE = "https://conda.anaconda.org/conda-forge"
DEFAULTS = "https://repo.anaconda.com/pkgs/main"


def conda(name: str, version: str = "1.0", build: str = "h0_0", **facts: Any) -> Distribution:
    return dist(
        name, version, **{"manager": "conda", "build": build, "channel": FORGE, "modules": (), "sha256": "", **facts}
    )


def pin(name: str, version: str = "1.0", build: str = "h0_0", **facts: Any) -> Pin:
    return Pin(name=name, version=version, source="channel", build=build, **facts)


def run(check: Check, folder: Path, *distributions: Distribution, **more: Any) -> list[tuple[str, str, str]]:
    return [(f.code, f.severity, f.message) for f in check.run(a_context(folder, *distributions, **more))]


# Installed equals locked.


@pytest.mark.parametrize(
    ("found", "code", "message"),
    [
        ([], "ENV101", "conda's zlib 1.0 h0_0 is locked and not installed"),
        ([conda("zlib"), conda("more", "2")], "ENV102", "conda's more 2 h0_0 is installed and not locked"),
        ([conda("zlib", "1.1")], "ENV103", "conda's zlib: 1.0 h0_0 is locked, 1.1 h0_0 is installed"),
        ([conda("zlib", "1.0.0")], "ENV103", "conda's zlib: 1.0 h0_0 is locked, 1.0.0 h0_0 is installed"),
        ([conda("zlib", build="h1_0")], "ENV103", "conda's zlib: 1.0 h0_0 is locked, 1.0 h1_0 is installed"),
        (
            [conda("zlib", sha256="cd" * 32)],
            "ENV103",
            "conda's zlib: 1.0 h0_0 was installed from another archive than the locked one",
        ),
    ],
)
def test_conda_packages_are_compared_build_by_build(
    tmp_path: Path, found: list[Distribution], code: str, message: str
) -> None:
    lock = lock_of(pin("zlib", hashes=("sha256:" + "ab" * 32,)))
    assert run(InstalledEqualsLocked(), tmp_path, *found, lock=lock) == [(code, "error", message)]


def test_a_pin_with_an_md5_alone_says_nothing_of_the_archives_sha256(tmp_path: Path) -> None:
    lock = lock_of(pin("zlib", hashes=(f"md5:{'ab' * 16}",)))

    assert run(InstalledEqualsLocked(), tmp_path, conda("zlib", sha256="cd" * 32), lock=lock) == []


def test_what_is_locked_is_installed_and_what_conda_brought_is_condas(tmp_path: Path) -> None:
    found = [
        conda("numpy", brings=("numpy",), sha256="ab" * 32),
        dist("numpy", brought_by="numpy"),
        conda("nohash"),
        dist("six"),
    ]
    lock = lock_of(
        pin("numpy", hashes=("sha256:" + "ab" * 32,)),
        pin("nohash", hashes=("sha256:" + "cd" * 32,)),
        Pin(name="six", version="1.0.0"),
    )
    assert run(InstalledEqualsLocked(), tmp_path, *found, lock=lock) == []


def test_a_distribution_of_condas_is_not_the_one_that_pip_was_to_install(tmp_path: Path) -> None:
    found = [conda("numpy", brings=("numpy",)), dist("numpy", brought_by="numpy")]
    lock = lock_of(pin("numpy"), Pin(name="numpy", version="1.0"))
    assert run(InstalledEqualsLocked(), tmp_path, *found, lock=lock) == [
        ("ENV101", "error", "numpy 1.0 is locked and not installed")
    ]


def test_what_pip_wrote_over_condas_is_no_part_of_the_lock(tmp_path: Path) -> None:
    found = [conda("numpy", brings=("numpy",)), dist("numpy", "2.0")]
    assert run(InstalledEqualsLocked(), tmp_path, *found, lock=lock_of(pin("numpy"))) == [
        ("ENV102", "error", "numpy 2.0 is installed and not locked")
    ]


def test_distributions_of_both_managers_meet_each_others_requirements(tmp_path: Path) -> None:
    found = [conda("numpy", brings=("numpy",)), dist("numpy", brought_by="numpy"), dist("app", requires=("numpy>=1",))]
    assert run(MetadataIsConsistent(), tmp_path, *found) == []


# Dependencies of conda packages.


def test_dependencies_that_are_met_are_no_news(tmp_path: Path) -> None:
    found = [
        conda("python", "3.12.1", "h0_0_cpython", requires=("__glibc >=2.17,<3.0.a0",)),
        conda("numpy", requires=("python >=3.12,<3.13.0a0", "python 3.12.* *_cpython", "PYTHON")),
    ]
    assert run(CondaDependenciesAreMet(), tmp_path, *found) == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("zlib >=2", "numpy 1.0 h0_0 requires zlib >=2; 1.3 hz_0 is installed"),
        ("zlib 1.3 other_*", "numpy 1.0 h0_0 requires zlib 1.3 other_*; 1.3 hz_0 is installed"),
        ("gone >=1", "numpy 1.0 h0_0 requires gone >=1, which is not installed"),
        ("!!", "numpy 1.0 h0_0 requires '!!', which is no match spec"),
        ("a\x1b[31m b", "which is no match spec"),
    ],
)
def test_a_dependency_that_is_not_met_is_named(tmp_path: Path, spec: str, said: str) -> None:
    found = [conda("numpy", requires=(spec,)), conda("zlib", "1.3", "hz_0")]
    ((code, severity, message),) = run(CondaDependenciesAreMet(), tmp_path, *found)
    assert (code, severity) == ("ENV210", "error")
    assert said in message
    assert message.isprintable()


def test_a_version_that_is_none_is_not_judged(tmp_path: Path) -> None:
    found = [conda("numpy", requires=("odd >=1",)), conda("odd", "not a version!")]
    assert run(CondaDependenciesAreMet(), tmp_path, *found) == []


def test_without_rattler_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci_envs.conda.engine.has_rattler", lambda: False)
    context = a_context(tmp_path, conda("numpy", requires=("gone",)))
    assert list(CondaDependenciesAreMet().run(context)) == []
    assert context.left_out == ["dependencies of conda packages: py-rattler is not installed"]

    context = a_context(tmp_path, dist("numpy"))
    assert (list(CondaDependenciesAreMet().run(context)), context.left_out) == ([], [])


# Two managers.


def test_what_pip_wrote_over_condas_is_said_with_both_versions(tmp_path: Path) -> None:
    found = [
        conda("pytorch", "2.5", "cpu_0", brings=("torch",)),
        dist("torch", "2.6", installer="uv"),
        dist("six", brought_by="six"),
        conda("six", brings=("six",)),
    ]
    assert run(ManagersDoNotOverlap(), tmp_path, *found) == [
        ("ENV211", "warning", "torch: conda has installed 2.5 cpu_0, and uv 2.6 over it")
    ]


def test_what_pip_has_and_the_channels_have_too_is_told(tmp_path: Path) -> None:
    found = [conda("python"), dist("rich"), dist("own"), dist("mine"), dist("numpy", brought_by="numpy")]
    context = a_context(tmp_path, *found, own=frozenset({"own"}), conda_names=frozenset({"rich", "own", "numpy"}))
    ((finding),) = PipHasWhatCondaHas().run(context)
    assert (finding.code, finding.severity) == ("ENV213", "info")
    assert finding.message == "rich: installed by pip, and the channels have it, too"
    assert run(PipHasWhatCondaHas(), tmp_path, *found) == []


# Channels.


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ([FORGE, FORGE], []),
        ([DEFAULTS, "https://repo.anaconda.com/pkgs/r"], []),
        ([FORGE, "https://conda.anaconda.org/bioconda", "file:///srv/channel"], []),
        ([FORGE, DEFAULTS], ["p1 of defaults, and 1 packages of conda-forge"]),
        (
            [DEFAULTS] * 7 + ["https://mirror.example/conda-forge"],
            ["p7 of conda-forge, and 7 packages of defaults"],
        ),
    ],
)
def test_channels_that_do_not_fit_together_are_a_warning(tmp_path: Path, channels: list[str], said: list[str]) -> None:
    found = [conda(f"p{number}", channel=channel) for number, channel in enumerate(channels)]
    told = run(ChannelsAreNotMixed(), tmp_path, *found)
    assert [message for _, _, message in told] == said
    assert {(code, severity) for code, severity, _ in told} <= {("ENV212", "warning")}


# Activation.


def test_what_activating_could_not_do_is_a_warning(tmp_path: Path) -> None:
    environment = FakeEnvironment(not_activated=("activate.d/a.sh failed: x",))
    assert run(ActivationIsWhole(), tmp_path, environment=environment) == [
        ("ENV133", "warning", "activate.d/a.sh failed: x")
    ]
    assert run(ActivationIsWhole(), tmp_path) == []


# Imports.


def test_a_conda_package_is_imported_by_what_it_brought(tmp_path: Path) -> None:
    asked = [("pytorch", "conda"), ("zlib", "conda"), ("python", "conda"), ("rich", "pep508")]
    lock = Lock(
        path="conda-lock.yml",
        format="conda-lock",
        sha256="00",
        direct=tuple(Requirement(text=name, name=name, dialect=dialect) for name, dialect in asked),  # type: ignore[arg-type]  # words of the table above
    )
    found = [
        conda("pytorch", brings=("torch", "torchgen")),
        dist("torch", brought_by="pytorch"),
        dist("torchgen", "2.0"),  # pip's, over conda's
        conda("zlib"),
        dist("zlib"),  # a distribution that only shares its name with the conda package
        conda("python"),
        dist("rich"),
        conda("rich", modules=("never",)),
        dist("numpy", brought_by="numpy"),
    ]
    assert modules_to_import(a_context(tmp_path, *found, lock=lock)) == {
        "torch": "torch",
        "torchgen": "torchgen",
        "rich": "rich",
    }
