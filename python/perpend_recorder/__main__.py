"""``python -m perpend_recorder recover FOLDER [--out FILE] [--force]``."""

from __future__ import annotations

import argparse
import sys

from perpend_recorder.steps import recover


def main(arguments: list[str] | None = None) -> None:
    """Makes a trajectory file of what an interrupted recording left."""
    parser = argparse.ArgumentParser(prog="perpend-recorder", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("recover", help=main.__doc__)
    command.add_argument("folder", help="the folder of steps: run.safetensors.partial")
    command.add_argument("--out", help="the file to write, if not the one that was being recorded")
    command.add_argument("--force", action="store_true", help="overwrite it")
    options = parser.parse_args(arguments)
    try:
        print(recover(options.folder, options.out, force=options.force))
    except (OSError, ValueError) as error:
        # 5: unreadable or inconsistent input, as everywhere in perpend.
        print(f"error: {error}", file=sys.stderr)
        sys.exit(5)


if __name__ == "__main__":
    main()
