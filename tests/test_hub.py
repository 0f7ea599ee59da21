"""Downloading, over real HTTP from a small hub on this machine; nothing is asked elsewhere."""

import json
import shutil

import pytest
import torch
from small_hub import COMMIT

import svdkit as sk
from svdkit import checkpoints
from svdkit.origins import origin_of

REPO = "someone/small-svd"


@pytest.fixture
def online(checkpoint, hub_of):
    repositories = {
        REPO: checkpoint,
        "someone/gated-svd": checkpoint,
        sk.MODELS["svd-xt-1-1"].repo: checkpoint,
    }
    return hub_of(repositories, {"someone/gated-svd", sk.MODELS["svd-xt-1-1"].repo})


def go_offline(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def cached_weights(cache):
    return sorted({path.name for path in cache.rglob("*.safetensors")})


def test_a_download_takes_the_plain_weights_for_a_cpu(online, empty_cache):
    pipeline = sk.load(REPO, device="cpu")
    assert cached_weights(empty_cache) == [
        "diffusion_pytorch_model.safetensors",
        "model.safetensors",
    ]
    assert pipeline.unet.dtype == torch.float32
    assert origin_of(pipeline).revision == COMMIT


def test_a_download_takes_the_half_precision_weights_for_half_precision(online, empty_cache):
    pipeline = sk.load(REPO, device="cpu", dtype="float16")
    assert cached_weights(empty_cache) == [
        "diffusion_pytorch_model.fp16.safetensors",
        "model.fp16.safetensors",
    ]
    assert pipeline.unet.dtype == torch.float16


def test_a_repository_without_half_precision_weights_loads_all_the_same(online, copy_of, tmp_path):
    plain = copy_of("plain")
    for file in plain.rglob("*.fp16.safetensors"):
        file.unlink()
    online.repositories["someone/plain"] = plain
    assert sk.load("someone/plain", device="cpu", dtype="float16").unet.dtype == torch.float16


def test_single_files_and_pickles_of_a_repository_are_not_fetched(online, copy_of, empty_cache):
    full = copy_of("full")
    (full / "svd_xt.safetensors").write_bytes(b"9 GB")
    (full / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    (full / "unet" / "run.py").write_text("print('hello')")
    online.repositories["someone/full"] = full
    sk.load("someone/full", device="cpu")
    fetched = {path.name for path in empty_cache.rglob("*")}
    assert not fetched & {"svd_xt.safetensors", "diffusion_pytorch_model.bin", "run.py"}


def test_what_was_downloaded_loads_without_a_network(online, monkeypatch):
    sk.load(REPO, device="cpu")
    sk.unload()
    go_offline(monkeypatch)
    asked = len(online.asked)
    assert origin_of(sk.load(REPO, device="cpu")).revision == COMMIT
    assert len(online.asked) == asked


def test_without_network_and_cache_the_cure_is_told(empty_cache):
    with pytest.raises(ConnectionError, match=r"cannot be asked for stabilityai/.*'tiny' needs no"):
        sk.load("svd-xt", device="cpu")


def test_a_hub_that_is_down_is_told(online):
    online.server.shutdown()
    online.server.server_close()
    with pytest.raises(ConnectionError, match="cannot be asked"):
        sk.load(REPO, device="cpu")


def test_a_gated_model_without_a_token_says_where_to_accept_and_how_to_set_it(online):
    with pytest.raises(PermissionError) as error:
        sk.load("svd-xt-1-1", device="cpu")
    told = str(error.value)
    assert "https://huggingface.co/stabilityai/stable-video-diffusion-img2vid-xt-1-1" in told
    for place in ("Colab", "Kaggle", "Jupyter", "shell", "HF_TOKEN"):
        assert place in told


def test_a_token_whose_account_is_not_let_in_is_told_apart(online, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_mine")
    with pytest.raises(PermissionError, match="account has not been let in") as error:
        sk.load("someone/gated-svd", device="cpu")
    assert "hf_secret_of_mine" not in str(error.value)


def test_a_refused_token_is_told_without_showing_it(online, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", online.refused_token)
    with pytest.raises(PermissionError, match="refused your token") as error:
        sk.load(REPO, device="cpu")
    assert online.refused_token not in str(error.value)


def test_a_misspelt_address_suggests_the_nearest(online):
    with pytest.raises(ValueError, match=r"no 'stabilityai/stable-video-difusion-img2vid-xt'.*Did"):
        sk.load("stabilityai/stable-video-difusion-img2vid-xt", device="cpu")


def test_a_damaged_cache_is_told_with_the_folder_to_delete(online, empty_cache, monkeypatch):
    sk.load(REPO, device="cpu")
    sk.unload()
    weights = next(empty_cache.rglob("unet/*.safetensors")).resolve()
    weights.write_bytes(weights.read_bytes()[:1000])
    go_offline(monkeypatch)
    with pytest.raises(OSError, match="damaged or incomplete") as error:
        sk.load(REPO, device="cpu")
    folder = empty_cache / "models--someone--small-svd"
    assert f"Delete '{folder}'" in str(error.value)
    shutil.rmtree(folder)


def test_an_incomplete_cache_is_told(online, empty_cache, monkeypatch):
    sk.load(REPO, device="cpu")
    sk.unload()
    for weights in empty_cache.rglob("vae/*.safetensors"):
        weights.unlink()
    go_offline(monkeypatch)
    with pytest.raises(OSError, match="no weights for its vae"):
        sk.load(REPO, device="cpu")


def test_another_kind_of_pipeline_is_refused_before_its_weights_are_fetched(
    online, copy_of, edit_json, empty_cache
):
    other = copy_of("other")
    edit_json(other / "model_index.json", _class_name="StableDiffusionPipeline")
    online.repositories["someone/other"] = other
    with pytest.raises(ValueError, match="is a StableDiffusionPipeline; animating needs a Stable"):
        sk.animate(sk.sample_image(), "someone/other")
    assert cached_weights(empty_cache) == []


def test_too_small_a_disk_is_told_before_the_download(online, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9**9, 9**9, 10**7))
    with pytest.raises(OSError, match="make room, or set HF_HOME"):
        sk.load(REPO, device="cpu")


def test_a_cache_that_holds_the_index_alone_is_no_cache(online, checkpoint, monkeypatch):
    from huggingface_hub import hf_hub_download

    from svdkit.addresses import best_model

    repo = sk.MODELS["svd-xt"].repo
    online.repositories[repo] = checkpoint
    hf_hub_download(repo, "model_index.json")
    go_offline(monkeypatch)
    assert best_model(40)[0] == "tiny"


def test_a_cache_that_cannot_be_written_is_told(online, empty_cache):
    empty_cache.write_text("a file where the cache should be")
    with pytest.raises(OSError, match="cache") as error:
        sk.load(REPO, device="cpu")
    assert "HF_HUB_OFFLINE" not in str(error.value)


def test_parts_in_half_precision_and_parts_that_are_not_load_together(online, copy_of):
    mixed = copy_of("mixed")
    (mixed / "vae" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    online.repositories["someone/mixed"] = mixed
    pipeline = sk.load("someone/mixed", device="cpu", dtype="float16")
    assert pipeline.vae.dtype == pipeline.unet.dtype == torch.float16


def test_auto_takes_the_real_model_where_it_fits_and_can_be_had(online, checkpoint, monkeypatch):
    from svdkit.addresses import best_model

    repo = sk.MODELS["svd-xt"].repo
    name, why = best_model(16)
    assert name == "tiny"
    assert why.endswith("the hub does not answer")
    online.repositories[repo] = checkpoint
    assert best_model(16) == ("svd-xt", "the GPU has 16.0 GiB free and the hub answers")
    sk.load("svd-xt", device="cpu")
    go_offline(monkeypatch)
    name, why = best_model(16)
    assert name == "svd-xt"
    assert why.endswith("its weights are in the cache")
    assert best_model(4)[0] == "svd-xt"
    assert best_model(2)[0] == "tiny"


def test_a_row_of_models_is_known_by_its_name_with_its_licence_told_once(
    online, checkpoint, monkeypatch, capsys
):
    from svdkit import pipelines

    monkeypatch.setattr(pipelines, "_told", set())
    online.repositories[sk.MODELS["svd"].repo] = checkpoint
    assert origin_of(sk.load("svd", device="cpu")).model is sk.MODELS["svd"]
    sk.unload()
    assert origin_of(sk.load(sk.MODELS["svd"].repo, device="cpu")).name == "svd"
    assert capsys.readouterr().out.count("Powered by Stability AI") == 1


def folder_error(folder, kind=ValueError):
    with pytest.raises(kind) as error:
        checkpoints.from_folder(folder, half=False)
    return str(error.value)


def test_a_folder_says_what_it_is_instead(tmp_path, copy_of, edit_json):
    assert "It is empty" in folder_error(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert "notes.txt" in folder_error(tmp_path)
    (tmp_path / "svd.safetensors").write_text("x")
    assert "single files (svd.safetensors)" in folder_error(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert "a single model" in folder_error(tmp_path)
    (tmp_path / "pytorch_lora_weights.safetensors").write_text("x")
    assert "LoRA" in folder_error(tmp_path)


def test_a_pickle_is_refused_with_the_reason(copy_of):
    folder = copy_of()
    for file in (folder / "unet").glob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    assert "can run any code" in folder_error(folder)


def test_code_of_its_own_is_refused(copy_of, edit_json):
    folder = copy_of()
    edit_json(folder / "model_index.json", unet=["my_models", "MyUNet"])
    assert "my_models.MyUNet" in folder_error(folder)


def test_a_broken_index_is_told(copy_of):
    folder = copy_of()
    (folder / "model_index.json").write_text("{")
    assert "no valid JSON" in folder_error(folder, OSError)
    (folder / "model_index.json").write_text("[]")
    assert "is no index: []" in folder_error(folder, OSError)


def test_an_index_of_another_class_is_named(copy_of, edit_json):
    folder = copy_of()
    edit_json(folder / "model_index.json", _class_name="FluxPipeline")
    assert "is a FluxPipeline; svdkit needs" in folder_error(folder)


@pytest.mark.parametrize(
    ("names", "half", "variant"),
    [
        (["unet/diffusion_pytorch_model.safetensors"], True, None),
        (["unet/diffusion_pytorch_model.fp16.safetensors"], True, "fp16"),
        (["unet/diffusion_pytorch_model.fp16.safetensors"], False, "fp16"),
        (["vae/model.safetensors", "vae/model.fp16.safetensors"], False, None),
        (["vae/model.safetensors", "vae/model.fp16.safetensors"], True, "fp16"),
        (["unet/model.fp16-00001-of-00002.safetensors"], True, "fp16"),
        (["unet/model.non_ema.safetensors", "unet/model.safetensors"], True, None),
    ],
)
def test_the_kind_of_weights_is_chosen_from_what_is_there(names, half, variant):
    assert checkpoints.variant_of(names, half) == variant


def test_the_checkpoint_is_in_the_hubs_own_layout(checkpoint):
    index = json.loads((checkpoint / "model_index.json").read_text())
    assert index["_class_name"] == "StableVideoDiffusionPipeline"
