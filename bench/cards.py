"""The figures in README, guide and model cards, made of manifests, model files and bench/results: measures nothing.

    python bench/cards.py [--check]

Writes between the markers `<!-- NAME: begin (bench/cards.py) -->` and `<!-- NAME: end -->` of each document. With
--check it names the documents that are stale and writes nothing. Imports the bench and the standard library.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import struct
import sys
import textwrap
from pathlib import Path

import figures
import guide_tables
import peers
from rd import read

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
MODELS = ROOT / "pillow_lic" / "models"
# Measured together, as `lic~psnr`: each at the Q that pillow_lic/models/choice.py takes it for.
SHARED = {"photo-low": (100, 5757), "photo": (5758, 10000)}
# As peers.py names them: the default at its effort and at 0, the tune for squared errors, AVIF as it comes at speed 4.
DEFAULT, DEFAULT_0, SQUARES, AVIF = "lic", "lic+0", "lic~psnr", "avif-420"
OPENING = ("avif-420", "heic-default", "jxl-default", "webp", "jpeg")  # rivals in README
MARKED = re.compile(r"(<!-- ([a-z-]+): begin \(bench/cards\.py\) -->\n)(.*?)(<!-- \2: end -->)", re.DOTALL)
ENTRY = re.compile(r'^    (\d+): \("([^"]+)", "[^"]+"\),$', re.MULTILINE)  # of models/registry.py
WIDTH = 100  # columns of prose


# ---- What models say of themselves --------------------------------------------------------------------------------


def manifest(name: str) -> dict:
    """What manifest.json states."""
    return json.loads((MODELS / name / "manifest.json").read_text())


def tensors(path: Path) -> dict[str, list[int]]:
    """The shape of each tensor of a safetensors file (FORMAT 9.2)."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        described = json.loads(file.read(size))
    return {name: entry["shape"] for name, entry in described.items() if name != "__metadata__"}


def numbers() -> dict[str, int]:
    """Model -> its number, read from the registry's table without importing the package."""
    text = (ROOT / "pillow_lic" / "models" / "registry.py").read_text()
    return {
        name: int(number) for number, name in re.findall(r'^    (\d+): \("([^"]+)", "[^"]+"\),$', text, re.MULTILINE)
    }


def multiply_adds(name: str) -> dict[str, float]:
    """Multiply-adds per pixel of each stage of a decoder of the `photo` family, from the shapes of its weights: those
    of a layer count once for each position of the grid that it runs on (FORMAT 8).
    """
    stages = {"scale map": 0.0, "mean and step from z": 0.0, "refinement": 0.0, "synthesis": 0.0}
    base = manifest(name).get("base")
    whole = tensors(MODELS / base / "model.safetensors") if base else {}
    for tensor, shape in (whole | tensors(MODELS / name / "model.safetensors")).items():
        room, _, rest = tensor.partition(".")
        weights = shape[0] * shape[-1]
        if tensor == "weight":
            stages["scale map"] += weights / 64**2
        elif not tensor.endswith(".weight"):
            continue
        elif room == "prior":
            stages["mean and step from z"] += weights / (64**2 if rest == "up.weight" else 16**2)
        elif room.startswith("refine"):
            stages["refinement"] += weights / (16**2 if rest == "enter.weight" else 32**2)
        elif room == "synthesis":
            stages["synthesis"] += weights / _side(rest) ** 2
    return stages


def _side(layer: str) -> int:
    """Pixels on a side that a position of a layer of the synthesis stands for."""
    if layer.startswith(("enter", "body", "up8", "direct")):
        return 16
    return 8 if layer.startswith(("detail", "up4")) else 4


# ---- Blocks -------------------------------------------------------------------------------------------------------


def quality_range(stated: dict) -> str:
    """The qualities that a model was trained for."""
    low, high = stated.get("asked") or (q / 100 for q in stated.get("quality", [100, 10000]))
    return f"{low:g} to {high:g}"


def size_of(name: str) -> str:
    """The model's files, in megabytes."""
    decoder, encoder = ((MODELS / name / f"{part}.safetensors").stat().st_size / 1e6 for part in ("model", "encoder"))
    base = manifest(name).get("base")
    beside = f", beside those of `{base}`" if base else ""
    return f"{decoder:.1f} MB to decode, {encoder:.1f} MB more to encode{beside}"


def facts(name: str) -> list[str]:
    """A model's own facts."""
    stated = manifest(name)
    network = dict(stated["network"])
    family = network.pop("family")
    rows = [
        ("number in the registry", str(numbers()[name])),
        ("identity, first 8 bytes", f"`{stated['identity'][:16]}`"),
        ("family of networks", f"`{family}`"),
        ("qualities", quality_range(stated)),
        ("channels of y, of z", f"{stated['latent']}, {stated['hyper']}"),
        ("trained rates", str(stated["points"])),
        ("files", size_of(name)),
    ]
    if "base" in stated:
        rows.insert(3, ("weights of", f"[`{stated['base']}`]({stated['base']}.md), all but tables and taps"))
    if "lambda" in stated:
        rows.insert(4, ("lambda of the squared error", "{:g} to {:g}".format(*stated["lambda"])))
    widths = ", ".join(f"{key} {value}" for key, value in network.items() if key not in ("latent", "hyper", "points"))
    rows.append(("widths and depths", widths))
    return ["| fact | value |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows)]


def cost(name: str) -> list[str]:
    """What a decoder computes."""
    stages = multiply_adds(name)
    lines = ["| stage of the decoder | multiply-adds a pixel |", "|---|---:|"]
    lines += [f"| {stage} | {count:,.0f} |" for stage, count in stages.items()]
    return [*lines, f"| **all** | **{sum(stages.values()):,.0f}** |"]


def rates(codec: str, quality: tuple[int, int] = (100, 10000)) -> list[str]:
    """What each quality, of those from one Q to another, costs and gives on Kodak."""
    lines = ["| quality | bits a pixel | PSNR, dB | MS-SSIM, dB |", "|---:|---:|---:|---:|"]
    for row in read(RESULTS / "rd-kodak.csv"):
        if row["codec"] == codec and quality[0] <= 100 * float(row["quality"]) <= quality[1]:
            values = float(row["bpp"]), float(row["psnr"]), float(row["msssimdb"])
            lines.append("| {} | {:.3f} | {:.2f} | {:.2f} |".format(row["quality"], *values))
    return lines


def scores() -> list[str]:
    """What a quality of the default tune gives, beside AVIF: SSIMULACRA2 and its spread over Kodak's pictures."""
    rows = read(RESULTS / "rd-kodak-images.csv")
    lines = ["| | quality | SSIMULACRA2 | spread | bits a pixel |", "|---|---:|---:|---:|---:|"]
    for codec, label in ((DEFAULT, "LIC"), (AVIF, "AVIF, speed 4")):
        found = [row for row in rows if row["codec"] == codec and row["ssimulacra2"] not in ("", "nan")]
        for quality in sorted({float(row["quality"]) for row in found}):
            some = [row for row in found if float(row["quality"]) == quality]
            score, bpp = ([float(row[key]) for row in some] for key in ("ssimulacra2", "bpp"))
            values = f"{statistics.mean(score):.1f} | {statistics.stdev(score):.1f} | {statistics.mean(bpp):.3f}"
            lines.append(f"| {label} | {quality:g} | {values} |")
    return lines


def saved(metric: str, codec: str, anchor: str) -> str:
    """By how much a codec's files are smaller at an equal measure on Kodak."""
    row = next(
        row
        for row in read(RESULTS / "bd-kodak.csv")
        if (row["metric"], row["test"], row["kind"], row["anchor"]) == (metric, codec, "live", anchor)
    )
    return f"{-float(row['bd_rate']):.1f} %"


def visual_effort() -> list[str]:
    """What effort does for the default tune."""
    score, eye = (saved(metric, DEFAULT, DEFAULT_0) for metric in ("ssimulacra2", "butteraugli"))
    text = f'On Kodak, effort 2 with `tune="visual"` makes files smaller than effort 0 by {score} at equal SSIMULACRA2 '
    return textwrap.wrap(text + f"and by {eye} at equal Butteraugli.", WIDTH)


def rivals(codec: str, dataset: str = "kodak") -> list[str]:
    """BD-rate against all others."""
    return figures.rate_table(dataset, codec, RESULTS, measured(codec, dataset))


def measured(codec: str, dataset: str) -> list[str]:
    """The measures by which a codec was compared with any other."""
    rows = read(RESULTS / f"bd-{dataset}.csv")
    found = {row["metric"] for row in rows if row["test"] == codec and row["bd_rate"] not in ("", "nan")}
    return [name for name in figures.COLUMNS if name in found]


def training(name: str) -> list[str]:
    """The settings of a model's last run of training."""
    stated = manifest(name)["training"]
    settings = ", ".join(f"{key} {value}" for key, value in stated.items() if key != "name")
    return textwrap.wrap(f"Settings of the last run: {settings}.", WIDTH, break_on_hyphens=False)


def models() -> list[str]:
    """All models."""
    lines = ["| name | number | qualities | family | files |", "|---|---:|---|---|---|"]
    for name, number in numbers().items():
        stated = manifest(name)
        family = stated["network"]["family"]
        lines.append(
            f"| [`{name}`](../cards/{name}.md) | {number} | {quality_range(stated)} | `{family}` | {size_of(name)} |"
        )
    return lines


def estimates(*names: str) -> list[str]:
    """Real files against the float model's own estimate."""
    lines = ["| model | quality | bits a pixel | against the estimate | of it z |", "|---|---:|---:|---:|---:|"]
    for name in names:
        for row in read(RESULTS / f"estimate-{name}.csv"):
            excess, z = figures.percent(row["excess_percent"]), f"{float(row['z_share_percent']):.1f} %"
            lines.append(f"| `{name}` | {row['quality']} | {float(row['bpp']):.3f} | {excess} | {z} |")
    return lines


def opening() -> list[str]:
    """README's table of size: the default tune by what people see, the other by squared errors."""
    found = {
        (row["test"], row["metric"], row["anchor"]): row["bd_rate"]
        for row in read(RESULTS / "bd-kodak.csv")
        if row["kind"] == "live"
    }
    columns = (*((DEFAULT, metric) for metric in ("ssimulacra2", "msssimdb", "butteraugli", "psnr")), (SQUARES, "psnr"))
    heads = [figures.COLUMNS[metric].partition(",")[0] for _, metric in columns[:-1]] + ['PSNR, `tune="psnr"`']
    lines = [f"| on Kodak, against | {' | '.join(heads)} |", f"|---|{'---:|' * len(columns)}"]
    for anchor in OPENING:
        values = [figures.percent(found[codec, metric, anchor]) for codec, metric in columns]
        lines.append(f"| {peers.label(anchor)} | {' | '.join(values)} |")
    return lines


BLOCKS = {
    "README.md": {"size": opening},
    "docs/guide/models.md": {"models": models},
    "docs/guide/quality-and-tuning.md": {
        "scores": scores,
        "effort": guide_tables.effort,
        "visual-effort": visual_effort,
    },
    "docs/guide/sizes-and-parts.md": {"targets": guide_tables.targets},
    "docs/guide/old-jpegs.md": {"enhanced": guide_tables.enhanced},
    "docs/guide/compact.md": {"compact": guide_tables.compact, "compact-lic": guide_tables.compact_lic},
    "docs/guide/machines.md": {"latents": guide_tables.latents, "probes": guide_tables.probes},
    "docs/guide/placeholders.md": {"placeholders": guide_tables.placeholders},
    "docs/guide/progressive.md": {"cuts": guide_tables.cuts},
    "docs/guide/styles.md": {"styles": guide_tables.styles},
    "docs/guide/regions.md": {"region": guide_tables.region},
    "docs/guide/text-and-screens.md": {"screens": guide_tables.screens},
    "docs/guide/comparison.md": {
        "kodak": lambda: rivals(DEFAULT),
        "held-out": lambda: rivals(DEFAULT, "held-out"),
        "speed": guide_tables.speed,
        "large": guide_tables.large,
    },
    "docs/guide/threads-and-servers.md": {"cold": guide_tables.cold, "load": guide_tables.load},
    "docs/SECURITY.md": {"limits": guide_tables.limits},
    "docs/cards/toy.md": {
        "facts": lambda: facts("toy"),
        "cost": lambda: cost("toy"),
        "training": lambda: training("toy"),
    },
    "docs/cards/gdn-mixture.md": {
        "facts": lambda: facts("gdn-mixture"),
        "rates": lambda: rates("lic@gdn-mixture"),
        "rivals": lambda: rivals("lic@gdn-mixture"),
        "estimates": lambda: estimates("gdn-mixture"),
        "training": lambda: training("gdn-mixture"),
    },
    "docs/cards/photo-visual.md": {
        "facts": lambda: facts("photo-visual"),
        "cost": lambda: cost("photo-visual"),
        "rates": lambda: rates(DEFAULT),
        "visual-effort": visual_effort,
        "training": lambda: training("photo-visual"),
    },
    "docs/cards/photo-tiny.md": {
        "facts": lambda: facts("photo-tiny"),
        "cost": lambda: cost("photo-tiny"),
        "rates": lambda: rates("lic@photo-tiny", (10, 100)),
        "rivals": lambda: rivals("lic@photo-tiny"),
        "training": lambda: training("photo-tiny"),
    },
    "docs/cards/photo-ms-ssim.md": {
        "facts": lambda: facts("photo-ms-ssim"),
        "cost": lambda: cost("photo-ms-ssim"),
        "rates": lambda: rates("lic@photo-ms-ssim"),
        "rivals": lambda: rivals("lic@photo-ms-ssim"),
        "training": lambda: training("photo-ms-ssim"),
    },
    **{
        f"docs/cards/{name}.md": {
            "facts": lambda name=name: facts(name),
            "cost": lambda name=name: cost(name),
            "rates": lambda taken=taken: rates(SQUARES, taken),
            "estimates": lambda name=name: estimates(name),
            "training": lambda name=name: training(name),
        }
        for name, taken in SHARED.items()
    },
}
BLOCKS["docs/cards/photo.md"] |= {
    "kodak-psnr": lambda: rivals(SQUARES),
    "held-out-psnr": lambda: rivals(SQUARES, "held-out"),
}


# ---- Documents ----------------------------------------------------------------------------------------------------


def fresh(document: str) -> str:
    """A document with its blocks as they should be. Raises KeyError for a block that is missing or unknown."""
    blocks = dict(BLOCKS[document])

    def replaced(match: re.Match) -> str:
        head, name, _, tail = match.groups()
        return head + "\n".join(blocks.pop(name)()) + "\n" + tail

    text = MARKED.sub(replaced, (ROOT / document).read_text(encoding="utf-8"))
    if blocks:
        msg = f"{document} has no markers for {', '.join(blocks)}"
        raise KeyError(msg)
    return text


def stale() -> list[str]:
    """Documents that differ from what they should be."""
    return [name for name in BLOCKS if (ROOT / name).read_text(encoding="utf-8") != fresh(name)]


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where something is stale")
    wrong = stale()
    if parser.parse_args().check:
        print("\n".join(wrong))
        return 1 if wrong else 0
    for name in wrong:
        (ROOT / name).write_text(fresh(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
