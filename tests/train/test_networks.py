"""The networks of `photo` as training has them: how far they see, what reaches them, how they round and start."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pillow_lic.engines.torch import latents, rate

pytest.importorskip("tqdm", reason="the train extra is not installed")
from toy_runs import CONFIG

from train import data, layers, train
from train.families import gdn, photo
from train.residuals import kind
from train.rows import to_frequencies

pytestmark = pytest.mark.network


def test_encoder_halo_is_the_reach_of_the_networks():
    """Measured by gradients: no latent position depends on pixels farther away, and one depends on the farthest."""
    small = {"latent": 2, "hyper": 2, "encoder": 2, "encoder_low": 2, "body": 2, "points": 2}
    for blocks, low_blocks in ((0, 4), (3, 4), (3, 10), (2, 1)):
        config = photo.Config(**small, encoder_blocks=blocks, encoder_low_blocks=low_blocks)
        model = photo.Model(config).double()
        x = torch.rand(1, 3, 16 * 33, 16, dtype=torch.float64, requires_grad=True)  # one column is enough
        model.analysis(x, torch.zeros(1, dtype=torch.float64))[0, :, 16].double().sum().backward()
        rows = x.grad.abs().sum((0, 1, 3)).nonzero() // 16
        y = torch.rand(1, 2, 32, 4, dtype=torch.float64, requires_grad=True)
        model.hyper_analysis(y, torch.zeros(1, dtype=torch.float64))[0, :, 4].sum().backward()  # above rows 16 to 19
        hyper_rows = y.grad.abs().sum((0, 1, 3)).nonzero()
        reach = max(16 - rows.min(), rows.max() - 16, 16 - hyper_rows.min(), hyper_rows.max() - 19)
        assert model.reach()[1] == reach


def test_halo_is_the_reach_of_the_decoder():
    """Measured by gradients of pixels by symbols, along rows and columns; the prior, which comes before, sees one
    position more.
    """
    small = {"latent": 4, "hyper": 2, "body": 8, "spread": 2, "detail": 4, "render": 2, "points": 2}
    for body_blocks, detail_blocks in ((0, 1), (2, 4), (1, 2)):
        config = photo.Config(**small, body_blocks=body_blocks, detail_blocks=detail_blocks)
        model, t = photo.Model(config), torch.zeros(1)
        reach = 0
        for axis, at in ((0, 19), (0, 20), (1, 19), (1, 20)):  # positions of all groups
            size = (41, 5) if axis == 0 else (5, 41)
            features, mean, step = torch.rand(1, 8, *size), torch.zeros(1, 4, *size), torch.ones(1, 4, *size)
            r = torch.rand(1, 4, *size, requires_grad=True)
            y_hat = torch.zeros_like(mean)
            for here, own_mean, own_step in latents.groups(model.refine, features, mean, step, y_hat):
                y_hat[here] = own_mean + r[here] * own_step
            pixels = model.synthesis(y_hat, t).movedim(2 + axis, 0)[16 * at : 16 * at + 16]
            pixels.square().sum().backward()
            seen = r.grad.abs().movedim(2 + axis, 0).flatten(1).sum(1).nonzero()
            reach = max(reach, int(at - seen.min()), int(seen.max() - at))
        assert model.reach()[0] == reach + 1


@pytest.mark.parametrize("design", ["wide-blocks", "bottlenecks", "next-blocks", "gdn-blocks"])
def test_reach_of_other_blocks(design):
    """Summed from the layers that are there: no pixel of a design sees farther."""
    small = {"latent": 4, "hyper": 2, "body": 16, "spread": 2, "detail": 16, "render": 8, "points": 2}
    model = photo.Model(photo.Config(**small, body_blocks=2, detail_blocks=2, design=design))
    y_hat = torch.rand(1, 4, 41, 3, requires_grad=True)
    model.synthesis(y_hat, torch.zeros(1))[:, :, 16 * 20 : 16 * 21].square().sum().backward()
    rows = y_hat.grad.abs().sum((0, 1, 3)).nonzero()
    seen = max(20 - int(rows.min()), int(rows.max()) - 20)
    prior, refinement = layers.reach([model.prior.block]), photo.refinement_reach(model.refine.groups)
    assert refinement == 4
    assert model.reach()[0] == prior + refinement + seen


def test_reach_of_gdn():
    """Measured by gradients of pixels by z and by y_hat, of z by y, and of y by pixels."""
    small = {"filters": 4, "latent": 4, "hyper": 2, "hidden": 4, "points": 2, "attention": False}
    model, t = gdn.Model(gdn.Config(family="gdn-mixture", components=2, **small)), torch.zeros(1)

    def seen(function, source, at, positions=1):
        """Source positions beyond those under row `at` of the result of function(source), each `positions` rows."""
        source.requires_grad_(True)
        function(source).square().sum().backward()
        rows = source.grad.abs().sum((0, 1, 3)).nonzero()
        return max(at - int(rows.min()), int(rows.max()) - at - positions + 1)

    y_hat = torch.rand(1, 4, 41, 1)
    pixels = seen(lambda y: model.synthesis(y, t)[:, :, 320:336], y_hat, 20)
    mean = seen(lambda z: model.prior(z, t)[1][:, :, 80:84], torch.rand(1, 2, 41, 1), 20)  # positions of z
    y = seen(lambda x: model.analysis(x, t)[:, :, 5:6], torch.rand(1, 3, 16 * 11, 16), 80, 16)
    z = seen(lambda y: model.hyper_analysis(y, t)[:, :, 5:6], torch.rand(1, 4, 44, 4), 20, 4)
    decoder, encoder = model.reach()
    assert (pixels, mean) == (2, 2)
    assert decoder == 9  # 7 positions of the mean, which are two of z, and 30 pixels
    assert encoder == max(z, -(-y // 16)) == 7


def test_gradients_reach_every_parameter():
    config = train.load_config(CONFIG, []).network
    model = photo.Model(config)
    x = torch.rand(2, 3, 64, 64)
    out = model(x, torch.tensor([0.2, 0.9]))
    (out["x_hat"].square().mean() + (out["y_bits"] + out["z_bits"]).mean() * 1e-3).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert silent == []


def test_training_rounds_as_the_encoder_does():
    """The bits of `hard` passes are those of the exported rows before they are bent towards counts."""
    shapes = [kind.gaussian_row(sigma) for sigma in kind.scale_grid()]
    freqs = [to_frequencies(mass) for _, mass in shapes]
    first, counts = np.array([first for first, _ in shapes]), np.array([len(f) for f in freqs])
    rows = rate.bits_more(np.concatenate(freqs), counts, first, layers.ROWS)
    differences = (layers.gaussian_bits_more() - rows).abs()
    assert differences[20:].max() < 0.07  # below, a symbol of 2 is as rare as a frequency of 1 can be: 2^-16
    assert differences[8:, 0].max() < 0.07
    model = photo.Model(train.load_config(CONFIG, []).network)
    sigma = torch.full((1, 1, 1, 5), 0.5).log()
    found = model.codec_round(torch.tensor([0.5, 0.55, -0.59, 1.52, 0.9]).reshape_as(sigma), sigma)
    assert found.flatten().tolist() == [0, 0, -1, 1, 1]


def test_start_is_a_working_block_transform(photographs):
    """The linear paths alone, before any training: analysis and synthesis invert each other on the leading
    directions.
    """
    training, _ = data.load_split(photographs)
    x = torch.from_numpy(data.Crops(training, 64, 16, seed=1).at(0)).float().div(255)
    config = train.load_config(CONFIG, []).network
    model = photo.Model(dataclasses.replace(config, latent=192))
    model.start(x, 0.0008, 0.25)
    model.analysis.out.weight.data.zero_()
    model.synthesis.out.weight.data.zero_()
    model.synthesis.out.bias.data.zero_()
    with torch.inference_mode():
        t = torch.ones(len(x))
        x_hat = model.synthesis(model.analysis(x, t), t)
    assert (x_hat - x).square().mean() < 0.02 * x.var()


def test_a_dead_encoder_shows(photographs):
    """What the log and the warning of validation rest on."""
    network = train.build(train.load_config(CONFIG, []).network)
    x, t = torch.rand(2, 3, 64, 64), torch.tensor([0.1, 0.9])
    assert network.share(x, t) > 1e-3
    network.analysis.low[-1].contract.weight.data.zero_()
    network.analysis.out.weight.data.zero_()
    assert network.share(x, t) == 0
