"""The `lic` command: its sub-commands, arguments and exit codes; the work is in the files beside it.

Imports the standard library, codec's options, models and ground; Pillow and the rest come with the command that needs
them. Exit codes: 0 all done, 1 something failed, 2 wrong usage. Results go to standard output, messages to standard
error.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .. import style
from ..codec.options import DEFAULT_EFFORT, EFFORTS, SCREENS
from ..conversion import at_work
from ..errors import LicBadOption
from ..models import choice
from ..quality import DEFAULT
from . import arguments

if TYPE_CHECKING:
    from collections.abc import Callable

DONE, FAILED, USAGE = 0, 1, 2
INTERRUPTED = 128  # and the signal's number
STANDARD = arguments.STANDARD


class UsageError(Exception):
    """The arguments contradict each other or name nothing."""


class _Ended(BaseException):
    """A signal asks the process to end."""


def script() -> NoReturn:
    """The `lic` command as a process. Work is done beside the main thread, which stays free for signals: an end that is
    asked for comes at once, in the middle of a network, and leaves nothing unfinished behind.
    """
    code: list[int] = []
    worker = threading.Thread(target=lambda: code.append(_main()), name="lic", daemon=True)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:  # as nohup sets
            signal.signal(getattr(signal, name), _end)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(0.2)  # without a limit, no signal is seen on Windows
    except _Ended as ended:
        _leave(int(ended.args[0]))
    sys.exit(code[0] if code else FAILED)


def _end(number: int, _frame: object) -> None:
    raise _Ended(number)


def _leave(number: int) -> NoReturn:
    """End without waiting for anybody: threads may be at work for a minute."""
    if "pillow_lic.conversion.files" in sys.modules:
        from ..conversion import files

        files.abandon()
    print(f"lic: interrupted by {signal.Signals(number).name}", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED + number)


def _main() -> int:
    try:
        return main()
    except SystemExit as exit:  # of argparse
        return exit.code if isinstance(exit.code, int) else FAILED


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = parser_of()
    options = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            if not sys.warnoptions:
                warnings.simplefilter("always", UserWarning)  # of each file, not of the first alone
            return int(options.run(options))
    except (UsageError, LicBadOption) as error:
        print(f"lic: {error}", file=sys.stderr)
        return USAGE
    except OSError as error:
        print(f"lic: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("lic: interrupted", file=sys.stderr)
        return INTERRUPTED + signal.SIGINT


def _show_warning(message: Warning | str, *_where: object) -> None:
    """A warning on standard error, with the file that the thread is at."""
    source = getattr(at_work, "source", None)
    print(f"lic: warning: {message}" if source is None else f"lic: {source}: warning: {message}", file=sys.stderr)


def parser_of() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lic", description="Learned image compression: .lic files to and from other formats."
    )
    parser.add_argument("--version", action=_Version, help="versions of the package and of the format it writes")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    _add_encode(commands)
    _add_decode(commands)

    info = commands.add_parser("info", help="what a .lic file says, field by field, and whether it is intact")
    info.add_argument("paths", nargs="+", metavar="FILE", help=f"{STANDARD} is standard input")
    info.add_argument("--json", action="store_true", help="one JSON document")
    info.set_defaults(run=_info)

    demo = commands.add_parser("demo", help="a photograph against JPEG of equal size, with a picture to look at")
    demo.add_argument("photograph", nargs="?", type=arguments.file, help="default: one from an installed package")
    output = "picture, or a folder for it"
    demo.add_argument("-o", "--output", type=arguments.file, default=Path("lic-demo.png"), help=output)
    demo.add_argument(
        "-q", "--quality", type=arguments.quality, nargs=3, default=(20, 45, 75), metavar="Q", help="three qualities"
    )
    demo.add_argument("-m", "--model", help="model name")
    demo.add_argument("-f", "--force", action="store_true", help="overwrite the picture")
    demo.set_defaults(run=_demo)

    models = commands.add_parser("models", help="models that are there")
    models.add_argument("--json", action="store_true", help="whole manifests, one JSON document")
    models.set_defaults(run=_models)

    from . import (
        bench,
        compact,
        compare,
        cut,
        data,
        desktop,
        edit,
        enhance,
        map,
        metrics,
        placeholder,
        plot,
        shell,
        thumbnail,
    )

    for command in (
        cut,
        metrics,
        compact,
        compare,
        edit,
        enhance,
        map,
        plot,
        placeholder,
        data,
        bench,
        thumbnail,
        desktop,
        shell,
    ):
        command.add_to(commands)
    return parser


def _add_encode(commands: Any) -> None:
    encode = commands.add_parser("encode", help="images to .lic")
    _add_batch(encode, _encode)
    _add_rate(encode.add_mutually_exclusive_group())
    chosen = encode.add_mutually_exclusive_group()
    chosen.add_argument(
        "--tune",
        choices=choice.TUNES,
        help=f"what the files shall be good at; default {choice.DEFAULT_TUNE}, "
        f"and {choice.SQUARES_TUNE} with --target-psnr or --uniform",
    )
    chosen.add_argument("-m", "--model", help="model name; `lic models` lists them")
    span = f"{EFFORTS[0]}..{EFFORTS[-1]}"
    efforts = f"smaller files for more time; default {DEFAULT_EFFORT}; with --tune ms-ssim 0 alone"
    encode.add_argument(
        "-p",
        "--progressive",
        action="store_const",
        const=True,
        help="files that can be cut anywhere: what is first is coarser",
    )
    encode.add_argument("-e", "--effort", type=int, choices=EFFORTS, metavar=span, help=efforts)
    encode.add_argument("--lossless", action="store_true", help="keep every sample exactly; quality does not matter")
    screens = "whether text, line art and the like are kept exactly where that is cheaper; default auto"
    encode.add_argument("--screen", choices=SCREENS, default=SCREENS[0], help=screens)
    exact = "keep the colour of invisible pixels (of alpha 0); default: with --lossless alone"
    encode.add_argument("--exact", action="store_true", default=None, help=exact)

    preview = "a small picture in the file, N pixels the longer side (default 512), which thumbnails are made of"
    encode.add_argument("--preview", nargs="?", type=int, const=True, metavar="N", help=preview)
    _add_style(encode, "how readers that say nothing of it themselves shall show the picture")
    depth = "bits of a sample, 9 to 16, of pictures of more than 8; default: as many as they need"
    encode.add_argument("--depth", type=int, choices=range(9, 17), metavar="BITS", help=depth)
    _add_regions(encode.add_argument_group("where a picture shall be better"))


def _add_decode(commands: Any) -> None:
    decode = commands.add_parser("decode", help=".lic to another format")
    _add_batch(decode, _decode)
    decode.add_argument(
        "-t", "--to", metavar="EXT", default="png", help="extension of the format to write; default png"
    )
    decode.add_argument(
        "-q", "--quality", type=int, help="handed to the format to write, if it has one; default: Pillow's for it"
    )
    crop = "a part alone: width, height, left and top in pixels; only what it takes is read"
    decode.add_argument("--crop", type=arguments.crop, metavar="WxH+X+Y", help=crop)
    smaller = "so many times smaller; 4, 8 and 16 take a third of the time with the default models"
    decode.add_argument("--scale", type=int, choices=(1, 2, 4, 8, 16), default=1, help=smaller)
    _add_style(decode, "perceptual: with invented texture where little was kept")
    decode.add_argument("--truncated", action="store_true", help="load damaged files, missing tiles in grey")


def _add_regions(group: argparse._ArgumentGroup) -> None:
    """What the quality map is made of."""
    roi = "what shall have the stated quality, the rest less: a mask (white is inside), a box X,Y,W,H, which may be "
    roi += "repeated and may reach over the edge (--roi=-5,-5,20,20), or faces or text, which are looked for"
    group.add_argument("--roi", action="append", metavar="MASK|X,Y,W,H|faces|text", help=roi)
    background = "how much less, in points of quality, such as --background=-20; default -15"
    group.add_argument("--background", type=float, metavar="POINTS", help=background)
    importance = "auto: bytes go where busy surroundings do not hide what is lost; or a map, 128 being neutral"
    group.add_argument("--importance", metavar="auto|MAP", help=importance)
    uniform = "about the same PSNR in every block of 64 x 64 pixels"
    group.add_argument("--uniform", action="store_true", help=uniform)


def _add_style(parser: argparse.ArgumentParser, what: str) -> None:
    """Which synthesis shows a picture."""
    parser.add_argument("--style", choices=style.NAMES, help=what)
    parser.add_argument("--strength", type=float, metavar="S", help="0 to 1: how much of the style; default 1")


def _add_rate(group: argparse._MutuallyExclusiveGroup) -> None:
    """What decides the quality."""
    group.add_argument(
        "-q", "--quality", type=arguments.quality, help=f"0.1 to 100, fractions allowed; default {DEFAULT}"
    )
    size = "bytes of each file at most, such as 50k or 1.5M; the quality is searched for that, as for the following"
    group.add_argument("--target-size", type=arguments.number_of_bytes, metavar="BYTES", help=size)
    group.add_argument("--target-bpp", type=float, metavar="BPP", help="bits per pixel of each file at most")
    group.add_argument("--ratio", type=float, metavar="N", help="each file at most a part in so many of its samples")
    group.add_argument("--target-psnr", type=float, metavar="DB", help="PSNR of the colours, as near as can be")


class _Version(argparse.Action):
    """Looked up when asked for."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from .. import __version__
        from ..constants import LIC_MAJOR, LIC_MINOR

        print(f"pillow-lic {__version__}, format {LIC_MAJOR}.{LIC_MINOR}")
        parser.exit()


def _add_batch(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    paths = f"files, or folders with all that is in them, URLs of fsspec among them; {STANDARD} is standard input"
    parser.add_argument("paths", nargs="+", metavar="PATH", help=paths)
    output = f"file, or folder if it is one, ends in / or several files are written; {STANDARD} is standard output"
    output += "; default: beside each source"
    parser.add_argument("-o", "--output", metavar="PATH", help=output)
    jobs = "files that are opened ahead, and that are written, at a time; default: twice the number of threads"
    parser.add_argument("-j", "--jobs", type=arguments.count, metavar="N", help=jobs)
    parser.add_argument("--device", help="cpu, cuda, cuda:N or auto; default: PILLOW_LIC_DEVICE, else cpu")
    scheduler = "share the files out to the workers of a Dask scheduler, such as tcp://host:8786; all must reach them"
    parser.add_argument("--scheduler", metavar="ADDRESS", help=scheduler)
    there = parser.add_mutually_exclusive_group()
    there.add_argument("-f", "--force", action="store_true", help="overwrite what is there")
    skip = "pass over files whose target is there; of several files, those that are finished are passed over anyway"
    there.add_argument("--skip", action="store_true", help=skip)
    parser.set_defaults(run=run)


def _encode(options: argparse.Namespace) -> int:
    from . import convert

    return FAILED if convert.encode(options) else DONE


def _decode(options: argparse.Namespace) -> int:
    from . import convert

    return FAILED if convert.decode(options) else DONE


def _info(options: argparse.Namespace) -> int:
    from . import info

    return FAILED if info.show(options.paths, as_json=options.json) else DONE


def _demo(options: argparse.Namespace) -> int:
    from . import demo, filenames

    picture = options.output if options.output.suffix else options.output / "lic-demo.png"
    filenames.check(picture, [options.photograph] if options.photograph else [], force=options.force)
    photograph = options.photograph or demo.installed_photograph()
    if photograph is None:
        msg = "no photograph found in an installed package; name one: lic demo PHOTOGRAPH"
        raise UsageError(msg)
    picture.parent.mkdir(parents=True, exist_ok=True)
    demo.run(photograph, picture, options.quality, options.model)
    return DONE


def _models(options: argparse.Namespace) -> int:
    from . import info

    info.show_models(as_json=options.json)
    return DONE
