"""A parsed file with its expressions, and what becomes of it in a context.

A template is None, a boolean, a number, a text, a list, a dictionary, or an :class:`Expression`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.workflow_runner.node import Node

__all__ = ["Expression", "Scope", "as_text", "read_template"]


@dataclass(frozen=True)
class Expression:
    """What stands between ``${{`` and ``}}``."""

    text: str
    #: The contexts and functions that its place has: ``needs``, ``always(0,0)``.
    allowed: tuple[str, ...]


def read_template(told: Any) -> Any:
    """What ``server.mjs`` writes, with its expressions as values."""
    if isinstance(told, list):
        return [read_template(item) for item in told]
    if not isinstance(told, dict):
        return told
    if "${{" in told:
        return Expression(told["${{"], tuple(told["allowed"]))
    return {key: read_template(value) for key, value in told.items()}


def as_text(value: Any) -> str:
    """A literal as GitHub turns it into text ("Evaluate expressions in workflows and actions", Literals)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


@dataclass(frozen=True)
class Scope:
    """Contexts at one place, and how all went until there."""

    node: Node
    contexts: Mapping[str, Any]
    status: Mapping[str, bool] | None = None

    def value(self, template: Any) -> Any:
        """The template with every expression evaluated, types kept."""
        if isinstance(template, Expression):
            return self.node.evaluate(template, self.contexts, self.status).value
        if isinstance(template, list):
            return [self.value(item) for item in template]
        if isinstance(template, dict):
            return {key: self.value(item) for key, item in template.items()}
        return template

    def text(self, template: Any) -> str:
        """A scalar as text."""
        if isinstance(template, Expression):
            return self.node.evaluate(template, self.contexts, self.status).text
        return as_text(template)

    def texts(self, template: Mapping[str, Any] | None) -> dict[str, str]:
        """A mapping of scalars as texts: ``env``, ``with``."""
        return {name: self.text(item) for name, item in (template or {}).items()}

    def holds(self, condition: Any) -> bool:
        """Whether a condition is met; :func:`Node.parse_workflow` has put its ``success()`` into it."""
        assert isinstance(condition, Expression)
        return self.node.evaluate(condition, self.contexts, self.status).truthy
