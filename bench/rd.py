"""Rate-distortion of real files: LIC and live codecs through Pillow on a folder of images, beside published curves.

    python bench/rd.py IMAGES [--set kodak] [--codecs lic,jpeg,...] [--qualities 10,50,90] [--limit N] [--workers 1]
    python bench/rd.py IMAGES --set kodak --codecs "" --models photo-visual    # one more model of ours, nothing else

Writes bench/results/rd-<set>-images.csv (every file), rd-<set>.csv (means), bd-<set>.csv, a plot for each measure and a
JSON that says what ran. The first of them is a cache: a file that stands there with the same encoder, options and
pixels is not written again, only measures that its row lacks are added (--again CODECS measures all the same). Rows are
appended as they come, so that a run that breaks off goes on where it was. PSNR, PSNR-HVS-M, SSIMULACRA2 and Butteraugli
are means over the images; SSIM and MS-SSIM are averaged first and then turned into dB, as the published curves do.
"""

import argparse
import collections
import csv
import functools
import hashlib
import json
import multiprocessing
import pathlib
import time

import curves
import ledger
import machine
import metrics
import numpy as np
import peers
from PIL import Image

from pillow_lic import metrics as measures

METRICS = ("psnr", "msssimdb", "ssimdb", "psnr_hvs_m", "ssimulacra2", "butteraugli", "butteraugli_max")
LOWER_IS_BETTER = ("butteraugli", "butteraugli_max")
ANCHOR_LOW = (0.1, 0.3)  # the lowest third of the rate range, bits per pixel
USUAL = {"ssimulacra2": (60, 85)}  # the quality that photographs are published at, for a BD-rate of its own
# column -> what pillow_lic.metrics calls it
COLUMN_OF = {"psnr": "psnr", "msssim": "ms_ssim", "ssim": "ssim", "psnr_hvs_m": "psnr_hvs_m"}
COLUMN_OF |= {name: name for name in ("ssimulacra2", "butteraugli", "butteraugli_max", "lpips")}
IMAGE_COLUMNS = (
    "codec",
    "quality",
    "image",
    "width",
    "height",
    "bytes",
    "bpp",
    *COLUMN_OF,
    "encode_s",
    "decode_s",
    "settings",
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
    "psnr_hvs_m",
    "ssimulacra2",
    "butteraugli",
    "butteraugli_max",
    "lpips",
)
BD_COLUMNS = ("metric", "test", "kind", "anchor", "images", "bd_rate", "bd_rate_low", "bd_rate_usual")
SUFFIXES = {".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"}


# ---- Measuring ----------------------------------------------------------------------------------------------------


def measure(job):
    """One image with one codec: rows of IMAGE_COLUMNS, of [(quality, its row so far or {}, settings)]."""
    name, path, columns, wanted = job
    codec = peers.find(name)
    image = load(path)
    return [measured_file(codec, image, pathlib.Path(path).name, columns, *one) for one in wanted]


def measured_file(codec, image, name, columns, quality, known, settings):
    """One row: encode, decode, measure what the row does not have."""
    start = time.perf_counter()
    data = codec.encode(image, quality)
    middle = time.perf_counter()
    decoded = codec.decode(data)
    end = time.perf_counter()
    if decoded.size != image.size or decoded.mode != "RGB":
        msg = f"{codec.name} quality {quality} {name}: {decoded.mode} {decoded.size} came back"
        raise SystemExit(msg)
    original, result = np.asarray(image), np.asarray(decoded)
    row = {
        "codec": codec.name,
        "quality": f"{quality:g}",
        "image": name,
        "width": image.width,
        "height": image.height,
        "bytes": len(data),
        "bpp": 8 * len(data) / (image.width * image.height),
        "encode_s": middle - start,
        "decode_s": end - middle,
        "settings": settings,
    }
    if known and int(known["bytes"]) == len(data) and known.get("settings") == settings:
        row |= {column: known[column] for column in COLUMN_OF if known.get(column)}
    lacking = [column for column in columns if column not in row]
    found = measures.compare(original, result, [COLUMN_OF[column] for column in lacking])
    row |= {column: found[COLUMN_OF[column]] for column in lacking}
    return row


def load(path):
    """An image in RGB."""
    with Image.open(path) as source:
        return source.convert("RGB")


def pixels(path):
    """Eight digits of an image's pixels."""
    return hashlib.sha256(load(path).tobytes()).hexdigest()[:8]


def plan(codecs, paths, columns, rows, again):
    """(jobs, number of files): what `rows` lacks, image by image, so that a run that breaks off has whole images."""
    jobs = []
    for path in paths:
        digest = pixels(path)
        for name, codec, qualities in codecs:
            wanted = []
            for quality in qualities:
                known = rows.get((codec.name, float(quality), pathlib.Path(path).name), {})
                settings = f"{codec.settings(quality)}-{digest}"
                fresh = known.get("settings") == settings and all(known.get(column) for column in columns)
                if not fresh or codec.name in again:
                    wanted.append((quality, {} if codec.name in again else known, settings))
            if wanted:
                jobs.append((name, path, columns, wanted))
    return jobs, sum(len(job[3]) for job in jobs)


def run(jobs, count, workers, done):
    """Measure, with a progress bar; `done` gets the rows of each job as they come."""
    from tqdm import tqdm

    def follow(results):
        with tqdm(total=count, unit="file") as bar:
            for rows in results:
                done(rows)
                bar.update(len(rows))

    if workers == 1:
        follow(map(measure, jobs))
        return
    with multiprocessing.get_context("spawn").Pool(workers, one_thread) as pool:
        follow(pool.imap_unordered(measure, jobs))


def one_thread():
    """Worker processes share the processors among themselves."""
    import torch

    torch.set_num_threads(1)


# ---- Means and BD-rates -------------------------------------------------------------------------------------------


class Results:
    """The rows by codec, and what follows from them."""

    def __init__(self, rows):
        self.rows = collections.defaultdict(dict)  # codec -> (quality, image) -> row
        for row in rows:
            self.rows[row["codec"]][float(row["quality"]), row["image"]] = row

    @functools.cache  # noqa: B019  one object lives as long as the run
    def images(self, codec, column="psnr"):
        """(images, qualities) of a codec that were measured so: the images with the most qualities, and the qualities
        that all of them have.
        """
        has = collections.defaultdict(set)
        for (quality, image), row in self.rows[codec].items():
            if row.get(column) not in ("", "nan", None):
                has[image].add(quality)
        most = max(map(len, has.values()), default=0)
        whole = {image: qualities for image, qualities in has.items() if len(qualities) == most}
        return frozenset(whole), tuple(sorted(set.intersection(*whole.values()))) if whole else ()

    def mean(self, codec, quality, column, images):
        """The mean of a column over some images."""
        found = [self.rows[codec][quality, image] for image in images]
        return float(np.mean([float(row.get(column) or "nan") for row in found]))

    def value(self, codec, quality, metric, images):
        """A metric over some images."""
        if metric in ("msssimdb", "ssimdb"):
            return metrics.decibel(self.mean(codec, quality, metric.removesuffix("db"), images))
        return self.mean(codec, quality, metric, images)

    def curve(self, codec, metric, images=None):
        """[(bpp, value)] over the images that were measured so, or over some of them."""
        there, qualities = self.images(codec, metric.removesuffix("db"))
        images = there if images is None else images
        return [(self.mean(codec, q, "bpp", images), self.value(codec, q, metric, images)) for q in qualities]

    @functools.cache  # noqa: B019
    def rising(self, codec, metric, images):
        """The curve with more meaning better."""
        sign = -1 if metric in LOWER_IS_BETTER else 1
        return [(bpp, sign * value) for bpp, value in self.curve(codec, metric, images)]

    def means(self):
        """One row of MEAN_COLUMNS per codec and quality."""
        result = []
        for codec, rows in self.rows.items():
            for quality in sorted({quality for quality, _ in rows}):
                images = [image for q, image in rows if q == quality]
                row = {"codec": codec, "quality": quality, "images": len(images)}
                row |= {column: self.mean(codec, quality, column, images) for column in ("bpp", *COLUMN_OF)}
                row |= {metric: self.value(codec, quality, metric, images) for metric in ("msssimdb", "ssimdb")}
                each = [metrics.decibel(float(rows[quality, image].get("msssim") or "nan")) for image in images]
                result.append(row | {"msssimdb_mean": float(np.mean(each))})
        return result

    def bd_rows(self, dataset):
        """BD_COLUMNS of every live codec against every other curve, by every metric, over the images that both were
        measured on.
        """
        rows = []
        for metric in METRICS:
            facts = curves.published(dataset, metric)
            for test in self.rows:
                there, _ = self.images(test, metric.removesuffix("db"))
                anchors = [
                    ("live", name, there & self.images(name, metric.removesuffix("db"))[0])
                    for name in self.rows
                    if name != test
                ]
                if len(there) == curves.IMAGES.get(dataset):
                    anchors += [("published", name, there) for name in facts]
                for kind, name, images in anchors:
                    if images:
                        anchor = facts[name] if kind == "published" else self.rising(name, metric, images)
                        rows.append(bd_row(metric, test, kind, name, images, anchor, self.rising(test, metric, images)))
        return rows


def bd_row(metric, test, kind, name, images, anchor, curve):
    """One row of BD_COLUMNS."""
    return {
        "metric": metric,
        "test": test,
        "kind": kind,
        "anchor": name,
        "images": len(images),
        "bd_rate": round(metrics.bd_rate(anchor, curve), 2),
        "bd_rate_low": round(metrics.bd_rate(anchor, curve, ANCHOR_LOW), 2),
        "bd_rate_usual": round(metrics.bd_rate(anchor, curve, values=USUAL[metric]), 2) if metric in USUAL else "",
    }


def show(rows, test):
    """The table of one codec's BD-rates."""
    low, high = ANCHOR_LOW
    usual = ", ".join(f"{low} and {high} ({name})" for name, (low, high) in USUAL.items())
    print(f"\nBD-rate of {peers.label(test)} (%, negative: smaller files)")
    print(f"whole overlap, {low} to {high} bpp of the anchor, between the scores {usual}")
    for row in rows:
        if row["test"] == test:
            label = curves.LABELS[row["anchor"]] if row["kind"] == "published" else peers.label(row["anchor"])
            print(
                f"  {row['metric']:15} {row['kind']:10} {label:36} {row['images']:3} images {row['bd_rate']:8.2f} "
                f"{row['bd_rate_low']:8.2f} {row['bd_rate_usual']:>8}"
            )


def report(rows, dataset, results):
    """Means, BD-rates, plots, tables."""
    import plots

    found = Results(rows)
    write(results / f"rd-{dataset}.csv", MEAN_COLUMNS, found.means())
    bd = found.bd_rows(dataset)
    write(results / f"bd-{dataset}.csv", BD_COLUMNS, bd)
    for metric in METRICS:
        live = {codec: curve for codec in found.rows if (curve := found.curve(codec, metric))}
        if live:
            plots.draw(results / f"rd-{dataset}-{metric}.png", metric, dataset, live, curves.published(dataset, metric))
    for name in [name for name in found.rows if peers.ours(name)] or found.rows:
        show(bd, name)


# ---- Files, options -----------------------------------------------------------------------------------------------


def live_curves(mean_rows, metric):
    """{codec: [(bpp, value)]} of rows of MEAN_COLUMNS, without the codecs that were not measured so on all their
    images.
    """
    result = collections.defaultdict(list)
    for row in mean_rows:
        if np.isfinite(float(row.get(metric) or "nan")):
            result[row["codec"]].append((float(row["bpp"]), float(row[metric])))
    return dict(result)


def write(path, columns, rows):
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: ledger.text(value) for key, value in row.items()})


def read(path):
    """Its rows, as text."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def images_in(folder, limit):
    """The image files of a folder, sorted, at most `limit`."""
    paths = sorted(p for p in pathlib.Path(folder).iterdir() if p.suffix.lower() in SUFFIXES)[:limit]
    if not paths:
        msg = f"no images in {folder}"
        raise SystemExit(msg)
    return [str(path) for path in paths]


def options(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", help="folder of images")
    parser.add_argument("--set", help="name of the set, default the folder's; published curves exist for `kodak`")
    known = f"of {', '.join(peers.CODECS)}, lic@MODEL, lic~TUNE; default all"
    parser.add_argument("--codecs", default=",".join(peers.CODECS), help=known)
    parser.add_argument(
        "--models", default="", help="further models of ours, by name or folder: as lic@MODEL in --codecs"
    )
    parser.add_argument("--tunes", default="", help="further tunes of ours: as lic~TUNE in --codecs")
    parser.add_argument("--qualities", help="instead of each codec's own (not for JPEG 2000, whose scale is a ratio)")
    parser.add_argument("--points", type=int, help="so many of each codec's own qualities, evenly")
    parser.add_argument("--measures", default=",".join(COLUMN_OF), help="default: all that are available")
    parser.add_argument("--limit", type=int, help="only the first N images")
    parser.add_argument("--workers", "--jobs", type=int, default=1, help="processes")
    parser.add_argument("--again", default="", help="codecs to measure again, whatever is there")
    parser.add_argument("--report", action="store_true", help="measure nothing, make tables and plots of what is there")
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    return parser.parse_args(arguments)


def qualities_of(codec, chosen, points=None):
    """The qualities to run a codec at."""
    if chosen and codec.scale == "quality":
        return tuple(float(q) for q in chosen.split(","))
    last = len(codec.qualities) - 1
    return (
        codec.qualities if not points else tuple(codec.qualities[round(i * last / (points - 1))] for i in range(points))
    )


def columns_of(chosen):
    """The columns to measure, without those that cannot be measured here."""
    columns = []
    for column in chosen.split(","):
        if column not in COLUMN_OF:
            msg = f"unknown measure {column}; known: {', '.join(COLUMN_OF)}"
            raise SystemExit(msg)
        lacks = measures.missing(COLUMN_OF[column])
        if lacks:
            print(f"left out: {column} {lacks}")
        else:
            columns.append(column)
    return columns


def describe(path, images, codecs):
    """The JSON beside the tables: this run, and of other codecs what their own run said, with its commit."""
    earlier = json.loads(path.read_text("utf-8")) if path.exists() else {"codecs": {}}
    old = {name: {"commit": earlier["commit"], **facts} for name, facts in earlier["codecs"].items()}
    machine.write_description(path, images=images, codecs=old | codecs)


def main():
    """Measure, write, draw."""
    chosen = options()
    names = [name for name in chosen.codecs.split(",") if name]
    names += [f"lic@{name}" for name in chosen.models.split(",") if name]
    names += [f"lic~{name}" for name in chosen.tunes.split(",") if name]
    found = [(name, peers.find(name)) for name in names]
    codecs = [(name, codec, qualities_of(codec, chosen.qualities, chosen.points)) for name, codec in found]
    paths = images_in(chosen.images, chosen.limit)
    dataset = chosen.set or pathlib.Path(chosen.images).name
    target = chosen.results / f"rd-{dataset}-images.csv"
    rows = ledger.read(target)
    ledger.write(target, IMAGE_COLUMNS, rows.values())  # sorted, under today's columns, to append to
    if not chosen.report:
        again = {codec.name for _, codec in found} & set(chosen.again.split(","))
        jobs, count = plan(codecs, paths, columns_of(chosen.measures), rows, again)
        describe(
            chosen.results / f"rd-{dataset}.json",
            len(paths),
            {
                c.name: {"label": c.label, "options": str(c.options(q[0])), "qualities": q, "encoder": c.encoder()}
                for _, c, q in codecs
            },
        )
        one_thread()
        try:
            run(jobs, count, chosen.workers, lambda part: ledger.append(target, IMAGE_COLUMNS, part))
        finally:
            rows = ledger.read(target)
            ledger.write(target, IMAGE_COLUMNS, rows.values())
    report(ledger.read(target).values(), dataset, chosen.results)


if __name__ == "__main__":
    main()
