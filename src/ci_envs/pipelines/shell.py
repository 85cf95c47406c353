"""A plan as a script of POSIX sh: every leg after the other, then the report.

For CI systems that start one command, and for a laptop. The script holds the plan and needs ``ci-envs`` and nothing
else; it is started where the plan was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.pipelines.holding import held_plan

if TYPE_CHECKING:
    from ci_envs.model.plan import Plan

__all__ = ["shell_script"]

#: Where the script keeps it, as a word of sh.
PLAN = '"$scratch/plan.json"'

_HEAD = """\
#!/bin/sh
# Made by `ci-envs plan --shell`: builds every leg of the plan, one after the other, and reports on them all. Its exit
# code is the report's. Start it where the plan was made.
set -u

CI_ENVS_STATE_DIR=${CI_ENVS_STATE_DIR:-$PWD/.ci-envs}
export CI_ENVS_STATE_DIR
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# leg ID COMMAND...: a record that an earlier run has left must not stand for this one.
leg() {
    record=$CI_ENVS_STATE_DIR/records/$1.json
    rm -f "$record"
    mkdir "$scratch/records/$1"
    printf '\\n== %s\\n' "$1"
    shift
    "$@" || true # the verdict is the record's; without one the leg is broken
    [ ! -f "$record" ] || cp "$record" "$scratch/records/$(basename "$record" .json)/record.json"
}
"""


def shell_script(plan: Plan) -> str:
    """The script. What a plan says reaches it as JSON in a quoted here-document, and as quoted words."""
    legs = "".join(f"leg {leg.id} {leg.reproduce}\n" for leg in plan.legs)
    return (
        f"{_HEAD}\n"
        f"{held_plan(plan, PLAN)}"
        'mkdir "$scratch/records"\n\n'
        f"{legs}\n"
        f'ci-envs report --plan {PLAN} --exit-code -- "$scratch/records"\n'
    )
