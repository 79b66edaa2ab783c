"""Tables of the guide, as lines of Markdown, made of bench/results: measures nothing.

bench/cards.py writes them between the documents' markers. Imports the bench and the standard library.
"""

from __future__ import annotations

import json
from pathlib import Path

import figures
from rd import read

RESULTS = Path(__file__).parent / "results"
DRAWN = ("page-black", "code-8", "stripes-1-across", "plot-1", "zone-plate", "gradient-radial")  # of bench/screens.py
FORMATS = {"lic": "LIC (ours)", "jpeg": "JPEG", "webp": "WebP", "avif": "AVIF"}
PLACEHOLDERS = {  # codecs of bench/placeholders.py
    "pillow-lic": "pillow-lic",
    "pillow-lic, 24": "pillow-lic",
    "thumbhash": "ThumbHash",
    "lbg": "vector quantiser (LBG on DCT blocks)",
    "blurhash": "BlurHash, 4 x 3 components",
}
GAINS = {  # columns of bench/enhance.py
    "gain": "luma, mean",
    "worst": "luma, worst picture",
    "rgb_gain": "RGB, mean",
    "smoothing": "smoothing, luma",
    "again": "JPEG again, luma",
}
LABELS = {  # sets of bench/latents.py
    "letters": "{classes} letters, tested in fonts that were not trained on",
    "textures": "{classes} pictures of scikit-image, crops of the half that was not trained on",
}


def speed() -> list[str]:
    """Times beside other codecs."""
    return figures.speed_table("kodak", RESULTS)


def effort() -> list[str]:
    """What effort gives and costs."""
    lines = [
        "| effort | BD-rate against effort 0 | worst and best image | time, effort 0 = 1 |",
        "|---:|---:|---:|---:|",
    ]
    for row in read(RESULTS / "effort-kodak.csv"):
        ends = f"{figures.percent(row['worst'])}, {figures.percent(row['best'])}"
        lines.append(f"| {row['effort']} | {figures.percent(row['bd_rate'])} | {ends} | {float(row['times']):.1f} |")
    return lines


def targets() -> list[str]:
    """How near files come to what is asked for."""
    lines = [
        "| asked for | files | above | beside it, mean | worst | time, a plain save = 1 | longest |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in read(RESULTS / "targets-held-out.csv"):
        size = row["target"] == "size"
        misses = [f"{float(row[key]):.2f} {'%' if size else 'dB'}" for key in ("mean_miss", "worst_miss")]
        times = [f"{float(row[key]):.1f}" for key in ("time_mean", "time_worst")]
        name, above = ("a size", row["above"]) if size else ("a PSNR", "")
        lines.append(f"| {name} | {row['files']} | {above} | {' | '.join([*misses, *times])} |")
    return lines


def cuts() -> list[str]:
    """What cut files take beyond files made for their PSNR."""
    rows = read(RESULTS / "excess-cut.csv")
    shares = sorted({float(row["share"]) for row in rows}, reverse=True)
    lines = [
        f"| quality | {' | '.join('whole' if one == 1 else f'{100 * one:.0f} %' for one in shares)} |",
        "|---:" * (len(shares) + 1) + "|",
    ]
    for quality in dict.fromkeys(row["quality"] for row in rows):
        found = {float(row["share"]): row for row in rows if row["quality"] == quality}
        cells = [f"{figures.percent(100 * float(found[one]['excess_mean']))}" for one in shares]
        lines.append(f"| {quality} | {' | '.join(cells)} |")
    return lines


def region() -> list[str]:
    """What files with a region take beyond the ideal of two files."""
    lines = ["| quality | PSNR inside | outside | beyond the ideal | worst |", "|---:|---:|---:|---:|---:|"]
    for row in read(RESULTS / "excess-region.csv"):
        more = [figures.percent(100 * float(row[key])) for key in ("excess_mean", "excess_worst")]
        inside, outside = (_decibels(row[f"psnr_{where}"]) for where in ("inside", "outside"))
        lines.append(f"| {row['quality']} | {inside} | {outside} | {' | '.join(more)} |")
    return lines


def screens() -> list[str]:
    """Some of the drawn pictures of bench/screens.py."""
    rows = {(row["picture"], float(row["quality"])): row for row in read(RESULTS / "screens.csv")}
    lines = ["| picture, quality 75 | bytes | networks alone | lossless WebP |", "|---|---:|---:|---:|"]
    for name in DRAWN:
        row = rows[name, 75]
        exact = float(row["psnr"]) == 100  # what stands there for exact
        ours = f"{int(row['bytes']):,}{', exact' if exact else ' at ' + _decibels(row['psnr'])}"
        alone = f"{int(row['off']):,} at {_decibels(row['off_psnr'])}"
        lines.append(f"| {name} | {ours} | {alone} | {int(row['webp']):,} |")
    return lines


def large() -> list[str]:
    """Time and memory of large images."""
    lines = ["| | megapixels | seconds | peak memory, MB |", "|---|---:|---:|---:|"]
    for row in read(RESULTS / "large.csv"):
        lines.append(f"| {row['what']} | {row['megapixels']} | {float(row['seconds']):.1f} | {row['peak_mb']} |")
    return lines


def cold() -> list[str]:
    """A fresh process that opens one picture."""
    lines = ["| | bytes | seconds | times AVIF's | peak memory, MB |", "|---|---:|---:|---:|---:|"]
    for row in read(RESULTS / "cold.csv"):
        ratio, peak = float(row["against_avif"]), float(row["peak_mb"])
        stated = f"{row['bytes']} | {float(row['seconds']):.3f} | {ratio:.2f} | {peak:.0f}"
        lines.append(f"| {FORMATS[row['format']]} | {stated} |")
    return lines


def load() -> list[str]:
    """Several processes that decode at once."""
    lines = ["| | alone | alone, one thread | together | processes | ratio |", "|---|---:|---:|---:|---:|---:|"]
    for row in read(RESULTS / "load.csv"):
        alone, one, together = (f"{float(row[key]):.3f}" for key in ("alone", "alone_one_thread", "together"))
        ratio = float(row["against_one_thread"])
        lines.append(f"| {FORMATS[row['format']]} | {alone} | {one} | {together} | {row['processes']} | {ratio:.2f} |")
    return lines


def limits() -> list[str]:
    """What forged files cost."""
    lines = ["| limits | file | pixels | bytes | seconds | MB |", "|---|---|---:|---:|---:|---:|"]
    for row in read(RESULTS / "limits.csv"):
        size, cost = f"{row['width']} x {row['height']} | {row['bytes']}", f"{float(row['seconds']):.1f}"
        lines.append(f"| {row['limits']} | {row['what']} | {size} | {cost} | {row['peak_mb']} |")
    return lines


def enhanced() -> list[str]:
    """What a JPEG gains, in dB, by quality."""
    rows = [row for row in read(RESULTS / "enhance-kodak.csv") if row["format"] == "4:2:0"]
    lines = [f"| quality | {' | '.join(row['quality'] for row in rows)} |", f"|---|{'---:|' * len(rows)}"]
    for column, label in GAINS.items():
        cells = ["" if row[column] == "nan" else f"{float(row[column]):+.2f}" for row in rows]
        lines.append(f"| {label} | {' | '.join(cells)} |".replace("  ", " "))
    return lines


def compact() -> list[str]:
    """PSNR at equal bytes, by rate, of both sets."""
    lines = ["| set | bits a pixel | pictures | JPEG | JPEG, enhanced | half, cubic | compact | gain | worst |"]
    lines.append(f"|---|{'---:|' * 8}")
    for name in ("held-out", "kodak"):
        for row in read(RESULTS / f"compact-{name}.csv"):
            cells = [f"{float(row[way]):.2f}" for way in ("jpeg", "enhanced", "half", "compact")]
            gains = [f"{float(row[column]):+.2f}" for column in ("gain", "worst")]
            lines.append(f"| {name} | {row['rate']} | {row['images']} | {' | '.join([*cells, *gains])} |")
    return lines


def compact_lic() -> list[str]:
    """The same beside .lic, on the pictures with which it was compared."""
    lines = ["| set | bits a pixel | pictures | compact | `.lic` |", f"|---|{'---:|' * 4}"]
    for name in ("held-out", "kodak"):
        for row in read(RESULTS / f"compact-{name}.csv"):
            if int(row["lic_images"]):
                values = f"{float(row['compact_there']):.2f} | {float(row['lic']):.2f}"
                lines.append(f"| {name} | {row['rate']} | {row['lic_images']} | {values} |")
    return lines


def latents() -> list[str]:
    """Time of latents against that of pixels."""
    found = json.loads((RESULTS / "latents.json").read_text())["time_ratio"]
    lines = [f"| quality | {' | '.join(found)} |", f"|---|{'---:|' * len(found)}"]
    for key, call in (("without", "latents(data, scales=False)"), ("with_scales", "latents(data)")):
        lines.append(f"| `{call}` | {' | '.join(f'{ratios[key]:.2f}' for ratios in found.values())} |")
    return lines


def probes() -> list[str]:
    """What a linear probe finds in latents and in pixels."""
    lines = ["| labels that are true | latents | pixels |", "|---|---:|---:|"]
    for row in read(RESULTS / "latents.csv"):
        label = LABELS[row["set"]].format(classes=row["classes"])
        lines.append(f"| {label} | {float(row['latents']):.1f} % | {float(row['pixels']):.1f} % |")
    return lines


def placeholders() -> list[str]:
    """Small pictures at equal bytes."""
    rows = {row["codec"]: row for row in read(RESULTS / "placeholders.csv")}
    lines = ["| | bytes | PSNR | SSIMULACRA2 |", "|---|---:|---:|---:|"]
    for name, label in PLACEHOLDERS.items():
        size, psnr, score = (float(rows[name][key]) for key in ("bytes", "psnr", "ssimulacra2"))
        lines.append(f"| {label} | {size:.0f} | {psnr:.2f} dB | {score:.1f} |")
    return lines


STYLES = {
    "default": "default",
    "perceptual:0.5": "perceptual, half",
    "perceptual": "perceptual",
    "avif": "AVIF, equal bytes",
}


def styles() -> list[str]:
    """What each style does to texture and to what is measured otherwise."""
    rows = read(RESULTS / "texture.csv")
    defaults = {row["quality"]: row for row in rows if row["style"] == "default"}
    lines = [
        "| bits a pixel | shown | Wasserstein | Fréchet | SSIMULACRA2 | PSNR | blocks' colours |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        own = defaults[row["quality"]]
        ratios = [float(row[key]) / float(own[key]) for key in ("wd", "fd")]
        wd, fd = ("" if row is own else figures.percent(100 * (ratio - 1)) for ratio in ratios)
        score, apart = f"{float(row['ssimulacra2']):.1f}", f"{float(row['block_colour']):.1f}"
        line = (f"{float(row['bpp']):.2f}", STYLES[row["style"]], wd, fd, score, f"{float(row['psnr']):.2f} dB", apart)
        lines.append(f"| {' | '.join(line)} |")
    return lines


def _decibels(text: str) -> str:
    return f"{float(text):.1f} dB"
