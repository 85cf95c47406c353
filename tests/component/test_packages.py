"""Package files that are carried from job to job: a good cache needs no index, a poisoned one changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON, run_verb
from tests.support.index import Index
from tests.support.loopback import NOT_FOUND
from tests.support.projects import private_environment, write_project
from tests.support.wheels import altered, make_wheel

from ci_envs.content import read_content
from ci_envs.layout import remove_tree
from ci_envs.packages.store import verified_files
from ci_envs.record_hashes import recorded_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.component.running import Ran
    from tests.support.faults import Answer
    from tests.support.loopback import Asked

    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

pytestmark = pytest.mark.component

#: Something of each kind: a console script, a script in data, a wheel for this platform alone.
WANTED = ("apple<2", "plum", "melon")

UV_PROJECT = {
    "pyproject.toml": f"""\
[project]
name = "basket"
version = "1"
requires-python = ">=3.11"
dependencies = {json.dumps(WANTED)}

[tool.uv]
package = false
"""
}
REQUIREMENTS = {"requirements.in": "\n".join(WANTED) + "\n"}
PYLOCK = {**UV_PROJECT, "ci-envs.yml": "lock: {format: pylock}\n"}

LOCKED = {"apple": "1.1", "melon": "1.0", "plum": "1.0", "seed": "2.0"}


@dataclass
class Jobs:
    """Jobs of one repository: each with nothing of the last one's but what a cache carries."""

    folder: Path
    project: Path
    index: Index
    pattern: str

    def run(self, *words: str, mode: str = "locked", **more: str) -> Ran:
        """A job on a new machine."""
        for path in (self.folder / "cache", self.project / ".ci-envs"):
            shutil.rmtree(path, ignore_errors=True)
        env = private_environment(self.index.url, self.folder / "home", self.folder / "cache")
        env |= {"CI": "true", "CI_ENVS_PACKAGES_DIR": str(self.carried), **more}
        self.index.requests.clear()
        given = [f"--pattern={self.pattern}", f"--python={PYTHON}", "--stages=lock,build,check", f"--lock-mode={mode}"]
        return run_verb(["run", "-q", *given, *words], env, self.project)

    @property
    def carried(self) -> Path:
        """What the cache action restores and saves."""
        return self.folder / "carried"

    @property
    def prefix(self) -> Path:
        (found,) = (self.project / ".ci-envs" / "envs").iterdir()
        return found

    def file(self, start: str) -> Path:
        """The one file in the cache whose name begins so."""
        (found,) = self.carried.glob(f"*/*/{start}*")
        return found


@pytest.fixture
def make_jobs(tmp_path: Path, own_index: Index) -> Callable[..., Jobs]:
    """Jobs of a project whose first one has made the lock and filled the cache."""

    def made(pattern: str, files: dict[str, str]) -> Jobs:
        jobs = Jobs(tmp_path, write_project(tmp_path / "project", files), own_index, pattern)
        if pattern in ("venv", "virtualenv"):
            lock_by_uv(jobs)
        first = jobs.run(mode="auto")
        assert first.record.status == "passed", first.output
        return jobs

    return made


@pytest.fixture(scope="module")
def stood(tmp_path_factory: pytest.TempPathFactory, fruit: Path) -> Iterator[tuple[Jobs, str]]:
    """Jobs whose first ones have kept package files and the environment, and its digest; ``jobs`` begins from there."""
    folder = tmp_path_factory.mktemp("jobs")
    with Index(Path(shutil.copytree(fruit, folder / "index"))) as index:
        jobs = Jobs(folder, write_project(folder / "project", UV_PROJECT), index, "uv")
        first = jobs.run(mode="auto", **carrying(jobs))
        assert first.record.status == "passed", first.output
        for name in ("carried", "environments"):
            shutil.copytree(folder / name, folder / f"{name} as kept", symlinks=True)
        yield jobs, digest(first)


@pytest.fixture
def jobs(stood: tuple[Jobs, str]) -> Iterator[Jobs]:
    """The next jobs of that repository; what a test does to the caches is undone before the next."""
    jobs, _ = stood
    for name in ("carried", "environments"):
        remove_tree(jobs.folder / name)
        shutil.copytree(jobs.folder / f"{name} as kept", jobs.folder / name, symlinks=True)
    yield jobs
    jobs.index.stop()
    jobs.index.start()
    write_project(jobs.project, UV_PROJECT)


@pytest.fixture
def clean(stood: tuple[Jobs, str]) -> str:
    """The digest of what is built without any cache."""
    return stood[1]


def lock_by_uv(jobs: Jobs) -> None:
    """The lock that pip-tools would make, which the small index has not."""
    replace(jobs, pattern="uv").run("--stages=lock", mode="auto")
    (lock,) = (jobs.project / "locks").iterdir()
    lock.rename(lock.with_name(lock.name.replace("uv-", f"{jobs.pattern}-")))


def digest(ran: Ran) -> str:
    assert ran.record.environment is not None, ran.output
    return ran.record.environment.digest


def refusal(ran: Ran) -> str:
    """What the record says of the cache; it passed all the same."""
    assert (ran.code, ran.record.status) == (0, "passed"), ran.output
    finding = ran.finding("ENV121")
    assert finding.severity == "warning"
    return finding.message


def sound(ran: Ran) -> bool:
    return (ran.code, ran.record.status) == (0, "passed") and not ran.record.findings


def rewrite(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def put(jobs: Jobs, wheel: Path, *, under: str = "") -> None:
    """Adds a file to the cache, under its own hash or another."""
    (leg,) = jobs.carried.iterdir()
    folder = leg / (under or hashlib.sha256(wheel.read_bytes()).hexdigest())
    folder.mkdir()
    shutil.copy(wheel, folder)


# --- a good cache


@pytest.mark.parametrize(
    ("pattern", "files"),
    [("uv", UV_PROJECT), ("uv", REQUIREMENTS), ("uv", PYLOCK), ("venv", REQUIREMENTS), ("virtualenv", REQUIREMENTS)],
    ids=["uv.lock", "requirements", "pylock", "venv", "virtualenv"],
)
def test_a_good_cache_asks_no_index_and_gives_the_same(
    make_jobs: Callable[..., Jobs], pattern: str, files: dict[str, str]
) -> None:
    jobs = make_jobs(pattern, files)
    jobs.index.stop()

    hit = jobs.run()

    assert sound(hit), hit.output
    assert hit.installed.items() >= LOCKED.items()
    assert jobs.index.requests == []
    with_cache = files_of(jobs.prefix)
    jobs.index.start()
    without = jobs.run(CI_ENVS_PACKAGES_DIR="")
    assert digest(without) == digest(hit)
    assert jobs.index.downloads
    assert with_cache.keys() == files_of(jobs.prefix).keys()
    changed = {name for name, data in files_of(jobs.prefix).items() if with_cache[name] != data}
    assert all(name.endswith("/RECORD") for name in changed), changed


def files_of(prefix: Path) -> dict[str, str]:
    """Of an environment. uv notes the time of a file that it has installed, which no digest and no check goes by."""
    return {
        entry.path: entry.sha256
        for entry in read_content(prefix).entries
        if entry.kind == "file" and not entry.path.startswith(".") and not entry.path.endswith("/uv_cache.json")
    }


def test_a_first_job_keeps_the_wheels_that_it_has_installed(jobs: Jobs) -> None:
    kept = {path.name: path for path in jobs.carried.glob("*/*/*")}

    assert {name.partition("-")[0] for name in kept} == set(LOCKED)
    assert all(path.read_bytes() == (jobs.index.folder / name).read_bytes() for name, path in kept.items())
    assert all(path.parent.name == hashlib.sha256(path.read_bytes()).hexdigest() for path in kept.values())


def test_what_the_cache_lacks_comes_from_the_index_and_is_kept(jobs: Jobs, clean: str) -> None:
    shutil.rmtree(jobs.file("plum").parent)

    ran = jobs.run()

    assert sound(ran), ran.output
    assert digest(ran) == clean
    assert {name.partition("-")[0] for name in jobs.index.downloads} == {"plum"}
    assert jobs.file("plum").is_file()


def test_what_has_no_wheel_is_built_each_time_and_not_kept(tmp_path: Path, own_index: Index) -> None:
    files = {"pyproject.toml": UV_PROJECT["pyproject.toml"].replace('"plum"', '"fig"')}
    jobs = Jobs(tmp_path, write_project(tmp_path / "project", files), own_index, "uv")

    first, second = jobs.run(mode="auto"), jobs.run()

    assert (first.record.status, second.record.status) == ("passed", "passed"), second.output
    assert digest(first) == digest(second)
    assert {path.name.partition("-")[0] for path in jobs.carried.glob("*/*/*")} == {"apple", "melon", "seed"}
    assert own_index.downloads == ["fig-1.0.tar.gz"]


class NotForPip(Index):
    """Answers uv, which installs, and not pip, which fetches what is kept."""

    def sound(self, asked: Asked) -> Answer:
        return NOT_FOUND if asked.header("User-Agent").startswith("pip/") else super().sound(asked)


def test_that_nothing_can_be_kept_is_no_fault_of_the_legs(tmp_path: Path, fruit: Path) -> None:
    with NotForPip(fruit) as index:
        jobs = Jobs(tmp_path, write_project(tmp_path / "project", UV_PROJECT), index, "uv")
        first, second = jobs.run(mode="auto"), jobs.run()

    assert sound(second), second.output
    assert digest(first) == digest(second)
    assert any(request.user_agent.startswith("pip/") for request in index.requests)
    assert not list(jobs.carried.glob("*/*/*"))


def test_an_older_lock_leaves_files_that_are_dropped_without_a_word(make_jobs: Callable[..., Jobs]) -> None:
    jobs = make_jobs("uv", UV_PROJECT)
    (jobs.project / "pyproject.toml").write_text(UV_PROJECT["pyproject.toml"].replace('"plum", ', ""), "utf-8")

    ran = jobs.run(mode="auto")

    assert "ENV121" not in {finding.code for finding in ran.record.findings}, ran.output
    assert not list(jobs.carried.glob("*/*/plum*"))


# --- a poisoned one


def change_a_byte(jobs: Jobs) -> str:
    path = jobs.file("apple")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    rewrite(path, bytes(data))
    return "apple-1.1"


def put_another_wheel_in_its_place(jobs: Jobs) -> str:
    """One that is whole: its RECORD fits its files."""
    path = jobs.file("apple")
    rewrite(path, altered(path.read_bytes()))
    return "apple-1.1"


def swap_two(jobs: Jobs) -> str:
    """Each is a file of the lock's, under the other's hash."""
    one, other = jobs.file("apple"), jobs.file("plum")
    first, second = one.read_bytes(), other.read_bytes()
    rewrite(one, second)
    rewrite(other, first)
    return "plum-1.0"


def add_a_newer_version(jobs: Jobs) -> str:
    folder = jobs.folder / "made"
    put(jobs, make_wheel(folder, "apple", "1.2"))
    return "apple-1.2"


def add_what_is_no_package(jobs: Jobs) -> str:
    (jobs.file("apple").parents[1] / "sitecustomize.py").write_text("raise SystemExit('poisoned')\n")
    return "sitecustomize.py"


def add_a_second_file(jobs: Jobs) -> str:
    (jobs.file("apple").parent / "apple-1.1-py2-none-any.whl").write_bytes(jobs.file("plum").read_bytes())
    return "not a package file"


def put_a_link_in_its_place(jobs: Jobs) -> str:
    path = jobs.file("apple")
    moved = path.rename(jobs.folder / path.name)
    path.symlink_to(moved)
    return "apple-1.1"


def put_a_link_in_the_place_of_its_folder(jobs: Jobs) -> str:
    folder = jobs.file("apple").parent
    moved = folder.rename(jobs.folder / folder.name)
    folder.symlink_to(moved, target_is_directory=True)
    return "not a package file"


def put_a_pipe_in_its_place(jobs: Jobs) -> str:
    path = jobs.file("apple")
    path.unlink()
    os.mkfifo(path)
    return "apple-1.1"


def forge_a_ledger(jobs: Jobs) -> str:
    """What ci-envs and uv keep beside their caches, as it would be for the altered wheel."""
    (leg,) = jobs.carried.iterdir()
    for name in ("wheels/v1/00", "uv/wheels-v5"):
        (leg / name).mkdir(parents=True)
        (leg / name / "forged.json").write_text("{}")
    put_another_wheel_in_its_place(jobs)
    return "wheels"


POISONS = (
    change_a_byte,
    put_another_wheel_in_its_place,
    swap_two,
    add_a_newer_version,
    add_what_is_no_package,
    add_a_second_file,
    put_a_link_in_its_place,
    put_a_link_in_the_place_of_its_folder,
    put_a_pipe_in_its_place,
    forge_a_ledger,
)


@pytest.mark.parametrize("poison", POISONS, ids=[poison.__name__ for poison in POISONS])
@pytest.mark.skipif(sys.platform == "win32", reason="some of it needs what Windows has not: pipes, links for everybody")
def test_a_poisoned_cache_is_refused_and_what_is_built_is_clean(
    jobs: Jobs, clean: str, poison: Callable[[Jobs], str]
) -> None:
    named = poison(jobs)

    ran = jobs.run()

    assert named in refusal(ran)
    assert digest(ran) == clean
    assert ran.installed == LOCKED


def test_a_cache_that_was_refused_is_filled_anew(jobs: Jobs, clean: str) -> None:
    change_a_byte(jobs)
    refusal(jobs.run())
    jobs.index.stop()

    ran = jobs.run()

    assert sound(ran), ran.output
    assert digest(ran) == clean


def test_a_wheel_under_another_name_is_not_installed_for_what_it_is_called(jobs: Jobs, clean: str) -> None:
    """Its hash is the lock's, and its name says that it suits more than it does."""
    path = jobs.file("melon")
    path.rename(path.with_name("melon-1.0-py3-none-any.whl"))

    ran = jobs.run()

    assert ran.record.status == "passed", ran.output
    assert digest(ran) == clean
    assert any(name.startswith("melon") for name in jobs.index.downloads)


def test_a_file_that_changes_after_it_was_compared_is_refused_by_uv(
    jobs: Jobs, clean: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(work: Work, lock: Lock) -> dict[str, Path]:
        found = verified_files(work, lock)
        path = jobs.file("apple")
        rewrite(path, altered(path.read_bytes()))
        return found

    monkeypatch.setattr("ci_envs.packages.installing.verified_files", late)
    ran = jobs.run()

    assert ran.record.status == "passed", ran.output
    assert digest(ran) == clean


# --- environments


def carrying(jobs: Jobs) -> dict[str, str]:
    return {"CI_ENVS_ENVIRONMENT_DIR": str(jobs.folder / "environments")}


def tree(jobs: Jobs) -> Path:
    """The environment in the cache."""
    (found,) = (jobs.folder / "environments").iterdir()
    return found


def installs(jobs: Jobs) -> list[str]:
    """The commands of the last build that installed something."""
    (log,) = (jobs.project / ".ci-envs" / "logs").glob("*/build.log")
    return [line for line in log.read_text("utf-8").splitlines() if line.startswith("$ ") and " pip " in line]


@pytest.mark.parametrize(
    ("pattern", "files"), [("uv", UV_PROJECT), ("venv", REQUIREMENTS), ("virtualenv", REQUIREMENTS)]
)
def test_a_proved_environment_is_taken_as_it_is(
    make_jobs: Callable[..., Jobs], pattern: str, files: dict[str, str]
) -> None:
    jobs = make_jobs(pattern, files)
    built = jobs.run(**carrying(jobs))
    assert sound(built), built.output
    jobs.index.stop()

    hit = jobs.run(**carrying(jobs))

    assert sound(hit), hit.output
    assert digest(hit) == digest(built)
    assert hit.installed == built.installed
    assert not [line for line in installs(jobs) if "pylock" in line]
    said = run_verb(["exec", hit.record.leg.id, "--", "eat-apple"], dict(os.environ), jobs.project)
    assert said.code == 0, said.output


def poison_a_module(tree: Path) -> str:
    path = site(tree) / "apple/__init__.py"
    rewrite(path, path.read_bytes() + b"# poisoned\n")
    return "site-packages/apple/__init__.py is not the file that its package has"


def poison_a_module_and_its_record(tree: Path) -> str:
    path = site(tree) / "apple/__init__.py"
    before = record_row(path)
    rewrite(path, path.read_bytes() + b"# poisoned\n")
    record = next(site(tree).glob("apple-*.dist-info")) / "RECORD"
    text = record.read_text("utf-8")
    assert before in text
    rewrite(record, text.replace(before, record_row(path)).encode())
    return "site-packages/apple/__init__.py is not the file that its package has"


def add_a_path_file(tree: Path) -> str:
    (site(tree) / "evil.pth").write_text("import os\n")
    return "site-packages/evil.pth is no package's"


def add_bytecode(tree: Path) -> str:
    """Python would run it in the place of the module, and no RECORD has to list it."""
    folder = site(tree) / "apple/__pycache__"
    folder.mkdir()
    (folder / f"__init__.{sys.implementation.cache_tag}.pyc").write_bytes(b"poisoned")
    return ".pyc is no package's"


def add_a_distribution(tree: Path) -> str:
    """Whole, with a RECORD of its own."""
    folder = site(tree) / "evil-1.0.dist-info"
    folder.mkdir()
    (site(tree) / "evil.py").write_text("raise SystemExit('poisoned')\n")
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (folder / "INSTALLER").write_text("uv")
    row = record_row(site(tree) / "evil.py")
    (folder / "RECORD").write_text(f"evil.py{row}\nevil-1.0.dist-info/RECORD,,\n")
    return "evil.py is no package's"


def change_a_launcher(tree: Path) -> str:
    path = tree / "bin/eat-apple"
    rewrite(path, path.read_bytes() + b"import evil\n")
    path.chmod(0o755)
    return "bin/eat-apple is not the script that its package has"


def have_a_launcher_start_another_python(tree: Path) -> str:
    path = tree / "bin/eat-apple"
    rewrite(path, b"#!/outside/evil\n" + path.read_bytes().partition(b"\n")[2])
    path.chmod(0o755)
    return "bin/eat-apple is not the script that its package has"


def change_a_script(tree: Path) -> str:
    path = tree / "bin/stone-plum"
    rewrite(path, path.read_bytes() + b"import evil\n")
    path.chmod(0o755)
    return "bin/stone-plum is not the script that its package has"


def change_what_activates(tree: Path) -> str:
    path = tree / "bin/activate"
    rewrite(path, path.read_bytes() + b"evil\n")
    return "bin/activate is not as it is made here"


def point_it_to_another_home(tree: Path) -> str:
    path = tree / "pyvenv.cfg"
    rewrite(path, path.read_bytes() + b"include-system-site-packages = true\n")
    return "pyvenv.cfg is not as it is made here"


def point_its_python_outwards(tree: Path) -> str:
    (tree / "bin/python").unlink()
    (tree / "bin/python").symlink_to("/outside/evil")
    return "bin/python is not as it is made here"


def link_a_package_outwards(tree: Path) -> str:
    folder = site(tree) / "apple"
    folder.rename(tree.parent.parent / "apple")
    folder.symlink_to(tree.parent.parent / "apple", target_is_directory=True)
    return "site-packages/apple is a dir-link, which no package has"


def link_uvs_lock_outwards(tree: Path) -> str:
    (tree / ".lock").unlink(missing_ok=True)
    (tree / ".lock").symlink_to(tree.parent.parent / "written")
    return ".lock is a link, which no package has"


def remove_a_module(tree: Path) -> str:
    (site(tree) / "apple/__init__.py").unlink()
    return "apple/__init__.py is missing"


def mark_a_module_as_executable(tree: Path) -> str:
    (site(tree) / "apple/__init__.py").chmod(0o755)
    return "apple/__init__.py is not the file that its package has"


def forge_a_seal(tree: Path) -> str:
    (tree / ".ci-envs-seal.json").write_text("{}")
    return add_a_path_file(tree)


def have_a_record_list_more(tree: Path) -> str:
    record = next(site(tree).glob("apple-*.dist-info")) / "RECORD"
    rewrite(record, record.read_bytes() + b"../../../../elsewhere,,\n")
    return "RECORD does not list what its package has"


def put_a_link_in_the_place_of_the_tree(tree: Path) -> str:
    tree.symlink_to(tree.rename(tree.parent.parent / "moved"), target_is_directory=True)
    return "it is none that can be proved"


def site(tree: Path) -> Path:
    return tree / f"lib/python{PYTHON}/site-packages"


def record_row(path: Path) -> str:
    """What RECORD has behind a file's name."""
    return f",sha256={recorded_digest(hashlib.sha256(path.read_bytes()).hexdigest())},{path.stat().st_size}"


ENVIRONMENT_POISONS = (
    poison_a_module,
    poison_a_module_and_its_record,
    add_a_path_file,
    add_bytecode,
    add_a_distribution,
    change_a_launcher,
    have_a_launcher_start_another_python,
    change_a_script,
    change_what_activates,
    point_it_to_another_home,
    point_its_python_outwards,
    link_a_package_outwards,
    link_uvs_lock_outwards,
    remove_a_module,
    mark_a_module_as_executable,
    forge_a_seal,
    have_a_record_list_more,
    put_a_link_in_the_place_of_the_tree,
)


@pytest.mark.parametrize("poison", ENVIRONMENT_POISONS, ids=[poison.__name__ for poison in ENVIRONMENT_POISONS])
@pytest.mark.skipif(sys.platform == "win32", reason="folders and links of POSIX")
def test_a_poisoned_environment_is_refused_and_built_anew(
    jobs: Jobs, clean: str, poison: Callable[[Path], str]
) -> None:
    named = poison(tree(jobs))

    ran = jobs.run(**carrying(jobs))

    assert named in refusal(ran)
    assert "the environment cache held" in refusal(ran)
    assert digest(ran) == clean
    assert ran.installed == LOCKED
    assert [line for line in installs(jobs) if "pylock" in line]


def test_an_environment_that_was_refused_is_kept_anew(jobs: Jobs, clean: str) -> None:
    add_a_path_file(tree(jobs))
    refusal(jobs.run(**carrying(jobs)))

    ran = jobs.run(**carrying(jobs))

    assert sound(ran), ran.output
    assert digest(ran) == clean
    assert not [line for line in installs(jobs) if "pylock" in line]


def test_an_environment_without_the_files_that_prove_it_is_refused(jobs: Jobs) -> None:
    shutil.rmtree(jobs.file("apple").parent)

    assert "the package files that would prove it are not all there" in refusal(jobs.run(**carrying(jobs)))


def test_an_environment_of_another_lock_is_refused(make_jobs: Callable[..., Jobs]) -> None:
    """Where a cache gives what was kept under another key."""
    jobs = make_jobs("uv", UV_PROJECT)
    jobs.run(**carrying(jobs))
    (jobs.project / "pyproject.toml").write_text(UV_PROJECT["pyproject.toml"].replace('"plum", ', ""), "utf-8")
    without = jobs.run(mode="auto", CI_ENVS_PACKAGES_DIR="")

    ran = jobs.run(**carrying(jobs), mode="auto")

    assert "plum" in refusal(ran)
    assert digest(ran) == digest(without)


def test_what_is_not_all_wheels_of_the_lock_is_not_kept(tmp_path: Path, own_index: Index) -> None:
    files = {"pyproject.toml": UV_PROJECT["pyproject.toml"].replace('"plum"', '"fig"')}
    jobs = Jobs(tmp_path, write_project(tmp_path / "project", files), own_index, "uv")

    assert jobs.run(mode="auto", **carrying(jobs)).record.status == "passed"
    assert not (tmp_path / "environments").exists()
