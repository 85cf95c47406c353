from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.support.environments import FakeEnvironment, an_inventory, dist, lock_of, said
from tests.support.nix_archive import Leaf, nar
from tests.support.nix_trees import stored
from tests.support.projects import write_project
from tests.support.work import a_leg, a_work

from ci_envs.building import Facts
from ci_envs.containers.nix_image import altered_inside
from ci_envs.containers.reading import altered, beside, environment_digest, read_facts
from ci_envs.errors import BuildError
from ci_envs.layout import remove_tree
from ci_envs.model.closure import Closure
from ci_envs.model.content import Content, Entry
from ci_envs.model.image import ImageFacts
from ci_envs.model.lock import Pin

if TYPE_CHECKING:
    from ci_envs.capture import Outcome
    from ci_envs.model.inventory import Inventory
    from ci_envs.work import Work

NONE: frozenset[str] = frozenset()
SITE = "lib/python3.12/site-packages"
CODE = b"ripe = True\n"
LOCK = lock_of(Pin(name="apple", version="1.0"))


def content(*, code: bytes = CODE, recorded: bytes = CODE, module: str = "apple.py") -> Content:
    """An environment with one distribution, whose RECORD says ``recorded`` of a module that holds ``code``."""
    from base64 import urlsafe_b64encode

    said = urlsafe_b64encode(hashlib.sha256(recorded).digest()).rstrip(b"=").decode()
    record = f"{module},sha256={said},{len(recorded)}\napple-1.0.dist-info/RECORD,,\n".encode()
    files = {f"{SITE}/{module}": code, f"{SITE}/apple-1.0.dist-info/RECORD": record}
    entries = tuple(
        Entry(path, "file", len(data), 0, False, hashlib.sha256(data).hexdigest(), "")
        for path, data in sorted(files.items())
    )
    return Content("/opt/venv", ("/opt/venv",), entries, {f"{SITE}/apple-1.0.dist-info/RECORD": record})


class Image(FakeEnvironment):
    """An environment that says what is in it."""

    def __init__(self, inventory: Inventory, found: Content) -> None:
        super().__init__()
        self.told, self.found = inventory, found

    def inventory(self) -> Any:
        return self.told

    def content(self) -> Content:
        return self.found


def work_at(folder: Path, **files: str) -> Work:
    work = a_work(write_project(folder, files), leg=a_leg(pattern="docker"), environ={"HOME": str(folder)})
    work.image = ImageFacts(name="localhost/x:1", id="sha256:1", bytes=7)
    return work


def of(*names: str, **facts: Any) -> Inventory:
    return an_inventory(*(dist(name) for name in names), **{"prefix": "/opt/venv", "base_prefix": "/usr", **facts})


def test_what_a_distribution_has_put_beside_its_own_python_is_no_stranger(tmp_path: Path) -> None:
    found = an_inventory(
        dist("apple", metadata="local/lib/python3.11/dist-packages/apple-1.0.dist-info"),
        dist("pear", metadata="local/lib/python3.11/dist-packages/pear-1.0.dist-info"),
        dist("python-apt", metadata="lib/python3/dist-packages/python_apt-2.6.egg-info"),
    )
    system = msgspec.structs.replace(found, interpreter=msgspec.structs.replace(found.interpreter, prefix="/usr"))
    assert beside(system, LOCK, work_at(tmp_path))[0] == {"python-apt"}
    # In an environment of its own nothing is the distribution's.
    assert beside(found, LOCK, work_at(tmp_path))[0] == NONE


def test_what_installed_the_rest_and_the_project_itself_are_beside_the_lock(tmp_path: Path) -> None:
    work = work_at(tmp_path)
    work.selection = msgspec.structs.replace(work.selection, project="basket")
    found = beside(of("apple", "pip", "uv", "basket", "pear"), LOCK, work)
    assert found == (frozenset({"pip", "uv"}), frozenset({"basket"}))


def test_pip_is_no_seed_where_it_is_locked(tmp_path: Path) -> None:
    lock = lock_of(Pin(name="pip", version="1.0"))
    assert beside(of("pip", "setuptools"), lock, work_at(tmp_path))[0] == {"setuptools"}


def test_what_the_distribution_brings_is_neither(tmp_path: Path) -> None:
    inventory = an_inventory(dist("pip", brought_by="python3-pip"), dist("setuptools", manager="dpkg"))
    assert beside(inventory, LOCK, work_at(tmp_path)) == (NONE, NONE)


def test_what_is_known_of_an_image_has_inventory_digest_and_size(tmp_path: Path) -> None:
    facts = read_facts(Image(of("apple", "pip"), content()), LOCK, work_at(tmp_path))
    assert facts.digest == environment_digest(content(), frozenset({"pip"}), NONE).value
    assert (facts.bytes, facts.seeds, facts.own) == (7, ("pip",), ())
    assert [each.name for each in facts.inventory.distributions if each.seed] == ["pip"]
    assert facts.image is not None
    assert facts.image.system is not None


def test_files_that_are_not_what_record_says_are_no_image_of_a_lock(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="ENV110"):
        read_facts(Image(of("apple"), content(code=b"rotten = True\n")), LOCK, work_at(tmp_path))


def test_what_a_persons_dockerfile_does_to_installed_files_is_told_and_is_no_error(tmp_path: Path) -> None:
    work = work_at(tmp_path, Dockerfile="FROM x:1\n")
    facts = read_facts(Image(of("apple"), content(code=b"rotten = True\n")), LOCK, work)
    assert {(one.code, one.severity) for one in facts.findings if one.code == "ENV110"} == {("ENV110", "warning")}


def test_the_prefix_of_the_systems_own_interpreter_is_no_environment_to_be_judged(tmp_path: Path) -> None:
    inventory = of("apple", prefix="/usr/local", base_prefix="/usr/local")
    facts = read_facts(Image(inventory, content(code=b"rotten = True\n")), LOCK, work_at(tmp_path))
    assert facts.findings == ()


def nix_hash(argv: tuple[str, ...]) -> Outcome:
    """What `nix-hash` says of the paths that stand behind the script that begins it."""
    lines: list[str] = []
    for top in map(Path, argv[4:]):
        files = {str(path.relative_to(top)): path for path in top.rglob("*") if path.is_file()}
        if not files:
            return said("".join(lines), code=1, stderr=f"error: getting status of '{top}': No such file or directory")
        leaves = {name: Leaf(path.read_bytes(), os.access(path, os.X_OK)) for name, path in files.items()}
        lines.append(f"{hashlib.sha256(nar(leaves)).hexdigest()}\n")
    return said("".join(lines))


@pytest.fixture
def store(tmp_path: Path) -> tuple[Any, Closure]:
    """Two store paths, and what reads them."""
    names = [f"{tmp_path}/{letter * 32}-{name}" for letter, name in (("a", "apple"), ("b", "pear"))]
    leaves = {"bin/run": Leaf(b"#!/bin/sh\n", executable=True)}
    return FakeEnvironment(nix_hash), Closure(paths=tuple(stored(Path("/"), leaves, name=one) for one in names))


def test_each_byte_of_an_images_store_is_held_against_its_hash(store: tuple[Any, Closure]) -> None:
    environment, closure = store
    assert altered_inside(environment, closure) == ""

    file = Path(closure.paths[1].path, "bin/run")
    file.chmod(0o755)
    file.write_bytes(b"#!/bin/ls\n")

    assert altered_inside(environment, closure) == f"{closure.paths[1].path} was altered in it"


@pytest.mark.parametrize("mode", [0o444, 0o555])
def test_whether_a_file_of_the_store_may_run_is_part_of_it(store: tuple[Any, Closure], mode: int) -> None:
    environment, closure = store
    Path(closure.paths[0].path, "bin/run").chmod(mode)

    told = "" if mode == 0o555 else f"{closure.paths[0].path} was altered in it"
    assert altered_inside(environment, closure) == told


def test_a_store_that_lacks_a_path_cannot_be_read(store: tuple[Any, Closure]) -> None:
    environment, closure = store
    remove_tree(Path(closure.paths[1].path))

    assert altered_inside(environment, closure) == (
        f"its store cannot be read: error: getting status of '{closure.paths[1].path}': No such file or directory"
    )


def test_an_image_is_altered_when_its_digest_is_another(tmp_path: Path) -> None:
    facts = read_facts(Image(of("apple"), content()), LOCK, work_at(tmp_path))
    assert altered(Image(of("apple"), content()), facts) == ""
    other = content(code=b"other = 1\n", recorded=b"other = 1\n")
    assert altered(Image(of("apple"), other), facts) == "its digest changed"
    assert msgspec.json.decode(msgspec.json.encode(facts), type=Facts) == facts
