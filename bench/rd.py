"""Rate-distortion of real files: LIC and live codecs through Pillow on a folder of images, beside published curves.

    python bench/rd.py IMAGES [--set kodak] [--codecs lic,jpeg,...] [--qualities 10,50,90] [--limit N] [--jobs 1] [--update]
    python bench/rd.py IMAGES --set kodak --codecs lic@runs/my-model --update     # another model into the same tables

Writes bench/results/rd-<set>.csv (means), rd-<set>-images.csv (every file), bd-<set>.csv, a plot for each metric and a JSON that
says what ran. PSNR is the mean of the images' dB; SSIM and MS-SSIM are averaged first and then turned into dB, as the published curves do.
"""

import argparse
import collections
import csv
import json
import multiprocessing
import pathlib
import time
from multiprocessing.pool import ThreadPool

import curves
import machine
import metrics
import numpy as np
import peers
from PIL import Image

METRICS = ("psnr", "msssimdb", "ssimdb")
ANCHOR_LOW = (0.1, 0.3)  # the lowest third of the rate range, bits per pixel
IMAGE_COLUMNS = (
    "codec",
    "quality",
    "image",
    "width",
    "height",
    "bytes",
    "bpp",
    "psnr",
    "msssim",
    "ssim",
    "lpips",
    "encode_s",
    "decode_s",
)
MEAN_COLUMNS = (
    "codec",
    "quality",
    "images",
    "bpp",
    "psnr",
    "msssim",
    "msssimdb",
    "msssimdb_mean",
    "ssim",
    "ssimdb",
    "lpips",
)
SUFFIXES = {".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"}


def measure(job):
    """One image with one codec at all qualities: rows of IMAGE_COLUMNS."""
    name, qualities, path = job
    codec = peers.find(name)
    with Image.open(path) as source:
        image = source.convert("RGB")
    original, rows = np.asarray(image), []
    for quality in qualities:
        start = time.perf_counter()
        data = codec.encode(image, quality)
        middle = time.perf_counter()
        decoded = codec.decode(data)
        end = time.perf_counter()
        if decoded.size != image.size or decoded.mode != "RGB":
            raise SystemExit(f"{name} quality {quality} {path}: {decoded.mode} {decoded.size} came back")
        result = np.asarray(decoded)
        rows.append(
            {
                "codec": codec.name,
                "quality": quality,
                "image": pathlib.Path(path).name,
                "width": image.width,
                "height": image.height,
                "bytes": len(data),
                "bpp": 8 * len(data) / (image.width * image.height),
                "psnr": metrics.psnr(original, result),
                "msssim": metrics.ms_ssim(original, result),
                "ssim": metrics.ssim(original, result),
                "lpips": metrics.lpips(original, result),
                "encode_s": middle - start,
                "decode_s": end - middle,
            }
        )
    return rows


def run(jobs, processes):
    """All rows, with a progress bar."""
    from tqdm import tqdm

    rows = []
    pools = multiprocessing.get_context("spawn").Pool(processes, one_thread) if processes > 1 else ThreadPool(1)
    with pools as pool:
        for part in tqdm(pool.imap_unordered(measure, jobs), total=len(jobs), unit="image"):
            rows += part
    return sorted(rows, key=lambda row: (row["codec"], float(row["quality"]), row["image"]))


def one_thread():
    """Worker processes share the processors among themselves."""
    import torch

    torch.set_num_threads(1)


def means(rows):
    """One row of MEAN_COLUMNS per codec and quality."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["codec"], float(row["quality"])].append(row)
    result = []
    for (codec, quality), group in groups.items():

        def mean(column):
            return float(np.mean([float(row.get(column) or "nan") for row in group]))

        result.append(
            {
                "codec": codec,
                "quality": quality,
                "images": len(group),
                "bpp": mean("bpp"),
                "psnr": mean("psnr"),
                "msssim": mean("msssim"),
                "msssimdb": metrics.decibel(mean("msssim")),
                "msssimdb_mean": float(np.mean([metrics.decibel(float(row["msssim"])) for row in group])),
                "ssim": mean("ssim"),
                "ssimdb": metrics.decibel(mean("ssim")),
                "lpips": mean("lpips"),
            }
        )
    return result


def live_curves(mean_rows, metric):
    """{codec: [(bpp, value)]}."""
    result = collections.defaultdict(list)
    for row in mean_rows:
        result[row["codec"]].append((float(row["bpp"]), float(row[metric])))
    return dict(result)


def measured(mean_rows):
    """The metrics that every row has: rows that --update kept may be older than a metric."""
    return [metric for metric in METRICS if all(np.isfinite(float(row[metric])) for row in mean_rows)]


def bd_rows(mean_rows, dataset):
    """BD-rate of every live codec against every other curve: metric, test, anchor, kind, bd_rate, bd_rate_low."""
    rows = []
    for metric in measured(mean_rows):
        live, facts = live_curves(mean_rows, metric), curves.published(dataset, metric)
        anchors = [("live", name, curve) for name, curve in live.items()]
        anchors += [("published", name, curve) for name, curve in facts.items()]
        for test, curve in live.items():
            for kind, name, anchor in anchors:
                if kind == "published" or name != test:
                    rows.append(
                        {
                            "metric": metric,
                            "test": test,
                            "kind": kind,
                            "anchor": name,
                            "bd_rate": round(metrics.bd_rate(anchor, curve), 2),
                            "bd_rate_low": round(metrics.bd_rate(anchor, curve, ANCHOR_LOW), 2),
                        }
                    )
    return rows


def show(rows, test):
    """The table of one codec's BD-rates."""
    print(
        f"\nBD-rate of {peers.label(test)} (%, negative: smaller files), whole overlap and "
        f"{ANCHOR_LOW[0]} to {ANCHOR_LOW[1]} bpp of the anchor"
    )
    for row in rows:
        if row["test"] == test:
            label = curves.LABELS[row["anchor"]] if row["kind"] == "published" else peers.label(row["anchor"])
            print(f"  {row['metric']:9} {row['kind']:10} {label:30} {row['bd_rate']:8.2f} {row['bd_rate_low']:8.2f}")


def write(path, columns, rows):
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})


def read(path):
    """Its rows, as text."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def images_in(folder, limit):
    """The image files of a folder, sorted, at most `limit`."""
    paths = sorted(p for p in pathlib.Path(folder).iterdir() if p.suffix.lower() in SUFFIXES)[:limit]
    if not paths:
        raise SystemExit(f"no images in {folder}")
    return [str(path) for path in paths]


def options(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", help="folder of images")
    parser.add_argument("--set", help="name of the set, default the folder's; published curves exist for `kodak`")
    parser.add_argument("--codecs", default=",".join(peers.CODECS), help=f"of {', '.join(peers.CODECS)}, lic@MODEL")
    parser.add_argument("--qualities", help="instead of each codec's own (not for JPEG 2000, whose scale is a ratio)")
    parser.add_argument("--limit", type=int, help="only the first N images")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--update", action="store_true", help="keep the rows of other codecs that the CSV already has")
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    return parser.parse_args(arguments)


def qualities_of(codec, chosen):
    """The qualities to run a codec at."""
    return tuple(float(q) for q in chosen.split(",")) if chosen and codec.scale == "quality" else codec.qualities


def report(rows, dataset, results):
    """Means, BD-rates, plots, tables."""
    import plots

    averaged = means(rows)
    write(results / f"rd-{dataset}.csv", MEAN_COLUMNS, averaged)
    bd = bd_rows(averaged, dataset)
    write(results / f"bd-{dataset}.csv", ("metric", "test", "kind", "anchor", "bd_rate", "bd_rate_low"), bd)
    for metric in measured(averaged):
        plots.draw(
            results / f"rd-{dataset}-{metric}.png",
            metric,
            dataset,
            live_curves(averaged, metric),
            curves.published(dataset, metric),
        )
    tested = sorted({row["codec"] for row in averaged})
    for name in [name for name in tested if peers.ours(name)] or tested:
        show(bd, name)


def describe(path, images, kept, codecs):
    """The JSON beside the tables: this run, and of codecs whose rows are kept what their own run said, with its commit."""
    earlier = json.loads(path.read_text("utf-8")) if kept and path.exists() else {}
    old = {
        name: {"commit": earlier["commit"], **facts}
        for name, facts in earlier.get("codecs", {}).items()
        if name in kept
    }
    machine.write_description(path, images=images, codecs=old | codecs)


def kept_rows(path, codecs):
    """The rows of other codecs in an earlier CSV."""
    measured = {codec.name for codec in codecs}
    return [row for row in read(path) if row["codec"] not in measured] if path.exists() else []


def main():
    """Measure, write, draw."""
    chosen = options()
    names = chosen.codecs.split(",")
    codecs = [peers.find(name) for name in names]
    paths = images_in(chosen.images, chosen.limit)
    dataset = chosen.set or pathlib.Path(chosen.images).name
    target = chosen.results / f"rd-{dataset}-images.csv"
    kept = kept_rows(target, codecs) if chosen.update else []
    qualities = [qualities_of(codec, chosen.qualities) for codec in codecs]
    describe(
        chosen.results / f"rd-{dataset}.json",
        len(paths),
        {row["codec"] for row in kept},
        {
            c.name: {"label": c.label, "options": str(c.options(q[0])), "qualities": q}
            for c, q in zip(codecs, qualities)
        },
    )
    if chosen.limit:
        print("note: published curves are of the whole set, these figures are not")
    one_thread()
    jobs = [(name, quality, path) for name, quality in zip(names, qualities) for path in paths]
    rows = kept + run(jobs, chosen.jobs)
    write(target, IMAGE_COLUMNS, rows)
    report(rows, dataset, chosen.results)


if __name__ == "__main__":
    main()
