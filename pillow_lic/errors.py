"""The errors of the package: one class per refusal, each with what happened, where, and what to do (FORMAT appendix A).

Imports nothing, so that every room may import it.
"""


class LicError(OSError):
    """Base of everything this package raises about a `.lic` file, a model or an option.

    An OSError, because that is what users of Pillow catch around opening, loading and saving.
    """


class LicBadMagic(LicError):
    """The signature is not that of a `.lic` file. Check that the file is an image (licence files end in .lic, too).

    Pillow's `Image.open` reports it as UnidentifiedImageError, as for any file that no plugin knows.
    """


class LicUnsupportedVersion(LicError):
    """The file uses something this version does not know: a major version, a critical chunk, a reserved value.

    Install a newer pillow-lic.
    """


class LicTruncated(LicError):
    """The data ends before the file does. Fetch the file again, or set `ImageFile.LOAD_TRUNCATED_IMAGES = True`
    to load what is there, with missing tiles in grey.
    """


class LicCorruptChunk(LicError):
    """A chunk's checksum is wrong, a field is out of range, or a chunk is missing, doubled or out of order.

    The file was damaged after it was written: fetch it again.
    """


class LicCorruptTile(LicError):
    """A tile stream does not decode to its checksum. The file was damaged: fetch it again, or set
    `ImageFile.LOAD_TRUNCATED_IMAGES = True` to load the other tiles.
    """


class LicLimitExceeded(LicError):
    """A size is beyond the limits of FORMAT 3. Split the image, or distrust the file."""


class LicUnknownModel(LicError):
    """The model's number and hash, or its name, are not known. Install the pillow-lic that the file was made with,
    or call `pillow_lic.register_model(path)` with the model's directory.
    """


class LicModelMissing(LicError):
    """The model is known, but its files are absent or not intact. Reinstall pillow-lic or the model."""


class LicBadOption(LicError, ValueError):
    """An option of encoding or decoding has the wrong type or range. Nothing was written; correct the call."""


class LicTargetUnreachable(LicError, ValueError):
    """No quality makes a file of the size, or of the PSNR, that was asked for. The message says what can be had."""


class LicGpuUnavailable(LicError):
    """A GPU was asked for, and cannot be used: torch sees none, its memory is too short, CuPy is missing or of another
    CUDA release, or a kernel does not compile. Do as the message says (install `pillow-lic[cuda12]` or
    `pillow-lic[cuda13]`, free memory), or stay on the CPU.
    """


class LicEngineMissing(LicError):
    """What was asked for needs PyTorch, which is not installed: `pip install 'pillow-lic[torch]'`."""


class LicWebpMissing(LicError):
    """The file holds parts in lossless WebP, and Pillow was built without WebP. Install a Pillow that has it, such as
    the wheels of PyPI; `python -m PIL.report` says what yours has.
    """


class LicMeasureMissing(LicError):
    """A measure of quality needs a package, a tool or a file of weights that is not there, or that does not work.
    Get it as the message says, or ask for other measures.
    """


class LicPackageMissing(LicError):
    """A command needs a package that is not installed: `pip install 'pillow-lic[plot]'`, or as the message says."""


class LicDataMissing(LicError):
    """A data set is not where it was looked for, or holds no pictures: say NAME=PATH, or set LIC_DATA."""
