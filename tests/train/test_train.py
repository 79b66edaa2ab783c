"""Training and export: exact resume, and a model that anyone trained can be registered and used."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from model_copies import compare_layers
from PIL import Image

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec.decode import decode_symbols
from pillow_lic.engines.torch import exchange, latents, rate
from pillow_lic.models import choice, registry

pytest.importorskip("tqdm", reason="the train extra is not installed")
from train import data, gpu_data, losses, networks, start, train
from train.export import (
    encoder_halo_of,
    export,
    gaussian_row,
    halo_of,
    integer_map,
    network_arrays,
    scale_grid,
    to_frequencies,
)

pytestmark = pytest.mark.network

CONFIG = Path(train.__file__).parent / "configs" / "toy.toml"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """A folder with loose pictures and one tar part, as `--data` takes it."""
    from pictures import picture

    folder = tmp_path_factory.mktemp("photographs")
    for number in range(4):
        Image.fromarray(picture(180, 240, 3, number)).save(folder / f"{number}.png")
    with tarfile.open(folder / "part.tar", "w") as archive:
        buffer = io.BytesIO()
        Image.fromarray(picture(200, 200, 3, 9)).save(buffer, "JPEG")
        member = tarfile.TarInfo("nine.jpg")
        member.size = buffer.tell()
        buffer.seek(0)
        archive.addfile(member, buffer)
    return folder


def run(photographs: Path, out: Path, steps: int, stop: int | None = None, settle: int = 0) -> train.Trainer:
    settings = [
        f"steps={steps}",
        f"settle={settle}",
        "batch=2",
        "crop=64",
        "final_crop=64",
        "validate_every=1000",
        'name="mine"',
    ]
    torch.set_num_threads(1)  # sums in another order would not be the same run
    trainer = train.Trainer(train.load_config(CONFIG, settings), photographs, out)
    trainer.resume()
    if stop is not None:
        for _ in range(trainer.step, stop):
            crops = data.Crops(trainer.training, 64, 2, trainer.config.seed * 1000)
            trainer.train_step(torch.from_numpy(crops.at(trainer.step)))
            trainer.step += 1
        trainer.save()
    else:
        trainer.run(None)
    return trainer


def test_reads_folders_and_tar_parts(photographs):
    names = [name for name, _ in data.read_photographs(photographs)]
    assert names == ["0.png", "1.png", "2.png", "3.png", "part.tar/nine.jpg"]
    with pytest.raises(FileNotFoundError, match="no photographs"):
        data.load_split(photographs / "nowhere")


def test_crops_depend_on_the_step_alone(photographs):
    training, _ = data.load_split(photographs)
    crops = data.Crops(training, 64, 4, seed=3)
    iterated = crops.iterate(5)
    assert np.array_equal(next(iterated), crops.at(5))
    assert np.array_equal(next(iterated), crops.at(6))
    assert crops.at(5).shape == (4, 3, 64, 64)


def test_the_last_steps_have_crops_of_their_own(photographs, tmp_path, monkeypatch):
    settings = [
        "steps=4",
        "batch=3",
        "crop=64",
        "final_crop=128",
        "final_batch=2",
        "final_share=0.5",
        "validate_every=1000",
    ]
    trainer = train.Trainer(train.load_config(CONFIG, settings), photographs, tmp_path)
    shapes = []
    monkeypatch.setattr(trainer, "train_step", lambda batch: shapes.append(tuple(batch.shape)))
    trainer.run(None)
    assert shapes == [(3, 3, 64, 64)] * 2 + [(2, 3, 128, 128)] * 2


def test_device_crops_depend_on_the_step_alone(photographs):
    training, _ = data.load_split(photographs)
    crops = gpu_data.DeviceCrops(training, 64, 5, 3, torch.device("cpu"), grey=0.5)
    batch = crops.at(5)
    iterated = crops.iterate(5)
    assert torch.equal(next(iterated), batch)
    assert torch.equal(next(iterated), crops.at(6))
    assert batch.shape == (5, 3, 64, 64)
    assert batch.dtype == torch.uint8
    assert not torch.equal(batch, crops.at(6))
    with pytest.raises(ValueError, match="smaller crop"):
        gpu_data.DeviceCrops(training, 4096, 1, 1, torch.device("cpu"))


def test_device_crops_are_parts_of_the_photographs():
    ramp = np.arange(90 * 100, dtype=np.uint32).reshape(90, 100)
    photo = np.stack([ramp % 251, ramp // 251, np.zeros_like(ramp)], 2).astype(np.uint8)
    crops = gpu_data.DeviceCrops([photo], 80, 6, 1, torch.device("cpu"), grey=0.0)
    assert len(crops.levels[0]) == 1  # at no other scale does a crop of 80 fit
    known = {photo[y, x].tobytes() for y in range(90) for x in range(100)}
    pixels = crops.at(0).permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    assert {pixel.tobytes() for pixel in pixels} <= known


def test_a_bad_batch_changes_nothing(photographs, tmp_path, monkeypatch):
    trainer = run(photographs, tmp_path, 3)
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    for state in trainer.optimizer.state.values():
        state["mean"].zero_()
    monkeypatch.setattr(train, "rate_distortion", lambda x, out, *_: {"loss": out["y_bits"] * float("nan")})
    trainer.train_step(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    for key, value in trainer.model.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_ms_ssim_as_the_distortion(photographs, tmp_path):
    pytest.importorskip("pytorch_msssim", reason="the train extra is not installed")
    x = torch.rand(2, 3, 176, 176)
    out = {"x_hat": torch.stack([x[0], x[1].roll(3, 1)]), "y_bits": torch.zeros(2), "z_bits": torch.zeros(2)}
    figures = losses.rate_distortion(x, out, torch.full((2,), 16.0), metric="ms-ssim")
    assert figures["loss"][0].abs() < 1e-5
    assert 0.3 < figures["loss"][1] <= 1.0
    settings = ["steps=1", "batch=2", "crop=176", "final_crop=176", 'metric="ms-ssim"', "lowest=2.0", "highest=150.0"]
    trainer = train.Trainer(train.load_config(CONFIG, settings), photographs, tmp_path)
    trainer.run(None)
    assert all(value.isfinite().all() for value in trainer.model.state_dict().values())
    for wrong in ({"crop": 128}, {"metric": "psnr"}):
        with pytest.raises(ValueError, match="metric"):
            train.Trainer(dataclasses.replace(trainer.config, **wrong), photographs, tmp_path)


def test_resume_is_exact(photographs, tmp_path):
    straight = run(photographs, tmp_path / "straight", 30)
    run(photographs, tmp_path / "parts", 30, stop=26)  # beyond a change of the optimiser's basis
    resumed = run(photographs, tmp_path / "parts", 30)
    assert resumed.step == straight.step == 30
    for key, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    for key, value in straight.average.items():
        assert torch.equal(value, resumed.average[key]), key


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stops_after_a_whole_step_when_told_to(photographs, tmp_path, monkeypatch, stop):
    """A signal in the middle of a step; the checkpoint is that of so many steps without it."""
    step = train.Trainer.train_step

    def interrupted(self, batch):
        figures = step(self, batch)
        if self.step == 1:
            signal.raise_signal(stop)
        return figures

    monkeypatch.setattr(train.Trainer, "train_step", interrupted)
    settings = ["--set", "batch=2", "--set", "crop=64"]
    monkeypatch.setattr(
        "sys.argv", ["train", str(CONFIG), "--data", str(photographs), "--out", str(tmp_path), *settings]
    )
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        train.main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 2


def test_processes_stop_together(photographs, tmp_path):
    """Two processes train; one of them runs out of time. The other stops at the same step instead of waiting for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **os.environ,
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", "from train import train; train.main()", str(CONFIG)]
    command += ["--data", str(photographs), "--out", str(tmp_path)]
    command += ["--set", "batch=2", "--set", "crop=64", "--set", "steps=100000", "--set", "bfloat16=false"]
    root = CONFIG.parents[2]
    processes = [
        subprocess.Popen([*command, *more], cwd=root, env={**common, "RANK": rank}, stderr=subprocess.PIPE, text=True)
        for rank, more in (("0", []), ("1", ["--minutes", "0.001"]))
    ]
    try:
        for process in processes:
            _, said = process.communicate(timeout=240)
            assert process.returncode == 0, said
    finally:
        for process in processes:
            process.kill()
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] % train.AGREE_EVERY == 0


def test_encoder_halo_is_the_reach_of_the_networks():
    """Measured by gradients: no latent position depends on pixels farther away, and one depends on the farthest."""
    small = {"latent": 2, "hyper": 2, "encoder": 2, "encoder_low": 2, "body": 2, "points": 2}
    for blocks, low_blocks in ((0, 4), (3, 4), (3, 10), (2, 1)):
        config = networks.PhotoConfig(**small, encoder_blocks=blocks, encoder_low_blocks=low_blocks)
        model = networks.PhotoModel(config).double()
        x = torch.rand(1, 3, 16 * 33, 16, dtype=torch.float64, requires_grad=True)  # one column is enough
        model.analysis(x, torch.zeros(1, dtype=torch.float64))[0, :, 16].double().sum().backward()
        rows = x.grad.abs().sum((0, 1, 3)).nonzero() // 16
        y = torch.rand(1, 2, 32, 4, dtype=torch.float64, requires_grad=True)
        model.hyper_analysis(y, torch.zeros(1, dtype=torch.float64))[0, :, 4].sum().backward()  # above rows 16 to 19
        hyper_rows = y.grad.abs().sum((0, 1, 3)).nonzero()
        reach = max(16 - rows.min(), rows.max() - 16, 16 - hyper_rows.min(), hyper_rows.max() - 19)
        assert encoder_halo_of(config) == reach


def test_halo_is_the_reach_of_the_decoder():
    """Measured by gradients of pixels by symbols, along rows and columns; the prior, which comes before, sees one
    position more.
    """
    small = {"latent": 4, "hyper": 2, "body": 8, "spread": 2, "detail": 4, "render": 2, "points": 2}
    for body_blocks, detail_blocks in ((0, 1), (2, 4), (1, 2)):
        config = networks.PhotoConfig(**small, body_blocks=body_blocks, detail_blocks=detail_blocks)
        model, t = networks.PhotoModel(config), torch.zeros(1)
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
        assert halo_of(config) == reach + 1


def test_trained_model_can_be_exported_registered_and_used(photographs, tmp_path, make_picture):
    run(photographs, tmp_path / "run", 4)
    export(tmp_path / "run" / "checkpoint.pt", photographs, tmp_path / "model", None, batches=1)
    assert json.loads((tmp_path / "model" / "manifest.json").read_text())["encoder_halo"] == 3
    name = pillow_lic.register_model(tmp_path / "model")
    try:
        assert name == "mine"
        assert "mine" in choice.names()
        array = make_picture(70, 50)
        encoded = pillow_lic.encode(array, model="mine")
        assert pillow_lic.decode(encoded).shape == array.shape
        moved = decode_symbols(container.read(encoded))
        assert moved[0].shape[0] == 8
    finally:
        registry.forget_registered()


def test_some_rates_alone(photographs, tmp_path, make_picture):
    """Positions in the range are drawn, and the exported model is for that range of quality."""
    settings = [
        "steps=2",
        "batch=2",
        "crop=64",
        "final_crop=64",
        "validate_every=1000",
        'name="part"',
        "rates=[0.0, 0.6]",
    ]
    config = train.load_config(CONFIG, settings)
    drawn = torch.cat([train.positions(5, *config.rates) for _ in range(50)])
    assert drawn.min() == 0
    assert drawn.max() == 0.6
    trainer = train.Trainer(config, photographs, tmp_path / "run")
    trainer.run(None)
    export(trainer.checkpoint, photographs, tmp_path / "model", None, batches=1)
    name = pillow_lic.register_model(tmp_path / "model")
    try:
        array = make_picture(70, 50)
        assert pillow_lic.decode(pillow_lic.encode(array, model=name, quality=60.4)).shape == array.shape
        with pytest.raises(
            errors.LicBadOption, match=r"model 'part' is for quality 1 to 60.4, found 75; leave model out"
        ):
            pillow_lic.encode(array, model=name)
    finally:
        registry.forget_registered()
    with pytest.raises(ValueError, match="rates must be two positions"):
        train.load_config(CONFIG, ["rates=[0.5, 0.2]"])


def test_gradients_reach_every_parameter():
    config = train.load_config(CONFIG, []).network
    model = networks.PhotoModel(config)
    x = torch.rand(2, 3, 64, 64)
    out = model(x, torch.tensor([0.2, 0.9]))
    (out["x_hat"].square().mean() + (out["y_bits"] + out["z_bits"]).mean() * 1e-3).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert silent == []


def test_training_rounds_as_the_encoder_does():
    """The bits of `hard` passes are those of the exported rows before they are bent towards counts."""
    shapes = [gaussian_row(sigma) for sigma in scale_grid()]
    freqs = [to_frequencies(mass) for _, mass in shapes]
    first, counts = np.array([first for first, _ in shapes]), np.array([len(f) for f in freqs])
    rows = rate.bits_more(np.concatenate(freqs), counts, first, networks.ROWS)
    differences = (networks.gaussian_bits_more() - rows).abs()
    assert differences[20:].max() < 0.07  # below, a symbol of 2 is as rare as a frequency of 1 can be: 2^-16
    assert differences[8:, 0].max() < 0.07
    model = networks.PhotoModel(train.load_config(CONFIG, []).network)
    sigma = torch.full((1, 1, 1, 5), 0.5).log()
    found = model.codec_round(torch.tensor([0.5, 0.55, -0.59, 1.52, 0.9]).reshape_as(sigma), sigma)
    assert found.flatten().tolist() == [0, 0, -1, 1, 1]


def test_settling_moves_the_synthesis_alone(photographs, tmp_path):
    trainer = run(photographs, tmp_path / "run", 4)
    settled = run(photographs, tmp_path / "run", 8, settle=4)
    before, after = (t.model.state_dict() for t in (trainer, settled))
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"synthesis"}
    assert settled.step == 8


def test_learning_rate_falls_to_one_percent():
    config = train.TrainConfig(steps=1000, warmup=10, lr=1.0)
    rates = [train.learning_rate(config, step) for step in (0, 9, 500, 999)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[1] == rates[2] == 1.0
    assert rates[3] <= 0.011


def test_start_is_a_working_block_transform(photographs):
    """The linear paths alone, before any training: analysis and synthesis invert each other on the leading
    directions.
    """
    training, _ = data.load_split(photographs)
    x = torch.from_numpy(data.Crops(training, 64, 16, seed=1).at(0)).float().div(255)
    config = train.load_config(CONFIG, []).network
    model = networks.PhotoModel(dataclasses.replace(config, latent=192))
    start.start_from_block_transform(model, x, 0.0008, 0.25)
    model.analysis.out.weight.data.zero_()
    model.synthesis.out.weight.data.zero_()
    model.synthesis.out.bias.data.zero_()
    with torch.inference_mode():
        t = torch.ones(len(x))
        x_hat = model.synthesis(model.analysis(x, t), t)
    assert (x_hat - x).square().mean() < 0.02 * x.var()


def test_the_prior_of_z_is_fitted_to_its_rows():
    """Peaked rows with wide skirts, which one mean and spread do not describe."""
    value = torch.arange(-9, 10.0)
    peaks = torch.linspace(-2, 2, 12)[:, None]
    shares = 0.7 * torch.exp(-(value - peaks).abs() / 0.4) + 0.1 * torch.exp(-(value + 1.5 * peaks).abs() / 2)
    shares /= shares.sum(1, keepdim=True)
    rows = [torch.cat([share * 65000, torch.tensor([536.0])]) for share in shares]

    def excess(steps: int) -> float:
        """Bits a symbol of the fitted mixtures above the entropy of the rows."""
        rate = networks.HyperRate(2, 6)
        with torch.no_grad():
            start.fit_hyper_rate(rate, rows, torch.full((12,), -9), steps)
            mean, log_scale, logit = (table.view(12, -1, 1) for table in (rate.mean, rate.log_scale, rate.logit))
            mass = (networks.logistic_mass(value, mean, log_scale) * logit.softmax(1)).sum(1)
        return float((shares * (shares / mass).log2()).sum(1).mean())

    assert excess(400) < 0.02 < 0.3 < excess(0)


def test_a_run_starts_from_an_exported_model(photographs, tmp_path):
    """Its rate and distortion are those of the checkpoint that was exported, but for float16, integers and the prior of
    z.
    """
    trainer = run(photographs, tmp_path / "run", 4)
    export(tmp_path / "run" / "checkpoint.pt", photographs, tmp_path / "model", None, batches=1)
    trainer.model.load_state_dict(trainer.average)
    again = train.Trainer(trainer.config, photographs, tmp_path / "again", tmp_path / "model")
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        old, new = (t.model(x, torch.tensor([0.2, 0.8]), hard=True) for t in (trainer, again))
    assert (old["x_hat"] - new["x_hat"]).abs().mean() < 0.01
    assert torch.allclose(old["y_bits"], new["y_bits"], rtol=0.03)
    deeper = dataclasses.replace(
        trainer.config, network=dataclasses.replace(trainer.config.network, encoder_low_blocks=3)
    )
    deep = train.Trainer(
        deeper, photographs, tmp_path / "deeper", tmp_path / "model"
    )  # further blocks change nothing at first
    with torch.no_grad():
        assert torch.equal(deep.model(x, torch.tensor([0.2, 0.8]), hard=True)["x_hat"], new["x_hat"])
    for other in (
        {"body_blocks": 0},
        {"body": trainer.config.network.body + 8},
        {"latent": trainer.config.network.latent - 4},
    ):
        narrower = dataclasses.replace(trainer.config, network=dataclasses.replace(trainer.config.network, **other))
        with pytest.raises(ValueError, match="another network"):
            train.Trainer(narrower, photographs, tmp_path / "other", tmp_path / "model")


@pytest.mark.parametrize("name", ["toy", "photo-low"])
def test_export_and_start_are_inverse(name):
    """The integers of a shipped model, from the floats that training takes of it."""
    exported = registry.by_name(name)
    model = networks.PhotoModel(networks.PhotoConfig(**exported.manifest.widths)).requires_grad_(False)
    start.start_from_model(model, exported.path, prior=False)
    if "trellis" in exported.arrays:
        model.prior.gain -= math.log(networks.LEVEL_STEP)
    units = exchange.units_of(exported.arrays | exported.encoder_arrays)
    for found, wanted in zip(network_arrays(model, units), (exported.arrays, exported.encoder_arrays)):
        compare_layers(found, wanted)
    for key, found in integer_map(model).items():
        wanted = exported.arrays[key].astype(int)
        assert np.abs(found - wanted).max() <= 1 + 1e-3 * np.abs(wanted).max(), key


def test_further_channels_carry_what_the_others_leave_over(photographs, tmp_path):
    """Before any step: more channels than the exported model has, and less is lost at the highest rate; the first
    channels stay as they were.
    """
    trainer = run(photographs, tmp_path / "run", 4)
    export(tmp_path / "run" / "checkpoint.pt", photographs, tmp_path / "model", None, batches=1)
    config, had = trainer.config, trainer.config.network.latent
    wider = dataclasses.replace(config, network=dataclasses.replace(config.network, latent=had + 24))
    plain, more = (
        train.Trainer(c, photographs, tmp_path / name, tmp_path / "model").model
        for c, name in ((config, "plain"), (wider, "more"))
    )
    x = torch.from_numpy(data.Crops(trainer.training, 64, 16, seed=3).at(0)).float().div(255)
    t = torch.ones(len(x))
    with torch.no_grad():
        lost, less = ((model(x, t, hard=True)["x_hat"] - x).square().mean() for model in (plain, more))
        assert torch.allclose(more.analysis(x, t)[:, :had], plain.analysis(x, t), atol=1e-5)
    assert less < 0.9 * lost


def test_one_configuration_over_another():
    """What `make train-gpu` trains: the model and rates of one file, the batches of the other, the command's word above
    both.
    """
    both = train.load_config(CONFIG.with_name("photo-low.toml"), ["steps=7"], CONFIG.with_name("gpu.toml"))
    low, gpu = (train.load_config(CONFIG.with_name(name), []) for name in ("photo-low.toml", "gpu.toml"))
    assert both == dataclasses.replace(gpu, name=low.name, rates=low.rates, seed=low.seed, steps=7)
    assert both.batch != low.batch
    assert both.rates != gpu.rates


def test_no_thread_outlives_the_crops(photographs):
    before = threading.active_count()
    crops = data.Crops(data.load_split(photographs)[0], 64, 2, seed=1)
    batches = crops.iterate(3)
    assert np.array_equal(next(batches), crops.at(3))
    assert np.array_equal(next(batches), crops.at(4))
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before


def test_a_dead_encoder_shows(photographs):
    """What the log and the warning of validation rest on."""
    network = train.build(train.load_config(CONFIG, []).network)
    x, t = torch.rand(2, 3, 64, 64), torch.tensor([0.1, 0.9])
    assert train.encoder_share(network, x, t) > 1e-3
    network.analysis.low[-1].contract.weight.data.zero_()
    network.analysis.out.weight.data.zero_()
    assert train.encoder_share(network, x, t) == 0
