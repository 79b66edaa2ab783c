"""The guide's picture of `lic compare`: python bench/screenshot.py [--out docs/img/compare.png]

A photograph of an installed package by our codec, AVIF and JPEG at about equal bytes, the page opened in headless
Chromium, the pointer over a detail.
"""

import argparse
import io
import pathlib
import sys
import tempfile

from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests" / "support"))
import chromium
import peers

from pillow_lic.cli import main as lic
from pillow_lic.cli.demo import installed_photograph

SIZE = {"width": 1000, "height": 800, "deviceScaleFactor": 1, "mobile": False}
AT = (0.42, 0.22)  # of the picture's sides
SHOWN = "left.value = 1; right.value = 2; right.dispatchEvent(new Event('change'));"


def written(folder, quality):
    """The page, over files of about equal bytes."""
    with Image.open(installed_photograph()) as source:
        image = source.convert("RGB")
    image.info.clear()
    name = installed_photograph().stem
    image.save(folder / f"{name}.png")
    ours = peers.find("lic").encode(image, quality)
    (folder / f"{name}.lic").write_bytes(ours)
    for codec, suffix in (("avif-default", ".avif"), ("jpeg", ".jpg")):
        _, data = peers.find(codec).fit(image, len(ours))
        (folder / f"{name}{suffix}").write_bytes(data)
    files = [str(folder / f"{name}{suffix}") for suffix in (".png", ".lic", ".avif", ".jpg")]
    page = folder / "compare.html"
    if lic(["compare", *files, "-o", str(page), "--measures", "psnr,ms_ssim,ssimulacra2"]):
        raise SystemExit(1)
    return page


def taken(page):
    """PNG of the page's window."""
    with chromium.Browser() as browser:
        tab = browser.open(page.as_uri(), "document.body && document.body.dataset.ready === 'yes'")
        tab.ask("Emulation.setDeviceMetricsOverride", **SIZE)
        tab.run(f"((left, right) => {{ {SHOWN} }})(document.getElementById('left'), document.getElementById('right'))")
        box = tab.run("(b => [b.left, b.top, b.width, b.height])(picture.getBoundingClientRect())")
        tab.mouse("mouseMoved", box[0] + AT[0] * box[2], box[1] + AT[1] * box[3])
        return tab.screenshot()


def main():
    """Write the page, open it, take the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/img/compare.png"))
    parser.add_argument("--quality", type=float, default=20)
    chosen = parser.parse_args()
    if why := chromium.reason():
        raise SystemExit(why)
    with tempfile.TemporaryDirectory() as folder:
        picture = Image.open(io.BytesIO(taken(written(pathlib.Path(folder), chosen.quality))))
    picture.convert("RGB").save(chosen.out, optimize=True)
    print(f"{chosen.out}: {chosen.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
