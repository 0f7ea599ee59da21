import gc
import subprocess
import sys
import textwrap
import weakref

import diffusers
import pytest
import torch
from packaging.version import Version

import svdkit as sk
from svdkit import pipelines
from svdkit.architectures import build
from svdkit.devices import pick_device, pick_dtype
from svdkit.memory import fastest_preset, place
from svdkit.origins import origin_of


@pytest.fixture(autouse=True)
def fresh():
    sk.unload()
    pipelines._told.clear()
    yield
    sk.unload()


def test_loading_again_is_instant_because_it_is_the_same():
    assert sk.load("tiny") is sk.load("tiny", memory="auto") is sk.load("tiny", device="cpu")


def test_whatever_shapes_a_pipeline_makes_another(checkpoint):
    first = sk.load("tiny")
    assert sk.load("tiny", dtype="bfloat16") is not first
    assert sk.load(checkpoint) is not first


def test_only_one_pipeline_is_kept(checkpoint):
    kept = weakref.ref(sk.load("tiny"))
    sk.load(checkpoint)
    gc.collect()
    assert kept() is None


def test_a_pipeline_in_use_survives_the_next_one(checkpoint, picture):
    mine = sk.load("tiny")
    sk.load(checkpoint)
    assert len(sk.animate(picture, mine, num_frames=2, num_inference_steps=1, progress=False)) == 2


def test_unload_lets_go():
    kept = weakref.ref(sk.load("tiny"))
    sk.unload()
    gc.collect()
    assert kept() is None


def test_a_load_that_fails_keeps_what_was_there():
    kept = sk.load("tiny")
    for wrong in ({"name": "tinny"}, {"memory": "all_on_gpu"}, {"weights": "trained"}):
        with pytest.raises(ValueError):
            sk.load(**{"name": "tiny"} | wrong)
    assert sk.load("tiny") is kept


def test_a_folder_loads_and_is_loaded_anew_when_it_was_saved_anew(copy_of, edit_json):
    folder = copy_of("mine")
    first = sk.load(folder)
    assert sk.load(str(folder)) is first
    assert origin_of(first).source == "folder"
    assert origin_of(first).name == "mine"
    first.save_pretrained(folder)
    again = sk.load(folder)
    assert again is not first
    edit_json(folder / "model_index.json", _diffusers_version="0.0.1")
    assert sk.load(folder) is not again


def test_a_folder_is_known_by_where_it_is_and_not_by_how_it_is_called(
    checkpoint, copy_of, monkeypatch, tmp_path
):
    for parent in ("a", "b"):
        copy_of(f"{parent}/model")
    monkeypatch.chdir(tmp_path / "a")
    first = sk.load("./model")
    monkeypatch.chdir(tmp_path / "b")
    assert sk.load("./model") is not first
    monkeypatch.chdir(tmp_path / "b" / "model")
    assert origin_of(sk.load(".")).name == "model"


def test_a_path_is_a_folder_even_where_a_model_has_its_name(copy_of, monkeypatch, tmp_path):
    folder = copy_of("tiny")
    monkeypatch.chdir(tmp_path)
    assert origin_of(sk.load("tiny")).source == "bundled"
    assert origin_of(sk.load(folder)).source == "folder"


def test_too_little_memory_to_load_is_not_called_damage(copy_of):
    """In a process of its own, which may take little more memory than it has."""
    code = f"""
        import resource, svdkit as sk
        from svdkit.upstream import import_diffusers
        sk.load("tiny", device="cpu")
        sk.unload()
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        for spare in (40_000_000, 30_000_000, 20_000_000, 10_000_000, 5_000_000):
            resource.setrlimit(resource.RLIMIT_AS, (used + spare, hard))
            try:
                sk.load({str(copy_of())!r}, device="cpu")
                sk.unload()
            except sk.NotEnoughMemory as error:
                print(error)
                break
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert "Memory ran out" in run.stdout, run.stderr


def test_auto_takes_tiny_where_there_is_no_gpu_and_says_why(capsys):
    assert sk.load() is sk.load("tiny")
    assert "auto: tiny, because" in capsys.readouterr().out


def test_tiny_is_ready_with_all_its_parts(tiny):
    assert type(tiny).__name__ == "StableVideoDiffusionPipeline"
    assert tiny.unet.dtype == torch.float32
    assert not tiny.unet.training
    assert (tiny.unet.config.num_frames, tiny.vae_scale_factor) == (14, 4)


def test_tiny_has_the_same_weights_every_time_and_in_every_dtype():
    first = build(sk.MODELS["tiny"]).unet.state_dict()
    again = build(sk.MODELS["tiny"]).unet.state_dict()
    half = build(sk.MODELS["tiny"], dtype=torch.float16).unet.state_dict()
    for name, value in first.items():
        assert torch.equal(value, again[name])
        assert torch.equal(value.half(), half[name])


def test_the_real_architecture_is_built_at_full_size_without_a_download():
    pipeline = sk.load("svd", weights="random", device="cpu", dtype="float16")
    parameters = list(pipeline.unet.parameters())
    assert round(sum(p.numel() for p in parameters) / 1e6) == 1525
    assert {(p.dtype, p.device.type) for p in parameters} == {(torch.float16, "cpu")}
    assert pipeline.unet.config.num_frames == 14
    assert all(p.isfinite().all() for p in pipeline.vae.parameters())


def test_random_weights_are_of_models_only(checkpoint):
    with pytest.raises(ValueError, match="builds a model of tiny, svd"):
        sk.load(checkpoint, weights="random")


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"name": "svd-tx"}, ValueError, r"'svd-tx' is no model.*Did you mean svd-xt"),
        ({"name": "tny"}, ValueError, "Did you mean tiny"),
        ({"name": "./no/folder"}, ValueError, "no/folder.* is no model"),
        ({"name": "svd_xt.safetensors"}, ValueError, "is a single file"),
        ({"name": "model.ckpt"}, ValueError, "is a pickle"),
        ({"name": None}, TypeError, "None is no model"),
        ({"name": "owner/.."}, ValueError, "is no model"),
        ({"name": "-a/b"}, ValueError, "is no model"),
        ({"name": "MODEL.CKPT"}, ValueError, "is a pickle"),
        ({"name": "TINY"}, ValueError, "Did you mean tiny"),
        ({"name": 3}, TypeError, "3 is no model"),
        ({"name": ""}, TypeError, "'' is no model"),
        ({"name": "tiny", "memory": []}, ValueError, r"memory is \[\]"),
        ({"name": "/usr/lib"}, ValueError, "is no pipeline of diffusers"),
        ({"name": "tiny", "memory": "offload"}, ValueError, "'offload'.*offload_models"),
        ({"name": "tiny", "memory": "all_on_gpu"}, ValueError, "no GPU to share with"),
        ({"name": "tiny", "device": "tpu"}, ValueError, "'tpu'; it is cuda"),
        ({"name": "tiny", "device": "cuda"}, ValueError, "sees no cuda"),
        ({"name": "tiny", "dtype": "int8"}, ValueError, "'int8'; it is one of float16"),
        ({"name": "tiny", "weights": "mine"}, ValueError, "'mine'; it is None"),
    ],
)
def test_a_wrong_argument_is_told(arguments, kind, said):
    if arguments.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(kind, match=said):
        sk.load(**{"device": "cpu"} | arguments)


@pytest.mark.parametrize(
    ("dtype", "device", "chosen"),
    [
        (None, "cpu", torch.float32),
        (None, "cuda", torch.float16),
        (None, "mps", torch.float16),
        ("fp16", "cpu", torch.float16),
        (torch.bfloat16, "cpu", torch.bfloat16),
    ],
)
def test_the_dtype_suits_the_device(dtype, device, chosen):
    assert pick_dtype(dtype, device) == chosen


def test_memory_cpu_means_the_cpu():
    assert pick_device(None, memory="cpu") == "cpu"


def test_no_idle_warning_is_printed():
    code = "import svdkit as sk; sk.load('tiny', device='cpu')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_pipeline_from_elsewhere_is_known_by_the_name_it_gives(copy_of):
    from diffusers import StableVideoDiffusionPipeline

    pipeline = StableVideoDiffusionPipeline.from_pretrained(copy_of("fine-tuned"))
    origin = origin_of(pipeline)
    assert (origin.name, origin.source, origin.model) == ("fine-tuned", "unknown", None)


def test_presets_are_in_order_of_need():
    needs = [preset.needs_gib for preset in sk.PRESETS.values()]
    assert needs == sorted(needs, reverse=True)


@pytest.mark.parametrize(
    ("free_gib", "lean", "stock"),
    [
        (80, "all_on_gpu", "all_on_gpu"),
        (24, "all_on_gpu", "offload_models"),
        (14.6, "all_on_gpu", "offload_models"),
        (11.5, "offload_models", "offload_and_stream"),
        (7.5, "offload_and_stream", "offload_layers"),
        (5.6, "offload_in_turn", "offload_layers"),
        (3.5, "offload_layers", "offload_layers"),
    ],
)
def test_auto_takes_the_fastest_preset_that_fits(free_gib, lean, stock):
    assert fastest_preset(free_gib).name == lean
    assert fastest_preset(free_gib, "stock").name == stock


def test_what_stock_arithmetic_cannot_do_is_refused():
    with pytest.raises(ValueError, match=r"needs arithmetic='lean'.*offload_layers, cpu"):
        place(build(sk.MODELS["tiny"]), sk.PRESETS["offload_in_turn"], "cpu", "stock")
    with pytest.raises(ValueError, match="arithmetic is 'leen'"):
        sk.load("tiny", arithmetic="leen")


def test_each_arithmetic_is_a_pipeline_of_its_own():
    lean, stock = sk.load("tiny"), sk.load("tiny", arithmetic="stock")
    assert lean is not stock
    assert type(stock.unet).__module__.startswith("diffusers")


OFFLOADED = [name for name in sk.PRESETS if name.startswith("offload")]
BOTH = [(name, "lean") for name in OFFLOADED]
BOTH += [(name, "stock") for name in OFFLOADED if sk.PRESETS[name].stock]


@pytest.mark.parametrize(("preset", "arithmetic"), BOTH)
def test_an_offloaded_pipeline_makes_the_same_clip(picture, preset, arithmetic):
    """On a CPU an offload has nowhere to go, but every hook of it runs."""
    if preset == "offload_layers" and Version(diffusers.__version__) < Version("0.40"):
        pytest.skip("before 0.40 diffusers offloads layers only where there is a GPU")
    settings = {"seed": 3, "num_frames": 2, "num_inference_steps": 2, "decode_chunk_size": 2}
    plain = build(sk.MODELS["tiny"])
    offloaded = build(sk.MODELS["tiny"])
    place(offloaded, sk.PRESETS[preset], "cpu", arithmetic)
    wanted = sk.animate(picture, plain, height=64, width=112, progress=False, **settings)
    for _ in range(2):
        clip = sk.animate(picture, offloaded, height=64, width=112, progress=False, **settings)
        assert abs(clip.frames.astype(int) - wanted.frames).max() <= 1


def test_an_address_copied_from_the_browser_means_the_model():
    from svdkit.addresses import find

    page = "https://huggingface.co/stabilityai/stable-video-diffusion-img2vid"
    assert find(page)[0] is sk.MODELS["svd"]
