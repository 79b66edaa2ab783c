"""`lic completion`: completion for bash, zsh and fish, and the manual page, all made of the parser of `lic` itself.

Imports the standard library.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MARK = "written by lic"  # in every file that is made here


class Option(NamedTuple):
    """An option of a sub-command. values: what it takes; None for a flag; empty for anything, such as a path."""

    names: Sequence[str]
    help: str
    metavar: str
    values: Sequence[str] | None


class Command(NamedTuple):
    """A sub-command. positional: its other arguments, as a usage line shows them."""

    name: str
    help: str
    description: str
    options: Sequence[Option]
    positional: Sequence[tuple[str, str]]


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("completion", help="completion for a shell, or the manual page, to standard output")
    parser.add_argument("shell", choices=KINDS, help="`lic install-desktop` puts all of them where they are looked for")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script; the exit code."""
    from . import DONE

    print(made(options.shell), end="")
    return DONE


def made(kind: str) -> str:
    """The text for a shell, or of the manual page."""
    from . import parser_of

    return KINDS[kind](list(described(parser_of())))


def described(parser: argparse.ArgumentParser) -> Iterator[Command]:
    """The sub-commands of a parser."""
    (subparsers,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    helps = {one.dest: one.help or "" for one in subparsers._choices_actions}
    for name, sub in subparsers.choices.items():
        actions = [one for one in sub._actions if one.help != argparse.SUPPRESS]
        options = [_option(one) for one in actions if one.option_strings]
        positional = [(_metavar(one), _help(one)) for one in actions if not one.option_strings]
        yield Command(name, helps.get(name, ""), sub.description or "", options, positional)


def _option(action: argparse.Action) -> Option:
    values = None if action.nargs == 0 else [str(one) for one in action.choices or ()]
    return Option(action.option_strings, _help(action), _metavar(action), values)


def _help(action: argparse.Action) -> str:
    return " ".join((action.help or "").replace("%%", "%").split())


def _metavar(action: argparse.Action) -> str:
    if action.metavar:
        return action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()


# ---- Shells -------------------------------------------------------------------------------------------------------

BASH = """# bash completion of lic, {mark}
_lic() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words=""
    if ((COMP_CWORD == 1)); then
        words="{commands} --help --version"
    else
        case "${{COMP_WORDS[1]}} $prev" in
{values}
        *) [[ $cur == -* ]] && case "${{COMP_WORDS[1]}}" in
{options}
            esac ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o default -F _lic lic
"""


def bash(commands: Sequence[Command]) -> str:
    """For bash-completion's folder, or to be sourced. Names of files where nothing else is known."""
    values, options = [], []
    for command in commands:
        for option in command.options:
            if option.values is not None:
                places = " | ".join(f'"{command.name} {name}"' for name in option.names)
                values.append(f'        {places}) words="{" ".join(option.values)}" ;;')
        names = " ".join(name for option in command.options for name in option.names)
        options.append(f'                {command.name}) words="{names}" ;;')
    all_of_them = " ".join(command.name for command in commands)
    return BASH.format(mark=MARK, commands=all_of_them, values="\n".join(values), options="\n".join(options))


ZSH = """#compdef lic
# zsh completion of lic, {mark}
_lic() {{
    local context state state_descr line
    typeset -A opt_args
    _arguments -C '(- *)'{{-h,--help}}'[help]' '(- *)--version[versions]' '1:command:->command' '*::argument:->argument'
    case $state in
    command)
        local -a commands=(
{commands}
        )
        _describe command commands ;;
    argument)
        case $words[1] in
{cases}
        esac ;;
    esac
}}
_lic "$@"
"""


def zsh(commands: Sequence[Command]) -> str:
    """For a folder of $fpath, as _lic."""
    listed = "\n".join(f"            '{command.name}:{_zsh(command.help)}'" for command in commands)
    cases = []
    for command in commands:
        specs = [spec for option in command.options for spec in _zsh_specs(option)] + ["'*:file:_files'"]
        cases.append(f"        {command.name}) _arguments {' '.join(specs)} ;;")
    return ZSH.format(mark=MARK, commands=listed, cases="\n".join(cases))


def _zsh_specs(option: Option) -> Iterator[str]:
    takes = ""
    if option.values is not None:
        takes = f":{_zsh(option.metavar)}:" + (f"({' '.join(option.values)})" if option.values else "_files")
    for name in option.names:
        yield f"'({' '.join(option.names)}){name}[{_zsh(option.help)}]{takes}'"


def _zsh(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", text).replace("'", "'\\''")


def fish(commands: Sequence[Command]) -> str:
    """For fish's vendor_completions.d."""
    lines = [f"# fish completion of lic, {MARK}"]
    for command in commands:
        lines.append(f"complete -c lic -n __fish_use_subcommand -f -a {command.name} -d {_fish(command.help)}")
        for option in command.options:
            names = " ".join(f"-l {one[2:]}" if one.startswith("--") else f"-s {one[1:]}" for one in option.names)
            takes = "" if option.values is None else " -r"
            takes = f" -x -a {_fish(' '.join(option.values))}" if option.values else takes
            when = f"-n '__fish_seen_subcommand_from {command.name}'"
            lines.append(f"complete -c lic {when} {names}{takes} -d {_fish(option.help)}")
    return "\n".join(lines) + "\n"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


# ---- The manual page ----------------------------------------------------------------------------------------------

END = """.SH EXIT STATUS
0: all done. 1: something failed. 2: wrong usage. 130, 143: interrupted by Ctrl\\-C, by SIGTERM.
.SH ENVIRONMENT
PILLOW_LIC_DEVICE says where networks run, PILLOW_LIC_THREADS in how many threads.
.SH SEE ALSO
The guide and the format: docs/guide/index.md and docs/FORMAT.md of the source.
"""


def man(commands: Sequence[Command]) -> str:
    """The manual page lic(1), in man's macros."""
    lines = [f'.\\" {MARK}', '.TH LIC 1 "" pillow\\-lic', ".SH NAME"]
    lines += ["lic \\- learned image compression: .lic files to and from other formats"]
    lines += [".SH SYNOPSIS", ".B lic", ".I COMMAND", "[...]", ".SH COMMANDS"]
    for command in commands:
        usage = " ".join(f"\\fI{_roff(name)}\\fR" for name, _ in command.positional)
        lines += [f".SS lic {_roff(command.name)} [options] {usage}".rstrip()]
        lines += [_roff(command.help[:1].upper() + command.help[1:]) + ".", *_paragraph(command.description)]
        for name, text in command.positional:
            lines += [".TP", f"\\fI{_roff(name)}\\fR", *(_paragraph(text) or ["\\&"])]
        for option in command.options:
            names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in option.names)
            takes = "" if option.values is None else f" \\fI{_roff(option.metavar)}\\fR"
            lines += [".TP", names + takes, *(_paragraph(option.help) or ["\\&"])]
    return "\n".join(lines) + "\n" + END


def _paragraph(text: str) -> list[str]:
    return [_roff(" ".join(text.split()))] if text.strip() else []


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return "\\&" + text if text.startswith(".") else text


KINDS: dict[str, Callable[[Sequence[Command]], str]] = {"bash": bash, "zsh": zsh, "fish": fish, "man": man}
