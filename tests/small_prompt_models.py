"""Small checkpoints of the models that take a prompt, written in the hub's own layout.

Their weights are random: they show what loads and runs, not what is drawn.
"""

import torch

LORA = "AnimateLCM_sd15_t2v_lora.safetensors"


def small_sd():
    from svdkit.toyland import architectures as small
    from svdkit.toyland.words import tokenizer

    torch.manual_seed(5)
    words = tokenizer()
    return small.image_pipeline(
        small.image_vae(), small.image_unet(), small.text_encoder(words), words
    )


def safety_checker():
    """Stable Diffusion's own, with a small CLIP, that lets everything pass."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": 224, "patch_size": 32}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=16))
    checker.concept_embeds_weights.data.fill_(2.0)  # cosines end at 1
    checker.special_care_embeds_weights.data.fill_(2.0)
    return checker


def write_sd(folder, checker=False):
    """A Stable Diffusion with fp32 and fp16 weights, and a safety checker if wished."""
    from diffusers import StableDiffusionPipeline

    from svdkit.upstream import feature_extractor

    plain = small_sd()
    pipeline = plain
    if checker:
        parts = plain.components | {
            "safety_checker": safety_checker(),
            "feature_extractor": feature_extractor({"size": 224, "crop_size": 224}),
        }
        pipeline = StableDiffusionPipeline(**parts)
    pipeline.save_pretrained(folder)
    pipeline.to(dtype=torch.float16).save_pretrained(folder, variant="fp16")
    return folder


def write_sdxl(folder):
    """An SDXL: two text encoders, and a UNet that is told sizes."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModelWithProjection

    from svdkit.toyland import architectures as small

    plain = small_sd()
    torch.manual_seed(6)
    second = CLIPTextModelWithProjection(plain.text_encoder.config)
    unet = UNet2DConditionModel(
        **small.IMAGE_UNET
        | {
            "cross_attention_dim": 2 * small.CONTEXT,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + small.CONTEXT,
        }
    )
    pipeline = StableDiffusionXLPipeline(
        plain.vae,
        plain.text_encoder,
        second,
        plain.tokenizer,
        plain.tokenizer,
        unet,
        EulerDiscreteScheduler(),
    )
    pipeline.save_pretrained(folder)
    # the real repository keeps an older VAE beside its parts
    (folder / "vae_1_0").mkdir()
    (folder / "vae_1_0" / "diffusion_pytorch_model.safetensors").write_bytes(b"not to be fetched")
    return folder


def write_adapter(folder, lora=False):
    """A motion adapter at the root of its repository, and a LoRA beside it if wished."""
    from diffusers import MotionAdapter, StableDiffusionPipeline

    from svdkit.toyland import architectures as small

    torch.manual_seed(7)
    adapter = MotionAdapter(
        block_out_channels=small.CHANNELS,
        motion_layers_per_block=1,
        motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=32,
        use_motion_mid_block=True,
    )
    adapter.save_pretrained(folder)
    adapter.to(torch.float16).save_pretrained(folder, variant="fp16")
    if lora:
        from peft import LoraConfig
        from peft.utils import get_peft_model_state_dict

        unet = small_sd().unet
        unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
        layers = get_peft_model_state_dict(unet)
        StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers, weight_name=LORA)
    return folder
