"""The same sweep here, on a pool of processes, and on Dask: the same frames."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

import svdkit as sk

SMALL = {"num_inference_steps": 1, "num_frames": 3, "height": 32, "width": 56}
CELLS = sk.grid(seed=[1, 2, 3], fps=[5, 20], noise_aug_strength=[0.02, 0.1], **SMALL)


def swept(folder, executor=None, cells=CELLS):
    picture = sk.sample_image()
    return sk.sweep(picture, "tiny", cells, folder, executor=executor, progress=False)


def outcomes_of(runs):
    """Give what may not depend on where a cell was made."""
    told = {cell.name: cell.clip.recipe["outcome"] for cell in runs}
    return {
        name: (out["frames_sha256"], out["threads"], out["metrics"]) for name, out in told.items()
    }


def pool(workers=2):
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return outcomes_of(swept(tmp_path_factory.mktemp("here") / "kite"))


@pytest.fixture(scope="module")
def cluster():
    from dask.distributed import LocalCluster

    # Dask's own watching of a busy worker says things that are no fault of ours
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


def test_a_pool_of_processes_makes_the_same_frames(here, tmp_path):
    with pool() as executor:
        assert outcomes_of(swept(tmp_path / "kite", executor)) == here


def test_dask_makes_the_same_frames(here, tmp_path, cluster):
    from dask.distributed import Client

    with Client(cluster) as client:
        assert outcomes_of(swept(tmp_path / "kite", client.get_executor())) == here


def test_the_callers_threads_count_in_every_worker(tmp_path, cluster):
    """Dask starts its workers with one thread; the same call here would use two."""
    import torch
    from dask.distributed import Client

    torch.set_num_threads(2)
    cells = sk.grid(seed=1, **SMALL)
    with Client(cluster) as client:
        far = outcomes_of(swept(tmp_path / "far", client.get_executor(), cells))
    torch.set_num_threads(2)
    assert far == outcomes_of(swept(tmp_path / "near", None, cells))
    assert [threads for _, threads, _ in far.values()] == [2]


def test_a_dask_worker_killed_in_the_middle_costs_no_cell(here, tmp_path, cluster):
    from dask.distributed import Client

    folder = tmp_path / "kite"
    with Client(cluster) as client, ThreadPoolExecutor(1) as beside:
        sweeping = beside.submit(swept, folder, client.get_executor())
        while len(list(folder.glob("*.mp4.json"))) < 3 and not sweeping.done():
            time.sleep(0.02)
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        assert outcomes_of(sweeping.result(timeout=300)) == here
    assert not list(folder.glob("*.error.json"))


def test_a_pool_that_breaks_keeps_what_is_done_and_says_what_to_do(here, tmp_path):
    folder = tmp_path / "kite"
    with pool(1) as executor, ThreadPoolExecutor(1) as beside:
        sweeping = beside.submit(swept, folder, executor)
        while len(list(folder.glob("*.mp4.json"))) < 3 and not sweeping.done():
            time.sleep(0.02)
        (victim,) = executor._processes
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="make the same call again, with a new executor"):
            sweeping.result(timeout=300)
    done = len(sk.Sweep.open(folder))
    assert 3 <= done < len(CELLS)
    with pool(1) as executor:
        assert outcomes_of(swept(folder, executor)) == here


def test_an_interrupt_stops_the_workers_after_their_cell(tmp_path):
    """The jobs of a large sweep hold several cells each."""
    folder = tmp_path / "kite"
    script = f"""
import multiprocessing as mp, svdkit as sk
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    small = {SMALL!r}
    with ProcessPoolExecutor(1, mp_context=mp.get_context("spawn")) as pool:
        cells = sk.grid(seed=1, fps=range(1, 201), motion_bucket_id=range(10), **small)
        sk.sweep(sk.sample_image(), "tiny", cells, {str(folder)!r}, executor=pool, progress=False)
"""
    (tmp_path / "script.py").write_text(script)
    process = subprocess.Popen([sys.executable, tmp_path / "script.py"], stderr=subprocess.PIPE)
    while len(list(folder.glob("*.mp4.json"))) < 2 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=120)[1]
    assert len(sk.Sweep.open(folder)) < 20  # a job has 32 cells


def test_a_pool_that_is_broken_or_shut_says_what_to_do(tmp_path):
    executor = pool(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="make the same call again, with a new executor"):
        swept(tmp_path / "kite", executor)


def test_threads_take_turns_at_the_one_pipeline(here, tmp_path):
    with ThreadPoolExecutor(3) as executor:
        assert outcomes_of(swept(tmp_path / "kite", executor)) == here


def test_a_pipeline_does_not_travel(tiny, tmp_path):
    with pool() as executor, pytest.raises(TypeError, match="give the model's name"):
        sk.sweep(sk.sample_image(), tiny, CELLS, tmp_path / "kite", executor=executor)
    assert not (tmp_path / "kite").exists()


def test_a_pool_that_forks_is_refused(tmp_path):
    executor = ProcessPoolExecutor(1, mp_context=get_context("fork"))
    with executor, pytest.raises(ValueError, match="forks its workers"):
        swept(tmp_path / "kite", executor)


def test_what_is_no_executor_is_told(tmp_path):
    with pytest.raises(TypeError, match="has submit"):
        swept(tmp_path / "kite", executor=4)


def test_a_model_that_a_worker_cannot_load_is_told(tmp_path, copy_of):
    model = copy_of("mine")
    with pool(1) as executor:
        sk.sweep(
            sk.sample_image(), model, sk.grid(seed=1, **SMALL), tmp_path / "a", executor=executor
        )
        for weights in (model / "unet").glob("*.safetensors"):
            weights.unlink()
        with pytest.raises(OSError, match="damaged or incomplete"):
            sk.sweep(
                sk.sample_image(),
                model,
                sk.grid(seed=2, **SMALL),
                tmp_path / "a",
                executor=executor,
            )
