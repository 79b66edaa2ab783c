"""The command `lic` as tests call it."""

from __future__ import annotations

from pillow_lic.cli import main


def lic(*arguments: object) -> int:
    """Its exit code, also where argparse leaves by SystemExit."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as exit:
        return exit.code
