"""repro-envs: proves that a project's environments can be rebuilt."""

__version__ = "0.1.0"
