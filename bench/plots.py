"""Pictures of rate-distortion results: published curves thin and grey, live codecs in colour, ours bold."""

import math

import matplotlib

matplotlib.use("Agg")
import curves
import matplotlib.pyplot as plt
import peers

AXES = {
    "psnr": "PSNR, RGB (dB)",
    "msssimdb": "MS-SSIM (dB)",
    "ssimdb": "SSIM (dB)",
    "psnr_hvs_m": "PSNR-HVS-M, luma (dB)",
    "ssimulacra2": "SSIMULACRA2",
    "butteraugli": "Butteraugli, 3-norm",
    "butteraugli_max": "Butteraugli, maximum",
}
DOWNWARDS = ("butteraugli", "butteraugli_max")  # less is better: the axis is turned over
WITHIN = {"ssimulacra2": (10, 95), "butteraugli": (0, 5), "butteraugli_max": (0, 15)}  # what is worth looking at
COLOURS = {
    "jpeg": "#9c755f",
    "jpeg-default": "#9c755f",
    "jpegli": "#d7b5a6",
    "jpeg2000": "#bab0ac",
    "webp": "#59a14f",
    "avif": "#f28e2b",
    "avif-psnr": "#b35806",
    "avif-default": "#f28e2b",
    "avif-ssim": "#ffbe7d",
    "avif-2": "#e15759",
    "avif-420": "#edc948",
    "avif-420-2": "#b6992d",
    "heic-psnr": "#1f3f66",
    "heic": "#4e79a7",
    "heic-default": "#4e79a7",
    "jxl": "#b07aa1",
    "jxl-default": "#b07aa1",
}
OURS = ("#d62728", "#e377c2", "#7f0000", "#ff9896")
GREY = "#8a8a8a"
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (8, 2)))


def draw(path, metric, dataset, live, published, bpp_max=1.8, size=(8.5, 6)):
    """One plot. `live` and `published` are {name: [(bpp, value)]}."""
    figure, axes = plt.subplots(figsize=size, dpi=150, layout="constrained")
    shown = []
    for number, name in enumerate(name for name in curves.PLOTTED if name in published):
        shown += line(
            axes,
            published[name],
            bpp_max,
            color=GREY,
            linewidth=0.9,
            linestyle=DASHES[number % len(DASHES)],
            label=f"{curves.LABELS[name]} (published)",
            zorder=1,
        )
    for name, curve in live.items():
        if not peers.ours(name) and plotted(name, live):
            shown += line(
                axes,
                curve,
                bpp_max,
                color=COLOURS.get(name),
                linewidth=1.4,
                marker="o",
                markersize=2.5,
                label=peers.label(name),
                zorder=2,
            )
    for colour, name in zip(OURS, filter(peers.ours, live)):
        shown += line(
            axes,
            live[name],
            bpp_max,
            color=colour,
            linewidth=3,
            marker="o",
            markersize=5,
            label=peers.label(name),
            zorder=3,
        )
    axes.set(
        xlabel="bits per pixel, of real files",
        ylabel=AXES[metric],
        title=f"{dataset}: {AXES[metric]}",
        xlim=(0, bpp_max),
    )
    if shown:
        lowest, highest = WITHIN.get(metric, (-math.inf, math.inf))
        margin = 0.03 * (max(shown) - min(shown)) if metric in WITHIN else 0.5
        axes.set_ylim(max(min(shown) - margin, lowest), min(max(shown) + margin, highest))
    if metric in DOWNWARDS:
        axes.invert_yaxis()
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def plotted(name, live):
    """Whether a rival's curve is drawn: one at its defaults only where its best settings were not measured."""
    return not name.endswith("-default") or name.removesuffix("-default") not in live


def line(axes, curve, bpp_max, **style):
    """Draw one curve; returns the values that are inside the plot's rates."""
    points = sorted(curve)
    axes.plot([p[0] for p in points], [p[1] for p in points], **style)
    return [value for bpp, value in points if 0.03 < bpp <= bpp_max]
