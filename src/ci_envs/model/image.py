"""What is known of an image: what it is, what it was made from and with, and what its containers are allowed."""

from __future__ import annotations

import msgspec

__all__ = ["BaseImage", "ImageFacts", "SystemFacts"]


class BaseImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that another is built on, or that something is copied from."""

    #: As the Dockerfile names it: ``python:3.12-slim``.
    name: str
    #: ``sha256:<hex>`` of the manifest, or of the index of all platforms, that it was taken by; empty where the engine
    #: took what the name meant on that day.
    digest: str = ""


class SystemFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution inside, as its ``os-release`` and its packages tell."""

    #: ``debian``, ``alpine``, ``fedora``: https://www.freedesktop.org/software/systemd/man/latest/os-release.html
    id: str = ""
    #: ``12``; empty where it has none.
    version: str = ""
    #: ``Debian GNU/Linux 12 (bookworm)``.
    name: str = ""
    #: ``glibc 2.36`` or ``musl 1.2.5``.
    libc: str = ""
    #: How many packages each manager has installed: ``{"dpkg": 89}``.
    packages: dict[str, int] = {}
    #: Why the list of packages is not whole; empty where it is.
    note: str = ""


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One image of one platform."""

    name: str
    #: What its engine calls it by: the configuration's digest, or with containerd's store that of the manifest.
    id: str
    #: ``sha256:<hex>`` of the manifest (what a registry knows it by) and of the configuration; empty where the engine
    #: does not tell. Docker's classic store makes a manifest when it pushes, and not before.
    manifest: str = ""
    config: str = ""
    #: ``sha256:<hex>`` of each layer before compression (diff_id), the lowest first.
    layers: tuple[str, ...] = ()
    #: As the engine counts: containerd's store the compressed layers, the others what they take once unpacked.
    bytes: int = 0
    bases: tuple[BaseImage, ...] = ()
    #: In the words of legs: ``linux``, ``x86_64``. A variant is the image's own word: ``v8``.
    os: str = ""
    arch: str = ""
    variant: str = ""
    #: ISO 8601, as the image says; SOURCE_DATE_EPOCH decides it.
    created: str = ""
    #: Whom its containers run as; empty for root.
    user: str = ""
    labels: dict[str, str] = {}
    #: The names of the variables that it sets. Their values are its own affair: they may be secrets.
    variables: tuple[str, ...] = ()
    #: ``docker`` or ``podman``, and its version; ``containerd``, ``classic`` or ``podman``.
    engine: str = ""
    engine_version: str = ""
    store: str = ""
    #: ``docker-buildx 0.13.1, BuildKit of docker 26.1.5``.
    builder: str = ""
    #: Whether it was built so that a second build has the same digest, and otherwise why not. A build that can be
    #: repeated and a build that was repeated are two things: ``ci-envs verify`` does the latter.
    reproducible: bool = False
    why_not: str = ""
    #: What its containers may do beyond what the engine allows by default, each in words.
    relaxed: tuple[str, ...] = ()
    #: The CUDA that it is for (``12.4``), and the lowest driver that runs it (``525.60.13``); empty without one.
    cuda: str = ""
    driver: str = ""
    system: SystemFacts | None = None

    @property
    def digest(self) -> str:
        """The manifest's digest, else the engine's own word for it."""
        return self.manifest or self.id
