"""The codecs that bench scripts compare: how each is called through Pillow, and with which settings.

Knows Pillow and its plugins only; nothing of pillow_lic but its registration.
"""

import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import io
import json
import pathlib
import re
import typing

from PIL import Image, features

BELOW = (0, 0.15, 0.3, 0.5, 0.75, 1)  # parts of the qualities of a model that is asked for by others than its own
PERCENT = (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)


@dataclasses.dataclass(frozen=True)
class Codec:
    """One codec with one way of calling it."""

    name: str
    label: str
    format: str
    options: typing.Callable[[float], dict]
    qualities: tuple
    module: str | None = None
    scale: str = "quality"  # of `qualities`; "ratio" is not replaced by --qualities
    writer: typing.Callable[..., bytes] | None = None  # of (image, **options), where Pillow does not write it

    def encode(self, image, quality):
        """The bytes of `image` at `quality`."""
        if self.writer:
            return self.writer(image, **self.options(quality))
        buffer = io.BytesIO()
        image.save(buffer, self.format, **self.options(quality))
        return buffer.getvalue()

    def decode(self, data):
        """The image, loaded."""
        with Image.open(io.BytesIO(data), formats=[self.format]) as image:
            image.load()
            return image

    def fit(self, image, size, steps=9):
        """(quality, bytes) of the file nearest to `size` bytes, found by bisection; LIC's quality is a fraction."""
        low, high = self.qualities[0], self.qualities[-1]  # from small files to large ones
        tried = {}
        for middle in (low, high, *[None] * steps):
            middle = (low + high) / 2 if middle is None else middle
            middle = round(middle, 2 if ours(self.name) or self.scale == "ratio" else 0)
            if middle not in tried:
                tried[middle] = self.encode(image, middle)
            if middle not in self.qualities[:: len(self.qualities) - 1]:
                low, high = (low, middle) if len(tried[middle]) > size else (middle, high)
        return min(tried.items(), key=lambda item: abs(len(item[1]) - size))

    def load(self):
        """Register the plugin; raises ImportError with the package to install."""
        if self.module:
            register(self.module)
        return self

    def encoder(self):
        """Name and version of what writes the files."""
        return version_of(self.module or self.format, json.dumps(self.options(50.0)) if ours(self.name) else "")

    def settings(self, quality):
        """Twelve digits that change with what may change the bytes: encoder, version, options; not with our source."""
        return digest(f"{self.format} {self.encoder()} {json.dumps(self.options(float(quality)), sort_keys=True)}")[:12]


def digest(facts):
    """SHA-256 of a text or of what JSON makes of something else."""
    text = facts if isinstance(facts, str) else json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def version_of(what, options=""):
    """Version of a plugin or of a format that Pillow writes itself; of LIC also the models that these options take."""
    if what == "pillow_lic":
        from pillow_lic.models import choice, registry

        chosen = json.loads(options)
        tuned = choice.TUNES[chosen.get("tune") or choice.DEFAULT_TUNE]
        names = [chosen["model"]] if chosen.get("model") else [name for _, name in tuned]
        return ", ".join(
            [f"pillow-lic {importlib.metadata.version('pillow-lic')}"]
            + [f"{name} {registry.by_name(name).hash.hex()[:8]}" for name in names]
        )
    if what == "pillow_heif":
        facts = importlib.import_module(what).libheif_info()
        return f"libheif {facts['libheif']}, {facts['HEIF']}"
    if what == "pillow_jxl":
        folder = pathlib.Path(importlib.import_module(what).__file__).parent
        inside = [re.search(rb"libjxl-(\d+\.\d+\.\d+)", path.read_bytes()) for path in folder.glob("*.so")]
        library = [f", libjxl {found[1].decode()}" for found in inside if found]
        return f"pillow-jxl-plugin {importlib.metadata.version('pillow-jxl-plugin')}{''.join(library)}"
    if what == "pyjpegli":
        return f"pyjpegli {importlib.metadata.version(what)}"
    if what == "AVIF":
        from PIL import _avif

        return f"libavif {features.version('avif')}, {_avif.codec_versions()}"
    library = {"JPEG": "libjpeg_turbo", "JPEG2000": "jpg_2000", "WEBP": "webp"}[what]
    return f"{library} {features.version(library)}"


def jpegli(image, quality):
    """A JPEG by Google's jpegli at its defaults: 4:2:0."""
    import pyjpegli

    return pyjpegli.encode(image.tobytes(), image.width, image.height, quality)


def register(module):
    """Import a plugin; pillow-heif registers on a call."""
    plugin = importlib.import_module(module)
    if module == "pillow_heif":
        plugin.register_heif_opener()


def _quality(**fixed):
    """Options with an integer quality and constants."""
    return lambda quality: {"quality": int(quality), **fixed}


CODECS = {
    codec.name: codec
    for codec in (
        Codec(
            "lic",
            "LIC (ours)",
            "LIC",
            lambda quality: {"quality": quality},
            (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100),
            "pillow_lic",
        ),
        Codec("jpeg", "JPEG optimised, progressive", "JPEG", _quality(optimize=True, progressive=True), PERCENT),
        Codec("jpeg-default", "JPEG, defaults", "JPEG", _quality(), PERCENT),
        Codec("jpegli", "JPEG by jpegli", "JPEG", _quality(), PERCENT, "pyjpegli", writer=jpegli),
        # The quality of JPEG 2000 is the compression ratio: 24 bits a pixel divided by it.
        Codec(
            "jpeg2000",
            "JPEG 2000",
            "JPEG2000",
            lambda ratio: {"quality_mode": "rates", "quality_layers": [ratio], "irreversible": True, "mct": 1},
            (240, 120, 80, 60, 48, 34, 24, 16, 12),
            scale="ratio",
        ),
        Codec("webp", "WebP, method 6", "WEBP", _quality(method=6), (0, *PERCENT)),
        Codec("webp-default", "WebP, defaults", "WEBP", _quality(), (0, *PERCENT)),
        # Left alone, libavif tunes for a measure of structure ("iq") and libheif's x265 for SSIM: each stands here as
        # it comes and tuned for PSNR.
        Codec(
            "avif",
            "AVIF 4:4:4, speed 4",
            "AVIF",
            _quality(subsampling="4:4:4", speed=4),
            (10, 20, 30, 40, 50, 60, 70, 80, 90),
        ),
        Codec(
            "avif-psnr",
            "AVIF 4:4:4, speed 4, tuned for PSNR",
            "AVIF",
            _quality(subsampling="4:4:4", speed=4, advanced={"tune": "psnr"}),
            (10, 20, 30, 40, 50, 60, 70, 80),
        ),
        Codec(
            "avif-ssim",
            "AVIF 4:4:4, speed 4, tuned for SSIM",
            "AVIF",
            _quality(subsampling="4:4:4", speed=4, advanced={"tune": "ssim"}),
            (10, 20, 30, 40, 50, 60, 70, 80),
        ),
        Codec(
            "avif-2",
            "AVIF 4:4:4, speed 2",
            "AVIF",
            _quality(subsampling="4:4:4", speed=2),
            (10, 20, 30, 40, 50, 60, 70, 80, 90),
        ),
        Codec("avif-420", "AVIF, speed 4", "AVIF", _quality(speed=4), (10, 20, 30, 40, 50, 60, 70, 80, 90)),
        Codec("avif-420-2", "AVIF, speed 2", "AVIF", _quality(speed=2), (10, 20, 30, 40, 50, 60, 70, 80, 90)),
        Codec("avif-default", "AVIF, defaults", "AVIF", _quality(), (10, 20, 30, 40, 50, 60, 70, 80, 90)),
        Codec(
            "heic", "HEIC 4:4:4", "HEIF", _quality(chroma=444), (5, 10, 15, 20, 25, 30, 35, 40, 50, 60), "pillow_heif"
        ),
        Codec(
            "heic-psnr",
            "HEIC 4:4:4, veryslow, tuned for PSNR",
            "HEIF",
            lambda quality: {
                "quality": int(quality),
                "chroma": 444,
                "enc_params": {"preset": "veryslow", "tune": "psnr"},
            },
            (0, 2, 5, 10, 15, 20, 25, 30, 35, 40, 50, 60),
            "pillow_heif",
        ),
        Codec(
            "heic-default", "HEIC, defaults", "HEIF", _quality(), (5, 10, 15, 20, 25, 30, 35, 40, 50, 60), "pillow_heif"
        ),
        Codec(
            "jxl", "JPEG XL, effort 9", "JXL", _quality(effort=9), (0, 10, 20, 30, 40, 50, 60, 70, 80, 90), "pillow_jxl"
        ),
        Codec(
            "jxl-default",
            "JPEG XL, effort 7 (default)",
            "JXL",
            _quality(),
            (0, 10, 20, 30, 40, 50, 60, 70, 80, 90),
            "pillow_jxl",
        ),
    )
}


def find(name):
    """A codec by name, registered. LIC comes in many ways: `lic@NAME` with that model, `lic@FOLDER` with the model in
    that directory, `lic~visual` with that tune, `lic+6`, `lic@NAME+6` with that effort.
    """
    if ours(name) and name != "lic":
        return lic_with(name)
    if name not in CODECS:
        msg = f"unknown codec {name}; known: {', '.join(CODECS)}, lic, lic@MODEL, lic~TUNE, each with +EFFORT"
        raise SystemExit(msg)
    return CODECS[name].load()


def lic_with(name):
    """LIC with another model or tune than the default one, or with another effort."""
    plugin = importlib.import_module("pillow_lic")
    model, tune, effort = parts(name)
    if pathlib.Path(model or "none", "manifest.json").exists():
        model = plugin.register_model(model)
    fixed = {"model": model, "tune": tune, "effort": int(effort) if effort else None}
    fixed = {option: value for option, value in fixed.items() if value not in ("", None)}
    qualities = CODECS["lic"].qualities
    if model:
        from pillow_lic.models import registry

        manifest = registry.by_name(model).manifest
        low, high = (manifest.quality_at(q) for q in manifest.quality)
        steps = [low + (high - low) * part for part in BELOW] if manifest.asked else qualities
        qualities = tuple(dict.fromkeys(min(max(round(q, 3), low), high) for q in steps))  # those beyond, at its ends
    name = f"lic{'@' * bool(model)}{model}{'~' * bool(tune)}{tune}{'+' * bool(effort)}{effort}"
    return dataclasses.replace(
        CODECS["lic"],
        name=name,
        label=label(name),
        qualities=qualities,
        options=lambda quality: {"quality": quality, **fixed},
    )


def parts(name):
    """Model, tune and effort of `lic@MODEL+EFFORT` or `lic~TUNE+EFFORT`, "" for what it does not say."""
    chosen, _, effort = name.removeprefix("lic").partition("+")
    return chosen[1:] if chosen[:1] == "@" else "", chosen[1:] if chosen[:1] == "~" else "", effort


def label(name):
    """The label of a codec's name as CSV files have it."""
    if name in CODECS:
        return CODECS[name].label
    model, tune, effort = parts(name)
    says = [model, f"tune {tune}" if tune else "", f"effort {effort}" if effort else ""]
    return ", ".join(["LIC", *filter(None, says)]) + " (ours)"


def ours(name):
    """Whether a name means LIC."""
    return re.split("[@~+]", name)[0] == "lic"
