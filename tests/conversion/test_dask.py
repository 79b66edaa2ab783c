"""Collections on Dask: bags of files, lazy arrays, and a cluster of processes of which one is killed half way."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from commands import lic
from pictures import picture
from PIL import Image

import pillow_lic
from pillow_lic.cli import DONE, FAILED, USAGE
from pillow_lic.errors import LicBadOption, LicPackageMissing

dask = pytest.importorskip("dask", reason="needs the extra `dask`")
bags = pytest.importorskip("dask.bag")
ours = pytest.importorskip("pillow_lic.dask")

TOY = {"model": "toy", "effort": 0}


@pytest.fixture(autouse=True)
def here():
    """Work in this thread, where no cluster is asked for."""
    with dask.config.set(scheduler="synchronous"):
        yield


def names(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if not path.is_dir())


def statuses(rows) -> Counter:
    return Counter(row["status"] for row in rows)


NAMES = ["0.lic", "1.lic", "2.lic", "deep/3.lic", "deep/4.lic"]

# ---- Bags -----------------------------------------------------------------------------------------------------------


def test_a_folder_to_files_and_rows(photos, tmp_path):
    bag = ours.encode(photos, tmp_path / "out", quality=40, **TOY)
    assert not (tmp_path / "out").exists(), "nothing is done before it is computed"
    rows = bag.compute()
    assert names(tmp_path / "out") == NAMES
    assert statuses(rows) == {"written": 5}
    row = next(row for row in rows if row["source"].endswith("0.png"))
    assert row["bytes"] == (tmp_path / "out" / "0.lic").stat().st_size
    assert (row["width"], row["height"], row["problem"], row["notes"]) == (60, 40, None, ())
    with Image.open(photos / "0.png") as im:
        data = pillow_lic.encode(np.asarray(im), quality=40, **TOY)
    assert (tmp_path / "out" / "0.lic").read_bytes() == data
    back = ours.decode(tmp_path / "out", tmp_path / "back", to="webp").compute()
    assert statuses(back) == {"written": 5}
    assert names(tmp_path / "back") == [name.replace(".lic", ".webp") for name in NAMES]


def test_a_bag_of_paths(photos, tmp_path):
    paths = bags.from_sequence(sorted(photos.rglob("*.png")), npartitions=2)
    bag = ours.encode(paths, tmp_path / "out", **TOY)
    assert bag.npartitions == 2
    assert statuses(bag.compute()) == {"written": 5}
    assert names(tmp_path / "out") == ["0.lic", "1.lic", "2.lic", "3.lic", "4.lic"]


def test_a_second_run_does_what_is_missing(photos, tmp_path):
    ours.encode(photos, tmp_path / "out", **TOY).compute()
    (tmp_path / "out" / "1.lic").unlink()
    before = (tmp_path / "out" / "0.lic").stat().st_mtime_ns  # reading it is no harm
    assert statuses(ours.encode(photos, tmp_path / "out", **TOY).compute()) == {"written": 1, "there": 4}
    assert (tmp_path / "out" / "0.lic").stat().st_mtime_ns == before
    assert statuses(ours.encode(photos, tmp_path / "out", force=True, **TOY).compute()) == {"written": 5}


@pytest.mark.parametrize("in_bag", [False, True])
def test_two_sources_of_one_target(photos, tmp_path, in_bag):
    with Image.open(photos / "0.png") as im:
        im.save(photos / "0.webp")
    paths = [photos / "0.png", photos / "0.webp", photos / "1.png"]
    given = bags.from_sequence(paths, npartitions=3) if in_bag else paths
    rows = ours.encode(given, tmp_path / "out", **TOY).compute()
    assert statuses(rows) == {"written": 2, "failed": 1}
    (failed,) = (row for row in rows if row["status"] == "failed")
    assert failed["source"].endswith("0.webp")
    assert "already taken by" in failed["problem"]


def test_what_is_wrong_with_one_is_its_own(photos, tmp_path):
    (photos / "1.png").write_bytes(b"broken")
    rows = ours.encode([photos, tmp_path / "absent.png"], tmp_path / "out", **TOY).compute()
    assert statuses(rows) == {"written": 4, "failed": 2}


def test_urls(photos, tmp_path):
    system = pytest.importorskip("fsspec").filesystem("memory")
    assert statuses(ours.encode(photos, "memory://bag", **TOY).compute()) == {"written": 5}
    assert len(system.find("/bag")) == 5
    (found,) = ours.imread("memory://bag/[0]*.lic")
    assert found.shape == (40, 60, 3)
    assert np.array_equal(found.compute(), pillow_lic.decode(system.cat_file("/bag/0.lic")))
    assert statuses(ours.decode("memory://bag", tmp_path / "back").compute()) == {"written": 5}


def test_nothing_at_all(tmp_path):
    (tmp_path / "empty").mkdir()
    assert ours.encode(tmp_path / "empty", **TOY).compute() == []


def test_options_are_checked_at_once(photos):
    with pytest.raises(LicBadOption, match="effort"):
        ours.encode(photos, effort=99)
    with pytest.raises(LicBadOption, match="cannot write"):
        ours.decode(photos, to="nonesuch")
    with pytest.raises(LicBadOption, match="output"):
        ours.decode(photos, output="torch")
    with pytest.raises(LicBadOption, match="files_per_task"):
        ours.encode(photos, files_per_task=0, **TOY)


def test_without_dask(photos, monkeypatch):
    def none(name):
        raise ImportError(name)

    monkeypatch.setattr(ours.importlib, "import_module", none)
    with pytest.raises(LicPackageMissing, match=r"pip install 'pillow-lic\[dask\]'"):
        ours.encode(photos, **TOY)


# ---- Arrays ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def stack(tmp_path):
    """Three files of equal shape, and their pixels."""
    arrays = [picture(60, 90, seed=n) for n in range(3)]
    for key, data in pillow_lic.encode_many(enumerate(arrays), **TOY):
        (tmp_path / f"{key}.lic").write_bytes(data)
    return tmp_path, [pillow_lic.decode(tmp_path / f"{n}.lic") for n in range(3)]


def test_imread_of_one(stack):
    folder, pixels = stack
    lazy = ours.imread(folder / "0.lic")
    assert (lazy.shape, lazy.dtype, lazy.npartitions) == ((60, 90, 3), np.uint8, 1)
    assert np.array_equal(lazy.compute(), pixels[0])


@pytest.mark.parametrize("chunks", [32, (32, 90), ((20, 40), (50, 40))])
def test_imread_in_chunks(stack, chunks, monkeypatch):
    folder, pixels = stack
    boxes = []
    decode = ours.decode_file
    monkeypatch.setattr(
        ours, "decode_file", lambda file, **options: boxes.append(options["box"]) or decode(file, **options)
    )
    lazy = ours.imread(folder / "0.lic", chunks=chunks)
    assert np.array_equal(lazy.compute(), pixels[0])
    boxes.clear()
    assert np.array_equal(lazy[:10, :30].compute(), pixels[0][:10, :30])
    assert len(boxes) == 1, "only what is wanted is decoded"


@pytest.mark.parametrize("how", ["*.lic", "folder", "list"])
def test_imread_of_a_stack(stack, how):
    folder, pixels = stack
    paths = {"*.lic": str(folder / "*.lic"), "folder": folder, "list": [folder / f"{n}.lic" for n in range(3)]}[how]
    lazy = ours.imread(paths)
    assert lazy.shape == (3, 60, 90, 3)
    assert np.array_equal(lazy.compute(), np.stack(pixels))


def test_imread_of_grey(tmp_path):
    (tmp_path / "g.lic").write_bytes(pillow_lic.encode(picture(40, 50, 1), **TOY))
    lazy = ours.imread(tmp_path / "g.lic")
    assert lazy.shape == lazy.compute().shape == (40, 50)


DEEP = np.arange(60 * 90, dtype=np.int32).reshape(60, 90) * 11


@pytest.mark.parametrize("chunks", [None, 32])
@pytest.mark.parametrize(
    ("array", "options"),
    [
        (DEEP.astype(np.uint16), {}),
        (DEEP - 100, {}),
        (DEEP.astype(np.float32) / 7, {}),
        (DEEP.astype(np.uint16), {"dtype": "float32"}),
        (DEEP.astype(np.uint8), {"dtype": "uint16"}),
        (np.dstack([DEEP.astype(np.uint8)] * 4), {"order": "bgr"}),
    ],
)
def test_imread_says_what_decode_gives(array, options, chunks, tmp_path):
    (tmp_path / "one.lic").write_bytes(pillow_lic.encode(array, lossless=True))
    lazy, found = ours.imread(tmp_path / "one.lic", chunks=chunks, **options), tmp_path / "one.lic"
    pixels = pillow_lic.decode(found, **options)
    assert (lazy.shape, lazy.dtype) == (pixels.shape, pixels.dtype)
    assert np.array_equal(lazy.compute(scheduler="synchronous"), pixels)


def test_imread_of_other_colours(tmp_path):
    Image.new("YCbCr", (9, 7), (1, 2, 3)).save(tmp_path / "one.lic", lossless=True)
    assert ours.imread(tmp_path / "one.lic").shape == (7, 9, 3)


def test_imread_smaller(stack):
    folder, _ = stack
    lazy = ours.imread(folder / "0.lic", scale=4)
    assert lazy.shape == (15, 23, 3)
    assert np.array_equal(lazy.compute(), pillow_lic.decode(folder / "0.lic", scale=4))
    with pytest.raises(LicBadOption, match="leave out chunks"):
        ours.imread(folder, scale=4, chunks=8)


def test_what_imread_refuses(stack):
    folder, _ = stack
    (folder / "1.lic").write_bytes(pillow_lic.encode(picture(60, 80), **TOY))
    with pytest.raises(LicBadOption, match=r"1\.lic: a picture of shape \(60, 80, 3\) .* those of shape \(60, 90, 3\)"):
        ours.imread(folder).compute()
    with pytest.raises(LicBadOption, match="files there"):
        ours.imread(str(folder / "none*.lic"))
    with pytest.raises(LicBadOption, match="slice the array"):
        ours.imread(folder, box=(0, 0, 9, 9))
    with pytest.raises(LicBadOption, match="max_pixels"):
        ours.imread(folder, max_pixels="many")
    for chunks in (0, "many", (5, 5, 5)):
        with pytest.raises(LicBadOption, match="chunks must be what Dask takes"):
            ours.imread(folder, chunks=chunks)
    (folder / "1.lic").write_bytes(pillow_lic.encode(np.zeros((60, 90, 3), np.uint16), **TOY))
    with pytest.raises(LicBadOption, match=r"and type uint16 among those of .* and type uint8"):
        ours.imread(folder).compute()


# ---- A cluster ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    """Two workers, each a process with one thread."""
    distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")
    settings = {"distributed.scheduler.allowed-failures": 1, "distributed.worker.daemon": True}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, worker_dashboard_address=None
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def many(tmp_path):
    """A folder of 60 pictures of a little work each."""
    pictures = [picture(256, 384, seed=n) for n in range(6)]
    (tmp_path / "many").mkdir()
    for n in range(60):
        Image.fromarray(pictures[n % 6]).save(tmp_path / "many" / f"{n:03}.png", compress_level=1)
    return tmp_path / "many"


def pids(cluster) -> list[int]:
    import distributed

    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of a cluster that loses its workers
def test_a_worker_killed_half_way(cluster, many, tmp_path, capsys):
    out, codes = tmp_path / "out", []
    arguments = ("encode", many, "-o", out, "-m", "toy", "-e", "3", "--scheduler", cluster.scheduler_address)
    victim = pids(cluster)[0]
    run = threading.Thread(target=lambda: codes.append(lic(*arguments)))
    run.start()
    wait_until(lambda: out.exists() and len(list(out.glob("*.lic"))) >= 12)
    os.kill(victim, signal.SIGKILL)
    assert len(list(out.glob("*.lic"))) < 60, "it was killed half way"
    run.join(120)
    assert codes == [DONE]
    assert "60 written, 0 failed\n" in capsys.readouterr().err, "each once, those of the killed worker too"
    assert names(out) == [f"{n:03}.lic" for n in range(60)], "nothing else, nothing unfinished"
    data = [(out / f"{n:03}.lic").read_bytes() for n in range(60)]
    assert data == [data[n % 6] for n in range(60)], "and none is half written"
    for n in range(6):
        with Image.open(many / f"{n:03}.png") as im:
            assert data[n] == pillow_lic.encode(np.asarray(im), model="toy", effort=3), "as one process writes it"

    (out / "007.lic").unlink()
    (out / "008.lic").unlink()
    before = (out / "009.lic").stat().st_mtime_ns
    assert lic(*arguments) == DONE
    assert "2 written, 0 failed, 58 skipped" in capsys.readouterr().err
    assert (out / "009.lic").stat().st_mtime_ns == before
    assert [(out / f"{n:03}.lic").read_bytes() for n in (7, 8)] == data[7:9]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_decoding_and_bags_on_a_cluster(cluster, photos, tmp_path, capsys):
    import distributed

    lic("encode", photos, "-o", tmp_path / "out", "-m", "toy", "-e", "0")
    assert lic("decode", tmp_path / "out", "-o", tmp_path / "back", "--scheduler", cluster.scheduler_address) == DONE
    assert len(names(tmp_path / "back")) == 5
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        rows = client.compute(ours.encode(photos, tmp_path / "again", **TOY)).result()
    assert statuses(rows) == {"written": 5}
    assert all((tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes() for name in NAMES)


def test_what_does_not_go_with_a_scheduler(photos, capsys):
    assert lic("decode", photos, "--truncated", "--scheduler", "tcp://127.0.0.1:1") == USAGE
    assert lic("encode", photos / "0.png", "-o", "-", "--scheduler", "tcp://127.0.0.1:1") == USAGE
    said = capsys.readouterr().err
    assert "--truncated and --scheduler" in said
    assert "- is this process's alone" in said


@pytest.mark.slow  # the last: the cluster stays poisoned
@pytest.mark.filterwarnings("ignore")
def test_a_file_that_workers_die_of(cluster, photos, tmp_path, capsys, monkeypatch):
    import distributed

    class Poison(distributed.WorkerPlugin):
        def setup(self, worker):
            from pillow_lic.conversion.directions import Encode

            made = Encode.made
            Encode.made = lambda self, image: os._exit(1) if image.width == 62 else made(self, image)

    monkeypatch.setattr(ours, "SHARES", 1)  # all in one task
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        client.register_plugin(Poison(), name="poison")
    arguments = ("--scheduler", cluster.scheduler_address, "-m", "toy", "-e", "0")
    assert lic("encode", photos, "-o", tmp_path / "out", *arguments) == FAILED
    said = capsys.readouterr().err
    assert "2.png: every worker that took it died" in said
    assert "4 written, 1 failed" in said
    assert names(tmp_path / "out") == ["0.lic", "1.lic", "deep/3.lic", "deep/4.lic"]
