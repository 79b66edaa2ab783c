"""Pictures of many bands beside JPEG 2000 with the same transform.

    python bench/bands.py [--size 288] [--effort 2]

Eight bands of 12 bits: scenes that are generated (parcels of mixed materials under a relief, with the noise of a
sensor), and scikit-image's photographs, seen through eight filters that follow no three primaries. JPEG 2000
(Pillow's OpenJPEG, irreversible) gets the components of the same Karhunen-Loeve transform at 16 bits, each at the rate
that a common slope gives it, and the same bytes for the transform. Writes bench/results/bands.csv and a JSON.
"""

import argparse
import io
import pathlib

import machine
import metrics
import numpy as np
from PIL import Image
from rd import write

COLUMNS = ("image", "codec", "setting", "bytes", "psnr")
BANDS, BITS = 8, 12
MOST = 2**BITS - 1
QUALITIES = (8, 18, 30, 42, 54, 66, 80, 95)
DECIBELS = tuple(range(14, 86, 2))  # of components in 16 bits
SLOPES = np.geomspace(0.02, 1e8, 90)
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def fractal(rng, size, falloff):
    """A field whose amplitudes fall with frequency, of mean 0 and deviation 1."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = 1
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) / frequency**falloff).real
    return (field - field.mean()) / field.std()


def spectra(rng, count):
    """(count, BANDS) smooth reflectances from 0 to 1."""
    at = np.linspace(0, 1, BANDS)
    bumps = rng.uniform(0, 1, (count, 3, 1)), rng.uniform(0.1, 0.5, (count, 3, 1)), rng.uniform(0.1, 0.5, (count, 3, 1))
    return (bumps[1] * np.exp(-(((at - bumps[0]) / bumps[2]) ** 2))).sum(1).clip(0.02, 0.95)


def scene(seed, size):
    """(size, size, BANDS) float, 0 to 1: parcels, each a mixture of materials that varies inside, and a relief."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] + np.stack([fractal(rng, size, 1.6) for _ in range(2)]) * size / 60
    corners = rng.uniform(0, size, (60, 2))
    parcel = np.argmin([(rows - r) ** 2 + (columns - c) ** 2 for r, c in corners], 0)
    materials = 6
    share = rng.normal(0, 2.5, (60, materials))[parcel]
    share += np.stack([fractal(rng, size, f) for f in rng.uniform(0.7, 1.4, materials)], -1) * 0.7
    share = np.exp(share - share.max(-1, keepdims=True))
    light = 0.75 + 0.12 * np.diff(fractal(rng, size + 1, 2.0)[:-1], axis=1) * 8
    return share / share.sum(-1, keepdims=True) @ spectra(rng, materials) * light[:, :, None].clip(0.2, 1.3)


def filtered(name, size):
    """A photograph through eight filters: each a mixture of the primaries, bent by a curve of its own."""
    import skimage.data

    picture = np.asarray(getattr(skimage.data, name)())
    top, left = ((side - size) // 2 for side in picture.shape[:2])
    rgb = (picture[max(top, 0) :, max(left, 0) :][:size, :size, :3] / 255.0) ** 2.2
    rng = np.random.default_rng(len(name))
    mixed = rgb @ np.array([[max(0.0, 1 - abs(b / (BANDS - 1) * 2 - c)) for b in range(BANDS)] for c in (2, 1, 0)])
    return (mixed / 1.1) ** rng.uniform(0.35, 0.6, BANDS)


def sensed(light, seed):
    """uint16 of a sensor: shot noise and a little of its own."""
    rng = np.random.default_rng(seed)
    signal = light * 0.9 * MOST
    noisy = signal + rng.normal(size=signal.shape) * np.sqrt(signal.clip(0) * 0.02 + 1.5)
    return noisy.round().clip(0, MOST).astype(np.uint16)


def psnr(array, found):
    """Of all bands together."""
    return 10 * np.log10(MOST**2 / np.mean((array.astype(float) - found) ** 2))


def ours(array, effort):
    """(setting, bytes, PSNR) of files of bands."""
    import pillow_lic

    for quality in QUALITIES:
        data = pillow_lic.encode_bands(array, quality, bits=BITS, effort=effort)
        yield quality, len(data), psnr(array, pillow_lic.decode_bands(data))


def jpeg2000(array):
    """(setting, bytes, PSNR) of JPEG 2000 files of components, for several slopes."""
    from pillow_lic.codec.bands import _transform

    mean, basis, _ = _transform(array)
    components = (array - mean) @ basis.T
    gain = 65535 / (np.ptp(components, axis=(0, 1)).max() + 1e-9)
    middle = (components.max((0, 1)) + components.min((0, 1))) / 2
    choices = [list(coded(components[:, :, k], middle[k], gain)) for k in range(BANDS)]
    transform = 4 * BANDS * BANDS + 8 * BANDS
    last = None
    for slope in SLOPES:
        taken = [min(choice, key=lambda one: one[1] + slope * one[0]) for choice in choices]
        size = transform + sum(one[0] for one in taken)
        if size != last:
            found = np.stack([one[2] for one in taken], -1) @ basis + mean
            yield f"{slope:.3g}", size, psnr(array, found.round().clip(0, MOST))
        last = size


def coded(component, middle, gain):
    """(bytes, squared error, what comes back) of a component: left out, and at every rate."""
    yield 0, ((component - component.mean()) ** 2).sum(), np.full_like(component, component.mean())
    samples = ((component - middle) * gain + 32767.5).round().clip(0, 65535).astype(np.uint16)
    for decibels in DECIBELS:
        file = io.BytesIO()
        how = {"irreversible": True, "quality_mode": "dB", "quality_layers": [decibels], "no_jp2": True}
        Image.fromarray(samples).save(file, "JPEG2000", **how)
        file.seek(0)
        back = (np.asarray(Image.open(file)).astype(float) - 32767.5) / gain + middle
        yield len(file.getvalue()), ((component - back) ** 2).sum(), back


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=288)
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--effort", type=int, default=2)
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    images = {f"scene {n}": sensed(scene(n, options.size), n) for n in range(options.scenes)}
    images |= {name: sensed(filtered(name, options.size), 9) for name in PHOTOGRAPHS}
    rows, rates = [], {}
    for name, array in images.items():
        curves = {"lic": list(ours(array, options.effort)), "jpeg2000": list(jpeg2000(array))}
        for codec, points in curves.items():
            rows += [dict(zip(COLUMNS, (name, codec, s, b, f"{p:.3f}"), strict=True)) for s, b, p in points]
        points = {codec: [(size, quality) for _, size, quality in curve] for codec, curve in curves.items()}
        rates[name] = round(metrics.bd_rate(points["jpeg2000"], points["lic"]), 1)
        reach = [quality for _, quality in points["lic"]]
        print(f"{name}: BD-rate {rates[name]:+.1f} %, {min(reach):.1f} to {max(reach):.1f} dB", flush=True)
    print(f"mean {np.mean(list(rates.values())):+.1f} %")
    write(options.results / "bands.csv", COLUMNS, rows)
    machine.write_description(options.results / "bands.json", size=options.size, effort=options.effort, bd_rate=rates)


if __name__ == "__main__":
    main()
