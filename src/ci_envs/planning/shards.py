"""Legs -> shards, and what one job hands the next: JSON that is small enough for it. Pure."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci_envs.model.plan import Plan, PlannedLeg

__all__ = [
    "MAX_OUTPUT_BYTES",
    "MAX_SHARDS",
    "SHARD_LEGS",
    "github_matrices",
    "github_matrix",
    "json_chunks",
    "output_bytes",
    "refuse_too_many",
    "shards",
]

#: The most jobs that one `strategy.matrix` may make
#: (https://docs.github.com/en/actions/reference/limits). A matrix of calls, one for each shard, may make as many.
SHARD_LEGS = 256
MAX_SHARDS = 256

#: All outputs of one job together, approximated as UTF-16
#: (https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/pass-job-outputs).
MAX_OUTPUT_BYTES = 1_000_000

_CHUNK_LEGS = 512


def shards(ids: Sequence[str], size: int = SHARD_LEGS) -> list[tuple[str, ...]]:
    """The ids in their order, at most ``size`` to a shard: the same legs always make the same shards."""
    return [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]


def refuse_too_many(legs: int, size: int) -> None:
    """Raises :class:`UsageError` where a run of GitHub Actions cannot have so many legs in shards of this size."""
    needed = -(-legs // size)
    if needed > MAX_SHARDS:
        fits = size < SHARD_LEGS and legs <= MAX_SHARDS * SHARD_LEGS
        raise UsageError(
            f"{legs:,} legs need {needed:,} shards of {size}; a run can have {MAX_SHARDS}, of {SHARD_LEGS} legs each",
            hint=f"raise --max-legs to {SHARD_LEGS}"
            if fits
            else "plan fewer: `strategy: pairwise` in the matrix, --only, or a matrix for each part",
        )


def json_chunks(head: Plan, planned: Iterable[PlannedLeg], ids: Sequence[str], size: int) -> Iterator[bytes]:
    """The JSON of a plan, in pieces: a hundred thousand legs are never held at once.

    ``head`` is the plan without its legs and shards, which are ``planned`` and made of ``ids``.
    """
    encode = msgspec.json.encode
    yield b'{"legs":['
    legs = iter(planned)
    before = b""
    while rows := b",".join(map(encode, itertools.islice(legs, _CHUNK_LEGS))):
        yield before + rows
        before = b","
    yield b'],"shards":' + encode(shards(ids, size))
    rest = {name: getattr(head, name) for name in head.__struct_fields__ if name not in ("legs", "shards")}
    yield b"," + encode(rest)[1:] + b"\n"


def github_matrix(planned: Iterable[PlannedLeg]) -> str:
    """``strategy.matrix`` as JSON.

    Raises :class:`UsageError` for more than 256 legs, and where it alone does not fit into the outputs of a job.
    """
    rows = [_github_row(leg) for leg in planned]
    if len(rows) > SHARD_LEGS:
        raise UsageError(
            f"a strategy.matrix makes at most {SHARD_LEGS} jobs, and a shard of this plan has {len(rows)} legs"
        )
    text = msgspec.json.encode({"include": rows}).decode()
    if output_bytes(text) > MAX_OUTPUT_BYTES:
        raise UsageError(
            f"{len(rows)} legs make {output_bytes(text)} bytes of matrix; a job's outputs hold {MAX_OUTPUT_BYTES}",
            hint="runner labels are the only text of it that can be so long: shorten them, or lower --max-legs",
        )
    return text


def github_matrices(planned: Sequence[PlannedLeg], size: int = SHARD_LEGS) -> list[str]:
    """``strategy.matrix`` as JSON, one for each shard, for the outputs of one job.

    Raises :class:`UsageError` where they do not fit.
    """
    refuse_too_many(len(planned), size)
    texts = [github_matrix(planned[start : start + size]) for start in range(0, len(planned), size)]
    total = sum(map(output_bytes, texts))
    if total > MAX_OUTPUT_BYTES:
        raise UsageError(
            f"{len(planned)} legs make {total} bytes of matrix; a job's outputs hold {MAX_OUTPUT_BYTES}",
            hint="write the plan with --output and hand the file on as an artifact; each job reads its shard with "
            "`ci-envs plan --from plan.json --shard N --github`",
        )
    return texts


def output_bytes(text: str) -> int:
    """What a text counts as an output of a job."""
    return len(text.encode("utf-16-le", "surrogatepass"))


def _github_row(leg: PlannedLeg) -> dict[str, Any]:
    return {
        "id": leg.id,
        "pattern": leg.pattern,
        "python": leg.python,
        "project": leg.project,
        "runs-on": leg.runs_on,
        "timeout-minutes": leg.timeout_minutes,
    }
