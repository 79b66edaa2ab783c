"""The codec end to end on a GPU, for bench/gpu.py: images per second and megapixels per second, and what the time goes
to.

`codec`: images of Kodak's size, 1080p, 4K and 12 MP (generated, or those of a folder), one at a time and in batches,
encoding from arrays of the host to bytes and decoding to arrays of the host. Before timing, what the GPU encoded is
decoded on the CPU and compared with the integers that the GPU handed to the coder. The breakdown of one image at a
time: `entropy_ms`, the coder on its threads; `network_ms`, between CUDA events, of images that lie there;
`transfer_ms`, the copies of its integers and pixels alone. CompressAI's mean-scale model on the same GPU, one image at
a time as it works, where it imports (bench/compressai_peer.py).
`exact`: every image at five qualities and with every model: encoded on each device, decoded on both.
"""

import itertools
import statistics
import time
from functools import partial
from unittest import mock

SIZES = {"kodak": (512, 768), "1080p": (1080, 1920), "4k": (2160, 3840), "12mp": (3000, 4000)}
BATCH_PIXELS = 4e8  # of a timed batch
BATCH_MAX = 256
PEER_PIXELS = (
    1920 * 1080
)  # of the largest image that CompressAI is timed on: its latents are fitted on the CPU, which takes minutes beyond
QUALITY = 60
QUALITIES = (10, 30, 50, 75, 95)
FIELDS = (
    "codec",
    "size",
    "mode",
    "images",
    "bytes",
    "encode_s",
    "encode_images_s",
    "encode_mp_s",
    "decode_s",
    "decode_images_s",
    "decode_mp_s",
    "decode_ratio",
    "encode_entropy_ms",
    "encode_network_ms",
    "encode_transfer_ms",
    "decode_entropy_ms",
    "decode_network_ms",
    "decode_transfer_ms",
)
EXACT_FIELDS = ("model", "image", "quality", "symbols", "differing", "largest_pixel_difference")


# ---- images ----------------------------------------------------------------------------------------------------------


def generated(height, width, seed=0):
    """Gradients, edges and texture: about the rate of a photograph."""
    import numpy as np

    rng = np.random.default_rng(seed)
    rows, columns = np.arange(height)[:, None] / 40.0, np.arange(width) / 40.0
    a, b = rng.uniform(0.1, 0.5, 2)
    base = 128 + 60 * np.sin(rows * a) * np.cos(columns * b) + np.where((rows + columns * (a + b)) % 5 < 2, 25, -15)
    noisy = base + rng.normal(0, 4, (height, width))
    return np.clip(noisy[:, :, None] + np.array([0, 8, -8]), 0, 255).astype(np.uint8)


def images_of(options):
    """(name of the size, list of arrays): the folder that was named, and generated ones of each size."""
    if options.images:
        yield options.images.name, [array for _, array in folder(options.images)]
    for name, shape in SIZES.items():
        yield name, [generated(*shape, seed) for seed in range(2)]


def folder(path):
    """(name, array) of the images in a folder."""
    import numpy as np
    from PIL import Image

    for file in sorted(path.iterdir()):
        if file.suffix.lower() in {".png", ".jpg", ".webp", ".tif"}:
            with Image.open(file) as image:
                yield file.stem, np.asarray(image.convert("RGB"))


# ---- timing ----------------------------------------------------------------------------------------------------------


def median(function, repeats):
    """Seconds of a call that returns when all is done; the first two are dropped."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def on_gpu(function, repeats):
    """Milliseconds between CUDA events around a call."""
    import torch

    times = []
    for _ in range(repeats + 2):
        pair = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(
            100_000_000
        )  # some 50 ms: the call's launches queue up behind it, so that the device is timed, not Python
        pair[0].record()
        function()
        pair[1].record()
        torch.cuda.synchronize()
        times.append(pair[0].elapsed_time(pair[1]))
    return statistics.median(times[2:])


def row(codec, size, mode, arrays, files, encode_s, decode_s):
    """Figures of one way to code some images."""
    pixels = sum(array.shape[0] * array.shape[1] for array in arrays) / 1e6
    found = {"codec": codec, "size": size, "mode": mode, "images": len(arrays), "bytes": sum(map(len, files))}
    for what, seconds in (("encode", encode_s), ("decode", decode_s)):
        found |= {f"{what}_s": seconds, f"{what}_images_s": len(arrays) / seconds, f"{what}_mp_s": pixels / seconds}
    return found


def batch_of(arrays):
    """As many images as a timed batch has, by repetition."""
    pixels = arrays[0].shape[0] * arrays[0].shape[1]
    return list(itertools.islice(itertools.cycle(arrays), max(4, min(BATCH_MAX, int(BATCH_PIXELS / pixels)))))


def begun(array, quality, model=None):
    """A picture on its way, up to the networks; model: a name, or the one that the quality chooses."""
    from pillow_lic.codec.encode import Encoding
    from pillow_lic.codec.options import EncodeOptions

    job = Encoding(array, EncodeOptions(quality=quality, model=model, effort=0, device="cuda").checked())
    job.begin()
    return job


def file_begun(data):
    """A file on its way, up to the networks."""
    from pillow_lic import container
    from pillow_lic.codec.decode import Decoding
    from pillow_lic.codec.decode_options import DecodeOptions

    job = Decoding(container.read(data), DecodeOptions(device="cuda").checked())
    job.begin()
    return job


def parts(array, place, repeats):
    """The breakdown of one image, in milliseconds."""
    import torch

    picture = begun(array, QUALITY)
    (arrival,) = picture.run([picture])
    data = picture.end(arrival)
    coded = file_begun(data)
    z, r = (place.up(torch.from_numpy(part)) for part in (arrival.value.z, arrival.value.r))
    pixels = place.host(*array.shape, dtype=torch.uint8)
    there = place.up(pixels)
    copies = {
        "up_pixels": lambda: place.up(pixels),
        "down_pixels": lambda: place.down(there),
        "up_integers": lambda: [place.up(part) for part in coded.symbols.memory],
        "down_integers": lambda: (place.down(z), place.down(r)),
    }
    copies = {name: on_gpu(copy, repeats) for name, copy in copies.items()}
    found = {
        "encode_entropy_ms": 1e3 * median(lambda: picture.end(arrival), repeats),
        "decode_entropy_ms": 1e3 * median(lambda: file_begun(data), repeats),
        "encode_transfer_ms": copies["up_pixels"] + copies["down_integers"],
        "decode_transfer_ms": copies["up_integers"] + copies["down_pixels"],
    }
    for what, job in (("encode", picture), ("decode", coded)):
        found[f"{what}_network_ms"] = on_gpu(partial(job.run, [job]), repeats) - found[f"{what}_transfer_ms"]
    return found


# ---- the codecs ------------------------------------------------------------------------------------------------------


def check(arrays):
    """What the GPU encodes decodes to its integers; the CPU's files to about the CPU's pixels. SystemExit if not."""
    for array in arrays:
        for quality in (30, 90):
            differing, level, _ = compared(array, quality, None)
            print(f"{array.shape} at {quality}: {differing} symbols differ, pixels by {level} at most")
            if differing or level > 4:
                msg = "not the same image: nothing worth timing"
                raise SystemExit(msg)


def compared(array, quality, model):
    """Symbols that differ between GPU and file, the largest difference of pixels in either direction, symbols in
    all.
    """
    import numpy as np

    import pillow_lic
    from pillow_lic import container
    from pillow_lic.codec.decode import decode_symbols
    from pillow_lic.engines.torch import networks

    picture = begun(array, quality, model)
    (arrival,) = picture.run([picture])
    arrival.wait()
    integers = [part.copy() for part in (arrival.value.z, arrival.value.r)]
    files = picture.end(arrival), pillow_lic.encode(array, quality=quality, model=model, device="cpu")
    found = decode_symbols(container.read(files[0]))[:2]
    differing = sum(int((a != b).sum()) for a, b in zip(found, integers))
    level = 0
    own = networks.precision  # the CPU is the reference here: in float32, whatever it is fast at
    with mock.patch.object(networks, "precision", lambda name="cpu": "float32" if name == "cpu" else own(name)):
        for data in files:
            pixels = [pillow_lic.decode(data, device=name).astype(int) for name in ("cpu", "cuda")]
            level = max(level, int(np.abs(pixels[0] - pixels[1]).max()))
    return differing, level, sum(part.size for part in integers)


def ours(size, arrays, options):
    """Rows of ours, one by one and in a batch."""
    import pillow_lic
    from pillow_lic.engines import choice
    from pillow_lic.engines.torch import place as places

    place = places.at(choice.device_named("cuda"))
    repeats = max(options.repeats // 5, 3)
    for mode, chosen in (("single", arrays[:1]), ("batch", batch_of(arrays))):
        if mode == "single":
            files = [pillow_lic.encode(chosen[0], quality=QUALITY, device="cuda")]
            image = chosen[0]
            encode_s = median(lambda: pillow_lic.encode(image, quality=QUALITY, device="cuda"), repeats)  # noqa: B023
            decode_s = median(lambda: pillow_lic.decode(files[0], device="cuda"), repeats)  # noqa: B023
            yield row("lic", size, mode, chosen, files, encode_s, decode_s) | parts(chosen[0], place, repeats)
            continue
        files = pillow_lic.encode_batch(chosen, quality=QUALITY, device="cuda")
        encode_s = median(lambda: pillow_lic.encode_batch(chosen, quality=QUALITY, device="cuda"), 3)  # noqa: B023
        decode_s = median(lambda: pillow_lic.decode_batch(files, device="cuda"), 3)  # noqa: B023
        yield row("lic", size, mode, chosen, files, encode_s, decode_s)


class OnGpu:
    """A model of CompressAI with its networks, and what stands in for their output, on the GPU; name: MeanScale or
    Hyperprior.
    """

    def __init__(self, name):
        import compressai_peer
        import torch

        self.torch, self.stride = torch, compressai_peer.STRIDE
        self.peer = getattr(compressai_peer, name)()

    def fit(self, image, size):
        """Chooses the latents on the CPU, for `size` bytes of y, then moves all there is."""
        self.peer.net.cpu()
        for network in (self.peer.net.g_a, self.peer.net.h_s):
            network.output = None
        self.peer.fit(image, size)
        self.peer.net.cuda()
        for network in (self.peer.net.g_a, self.peer.net.h_s):
            network.output = network.output.cuda()

    def encode(self, array):
        """8-bit pixels of the host to strings."""
        torch = self.torch
        pixels = torch.from_numpy(array).cuda().permute(2, 0, 1)[None].float() / 255
        bottom, right = -array.shape[0] % self.stride, -array.shape[1] % self.stride
        with torch.no_grad():
            coded = self.peer.net.compress(torch.nn.functional.pad(pixels, (0, right, 0, bottom), mode="replicate"))
        return coded["strings"], coded["shape"]

    def decode(self, coded, height, width):
        """Strings to 8-bit pixels on the host."""
        torch = self.torch
        with torch.no_grad():
            pixels = self.peer.net.decompress(*coded)["x_hat"][0, :, :height, :width]
            return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def peer(name, size, array, data_bytes, options):
    """The row of a model of CompressAI, one image at a time, y of as many bytes as our file."""
    from PIL import Image

    codec = OnGpu(name)
    codec.fit(Image.fromarray(array), data_bytes)
    coded = codec.encode(array)
    height, width = array.shape[:2]
    if codec.decode(coded, height, width).shape != array.shape:
        msg = "CompressAI: another shape came back"
        raise SystemExit(msg)
    repeats = max(options.repeats // 10, 3)
    times = median(lambda: codec.encode(array), repeats), median(lambda: codec.decode(coded, height, width), repeats)
    data = b"".join(itertools.chain.from_iterable(coded[0]))
    return row(codec.peer.label.lower().replace(" ", "-"), size, "single", [array], [data], *times)


# ---- sections of bench/gpu.py ----------------------------------------------------------------------------------------


def codec(options, write):
    """Rows for all sizes; returns facts for the description."""
    import torch

    check([generated(130, 190, 7), generated(512, 768, 8)])
    rows, without = [], None
    for size, arrays in images_of(options):
        found = list(ours(size, arrays, options))
        if without is None and arrays[0].size <= 3 * PEER_PIXELS:
            try:
                reference, other = (
                    peer(name, size, arrays[0], found[0]["bytes"], options) for name in ("MeanScale", "Hyperprior")
                )
                for one in found:
                    one["decode_ratio"] = one["decode_mp_s"] / reference["decode_mp_s"]
                found += [reference, other]
            except (ImportError, RuntimeError) as error:  # absent, or not made for this torch
                without = f"CompressAI cannot be run: {error!r}"
                print(without)
        for one in found:
            print(
                "{codec:24} {size:8} {mode:6} {images:4} images  "
                "encode {encode_images_s:8.1f}/s {encode_mp_s:7.1f} MP/s   "
                "decode {decode_images_s:8.1f}/s {decode_mp_s:7.1f} MP/s".format(**one)
            )
        rows += found
        write("gpu-codec.csv", FIELDS, rows)
    return {"threads": torch.get_num_threads(), "quality": QUALITY, "without": without}


def exact(options, write):
    """Both directions, every image, five qualities, every model. SystemExit where a symbol differs."""
    from pillow_lic.constants import LIC_QUALITY_SCALE
    from pillow_lic.models import choice, registry

    images = (
        list(folder(options.images))
        if options.images
        else [(name, generated(*shape, 3)) for name, shape in list(SIZES.items())[:2]]
    )
    rows = []
    for model, (name, array), quality in itertools.product(choice.names(), images, QUALITIES):
        if not registry.by_name(model).manifest.fits(quality * LIC_QUALITY_SCALE):
            continue
        differing, level, count = compared(array, quality, model)
        rows.append(
            {
                "model": model,
                "image": name,
                "quality": quality,
                "symbols": count,
                "differing": differing,
                "largest_pixel_difference": level,
            }
        )
        if len(rows) % len(QUALITIES) == 0:
            write("gpu-exact.csv", EXACT_FIELDS, rows)  # now and then, so that a run that is cut short leaves something
    write("gpu-exact.csv", EXACT_FIELDS, rows)
    differing, level = sum(one["differing"] for one in rows), max(one["largest_pixel_difference"] for one in rows)
    symbols = sum(one["symbols"] for one in rows)
    print(f"exact: {len(rows)} cases, {symbols} symbols, {differing} differ; pixels within {level}")
    if differing:
        msg = "symbols differ between devices"
        raise SystemExit(msg)
    return {"cases": len(rows), "differing": differing, "largest_pixel_difference": level}
