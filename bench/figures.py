"""The README's table and picture, made of bench/results: measures nothing.

    python bench/figures.py [--set kodak] [--codec lic] [--out docs/img]

Prints the table in Markdown and draws OUT/rd-<set>.png (PSNR); of another codec than the default OUT/rd-<set>-<model>-<metric>.png, PSNR and MS-SSIM.
"""

import argparse
import pathlib
import statistics

import curves
import machine
import peers
from rd import live_curves, read

ROOT = pathlib.Path(__file__).parent.parent
PUBLISHED = (
    "jpeg",
    "webp",
    "bpg444",
    "hm",
    "av1",
    "vtm",
    "cai-bmshj2018-hyperprior",
    "cai-mbt2018-mean",
    "cai-cheng2020-anchor",
)
LIVE = ("jpeg", "jpeg2000", "webp", "jxl", "heic-psnr", "heic", "heic-default", "avif-psnr", "avif", "avif-default")


def percent(text):
    """A BD-rate for people."""
    value = float(text)
    return "" if value != value else f"{value:+.1f} %".replace("-", "\N{MINUS SIGN}")


def rate_table(dataset, codec, results):
    """Lines: how much smaller our files are than each rival's."""
    found = {
        (row["metric"], row["kind"], row["anchor"]): row["bd_rate"]
        for row in read(results / f"bd-{dataset}.csv")
        if row["test"] == codec
    }
    rivals = [("live", name, peers.label(name)) for name in LIVE]
    rivals += [("published", name, f"{curves.LABELS[name]} (published curve)") for name in PUBLISHED]
    lines = ["| file size at equal quality, against | PSNR | MS-SSIM |", "|---|---:|---:|"]
    for kind, name, label in rivals:
        values = [percent(found.get((metric, kind, name), "nan")) for metric in ("psnr", "msssimdb")]
        if any(values):
            lines.append(f"| {label} | {values[0]} | {values[1]} |")
    return lines


def speed_table(dataset, results):
    """Lines: median milliseconds of a warm process, one thread; or nothing without a measurement."""
    path = results / f"speed-{dataset}.csv"
    if not path.exists():
        return []
    rows = [row for row in read(path) if row["threads"] == "1"]
    lines = ["| one thread | encode | decode | decode, times CompressAI's speed |", "|---|---:|---:|---:|"]
    for name in dict.fromkeys(row["codec"] for row in rows):
        group = [row for row in rows if row["codec"] == name]

        def median(column, group=group):
            return statistics.median(float(row[column] or "nan") for row in group)

        label = (
            peers.label(name)
            if name != "compressai"
            else f"CompressAI mbt2018-mean, random weights, {median('bpp'):.2f} bits per pixel"
        )
        lines.append(
            f"| {label} | {median('encode_ms'):.0f} ms | {median('decode_ms'):.1f} ms | {median('decode_ratio'):.1f} |"
        )
    return lines


def picture(dataset, codec, metric, results, path):
    """A rate-distortion picture: one of ours, the live codecs, the published curves."""
    import plots

    live = live_curves(read(results / f"rd-{dataset}.csv"), metric)
    live = {name: curve for name, curve in live.items() if name == codec or not peers.ours(name)}
    plots.draw(path, metric, dataset.capitalize(), live, curves.published(dataset, metric), size=(8, 5))


def main():
    """Print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="kodak")
    parser.add_argument("--codec", default="lic", help="lic, or lic@MODEL as measured")
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "img")
    chosen = parser.parse_args()
    print(
        "\n".join([*rate_table(chosen.set, chosen.codec, chosen.results), "", *speed_table(chosen.set, chosen.results)])
    )
    if chosen.codec == "lic":
        picture(chosen.set, "lic", "psnr", chosen.results, chosen.out / f"rd-{chosen.set}.png")
        return
    for metric in ("psnr", "msssimdb"):
        name = f"rd-{chosen.set}-{chosen.codec.removeprefix('lic@')}-{metric}.png"
        picture(chosen.set, chosen.codec, metric, chosen.results, chosen.out / name)


if __name__ == "__main__":
    main()
