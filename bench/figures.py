"""The README's table and picture, made of bench/results: measures nothing.

    python bench/figures.py [--set kodak] [--codec lic] [--out docs/img]

Prints the table in Markdown, a column for each of --metrics, and draws OUT/rd-<set>.png (PSNR) and
OUT/rd-<set>-<metric>.png of the others that the codec was measured by; of another codec than the default
OUT/rd-<set>-<model>-<metric>.png.
"""

import argparse
import pathlib
import statistics

import curves
import machine
import peers
from rd import USUAL as RANGES
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
LIVE = (
    *("jpeg", "jpegli", "jpeg2000", "webp", "jxl", "jxl-default", "heic-psnr", "heic", "heic-default"),
    *("avif-psnr", "avif-ssim", "avif", "avif-2", "avif-420", "avif-420-2", "avif-default"),
)
COLUMNS = {
    "psnr": "PSNR",
    "msssimdb": "MS-SSIM",
    "psnr_hvs_m": "PSNR-HVS-M",
    "ssimulacra2": "SSIMULACRA2",
    "butteraugli": "Butteraugli, 3-norm",
    "butteraugli_max": "Butteraugli, maximum",
}
USUAL = "ssimulacra2:usual"  # SSIMULACRA2 between the scores of rd.USUAL alone
RANGE = RANGES["ssimulacra2"]


def percent(text):
    """A BD-rate for people."""
    value = float(text)
    return "" if value != value else f"{value:+.1f} %".replace("-", "\N{MINUS SIGN}")


def rate_table(dataset, codec, results, metrics):
    """Lines: how much smaller our files are than each rival's, a column per metric; rivals without any figure are left
    out.
    """
    found = {}
    for row in read(results / f"bd-{dataset}.csv"):
        if row["test"] == codec:
            found[row["metric"], row["kind"], row["anchor"]] = row["bd_rate"]
            found[row["metric"] + ":usual", row["kind"], row["anchor"]] = row["bd_rate_usual"] or "nan"
    rivals = [("live", name, peers.label(name)) for name in LIVE]
    rivals += [("published", name, f"{curves.LABELS[name]} (published curve)") for name in PUBLISHED]
    heads = [f"SSIMULACRA2 {RANGE[0]} to {RANGE[1]}" if name == USUAL else COLUMNS[name] for name in metrics]
    lines = [f"| file size at equal quality, against | {' | '.join(heads)} |", f"|---|{'---:|' * len(metrics)}"]
    for kind, name, label in rivals:
        values = [percent(found.get((metric, kind, name), "nan")) for metric in metrics]
        if any(values):
            lines.append(f"| {label} | {' | '.join(values)} |")
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
    parser.add_argument("--codec", default="lic", help="lic, lic~TUNE or lic@MODEL as measured")
    parser.add_argument("--metrics", default="psnr,msssimdb", help=f"of {','.join([*COLUMNS, USUAL])}: the columns")
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "img")
    chosen = parser.parse_args()
    table = rate_table(chosen.set, chosen.codec, chosen.results, chosen.metrics.split(","))
    print("\n".join([*table, "", *speed_table(chosen.set, chosen.results)]))
    rows = read(chosen.results / f"rd-{chosen.set}.csv")
    middle = "" if chosen.codec == "lic" else "-" + chosen.codec[len("lic@") :]
    for metric in ("psnr", "msssimdb", "ssimulacra2", "butteraugli"):
        if chosen.codec in live_curves(rows, metric):
            file = chosen.out / f"rd-{chosen.set}{middle}-{metric}.png"
            picture(chosen.set, chosen.codec, metric, chosen.results, file)


if __name__ == "__main__":
    main()
