"""Every code that a finding may carry, with what it means. A test holds the list against the code. Pure."""

from __future__ import annotations

__all__ = ["CODES"]

#: In the order of ``docs/reference/findings.md``, which is made from it.
CODES: dict[str, str] = {
    "ENV001": "The interpreter inside is not the one that the leg asks for: version, implementation or architecture.",
    "ENV002": "The environment has no pip of its own, since its interpreter comes without ensurepip.",
    "ENV100": "Heads ENV101 to ENV103: the installed set is not the locked set.",
    "ENV101": "A distribution is locked and not installed.",
    "ENV102": "A distribution is installed and not locked, and is neither a seed nor the project itself.",
    "ENV103": "A distribution is installed in another version than the locked one.",
    "ENV104": "A version that `check.expect` promises, of a distribution or of `python`, is not there.",
    "ENV110": "A file is not what its distribution's RECORD says.",
    "ENV111": "A file that a RECORD lists is missing.",
    "ENV112": "A file that can run is listed in no RECORD (a warning where it is data).",
    "ENV113": "A RECORD is not the one of the wheel that the lock's hash names: the installer's cache was altered.",
    "ENV114": "A file cannot be read.",
    "ENV115": "Two distributions bring the same file with different contents.",
    "ENV116": "A RECORD lists a file without a hash, so it cannot be compared.",
    "ENV117": "A RECORD lists a file outside of the environment.",
    "ENV118": "A distribution has no RECORD, so its files cannot be compared.",
    "ENV119": "The installer's cache gave altered files; they were removed from it and fetched anew.",
    "ENV120": "What ran inside (the tests, the project's own check) changed files of the environment.",
    "ENV201": "An installed distribution's own requirements are not met: what `pip check` reports.",
    "ENV301": "A module of a direct dependency does not import.",
    "ENV302": "An import takes longer than `check.timeout`.",
    "ENV303": "An import ends its interpreter: by a signal, or by leaving it without a word.",
    "ENV304": "A module beside the one that its distribution is named after lacks something that an extra brings.",
    "ENV401": "The project's own check (`check.command`, `check-env.py`) does not exit with 0, or is not there.",
    "ENV501": "A framework sees no GPU where the leg, or `check.expect-gpu`, asks for one.",
    "ENV502": "A framework was built for another CUDA than the one asked for; no GPU is needed to see it.",
    "ENV601": "Building and checking left more than 1 MB in the temporary folder.",
    "LOCK001": "Pins carry no hashes: the index may hand out other files under these versions.",
    "LOCK003": "A lock file was made or renewed: commit it.",
    "LOCK004": "A requirements.txt pins versions but not all that they need: it is an intent, and not a lock.",
    "LOCK005": "What a leg asks for stands in a file that its kind of lock cannot hold.",
    "LOCK006": "tox's configuration asks for something in words that only tox can read; it is not installed.",
}
