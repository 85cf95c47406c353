"""The actions of others that we use: at which commit, what they take and give, and what they run in their turn.

From each one's ``action.yml``, read at the commit, or, where it says so, at the release before it. A new release is
looked at, and written down here, before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["THIRD_PARTY", "ThirdParty"]


@dataclass(frozen=True)
class ThirdParty:
    """One action."""

    version: str
    commit: str
    #: ``node24``, ``docker`` or ``composite``.
    using: str
    inputs: frozenset[str]
    required: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    #: What a composite one uses itself; each must be pinned as ours are.
    nested: tuple[str, ...] = ()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


THIRD_PARTY: dict[str, ThirdParty] = {
    "actions/checkout": ThirdParty(
        version="v7.0.1",
        commit="3d3c42e5aac5ba805825da76410c181273ba90b1",
        using="node24",
        inputs=_words(
            "repository ref token ssh-key ssh-known-hosts ssh-strict ssh-user persist-credentials path clean filter"
            " sparse-checkout sparse-checkout-cone-mode fetch-depth fetch-tags show-progress lfs submodules"
            " set-safe-directory github-server-url allow-unsafe-pr-checkout"
        ),
        outputs=_words("ref commit"),
    ),
    "actions/setup-python": ThirdParty(
        version="v7.0.0",
        commit="5fda3b95a4ea91299a34e894583c3862153e4b97",
        using="node24",
        inputs=_words(
            "python-version python-version-file cache architecture check-latest token cache-dependency-path"
            " update-environment allow-prereleases freethreaded pip-version"
        ),
        outputs=_words("python-version cache-hit python-path"),
    ),
    # Inputs and outputs of the two halves of the cache as v5.0.5 has them.
    "actions/cache/restore": ThirdParty(
        version="v6.1.0",
        commit="55cc8345863c7cc4c66a329aec7e433d2d1c52a9",
        using="node24",
        inputs=_words("path key restore-keys enableCrossOsArchive fail-on-cache-miss lookup-only"),
        required=_words("path key"),
        outputs=_words("cache-hit cache-primary-key cache-matched-key"),
    ),
    "actions/cache/save": ThirdParty(
        version="v6.1.0",
        commit="55cc8345863c7cc4c66a329aec7e433d2d1c52a9",
        using="node24",
        inputs=_words("path key upload-chunk-size enableCrossOsArchive"),
        required=_words("path key"),
    ),
    # Inputs and outputs as v7.0.0 has them.
    "actions/upload-artifact": ThirdParty(
        version="v7.0.1",
        commit="043fb46d1a93c77aae656e7c1c64a875d1fc6a0a",
        using="node24",
        inputs=_words(
            "name path if-no-files-found retention-days compression-level overwrite include-hidden-files archive"
        ),
        required=_words("path"),
        outputs=_words("artifact-id artifact-url artifact-digest"),
    ),
    "actions/download-artifact": ThirdParty(
        version="v8.0.1",
        commit="3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c",
        using="node24",
        inputs=_words(
            "name artifact-ids path pattern merge-multiple github-token repository run-id skip-decompress"
            " digest-mismatch"
        ),
        outputs=_words("download-path"),
    ),
}
