"""Write what the README says by figures: every table and figure that comes from the package, or
from a file of results, with the machine and the day that the file knows of.

python tests/write_readme.py
"""

import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterable

from write_headers import ROOT

import svdkit as sk
from svdkit.toyland.export import WEIGHTS
from svdkit.toyland.restore import trained_for

sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
import gallery as pictures

README = ROOT / "README.md"
RESULTS = "tests/benchmarks/results"
GALLERY = f"{RESULTS}/gallery"
BLOCK = re.compile(r"(<!-- written: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
HUB = "https://huggingface.co"
# What a row of MODELS or PROMPT_MODELS does not say by itself; {repo} becomes a link to the hub
ABOUT_MODELS = {
    "tiny": "comes with svdkit, for any CPU; the architecture of SVD, small, and trained on "
    "[Toyland](svdkit/toyland/scenes.py), a painted world: a picture comes back softer than it "
    "was, things move more the higher the bucket, to about 140, and what goes far breaks up",
    "svd-xt": "{repo}, the usual choice",
    "svd-xt-1-1": "{repo}; gated: accept its terms there, and set `HF_TOKEN`",
    "tiny-sd": "draws; comes with svdkit, for any CPU; knows the captions of Toyland and nothing "
    "else",
    "tiny-animatediff": "14 frames; comes with svdkit; a motion adapter for `tiny-sd`, trained for "
    "nearly three hours: backgrounds hold still, things keep their colours, and sway or change "
    "their shape more than they move as they should",
}
ABOUT_QUALITIES = {
    "exact": "the clip that the settings mean; here of 25 steps",
    "fast": "ten steps at the noise levels of Align Your Steps, the last two without the "
    "unconditional pass",
    "draft": "the same, and every other step reuses the UNet's deep features",
}


def results(name: str) -> dict:
    """Read a file of results."""
    return json.loads((ROOT / RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def link(name: str, words: str = "figures") -> str:
    """Link to a file of results."""
    return f"[{words}]({RESULTS}/{name}.json)"


def where(report: dict) -> str:
    """Tell the machine of a report, and its day where it knows that."""
    machine = report.get("card") or report.get("cpu") or f"a {report['device'].upper()}"
    threads = f"{report['threads']} thread" + "s" * (report["threads"] != 1)
    return ", ".join(filter(None, [machine, threads, report.get("date")]))


def of_model(model: str, report: dict) -> str:
    """Tell the model of a report, and if it has learned on since."""
    name = model.strip("`")
    if not (WEIGHTS / name).is_dir():
        return model
    now, then = trained_for(WEIGHTS / name)[0], report.get("steps", {}).get(name)
    return model if then == now else f"{model} before it learned on"


def table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Lay rows out as a table of Markdown."""
    heading = list(heading)
    rule = "|".join(["---"] * len(heading))
    lines = [" | ".join(cells) for cells in (heading, *rows)]
    head, *body = [re.sub(r"(?<=\|) +(?=\|)", " ", f"| {line} |") for line in lines]
    return "\n".join([head, f"|{rule}|", *body])


def filled(text: str) -> str:
    """Break prose into lines."""
    return textwrap.fill(text, 140, break_long_words=False, break_on_hyphens=False)


def percent(share: float) -> str:
    """Say a share in percent."""
    return f"{100 * share:.0f} %"


def gallery() -> str:
    """Lay out the pictures in two columns, each over the call that made it."""
    report = results("gallery/gallery")
    cells = []
    for piece in report["pieces"]:
        told = piece["models"]
        if len(piece["clips"]) > 1:
            told += "; motion " + ", ".join(f"{clip['motion']:.4f}" for clip in piece["clips"])
            told += " frame widths per frame"
        picture = f"![{piece['title']}, animated]({GALLERY}/{piece['file']})"
        cells.append(f"**{piece['title']}**<br>{picture}<br>`{piece['call']}`<br>{told}")
    rows = [cells[first : first + 2] for first in range(0, len(cells), 2)]
    told = (
        f"Made on a CPU ({where(report)}) by [a script](tests/benchmarks/gallery.py), and enlarged "
        f"{pictures.TIMES} times; what else was used stands in [the recipes]"
        f"({GALLERY}/gallery.json). The pictures they begin with are scenes of Toyland:"
    )
    code = [
        f'{name} = scene(caption="{caption}", seed={seed}).image'
        for name, (caption, seed) in pictures.SCENES.items()
    ]
    block = ["```python", "from svdkit.toyland.scenes import scene", "", *code, "```"]
    return "\n".join([table(["", ""], rows), "", filled(told), "", *block])


def models() -> str:
    """List what animates a picture."""
    rows = (
        (
            f"`{model.name}`",
            str(model.num_frames),
            f"{model.height}×{model.width}",
            ABOUT_MODELS.get(model.name, "{repo}").format(repo=hub(model.repo)),
        )
        for model in sk.MODELS.values()
    )
    return table(["name", "frames", "size", ""], rows)


def hub(repo: str | None) -> str:
    """Link to a model on the hub."""
    return f"[{repo.rpartition('/')[2]}]({HUB}/{repo})" if repo else ""


def prompt_models() -> str:
    """List what takes a prompt."""
    rows = (
        (
            f"`{model.name}`",
            ABOUT_MODELS.get(model.name) or about_prompt_model(model),
            f"{model.height}×{model.width}",
            str(model.num_inference_steps),
            f"{model.guidance_scale:g}",
        )
        for model in sk.PROMPT_MODELS.values()
    )
    return table(["name", "", "size", "steps", "guidance"], rows)


def about_prompt_model(model: sk.PromptModel) -> str:
    """Say what a model of the hub is, from its row."""
    if model.verb == "draw":
        return f"draws; {hub(model.repo)}. {model.notes}"
    length = f"{model.num_frames} frames"
    told = [f"{hub(model.repo)} moved by {hub(model.adapter)}. {model.notes}"]
    return "; ".join([length, *told] if length not in model.notes else told)


def memory() -> str:
    """List the memory presets, with what was predicted of each."""
    rows = []
    for preset in sk.PRESETS.values():
        stock = ""
        if preset.stock and preset.stock.peak_gib:
            chunk = preset.stock.decode_chunk_size
            stock = f"{preset.stock.peak_gib:g} GiB"
            stock += f", {chunk} frames decoded at a time" if chunk else ""
        peak = f"{preset.peak_gib:g} GiB" if preset.peak_gib else ""
        rows.append((f"`{preset.name}`", preset.summary.rstrip("."), peak, stock))
    heading = ["preset", "what it does", "peak for `svd-xt`, fp16, predicted"]
    return table([*heading, "with stock arithmetic, predicted"], rows)


def qualities() -> str:
    """List the qualities, with what was measured of each."""
    report = results("qualities_tiny_cpu")
    medians = report["medians"]
    rows = [('`"exact"`', ABOUT_QUALITIES["exact"], "", "1", "1")]
    for name in ("fast", "draft"):
        row = medians[name]
        rows.append(
            (
                f'`"{name}"`',
                ABOUT_QUALITIES[name],
                f"{row['psnr']:.1f} and {row['psnr_worst']:.1f} dB",
                f"{row['seconds_of_exact']:.2f}",
                f"{row['unet_tflop_of_svd_xt_of_exact']:.2f}",
            )
        )
    plain, draft = medians["10 steps"], medians["draft"]
    told = (
        f"Distances and times are those of {of_model('`tiny`', report)} ({where(report)}; "
        f"{link('qualities_tiny_cpu')}); "
        f"ten ordinary steps are {plain['psnr']:.1f} and {plain['psnr_worst']:.1f} dB from exact. "
        f"`draft` moves things further than exact does, {draft['motion_of_exact']:.2f} times in "
        f"the median and {draft['motion_of_exact_to']:.2f} at most. On `svd-xt` none of it is "
        "measured yet."
    )
    heading = ["`quality=`", "", "from exact, median and worst", "time"]
    return table([*heading, "work of `svd-xt`'s UNet, counted"], rows) + "\n\n" + filled(told)


def measured() -> str:
    """List what was measured beside that, each in a line of its own."""
    rows = (
        (claim, figure, f"{of_model(model, results(name))}; {where(results(name))}; {link(name)}")
        for name, model, claim, figure in [*arithmetic(), *sweeping(), *films(), *small_models()]
    )
    return table(["what", "measured", "of, on, in"], rows)


Line = tuple[str, str, str, str]  # the file of results, the model, what was asked, what came out


def arithmetic() -> Iterable[Line]:
    """Lean against stock."""
    parts = results("lean_tiny_cpu")["parts"]
    near = parts["nearness"]["float32"]
    largest = max(clip["largest_difference_of_255"] for clip in near["clips"])
    seconds = {row["arithmetic"]: row["seconds"] for row in parts["stages"]["rows"]}
    ratio = parts["stages"]["rows"][0]["stock_over_lean"]["clip"]
    yield (
        "lean_tiny_cpu",
        "`tiny`",
        "How far is a lean clip from diffusers' own?",
        f"{near['worst_psnr']:.1f} dB or more in {len(near['clips'])} clips; at most {largest} of "
        "255 grey levels",
    )
    yield (
        "lean_tiny_cpu",
        "`tiny`",
        "How long does such a clip take?",
        f"{seconds['lean']:.1f} s, stock diffusers {seconds['stock']:.1f} s in the same run, by "
        f"turns: stock takes {ratio:.2f} times as long",
    )


def sweeping() -> Iterable[Line]:
    """What svdkit adds to the model's own time."""
    overhead, seen = results("sweep_overhead"), results("on_screen")
    yield (
        "sweep_overhead",
        "`tiny`",
        "What does a sweep cost over the bare pipeline calls?",
        f"{overhead['median_ratio']:.2f} times their time, the median of "
        f"{len(overhead['rounds'])} rounds of {overhead['cells']} clips",
    )
    size = "{frames} frames of {height}×{width}".format(**seen["clip"])
    yield (
        "on_screen",
        "no model",
        f"How long after its last frame is a clip of {size} on the screen of the panel?",
        f"{seen['median_seconds']:.1f} s in the median, {seen['most_seconds']:.1f} s at most, of "
        f"{len(seen['rounds'])}",
    )


def films() -> Iterable[Line]:
    """How well clips go on, and loop."""
    chaining, looping = results("chaining"), results("looping")["summary"]
    ours, naive = chaining["means"]["extended"], chaining["means"]["strung"]
    yield (
        "chaining",
        "`tiny`",
        f"How far do colours drift in {chaining['times']} extensions?",
        f"{ours['drift']:.3f} of white over {len(chaining['pictures'])} scenes, naive chaining "
        f"{naive['drift']:.3f}; {percent(ours['share_of_jumps_to_1.5'])} of the joins jump by 1.5 "
        f"mean steps or less, of the naive ones {percent(naive['share_of_jumps_to_1.5'])}",
    )
    for kind, words in (("painted", "ten painted scenes"), ("model", "ten clips of `tiny`")):
        one, before = looping[f"{kind} loop"], looping[f"{kind} naive"]["median_seam"]
        yield (
            "looping",
            "no model" if kind == "painted" else "`tiny`",
            f"Do {words} loop (a seam of at most 1.2 mean steps, 0.7 of the motion kept)?",
            f"{one['good']} of {one['of']}; the median seam goes from {before:.1f} to "
            f"{one['median_seam']:.1f}; {one['median_frames']:g} of 14 frames are left",
        )


def small_models() -> Iterable[Line]:
    """What the small models can do, and mostly cannot."""
    tiny, drawn = results("tiny_evaluation"), results("tiny_sd_evaluation")
    figures, shares = tiny["figures"], drawn["figures"]
    painted = shares["motion_judge_right_on_painted_clips"]
    judged = shares["animatediff_clips_judged"]
    right = round(judged * shares["animatediff_law_right"])
    met = sum(target["met"] for target in tiny["targets"].values())
    asked = figures["things_that_were_asked_for_their_law"]
    lawful, by_chance = (
        round(asked * figures[f"share_that_obeys_{name}"]) for name in ("its_law", "if_frozen")
    )
    reached = {
        bucket: figures["motion_by_bucket"][bucket] / due
        for bucket, due in figures["motion_of_the_truth_by_bucket"].items()
    }
    yield (
        "tiny_evaluation",
        "`tiny`",
        f"How good is it, on {tiny['scenes']} scenes that it never saw?",
        f"{met} of the {len(tiny['targets'])} goals set for it are met; the first frame is "
        f"{figures['first_frame_psnr']:.1f} dB from the picture; "
        f"{lawful} of {asked} things move by their law rather than against it, of stills "
        f"{by_chance}; clips move {percent(reached['20'])} as far as they should at motion bucket "
        f"20, {percent(reached['240'])} at 240",
    )
    learning = results("learning")
    versions = learning["versions_measured"].values()
    least, most = (pick(row["steps"] for row in versions) for pick in (min, max))
    error, far = (
        learning["twice_the_steps_brought"][name]
        for name in ("error_where_it_moves 700", "motion_over_painted 240")
    )
    yield (
        "learning",
        "`tiny`",
        "What would more training bring it?",
        f"so far twice the steps took {percent(1 - error['times'])} off the error where things "
        f"move, give or take {percent(error['give_or_take'])}, and made them go "
        f"{far['times']:.1f} times as far at motion bucket 240: {len(versions)} versions, of "
        f"{least:,} to {most:,} steps",
    )
    yield (
        "tiny_sd_evaluation",
        "`tiny-sd`",
        "What of a caption is drawn right?",
        f"sky and ground in {percent(shares['background_right'])}, the colour in "
        f"{percent(shares['colour_right'])}, the thing in {percent(shares['thing_right'])}",
    )
    yield (
        "tiny_sd_evaluation",
        "`tiny-animatediff`",
        "How many things move by their law?",
        f"{right} of {judged}, as most of "
        f"{len(shares['animatediff_law_right_by_judge'])} judges see it, small networks that know "
        f"painted clips alone; of painted clips {percent(painted['forwards']['all'])}, and of "
        f"those whose thing goes backwards {percent(1 - painted['backwards']['all'])}",
    )


def promises() -> str:
    """List what is promised, with the tests that hold it, and how often they were tried."""
    listed = tomllib.loads((ROOT / "tests" / "promises.toml").read_text("utf-8"))["promise"]
    report = results("promises")
    rows = []
    for one in listed:
        files = dict.fromkeys(test.split("::")[0] for test in one["tests"])
        links = ", ".join(f"[{file[6:-3].removeprefix('test_')}]({file})" for file in files)
        rows.append((one["says"], links))
    broken = sum(row["broken"] for row in report["promises"])
    noticed = sum(row["noticed"] for row in report["promises"])
    told = (
        f"To see that these tests hold what they claim, the code was broken on purpose in {broken} "
        f"ways, and {noticed} times one of them failed ([the changes](tests/promises.toml), "
        f"{link('promises')}). Every run of the tests tries {report['inputs_tried']:,} odd inputs, "
        f"such as damaged files and values of any kind, and injects {report['faults_injected']:,} "
        "faults: kills, full disks, broken ffmpegs, interrupts, shortages of memory."
    )
    return table(["", "held by the tests of"], rows) + "\n\n" + filled(told)


BLOCKS: dict[str, Callable[[], str]] = {
    write.__name__: write
    for write in (gallery, memory, qualities, measured, models, prompt_models, promises)
}


def with_figures(text: str) -> str:
    """Give the README with every block written anew."""
    there = [name for _, name, _ in BLOCK.findall(text)]
    if sorted(there) != sorted(BLOCKS):
        raise ValueError(f"The README has the blocks {there}; written are {list(BLOCKS)}.")
    return BLOCK.sub(lambda block: f"{block[1]}\n{BLOCKS[block[2]]()}\n\n{block[3]}", text)


if __name__ == "__main__":
    README.write_text(with_figures(README.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{README.name}: written")
