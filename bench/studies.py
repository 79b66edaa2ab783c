"""The source paper's own studies (Zhu et al. 2020), redone at equal, stated budgets: what each part of its codec is worth.

    python bench/studies.py PHOTOGRAPHS --runs FOLDER [--steps 1200] [--seeds 3] [--only K=3,K=1] [--set filters=48 ...]

Every variant trains from the same start for the same steps on the same crops, with each of the seeds, and is judged on the held-out
photographs at five rates with hard rounding (train.train's validation). A run that is done is not run again. BD-rate: over those five points, mean of
the seeds, against the single zero-mean normal. Writes bench/results/studies.csv (the table), studies-curves.csv (the loss as it falls)
and docs/img/studies.png. Never runs on a test set.
"""
import argparse
import collections
import csv
import pathlib
import statistics
import sys
import time

import machine
import metrics

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

SIZES = {"filters": 48, "latent": 64, "hyper": 48, "hidden": 48}
VARIANTS = {
    "factorized": {"family": "factorized", "components": 0, "attention": False},
    "hyperprior": {"family": "hyperprior", "components": 0, "attention": False},
    "zero mean": {"family": "hyperprior", "components": 0},
    "K=1": {"components": 1},
    "K=2": {"components": 2},
    "K=3": {"components": 3},
    "K=4": {"components": 4},
    "K=3, no attention": {"components": 3, "attention": False},
}
REFERENCE = "zero mean"
CHECKS = 4  # validations of a run
CONFIG = {"batch": 8, "crop": 128, "final_crop": 128, "final_share": 0.0, "lr": 1e-3, "warmup": 50, "decay_share": 0.75,
          "lowest": 0.0006, "highest": 0.03, "ema": 0.99}
RATES = (0.1, 0.3, 0.5, 0.7, 0.9)  # at which train.train validates
COLUMNS = ("variant", "seed", "steps", "seconds", "loss", *(f"{key}_{t}" for t in RATES for key in ("bpp", "psnr")))


def train_variant(name, seed, steps, sizes, photographs, out):
    """Train one variant unless its run is complete; returns its folder."""
    from train.gdn import GdnConfig
    from train.train import TrainConfig, Trainer
    folder = out / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
    if log_of(folder, "validate", steps):
        return folder
    network = GdnConfig(**{"family": "gdn-mixture", **sizes, **VARIANTS[name]})
    config = TrainConfig(name="study", steps=steps, seed=seed, network=network, validate_every=steps // CHECKS,
                         checkpoint_every=steps, **CONFIG)
    trainer = Trainer(config, photographs, folder)
    start = time.monotonic()
    trainer.run(None)
    (folder / "seconds").write_text(f"{time.monotonic() - start:.0f}")
    return folder


def log_of(folder, kind, step=None):
    """Rows of a run's log of one kind, of one step or of all."""
    path = folder / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] == kind and (step is None or int(row["step"]) == step)]


def result(name, seed, steps, folder):
    """One row of the table."""
    row = {"variant": name, "seed": seed, "steps": steps, "seconds": (folder / "seconds").read_text(),
           "loss": log_of(folder, "validate", steps)[-1]["loss"]}
    for t in RATES:
        at = log_of(folder, f"validate-{t}", steps)[-1]
        row |= {f"bpp_{t}": at["bpp"], f"psnr_{t}": at["psnr"]}
    return row


def curve(rows):
    """[(bits per pixel, PSNR)] at the five rates, mean of the rows."""
    return [tuple(statistics.mean(float(row[f"{key}_{t}"]) for row in rows) for key in ("bpp", "psnr")) for t in RATES]


def table(rows):
    """The results in Markdown, a line a variant."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["variant"]].append(row)
    lines = ["| variant | seeds | validation loss | BD-rate |", "|---|---:|---:|---:|"]
    for name, group in groups.items():
        losses = [float(row["loss"]) for row in group]
        spread = f" \N{PLUS-MINUS SIGN} {statistics.stdev(losses):.3f}" if len(losses) > 1 else ""
        change = f"{metrics.bd_rate(curve(groups[REFERENCE]), curve(group)):+.1f} %" if REFERENCE in groups else ""
        lines.append(f"| {name} | {len(group)} | {statistics.mean(losses):.3f}{spread} | {change} |")
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
        axes.plot(list(steps), [statistics.mean(values) for values in steps.values()], marker="o", markersize=3, label=name)
    axes.set(xlabel="steps", ylabel="validation loss, mean of five rates")
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def write(path, columns, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=pathlib.Path)
    parser.add_argument("--runs", type=pathlib.Path, required=True, help="folder for the runs; those that are done are kept")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="variants, separated by semicolons")
    parser.add_argument("--set", action="append", default=[], metavar="width=N", help=f"one of {', '.join(SIZES)}")
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    if options.steps % CHECKS:
        parser.error(f"--steps must be a multiple of {CHECKS}")
    sizes = SIZES | {key: int(value) for key, value in (item.split("=") for item in options.set)}
    names = options.only.split(";") if options.only else list(VARIANTS)
    rows, curves = [], []
    for seed in range(1, options.seeds + 1):  # seed by seed, so that a run cut short still compares all variants
        for name in names:
            folder = train_variant(name, seed, options.steps, sizes, options.photographs, options.runs)
            rows.append(result(name, seed, options.steps, folder))
            curves += [{"variant": name, "seed": seed, "step": row["step"], "loss": row["loss"]} for row in log_of(folder, "validate")]
    rows.sort(key=lambda row: (names.index(row["variant"]), row["seed"]))
    write(options.results / "studies.csv", COLUMNS, rows)
    write(options.results / "studies-curves.csv", ("variant", "seed", "step", "loss"), curves)
    machine.write_description(options.results / "studies.json", sizes=sizes, training=CONFIG, steps=options.steps, seeds=options.seeds)
    draw(curves, ROOT / "docs" / "img" / "studies.png")
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
