"""``ci-envs.yml`` (or ``[tool.ci-envs]``): nothing in it is needed."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "CheckConfig",
    "CondaConfig",
    "Config",
    "DockerConfig",
    "GuixConfig",
    "LockConfig",
    "LockMode",
    "NixConfig",
    "TestConfig",
    "UvConfig",
    "VenvConfig",
]

LockMode = Literal["locked", "auto", "frozen", "update"]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Keys are written with hyphens, and an unknown one is an error."""


class CheckConfig(Table, frozen=True):
    """The health check."""

    #: Modules to import beside those of the direct dependencies.
    imports: tuple[str, ...] = ()
    skip_imports: tuple[str, ...] = ()
    #: The project's own health check; by default ``python check-env.py`` where the project has that file.
    command: str | list[str] = ""
    #: Versions that must be there: ``{torch: "==2.2.*", cuda: "12.4"}``.
    expect: dict[str, str] = {}
    #: ``true``: no GPU is a failure; ``false``: none is asked for; ``auto``: looked for, and said when absent.
    expect_gpu: bool | Literal["auto"] = "auto"
    #: For each import and for the command.
    timeout: str = "2m"


class TestConfig(Table, frozen=True):
    """The project's own tests."""

    __test__ = False  # pytest must not collect it

    command: str | list[str] = ""
    groups: tuple[str, ...] | None = None
    timeout: str = "30m"


class LockConfig(Table, frozen=True):
    """How locks are made and trusted."""

    mode: LockMode | Literal[""] = ""
    #: An ISO date or a span back from now (``7 days``): nothing uploaded later is taken.
    as_of: str = ""
    platforms: tuple[str, ...] = ()
    #: Not for conda. ``auto``: uv.lock where the project has one or is a uv project, else requirements.
    format: Literal["auto", "uv.lock", "requirements", "pylock"] = "auto"


class VenvConfig(Table, frozen=True):
    """Patterns ``venv`` and ``virtualenv``."""

    #: What installs: ``uv`` where its result is proved the same (it is much faster), ``pip`` as the reference.
    installer: Literal["auto", "uv", "pip"] = "auto"


class UvConfig(Table, frozen=True):
    """Pattern ``uv``."""

    #: Whether uv may download a Python that the machine has not; it is kept where uv keeps its own.
    python_downloads: bool = False


class CondaConfig(Table, frozen=True):
    """Patterns ``conda``, ``mamba`` and ``micromamba``."""

    #: What installs: ``rattler`` is embedded; ``auto`` is the first of the others on PATH, else rattler.
    frontend: Literal["rattler", "auto", "micromamba", "mamba", "conda"] = "rattler"
    #: What locks: ``rattler``, or ``conda-lock`` with the conda, mamba or micromamba of this machine.
    locker: Literal["rattler", "conda-lock"] = "rattler"
    #: The intent files, merged in this order; by default ``environment.yml``.
    files: tuple[str, ...] = ()
    #: In place of those that the intent files name.
    channels: tuple[str, ...] = ()
    channel_priority: Literal["", "strict", "flexible", "disabled"] = ""
    #: A channel's address -> addresses that serve the same files. Locks keep the channel's own address.
    mirrors: dict[str, tuple[str, ...]] = {}
    #: ``{__cuda: "12.4", __glibc: "2.28"}``: what a lock is made for; ``false`` for one that must not be there.
    virtual_packages: dict[str, str | Literal[False]] = {}
    #: The packages whose post-link scripts may run. They are arbitrary code and make bytes that no package holds.
    post_link_scripts: tuple[str, ...] = ()
    #: Whether the modules of noarch packages are compiled when the environment is built.
    compile_bytecode: bool = False


class DockerConfig(Table, frozen=True):
    """Patterns ``docker``, ``podman`` and ``devcontainer``: how images are built, and what containers may take.

    Words and units of limits are those of ``docker run``: https://docs.docker.com/reference/cli/docker/container/run/
    """

    #: What builds and runs images; ``auto`` is the one that the pattern names, else the first that answers.
    engine: Literal["auto", "docker", "podman"] = "auto"
    #: Relative to the project; by default ``Dockerfile``, else ``Containerfile``, else one is generated.
    file: str = ""
    #: The folder that a build sees, relative to the project.
    context: str = "."
    target: str = ""
    build_args: dict[str, str] = {}
    #: As BuildKit's ``--secret`` has them: ``id=token,env=TOKEN``, ``id=netrc,src=.netrc``.
    secrets: tuple[str, ...] = ()
    #: ``linux/amd64``: what base images are locked for beside the leg's own platform.
    platforms: tuple[str, ...] = ()

    # Of a generated Dockerfile:
    #: By default the image of the leg's Python that this version of ci-envs pins; ``{python}`` stands for ``3.12``.
    base_image: str = ""
    #: ``auto``: ``conda``, or ``nix``, where only that is described, else ``uv``.
    installer: Literal["auto", "uv", "venv", "conda", "nix"] = "auto"
    #: Packages of the distribution that the image needs, and those that only building needs. Nix brings its own.
    packages: tuple[str, ...] = ()
    build_packages: tuple[str, ...] = ()

    # Of the containers that run:
    #: The interpreter inside; by default what PATH says there.
    python: str = ""
    memory: str = ""
    cpus: float | str = ""
    shm_size: str = ""
    #: ``{nofile: 65536, memlock: "-1", nproc: "1024:2048"}``.
    ulimits: dict[str, int | str] = {}
    env: dict[str, str] = {}
    #: A volume's name or a folder (``~/.cache/huggingface``) -> where it is inside, with ``:ro`` where it is only read.
    volumes: dict[str, str] = {}
    network: str = ""
    cap_add: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    privileged: bool = False


class NixConfig(Table, frozen=True):
    """Pattern ``nix``."""

    #: The shell's attribute: ``devShells.x86_64-linux.ci`` of a flake, or of a file that holds several. ``{python}``
    #: stands for ``3.12``, ``{python-tag}`` for ``py312``.
    attribute: str = ""
    #: By default ``flake.nix``, else ``shell.nix``, else ``default.nix``; relative to the project.
    file: str = ""
    #: Other inputs than those that are locked: of a flake by their names, else a function's argument or ``<name>``. A
    #: folder (relative to the project where it begins with a dot) or what a flake may name: ``path:../nixpkgs``.
    inputs: dict[str, str] = {}
    #: Whether commands see the shell's own programs alone, as in ``nix-shell --pure``.
    pure: bool = True
    #: A folder that is kept between runs or jobs: a binary cache of what the leg needs. Relative to the project.
    cache: str = ""
    #: The attribute of an image that the project itself describes (``dockerTools.buildImage``): it is exported then.
    image: str = ""


class GuixConfig(Table, frozen=True):
    """Pattern ``guix``."""

    #: The file that describes the profile, relative to the project: by default ``manifest.scm``, else ``guix.scm``,
    #: whose package is worked on.
    manifest: str = ""
    #: The file of channels, ``channels.scm`` by default.
    channels: str = ""
    #: Whether commands see the profile's own programs alone, as in ``guix shell --pure``.
    pure: bool = True


class Config(Table, frozen=True):
    """The whole file. Precedence: defaults, project, matrix, leg, flag."""

    pattern: str = "auto"
    check: CheckConfig = CheckConfig()
    test: TestConfig = TestConfig()
    lock: LockConfig = LockConfig()
    venv: VenvConfig = VenvConfig()
    uv: UvConfig = UvConfig()
    conda: CondaConfig = CondaConfig()
    docker: DockerConfig = DockerConfig()
    nix: NixConfig = NixConfig()
    guix: GuixConfig = GuixConfig()
    #: ``wheel``: built and installed as its users would have it; ``editable``; ``no``.
    install_project: Literal["auto", "wheel", "editable", "no"] = "auto"
