"""The entry point of `python -m pipeline`, which starts even if the project's dependencies are missing."""

import shlex
import sys


def main() -> None:
    """Run the user's command, or exit with code 1 and a message if this Python is too old or lacks a package."""
    if sys.version_info < (3, 11):  # noqa: UP036
        _fail(f"Python {sys.version_info[0]}.{sys.version_info[1]} is too old")
    try:
        from pipeline import cli

        cli.main()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "pipeline") or missing in sys.stdlib_module_names:
            raise
        _fail(f"{missing} is not installed for this Python")


def _fail(reason: str) -> None:
    command = shlex.join(["uv", "run", "pipeline", *sys.argv[1:]])
    sys.exit(f"error: {reason} ({sys.executable}); run `{command}`")


if __name__ == "__main__":
    main()
