"""Published rate-distortion curves: facts copied into bench/curves/*.json, each with the source it was taken from."""

import json
import pathlib

FOLDER = pathlib.Path(__file__).parent / "curves"

IMAGES = {"kodak": 24}  # of a set: published curves are of all of them
# name in the files: label; the order is that of tables and legends
LABELS = {
    "jpeg": "JPEG",
    "jpeg2000": "JPEG 2000",
    "webp": "WebP",
    "bpg444": "BPG 4:4:4",
    "bpg420": "BPG 4:2:0",
    "hm": "HM 16.20",
    "av1": "AV1",
    "vtm": "VTM",
    "cai-bmshj2018-hyperprior": "Hyperprior 2018",
    "cai-mbt2018-mean": "Mean-scale 2018",
    "cai-mbt2018": "Autoregressive 2018",
    "cai-cheng2020-anchor": "Cheng 2020, anchor",
    "paper_elic2022": "ELIC 2022",
    "c3b-evc-s": "EVC-S (digitised)",
    "evc-ss": "EVC-SS",
    "shallow-2layer": "Shallow, two layers",
    "cai-bmshj2018-hyperprior-opt-msssim": "Hyperprior 2018, MS-SSIM",
    "cai-mbt2018-mean-opt-msssim": "Mean-scale 2018, MS-SSIM",
    "cai-mbt2018-opt-msssim": "Autoregressive 2018, MS-SSIM",
    "cai-cheng2020-anchor-opt-msssim": "Cheng 2020, MS-SSIM",
}
PLOTTED = (
    "jpeg",
    "webp",
    "bpg444",
    "bpg420",
    "vtm",
    "av1",
    "cai-bmshj2018-hyperprior",
    "cai-mbt2018-mean",
    "cai-cheng2020-anchor",
)


def published(dataset, metric):
    """{name: [(bpp, value)]} of the curves at hand; metric is psnr or msssimdb."""
    result = {}
    for name in LABELS:
        path = FOLDER / f"{dataset}-{name}-{metric}.json"
        if path.exists():
            fact = json.loads(path.read_text("utf-8"))
            result[name] = list(zip(fact["bpp"], fact["value"]))
    return result


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.json")):
        fact = json.loads(path.read_text("utf-8"))
        print(
            f"{fact['dataset']:8} {fact['metric']:9} {fact['name']:38} "
            f"{min(fact['bpp']):.3f}-{max(fact['bpp']):.3f} bpp  {fact['source']}"
        )
