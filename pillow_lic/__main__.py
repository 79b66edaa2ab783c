"""`python -m pillow_lic`: the `lic` command, for where it is not on the PATH. Imports the command alone."""

from .cli import script

if __name__ == "__main__":
    script()
