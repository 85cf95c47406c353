"""``ci-envs`` and ``python -m ci_envs``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Runs one verb and answers with its exit code."""
    import click  # the package must be importable without paying for click

    from ci_envs.cli import main_group
    from ci_envs.errors import CiEnvsError, InterruptedRun

    try:
        code = main_group.main(args=argv, prog_name="ci-envs", standalone_mode=False)
    except CiEnvsError as error:
        from ci_envs.console import show_error

        show_error(error)
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        return InterruptedRun.exit_code
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        sys.stderr.close()
        return 1
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
