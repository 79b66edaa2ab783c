"""`lic info` and `lic models`: what a file and the registry say.

Imports container and models; no Pillow, no network.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from .. import container
from ..constants import LIC_QUALITY_MIN
from ..container.numbers import BYTES
from ..container.overlay import METHODS
from ..container.payloads import alpha_png_start, sample_bytes
from ..conversion.places import standard_input
from ..models import choice, registry
from ..quality import from_q
from ..signature import SIGNATURE
from . import STANDARD

if TYPE_CHECKING:
    from collections.abc import Iterator

Field = tuple[str, str, Any]  # section of FORMAT, name, value


def show(paths: list[str], *, as_json: bool) -> int:
    """Print every field of every file; returns how many are unreadable or damaged."""
    failures = 0
    reports: list[dict[str, Any]] = []
    for path in paths:
        fields, problem = _report(path)
        reports.append({"file": str(path), "intact": problem is None, "problem": problem, "fields": fields})
        failures += problem is not None
    if as_json:
        for report in reports:
            report["fields"] = [dict(zip(("section", "name", "value"), field)) for field in report["fields"]]
        print(json.dumps(reports, indent=1))
        return failures
    for report in reports:
        print(report["file"])
        for section, name, value in report["fields"]:
            print(f"  {section:<4} {name:<13} {value}")
        if report["problem"]:
            print(f"lic: {report['file']}: {report['problem']}", file=sys.stderr)
    return failures


def _report(path: str) -> tuple[list[Field], str | None]:
    """The fields that can be read, and what is wrong with the file if anything is."""
    fields: list[Field] = []
    try:
        with standard_input() if path == STANDARD else open(path, "rb") as file:
            head = container.read_head(file)
            fields.extend(_head_fields(head))
            whole = container.read(file)
    except OSError as error:  # LicError included
        return fields, str(error)
    fields.extend(_body_fields(whole))
    return fields, None


def _head_fields(head: container.Head) -> Iterator[Field]:
    header = head.header
    yield "2", "signature", SIGNATURE.hex(" ").upper()
    yield "2", "version", f"{head.major}.{head.minor}"
    for chunk in head.chunks:
        yield "2.1", f"chunk {chunk.type}", f"at byte {chunk.start}, {chunk.length} bytes"
    yield "3", "width", header.width
    yield "3", "height", header.height
    yield "3", "layout", header.layout
    if header.deep:
        yield "3", "depth", header.depth
    if header.alone:
        yield "5.2", "lossless", "the overlay is the whole picture"
    else:
        yield "3", "model", header.model
        yield "3", "model hash", header.model_hash.hex()
        yield "9.1", "model name", registry.name_of(header.model, header.model_hash)
        yield "3", "quality", registry.quality_of(*header.coding)
        yield "3", "tile side", header.tile_side
        yield "3", "stages", f"{header.stage_count}{', cut' if header.cut else ''}"
    for name, payload in (("ICC bytes", head.icc), ("EXIF bytes", head.exif), ("XMP bytes", head.xmp)):
        if payload is not None:
            yield "4", name, len(payload)
    if head.cicp is not None:
        yield "4.1", "colour", "primaries {}, transfer {}, matrix {}, full range {}".format(*head.cicp)
    if head.values is not None:
        kind = {container.INTEGERS: "integers", container.FLOATS: "floats"}[head.values.kind]
        yield "4.3", "values", f"{kind} from {head.values.low:g} to {head.values.high:g}"
    if head.preview is not None:
        small = head.preview
        yield "4.2", "preview", f"{small.kind}, {small.width} x {small.height}, {len(small.data)} bytes"
    if head.style is not None:
        yield "5.4", "style", "synthesis {}, strength {}".format(*head.style)
    if not header.alone:
        yield "6.1", "latent grid", "{} x {}".format(*header.latent_grid)
        yield "6.1", "hyper grid", "{} x {}".format(*header.hyper_grid)
        yield "6.1", "tiles", "{} x {}".format(*header.tile_grid)
    yield "-", "file bytes", head.size
    if head.trailing:
        yield "2.1", "behind it", f"{head.trailing} bytes that are no part of it, ignored"
    yield "-", "bpp", round(8 * head.size / (header.width * header.height), 4)


def _body_fields(whole: container.Container) -> Iterator[Field]:
    if whole.alpha is not None:
        yield "5.1", "alpha", _alpha(whole.alpha, whole.header)
    for number, one in enumerate(whole.overlay or ()):
        place = f"{one.width} x {one.height} at ({one.left}, {one.top})"
        yield "5.2", f"rectangle {number}", f"{place}, {METHODS[one.method]}, {len(one.data)} bytes"
    if isinstance(whole.planes, container.Numbers):
        yield "5.2", "numbers", _numbers(whole.planes)
    elif whole.planes is not None:
        parts = (sum(len(one.data) for one in rectangles) for rectangles in (whole.planes.low, whole.planes.high))
        how = ("as they are", "predicted")[whole.planes.prediction]
        yield "5.2", "planes", "samples {}, {} bytes of low and {} of high bytes".format(how, *parts)
    if whole.map is not None:
        rows = memoryview(whole.map).cast("b")
        yield "5.3", "quality map", f"rows from {min(rows)} to {max(rows)}"
    for number, stream in enumerate(whole.tiles):
        yield "6.2", f"tile {number}", " + ".join(str(len(stage)) for stage in stream.stages) + " bytes"


def _numbers(numbers: container.Numbers) -> str:
    sizes = [str(sum(len(one.data) for one in part)) for part in numbers.parts()]
    how = ("as they are", "predicted", f"from a table of {len(numbers.table) // BYTES}")[numbers.prediction]
    return f"{how}, {' + '.join(sizes)} bytes, those of low bytes first"


def _alpha(payload: bytes, header: container.Header) -> str:
    step = sample_bytes(header)
    if len(payload) == 1 + step:
        return f"constant {int.from_bytes(payload[1:], 'little')}"
    start = alpha_png_start(payload, header)
    colour = tuple(int.from_bytes(payload[at : at + step], "little") for at in range(1, start, step))
    hidden = f"; invisible pixels are {colour}" if colour else ""
    return f"PNG of {len(payload) - start} bytes{hidden}"


def show_models(*, as_json: bool) -> None:
    """Print the models that can be used."""
    described = {name: registry.describe(name) for name in choice.names()}
    if as_json:
        print(json.dumps(described, indent=1))
        return
    if not described:
        print("lic: no model is installed; reinstall pillow-lic", file=sys.stderr)
    for name, facts in described.items():
        print(
            f"{name:<16} number {facts.get('number')}  hash {str(facts.get('hash'))[:16]}"
            f"  {facts.get('path')}{_taken_for(name)}"
        )


def _taken_for(name: str) -> str:
    """The quality that a model is for, and where it is the one that is used."""
    low, high = choice.spoken(registry.by_name(name))
    words = f"  quality {low:g} to {high:g}"
    if name == choice.TINY:
        words += f", the default below {choice.LOW:g}"
    for tune, models in choice.TUNES.items():
        lowest = LIC_QUALITY_MIN
        for highest, known in models:
            if known == name:
                when = "the default" if tune == choice.DEFAULT_TUNE else f"tune={tune!r}"
                words += f", {when} from {_span(lowest, highest)}"
            lowest = highest + 1
    return words


def _span(low: int, high: int) -> str:
    return f"{from_q(low):g} to {from_q(high):g}"
