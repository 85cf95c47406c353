"""What a workflow says, apart from what its jobs do: which keys are known here, events, inputs, permissions, needs."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from tests.support.workflow_runner.errors import NotKnownError, RefusedError
from tests.support.workflow_runner.templates import as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.workflow_runner.events import Event
    from tests.support.workflow_runner.templates import Scope

__all__ = ["called_inputs", "check_event", "check_keys", "dispatched_inputs", "job_order", "narrowed", "needs_of"]

_STEP = {"name", "id", "if", "env", "continue-on-error", "timeout-minutes"}
_ANY_JOB = {"name", "needs", "if", "strategy", "permissions", "concurrency"}

KEYS: dict[str, set[str]] = {
    "workflow": {"name", "run-name", "on", "permissions", "concurrency", "env", "jobs"},
    "job": {*_ANY_JOB, "runs-on", "timeout-minutes", "outputs", "env", "steps", "continue-on-error", "defaults"},
    "call": {*_ANY_JOB, "uses", "with", "secrets"},
    "defaults": {"run"},
    "defaults.run": {"shell", "working-directory"},
    "strategy": {"matrix", "fail-fast", "max-parallel"},
    "run step": {*_STEP, "run", "shell", "working-directory"},
    "uses step": {*_STEP, "uses", "with"},
    "action": {"name", "description", "author", "branding", "inputs", "outputs", "runs"},
    "composite": {"using", "steps"},
    "event": {"branches", "tags", "types", "inputs", "outputs", "secrets"},
}


def check_keys(place: str, mapping: Mapping[str, Any]) -> None:
    """Raises :class:`NotKnownError` for a key that this runner would pass over."""
    unknown = mapping.keys() - KEYS[place]
    if unknown:
        raise NotKnownError(f"a {place} with {', '.join(sorted(unknown))} is not known here")


# --- events


def _events(document: Mapping[str, Any]) -> dict[str, Any]:
    on = document["on"]
    named = {on: None} if isinstance(on, str) else on if isinstance(on, dict) else dict.fromkeys(on)
    return {name: told or {} for name, told in named.items()}


def check_event(document: Mapping[str, Any], event: Event) -> None:
    """Raises :class:`RefusedError` where the event does not start this workflow."""
    events = _events(document)
    if event.name not in events:
        raise RefusedError(f"{event.name} does not start this workflow, but {', '.join(events)}")
    told = events[event.name]
    if event.name == "schedule":
        return
    check_keys("event", told)
    kind, _, name = (event.ref if event.name != "pull_request" else f"refs/heads/{event.base_ref}")[5:].partition("/")
    for key, wanted in (("heads", "branches"), ("tags", "tags")):
        if kind == key and wanted in told and not any(fnmatch.fnmatchcase(name, glob) for glob in told[wanted]):
            raise RefusedError(f"{name} is none of the {wanted} that start this workflow")
    if "types" in told and event.payload.get("action") not in told["types"]:
        raise RefusedError(f"{event.payload.get('action')} is none of the types that start this workflow")


# --- inputs


def dispatched_inputs(document: Mapping[str, Any], event: Event) -> dict[str, Any]:
    """The ``inputs`` context of a workflow that was started by hand.

    Only booleans keep their type ("Contexts reference", ``inputs``): a number is a text, and GitHub refuses it where a
    called workflow wants a number.
    """
    declared = _events(document).get("workflow_dispatch", {}).get("inputs") or {}
    if event.name != "workflow_dispatch":
        return {}
    _check_names(event.inputs, declared)
    read = {}
    for name, told in declared.items():
        text = event.inputs.get(name, _default_text(told))
        if told.get("required") and not text:
            raise RefusedError(f"input {name!r} is required")
        if told.get("type") == "choice" and text not in told["options"]:
            raise RefusedError(f"input {name!r} is {text!r}, which is none of its options")
        read[name] = text == "true" if told.get("type") == "boolean" else text
    return read


def _default_text(told: Mapping[str, Any]) -> str:
    default = told.get("default", "false" if told.get("type") == "boolean" else "")
    if isinstance(default, bool):
        return "true" if default else "false"
    return f"{default:g}" if isinstance(default, float) else str(default)


_TYPES: dict[str, tuple[type, ...]] = {"string": (), "boolean": (bool,), "number": (int, float)}
_EMPTY = {"string": "", "boolean": False, "number": 0}


def called_inputs(document: Mapping[str, Any], given: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """The ``inputs`` context of a called workflow; ``scope`` is for expressions in defaults.

    Raises :class:`RefusedError` for an input that it has not or that it requires, and for another type ("Reuse
    workflows").
    """
    events = _events(document)
    if "workflow_call" not in events:
        raise RefusedError("the called workflow has no workflow_call")
    declared = events["workflow_call"].get("inputs") or {}
    _check_names(given, declared)
    read = {}
    for name, told in declared.items():
        if told.get("required") and name not in given:
            raise RefusedError(f"input {name!r} is required, but not provided")
        value = given[name] if name in given else scope.value(told.get("default", _EMPTY[told["type"]]))
        read[name] = _typed(name, value, told["type"])
    return read


def _typed(name: str, value: Any, kind: str) -> Any:
    """Of any scalar a text can be made; a text is neither a boolean nor a number, whatever stands in it.

    Source: actions/runner, src/Sdk/WorkflowParser, ConvertToInputValueDefinedType and TemplateEvaluator.
    """
    if kind == "string" and not isinstance(value, (dict, list)):
        return as_text(value)
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise RefusedError(f"input {name!r} is {value!r}, and a {kind} is meant")
    return value


def _check_names(given: Iterable[str], declared: Mapping[str, Any]) -> None:
    unknown = set(given) - declared.keys()
    if unknown:
        raise RefusedError(f"invalid input, {', '.join(sorted(unknown))} is not defined in the workflow")


# --- permissions

_RANKS = {"none": 0, "read": 1, "write": 2}


def narrowed(allowed: Mapping[str, str], asked: Any, *, called: bool) -> dict[str, str]:
    """What a workflow or a job may do, of what is allowed to it.

    Raises :class:`RefusedError` for a called workflow that asks for more than its caller has ("Reuse workflows":
    permissions "can only be maintained or reduced"); elsewhere what is asked for holds.
    """
    if asked is None:
        return dict(allowed)
    if isinstance(asked, str):
        raise NotKnownError(f"permissions: {asked}")
    for name, level in asked.items():
        if called and _RANKS[level] > _RANKS[allowed.get(name, "none")]:
            raise RefusedError(
                f"it asks for '{name}: {level}', but is only allowed '{name}: {allowed.get(name, 'none')}'"
            )
    return {name: level for name, level in asked.items() if level != "none"}


# --- order


def needs_of(job: Mapping[str, Any]) -> list[str]:
    """The jobs that this one waits for."""
    needs = job.get("needs") or []
    return [needs] if isinstance(needs, str) else list(needs)


def job_order(jobs: Mapping[str, Any]) -> list[str]:
    """Each job after those that it needs; else as they are written. The official parser has refused circles."""
    ordered: list[str] = []
    while len(ordered) < len(jobs):
        ordered += [name for name in jobs if name not in ordered and set(needs_of(jobs[name])) <= set(ordered)][:1]
    return ordered
