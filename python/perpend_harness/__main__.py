"""``python -m perpend_harness numpy|torch|jax [--fault NAME]``."""

from __future__ import annotations

import importlib
import sys

from perpend_harness import protocol

FRAMEWORKS = ("numpy", "torch", "jax")


def main(arguments: list[str] | None = None) -> None:
    """Serves the protocol with the framework named first."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in FRAMEWORKS:
        found = arguments[0] if arguments else "nothing"
        sys.exit(f"usage: python -m perpend_harness {'|'.join(FRAMEWORKS)} [--fault NAME]: found {found}")
    try:
        module = importlib.import_module(f"perpend_harness.{arguments[0]}_harness")
    except ModuleNotFoundError as error:
        sys.exit(f"perpend_harness {arguments[0]}: expected the package {error.name} to be installed, found none")
    protocol.main(module.FRAMEWORK, arguments[1:])


if __name__ == "__main__":
    main()
