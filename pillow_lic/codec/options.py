"""Options of encoding: names, defaults, limits and checks. The API, the plugin, the command line and the docs read them
here. Those of decoding are in decode_options.py.

Imports the standard library, models, engines' choice and ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from .. import quality as qualities
from .. import style as styles
from .. import values
from ..engines import choice as engines
from ..engines.base import IDLE
from ..errors import LicBadOption
from ..models import choice as models
from . import depth as depths
from . import preview

if TYPE_CHECKING:
    from ..engines.base import Engine
    from ..models.store import Model
    from ..style import Style
    from .regions import Regions

EFFORTS = range(10)
SCREENS = ("auto", "off")
DEFAULT_EFFORT = 2  # of models whose manifest has a lambda; others take 0 alone

TARGETS = {  # what a quality may be searched for, instead of being given, and what it is counted in
    "target_size": "bytes",
    "target_bpp": "bits per pixel",
    "ratio": "bytes of samples to a byte of the file",
    "target_psnr": "dB",
}


class EncodeKeywords(TypedDict, total=False):
    """The options of EncodeOptions, for type checkers."""

    quality: float | None
    target_size: int | None
    target_bpp: float | None
    ratio: float | None
    target_psnr: float | None
    model: str | None
    tune: str | None
    effort: int | None
    device: str | None
    lossless: bool
    screen: str
    exact: bool | None
    progressive: bool | None
    roi: Any
    background: float | None
    importance: Any
    uniform: bool
    preview: bool | int | None
    style: str | None
    strength: float | None
    depth: int | None


class Span(NamedTuple):
    """Qualities that a model is taken for, and how it encodes."""

    q: int  # the highest
    model: Model
    effort: int
    engine: Engine


class Target(NamedTuple):
    """What the quality is searched for (codec/rate)."""

    kind: str  # one of TARGETS
    value: float
    spans: tuple[Span, ...]  # rising
    smaller: tuple[tuple[Span, ...], ...] = ()  # to turn to, one after the other, where none of those goes so low


class EncodeSettings(NamedTuple):
    """What EncodeOptions come to. model: None for what is lossless. With a target, q, model, effort and engine are
    those of its highest quality.
    """

    q: int
    model: Model | None
    effort: int
    engine: Engine
    screen: str = SCREENS[0]
    exact: bool = False
    progressive: bool = False
    regions: Regions | None = None
    preview: int = 0  # the longer side, 0 for none
    style: Style | None = None  # what the writer prefers
    target: Target | None = None
    depth: int | None = None


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """How to encode.

    quality: 0.1 to 100, may be fractional; lower, to 0, it counts as 0.1, where a model is named as that one's lowest;
    None: 75. Or, instead of it, one of these, for which the quality is searched:
    target_size: bytes of the whole file, metadata and alpha included; never more, and as near below as can be.
    target_bpp: the same in bits per pixel. ratio: the same as the samples' bytes over the file's.
    target_psnr: dB of the colours that are seen, as near as can be. At quality 100 a file may be smaller, and at 0.1
    better, than asked, and one that is kept exactly both; what cannot be had otherwise is LicTargetUnreachable.
    tune: what the files shall be good at: "visual", what people see; "psnr", squared errors; "ms-ssim"; or
    "perceptual", which is "visual" and a wish to be shown in that style. None: "visual"; "psnr" where target_psnr or
    uniform asks for squared errors, or a file is to be smaller than "visual" can make it. Below 1, and for the smallest
    files, there is one model for all tunes. Or model: a name that `lic models` lists, with the quality that it is for.
    effort: 0 to 9, smaller files at equal quality for more time; None for 2. No decoder sees a difference. With
    "ms-ssim" 0 alone.
    progressive: True lets the file be cut anywhere: what comes first is a coarser picture, for about 2 % more bytes.
    roi: what shall have the stated quality, the rest less: a box (left, top, right, bottom) in pixels, a list of them,
    or a mask over the picture, an image or array of any size (255, True or 1.0: inside); or "faces" or "text", which
    are looked for, and if there are none no part gets less. background: how much less, in points of quality, -100 to 0;
    None for -15.
    importance: "auto" spends bytes where busy surroundings do not hide what is lost, as "visual" does of itself; or a
    map of any size, 128 being neutral. uniform: True gives every block of 64 x 64 pixels about the same PSNR.
    style: "default" or "perceptual", with strength, 0 to 1: how the picture is best shown, for readers that say nothing
    of it themselves (see `decode`). The file's other bytes stay the same.
    preview: True, or the longer side in pixels (True: 512), puts a small picture into the file, which `thumbnail()` and
    `draft()` take where it is large enough.
    device: where the networks run: "cpu", "cuda", "cuda:N", "auto" (CUDA if it can be used, else the CPU); None: see
    `set_device`.
    lossless: True keeps every sample exactly; no model is needed then, and quality does not matter.
    screen: "auto" keeps text, line art, stripes and the like exactly where that is cheaper; "off" leaves all to the
    networks.
    exact: True keeps the colour of pixels whose alpha is 0; False lets them come back in one colour. None: as lossless.
    depth: bits of a sample, 9 to 16, of pixels that are not uint8; None for the first of 10, 12, 14 and 16 that holds
    them, of floats 16. Quality is relative to what so many bits hold.
    """

    quality: float | None = None
    target_size: int | None = None
    target_bpp: float | None = None
    ratio: float | None = None
    target_psnr: float | None = None
    model: str | None = None
    tune: str | None = None
    effort: int | None = None
    device: str | None = None
    lossless: bool = False
    screen: str = SCREENS[0]
    exact: bool | None = None
    progressive: bool | None = None
    roi: Any = None
    background: float | None = None
    importance: Any = None
    uniform: bool = False
    preview: bool | int | None = None
    style: str | None = None
    strength: float | None = None
    depth: int | None = None

    def checked(self) -> EncodeSettings:
        """What they come to. Raises LicBadOption (also a ValueError), LicUnknownModel, LicModelMissing,
        LicGpuUnavailable.
        """
        device = engines.device_named(self.device)
        if self.tune is not None:
            values.one_of("tune", self.tune, models.TUNES)
        target = self._target()
        quality = qualities.DEFAULT if self.quality is None else self.quality
        q = qualities.to_q(quality)
        lossless = values.switch("lossless", self.lossless)
        exact = lossless if self.exact is None else values.switch("exact", self.exact)
        screen = values.one_of("screen", self.screen, SCREENS)
        progressive = self.progressive is not None and values.switch("progressive", self.progressive)
        from . import regions

        wanted = regions.checked(self.roi, self.background, self.importance, self.uniform)
        small, depth = preview.checked(self.preview), depths.checked(self.depth)
        style = styles.asked(self._wish(lossless), self.strength)
        if lossless and target:
            msg = f"lossless files have the size that they have: give either lossless or {target[0]}"
            raise LicBadOption(msg)
        if lossless:
            if style is not None:
                msg = "lossless=True keeps every sample: it does not go with style"
                raise LicBadOption(msg)
            if wanted is not None:
                msg = "lossless=True keeps every sample: it does not go with roi, importance or uniform"
                raise LicBadOption(msg)
            effort = _checked_effort(self.effort, None)
            return EncodeSettings(q, None, effort, IDLE, screen, exact, preview=small, depth=depth)
        if target is None:
            span, sought = self._span(*models.chosen(self.model, self._tune(), quality), device), None
        else:
            ladders = models.ladders(self.model, self._tune())
            spans, *smaller = (tuple(self._span(*rung, device) for rung in ladder) for ladder in ladders)
            span, sought = spans[-1], Target(*target, spans, tuple(smaller))
        if wanted is not None and not span.model.core.staged:
            msg = f"the model {span.model.name!r} codes its residuals under mixtures, whose files take no quality map"
            raise LicBadOption(msg)
        return EncodeSettings(*span, screen, exact, progressive, wanted, small, style, sought, depth)

    def _span(self, q: int, model: Model, device: str) -> Span:
        _check_progressive(self.progressive, model)
        return Span(q, model, _checked_effort(self.effort, model), engines.encoder(model, device))

    def _tune(self) -> str | None:
        """The stated one, or what goes with what is asked for; None leaves it to the model or the default."""
        squares = self.uniform or self.target_psnr is not None
        return models.SQUARES_TUNE if squares and self.model is None and self.tune is None else self.tune

    def _wish(self, lossless: bool) -> str | None:
        """The stated style, or what goes with the tune."""
        wishes = self.tune == styles.PERCEPTUAL and self.style is None and not lossless
        return styles.PERCEPTUAL if wishes else self.style

    def _target(self) -> tuple[str, float] | None:
        """The one that is given, and what it asks for. Raises LicBadOption for several."""
        given = [name for name in ("quality", *TARGETS) if getattr(self, name) is not None]
        if len(given) > 1:
            msg = f"{' and '.join(given)} each decide the quality: give one of them"
            raise LicBadOption(msg)
        if not given or given == ["quality"]:
            return None
        (name,), value = given, getattr(self, given[0])
        found = values.real(value) if name != "target_size" or values.whole(value) is not None else math.nan
        if not 0 < found < math.inf:
            what = f"a whole number of {TARGETS[name]}" if name == "target_size" else TARGETS[name]
            msg = f"{name} must be {what}, above 0, found {value!r}"
            raise LicBadOption(msg)
        return name, found


def _checked_effort(effort: Any, model: Model | None) -> int:
    weighs = model is None or model.manifest.lambdas is not None
    if effort is None:
        return DEFAULT_EFFORT if weighs else 0
    if values.whole(effort) not in EFFORTS:
        msg = f"effort must be an integer from {EFFORTS[0]} to {EFFORTS[-1]}, found {effort!r}"
        raise LicBadOption(msg)
    if effort and model is not None and not weighs:
        knows = "effort knows squared errors and the visual distance"
        msg = f"{knows}, and the manifest of {model.name!r} has no lambda: use effort 0, or tune='visual' or 'psnr'"
        raise LicBadOption(msg)
    return int(effort)


def _check_progressive(progressive: bool | None, model: Model) -> None:
    if progressive and not model.core.staged:
        msg = f"the model {model.name!r} codes its residuals under mixtures, whose files cannot be progressive"
        raise LicBadOption(msg)
