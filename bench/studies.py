"""What each part of a codec is worth, at equal, stated budgets: the source paper's own studies (Zhu et al. 2020),
designs of `photo`, and of its synthesis alone.

    python bench/studies.py PHOTOGRAPHS --study paper|designs|synthesis --runs FOLDER [--steps 1200] [--seeds 3]
        [--only "K=3;K=1"] [--set filters=48 ...]

Every variant trains from the same start for the same steps on the same crops, with each of the seeds, and is judged on
the held-out photographs at five rates with hard rounding (train.train's validation). A run that is done is not run
again. BD-rate: over those five points, mean of the seeds, against the study's reference. `share`: what the analysis
network adds to the variance of y; while it is next to nothing, variants of the transforms have hardly been compared.
Writes bench/results/STUDY.csv (the table), STUDY-curves.csv (the loss as it falls) and docs/img/STUDY.png. Never runs
on a test set.
"""

import argparse
import collections
import csv
import dataclasses
import pathlib
import statistics
import sys
import time

import machine
import macs
import metrics

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import designs  # noqa: E402

from train.families import network_config  # noqa: E402
from train.train import TrainConfig, Trainer  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Study:
    """variants: name -> what its [network] changes of `sizes`."""

    variants: dict
    reference: str
    sizes: dict
    training: dict
    start: str | None = (
        None  # the shipped model whose encoder and probabilities stand still, while a fresh synthesis learns
    )


PAPER = {
    "factorized": {"family": "factorized", "components": 0, "attention": False},
    "hyperprior": {"family": "hyperprior", "components": 0, "attention": False},
    "zero mean": {"family": "hyperprior", "components": 0},
    "K=1": {"components": 1},
    "K=2": {"components": 2},
    "K=3": {"components": 3},
    "K=4": {"components": 4},
    "K=3, no attention": {"components": 3, "attention": False},
}
STUDIES = {
    "paper": Study(
        PAPER,
        "zero mean",
        {"family": "gdn-mixture", "filters": 48, "latent": 64, "hyper": 48, "hidden": 48},
        {"lr": 1e-3, "lowest": 0.0006, "highest": 0.03},
    ),
    "designs": Study(
        designs.DESIGNS,
        next(iter(designs.DESIGNS)),
        designs.SIZES,
        {"lr": 1e-3, "lowest": 0.0008, "highest": 0.25},
    ),
    "synthesis": Study(
        designs.SYNTHESES,
        next(iter(designs.SYNTHESES)),
        {},
        {"lr": 5e-3, "lowest": 0.0008, "highest": 0.25, "rates": (0.0, 4 / 7)},
        start="photo-low",
    ),
}
CONFIG = {
    "batch": 8,
    "crop": 128,
    "final_crop": 128,
    "final_share": 0.0,
    "warmup": 50,
    "decay_share": 0.75,
    "ema": 0.99,
}
PARTS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the trained rates, at which train.train validates
COLUMNS = (
    "variant",
    "seed",
    "steps",
    "seconds",
    "decoder_kmac",
    "share",
    "loss",
    *(f"{key}_{t}" for t in PARTS for key in ("bpp", "psnr")),
)


def train_variant(study, name, seed, options, sizes):
    """Train one variant unless its run is complete; returns its folder."""
    steps = options.steps
    folder = options.runs / f"{''.join(c for c in name if c.isalnum() or c in ' =-').replace(' ', '-')}-{seed}"
    if log_of(folder, "validate", steps):
        return folder
    config = TrainConfig(
        name="study",
        steps=steps,
        seed=seed,
        network=network_config({**sizes, **study.variants[name]}),
        validate_every=steps // options.checks,
        checkpoint_every=steps,
        settle=steps if study.start else 0,
        fresh_synthesis=study.start is not None,
        **CONFIG,
        **study.training,
    )
    model = ROOT / "pillow_lic" / "models" / study.start if study.start else None
    trainer = Trainer(config, options.photographs, folder, model)
    (folder / "kmac").write_text(f"{decoder_cost(trainer.model):.2f}")
    start = time.monotonic()
    trainer.run(None)
    (folder / "seconds").write_text(f"{time.monotonic() - start:.0f}")
    return folder


def decoder_cost(model):
    """Thousands of multiply-adds per pixel of all but the encoder's own two networks."""
    import torch

    x, t = torch.rand(1, 3, 256, 256), torch.tensor([0.5])
    analysis, y = macs.multiply_adds(model.analysis, x, t)
    whole, hyper = (macs.multiply_adds(*call)[0] for call in ((model, x, t), (model.hyper_analysis, y, t)))
    return (whole - analysis - hyper) / 256**2 / 1000


def log_of(folder, kind, step=None):
    """Rows of a run's log of one kind, of one step or of all."""
    path = folder / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            row for row in csv.DictReader(file) if row["kind"] == kind and (step is None or int(row["step"]) == step)
        ]


def result(study, name, seed, steps, folder):
    """One row of the table."""
    row = {
        "variant": name,
        "seed": seed,
        "steps": steps,
        "seconds": (folder / "seconds").read_text(),
        "decoder_kmac": (folder / "kmac").read_text(),
        **{key: log_of(folder, "validate", steps)[-1][key] for key in ("share", "loss")},
    }
    low, high = study.training.get("rates", TrainConfig.rates)
    for part in PARTS:
        at = log_of(folder, f"validate-{round(low + (high - low) * part, 3)}", steps)[-1]
        row |= {f"bpp_{part}": at["bpp"], f"psnr_{part}": at["psnr"]}
    return row


def curve(rows):
    """[(bits per pixel, PSNR)] at the five rates, mean of the rows."""
    return [tuple(statistics.mean(float(row[f"{key}_{t}"]) for row in rows) for key in ("bpp", "psnr")) for t in PARTS]


def table(rows, reference):
    """The results in Markdown, a line a variant."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["variant"]].append(row)
    lines = [
        "| variant | decoder, kMAC/px | seeds | share | validation loss | BD-rate |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, group in groups.items():
        losses = [float(row["loss"]) for row in group]
        spread = f" \N{PLUS-MINUS SIGN} {statistics.stdev(losses):.3f}" if len(losses) > 1 else ""
        change = f"{metrics.bd_rate(curve(groups[reference]), curve(group)):+.1f} %" if reference in groups else ""
        share = statistics.mean(float(row["share"]) for row in group)
        cells = (name, group[0]["decoder_kmac"], len(group), f"{share:.2%}", f"{statistics.mean(losses):.3f}{spread}")
        lines.append("".join(f"| {cell} " for cell in (*cells, change)) + "|")
    return lines


def draw(curves, path):
    """Validation loss over steps, a line a variant, mean of the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), dpi=150, layout="constrained")
    for name in dict.fromkeys(row["variant"] for row in curves):
        steps = collections.defaultdict(list)
        for row in curves:
            if row["variant"] == name:
                steps[int(row["step"])].append(float(row["loss"]))
        axes.plot(
            list(steps), [statistics.mean(values) for values in steps.values()], marker="o", markersize=3, label=name
        )
    axes.set(xlabel="steps", ylabel="validation loss, mean of five rates")
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def write(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=pathlib.Path)
    parser.add_argument("--study", choices=STUDIES, default="paper")
    parser.add_argument(
        "--runs", type=pathlib.Path, required=True, help="folder for the runs; those that are done are kept"
    )
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--checks", type=int, default=4, help="validations of a run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="variants, separated by semicolons")
    parser.add_argument(
        "--set", action="append", default=[], metavar="width=N", help="a width of the family's configuration"
    )
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    if options.steps % options.checks:
        parser.error(f"--steps must be a multiple of --checks, {options.checks}")
    study = STUDIES[options.study]
    sizes = study.sizes | {key: int(value) for key, value in (item.split("=") for item in options.set)}
    names = options.only.split(";") if options.only else list(study.variants)
    rows, curves = [], []
    for seed in range(1, options.seeds + 1):  # seed by seed, so that a run cut short still compares all variants
        for name in names:
            folder = train_variant(study, name, seed, options, sizes)
            rows.append(result(study, name, seed, options.steps, folder))
            curves += [
                {"variant": name, "seed": seed, "step": row["step"], "loss": row["loss"]}
                for row in log_of(folder, "validate")
            ]
    rows.sort(key=lambda row: (names.index(row["variant"]), row["seed"]))
    write(options.results / f"{options.study}.csv", COLUMNS, rows)
    write(options.results / f"{options.study}-curves.csv", ("variant", "seed", "step", "loss"), curves)
    machine.write_description(
        options.results / f"{options.study}.json",
        sizes=sizes,
        training=CONFIG | study.training,
        steps=options.steps,
        seeds=options.seeds,
    )
    draw(curves, ROOT / "docs" / "img" / f"{options.study}.png")
    print("\n".join(table(rows, study.reference)))


if __name__ == "__main__":
    main()
