"""The PyTorch engine: the steps of base.Engine over this folder's files.

Imports torch and numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ... import container, forks, threads
from ...errors import LicBadOption
from .. import base
from ..base import Arrival, Latents, Picture, Symbols
from ..pieces import is_lost, pieces
from . import intervals, networks, quantise, scale_map, search
from . import latents as steps
from . import place as places
from .networks import running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from ...models.store import Model
    from .place import Place

if forks.with_torch:  # OpenMP's threads are the parent's
    torch.set_num_threads(1)
forks.in_child(lambda: torch.set_num_threads(1))


def on(device: str, keep: bool = False) -> TorchEngine:
    """The engine on "cpu" or "cuda:N". keep: its pixels are tensors that stay there."""
    if forks.with_torch and torch.get_num_threads() != 1:  # another thread than the caller's may have imported this
        torch.set_num_threads(1)
    wanted = threads.asked()
    if wanted is not None and wanted != torch.get_num_threads() and not forks.with_torch:
        torch.set_num_threads(wanted)
    return TorchEngine(places.at(device), keep)


def tensor(array: np.ndarray, device: str) -> Tensor:
    """A tensor on a device, of an array that nobody else writes to."""
    return places.at(device).up(torch.from_numpy(array))


@dataclass(frozen=True)
class TorchEngine:
    """Runs networks with PyTorch."""

    place: Place
    keep: bool = False

    @property
    def group(self) -> int:
        """Pixels of pictures that may share a call."""
        return self.place.group

    def streams(self) -> Sequence[AbstractContextManager[Any]]:
        """Contexts for the calls of many pictures."""
        return self.place.streams()

    def analyse(self, pictures: Sequence[Picture]) -> Latents:
        """The latents of pictures with the same model, quality and latent grid."""
        found = []
        for part in self.place.fitting(pictures):
            with part, torch.inference_mode(), running(self.place.name):
                found.append(self._hyper(self._analysed(part.items, part.side)))
        return steps.joined(found)

    def _analysed(self, pictures: Sequence[Picture], side: int | None) -> Latents:
        model, header = pictures[0].model, pictures[0].header
        encoder, grid = networks.encoder(model, self.place), header.latent_grid
        t = self.place.up(steps.positions([header.quality_q] * len(pictures)))
        y = steps.analyse(encoder, [picture.colour for picture in pictures], grid, t, side)
        return Latents(pictures, t, y, None, None, None, side)

    def _hyper(self, latents: Latents) -> Latents:
        """The same with z and what follows from it."""
        pictures = latents.pictures
        model, header = pictures[0].model, pictures[0].header
        encoder, q = networks.encoder(model, self.place), header.quality_q
        d = self.place.up(torch.from_numpy(model.tables.z_steps(q)))
        z = steps.hyper_analyse(encoder, latents.y, latents.t, d, latents.side)
        v, index = scale_map.scale_index(model, self.place, q, z, header.latent_grid)
        index, fine = scale_map.shifted(index, self.place, header, [picture.shift for picture in pictures], model)
        if any(picture.progressive for picture in pictures):
            hosted = z.cpu().numpy()
            pictures = [picture.staged(one) for picture, one in zip(pictures, hosted, strict=True)]
        return replace(latents, pictures=pictures, z=z, v=v, index=index, fine=fine)

    def at(self, latents: Latents, q: int) -> Latents:
        """The same at another quality: z and what follows from it anew."""
        pictures = [picture.at(q) for picture in latents.pictures]
        t = self.place.up(steps.positions([q] * len(pictures)))
        there = replace(latents, pictures=pictures, t=t, r=None)
        return self._once(there, self._hyper)

    def refined(self, latents: Latents, effort: int) -> Latents:
        """The same with what effort finds."""
        if not base.PASSES[effort]:
            return latents
        return self._once(latents, lambda those: self._refined(those, effort))

    def _refined(self, latents: Latents, effort: int) -> Latents:
        found = search.quantise(*self._quantising(latents), latents, effort, *self._prices(latents))
        return replace(latents, moved=found.y, weight=found.weight, r=found.r, notes=found.notes)

    def _once(self, latents: Latents, work: Callable[[Latents], Latents]) -> Latents:
        """What comes of one picture's latents, in pieces as small as it takes."""
        done = None
        for part in self.place.fitting(latents, latents.side):
            with part, torch.inference_mode(), running(self.place.name):
                done = work(replace(part.items, side=part.side))
        assert done is not None
        return done

    def _prices(self, latents: Latents) -> tuple[float, float]:
        """What search.quantise wants to know of a bit and of the visual distance."""
        model, q = latents.pictures[0].model, latents.pictures[0].header.quality_q
        bit = base.error_of_bit(model.manifest.lambda_at(q))
        return bit, bit * model.manifest.visual_at(q)

    def _quantising(self, latents: Latents) -> tuple[networks.Network, quantise.Quantiser]:
        model = latents.pictures[0].model
        return networks.decoder(model, self.place), quantise.quantiser(model, self.place.name)

    def quantise(self, latents: Latents, effort: int) -> Sequence[Arrival[Symbols]]:
        """The symbols of each picture."""
        if latents.r is not None:
            return self._symbols(latents, latents.r, latents.notes)
        arrivals: list[Arrival[Symbols]] = []
        for part in self.place.fitting(latents, latents.side):
            with part, torch.inference_mode(), running(self.place.name):
                those = replace(part.items, side=part.side)
                decoder, quantiser = self._quantising(those)
                if those.moved is None:
                    found = search.quantise(decoder, quantiser, those, effort, *self._prices(those))
                    arrivals += self._symbols(those, found.r, found.notes)
                else:
                    r = steps.quantise(decoder, replace(those, y=those.moved), quantiser, those.weight)
                    arrivals += self._symbols(those, r, those.notes)
        return arrivals

    def _symbols(self, latents: Latents, r: Tensor, notes: tuple[str, ...]) -> list[Arrival[Symbols]]:
        known = self._intervals(latents, r)
        z, r = self.place.down(latents.z), self.place.down(r)
        wait = self.place.mark()
        rows = zip(latents.pictures, z.numpy(), r.numpy(), known, strict=True)
        return [
            Arrival(Symbols(p.header, p.model, z, r, p.shift, intervals=those, notes=notes), wait)
            for p, z, r, those in rows
        ]

    def _intervals(self, latents: Latents, r: Tensor) -> Sequence[np.ndarray | None]:
        """Of each picture's symbols those that the coder can be spared; none where the core is as near as the map."""
        model = latents.pictures[0].model
        if not (self.place.gpu and model.core.takes_intervals):
            return [None] * len(latents)
        found = [intervals.intervals(model, index, symbols) for index, symbols in zip(latents.index, r, strict=True)]
        return [self.place.down(one).numpy() for one in found]

    def blank(
        self, header: container.Header, model: Model, shift: bytes | None = None, *, area: container.Area | None = None
    ) -> Symbols:
        """Memory that the place can copy from without waiting."""
        z = self.place.host(model.manifest.hyper, *header.hyper_grid, dtype=torch.int16)
        r = self.place.host(model.manifest.latent, *header.latent_grid, dtype=torch.int16)
        return Symbols(header, model, z.numpy(), r.numpy(), shift, memory=(z, r))

    def render(
        self, symbols: Sequence[Symbols], *, scale: int = 1, area: container.Area | None = None
    ) -> Sequence[Arrival[Any]]:
        """The pixels, whole or of an area, which is cut from the whole, at full size alone."""
        if scale != 1:
            msg = f"the PyTorch engine renders at full size, found scale={scale!r}"
            raise LicBadOption(msg)
        arrivals: list[Arrival[Any]] = []
        for part in self.place.fitting(symbols):
            with part:
                arrivals += self._render(part.items, part.side, area)
        return arrivals

    def _render(self, symbols: Sequence[Symbols], side: int | None, area: container.Area | None) -> list[Arrival[Any]]:
        images = [self._canvas(one.header) for one in symbols]  # outside inference mode: callers may write to them
        with torch.inference_mode(), running(self.place.name):
            pairs = zip(symbols, images, strict=True)
            drawn = [(one, image) for one, image in pairs if len(one.missing) < one.header.tile_count]
            if drawn:
                self._draw([one for one, _ in drawn], [image for _, image in drawn], side)
            for one, image in zip(symbols, images, strict=True):
                for tile in one.missing:
                    image[tile.pixel_rows(one.header), tile.pixel_columns(one.header)] = base.grey_of(one.header)
        if area is not None:
            images = [image[area.rows, area.columns].contiguous() for image in images]
        if self.keep:
            images = [self._with_alpha(image, one.alpha) for image, one in zip(images, symbols, strict=True)]
            wait = self.place.mark()
            return [Arrival(image, wait) for image in images]
        images = [self.place.down(image) for image in images]
        wait = self.place.mark()
        return [Arrival(image.numpy(), wait, lent=self.place.gpu) for image in images]

    def _draw(self, symbols: Sequence[Symbols], images: Sequence[Tensor], side: int | None) -> None:
        model = symbols[0].model
        held = [one.memory or (torch.from_numpy(one.z), torch.from_numpy(one.r)) for one in symbols]
        z, r = (steps.stacked([self.place.up(part) for part in parts]) for parts in zip(*held, strict=True))
        t = self.place.up(steps.positions([one.header.quality_q for one in symbols]))
        d = np.stack(list(map(model.core.z_steps, [one.header.quality_q for one in symbols])))
        v = scale_map.dequantised(z, self.place.up(torch.from_numpy(d)))
        fine = scale_map.finer(self.place, symbols[0].header, [one.shift for one in symbols])
        seeds = [base.noise_seed(one.header) for one in symbols]
        decoder = networks.decoder(model, self.place, symbols[0].style, seeds)
        those = [
            piece  # others are painted grey afterwards
            for piece in pieces(r.shape[2], r.shape[3], decoder.halo, side)
            if not all(is_lost(piece, one.header, one.missing) for one in symbols)
        ]
        steps.render(decoder, (r, v), t, images, those, fine, symbols[0].header.most)

    def _canvas(self, header: container.Header) -> Tensor:
        """(H, W), or (H, W, 3), on the device."""
        bands = () if header.layout in ("L", "LA") else (3,)
        dtype = torch.uint16 if header.deep else torch.uint8
        return torch.empty((header.height, header.width, *bands), dtype=dtype, device=self.place.name)

    def _with_alpha(self, image: Tensor, alpha: np.ndarray | None) -> Tensor:
        if alpha is None:
            return image
        plane = self.place.up(torch.from_numpy(np.array(alpha)))[..., None]
        return torch.cat([image if image.dim() == 3 else image[..., None], plane], -1)

    def scales(self, model: Model) -> Sequence[int]:
        """None."""
        return ()

    def hand_over(self, values: Sequence[Any]) -> None:
        """Tensors that other streams made, all of them marked and waited for, now belong to the caller's stream."""
        if self.keep:
            self.place.hand_over(values)
