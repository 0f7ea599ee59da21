"""The panel as a person uses it, in a real JupyterLab."""

import re

import numpy as np
import pytest
from PIL import Image

import svdkit as sk
from browser.lab import LOOK, PLAYING, errors_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SECONDS = 300
OPEN = (
    "import svdkit as sk",
    "panel = sk.panel('tiny')\npanel",
    "print('running:', panel.is_running)",
)
RUN_LAST = """
() => {
  window.jupyterapp.shell.currentWidget.content.activeCellIndex = 2;
  window.jupyterapp.commands.execute("notebook:run-cell");
}
"""
CONTRAST = """
(root) => {
  const channel = (value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = (rgb) => rgb.slice(0, 3).map((v) => channel(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length < 4 || colour[3] == 1) return colour;
    }
    return [255, 255, 255];
  };
  return [...root.querySelectorAll("label, button, pre, .widget-html-content > *, input, select")]
    .filter((element) => element.offsetParent && element.textContent.trim() && !element.disabled)
    .map((element) => {
      const back = luminance(behind(element));
      const ink = luminance(parse(getComputedStyle(element).color));
      const ratio = (Math.max(back, ink) + 0.05) / (Math.min(back, ink) + 0.05);
      return [element.textContent.trim().slice(0, 40), ratio];
    });
}
"""


@pytest.fixture
def opened(lab):
    """A panel in a notebook that ran."""
    lab.open(lab.write("panel.ipynb", *OPEN))
    assert errors_of(lab.run_all()) == []
    lab.page.locator(".svdkit-easel img").wait_for()
    turn(lab, "steps", "2")
    turn(lab, "frames", "4")
    return lab


def turn(lab, dial, value):
    """Type a value into the number beside a slider."""
    row = lab.output(1).locator(".widget-inline-hbox", has=lab.page.get_by_text(dial, exact=True))
    number = row.locator(".widget-readout")
    number.fill(value)
    number.press("Enter")


def button(lab, name):
    return lab.output(1).get_by_role("button", name=name)


def animate(lab, clip):
    """Click, and wait for the player of the clip of this number."""
    button(lab, "Animate").click()
    caption = lab.output(1).locator(".svdkit-panel figcaption", has_text=f"{clip} · ")
    caption.first.wait_for(timeout=1000 * SECONDS)
    lab.page.get_by_text(f"download sample picture-{clip}.mp4").wait_for(timeout=1000 * SECONDS)


def begin(lab, steps):
    """Click, and wait until the run takes its steps."""
    turn(lab, "steps", str(steps))
    button(lab, "Animate").click()
    under_way = lab.output(1).get_by_text(re.compile(rf"Step \d+ of {steps}"))
    under_way.wait_for(timeout=1000 * SECONDS)


def cancel_and_animate(lab):
    button(lab, "Cancel").click()
    lab.output(1).get_by_text("Stopped after").wait_for(timeout=1000 * SECONDS)
    turn(lab, "steps", "1")
    animate(lab, 1)


@pytest.mark.smoke
def test_a_person_animates_looks_and_takes_the_code(opened):
    lab = opened
    turn(lab, "motion", "200")
    button(lab, "show the code").click()
    animate(lab, 1)
    codes = lab.output(1).locator(".svdkit-panel pre").all_inner_texts()
    expected = (
        'sk.animate(\n    sk.sample_image(),\n    "tiny",\n    num_frames=4,\n'
        "    num_inference_steps=2,\n    motion_bucket_id=200,\n    seed=7,\n)"
    )
    assert codes == [expected] * 2
    button(lab, "show the code").click()
    animate(lab, 2)
    assert lab.output(1).locator(".svdkit-panel video").evaluate(LOOK) == PLAYING
    lab.page.wait_for_function(
        "() => { const kept = [...document.querySelectorAll('details video')];"
        " return kept.length == 2 && kept.every(video => video.readyState == 4) }"
    )
    lab.photograph("panel")
    lab.output(1).get_by_label("compare with").select_option(index=1)
    lab.output(1).locator("video").nth(4).wait_for()
    lab.photograph("panel_comparing")
    button(lab, "1 · sample picture").click()
    lab.output(1).get_by_text("Frame by frame").click()
    frame = lab.output(1).get_by_label("frame", exact=True)
    before = lab.output(1).locator(".widget-image").all()[1].get_attribute("src")
    frame.focus()
    frame.press("ArrowRight")
    changed = f"document.querySelectorAll('.svdkit-panel .widget-image')[1].src != '{before}'"
    lab.page.wait_for_function(changed)
    assert lab.complaints == []


def test_a_run_is_cancelled_while_other_cells_run(opened):
    lab = opened
    begin(lab, steps=80)
    lab.page.evaluate(RUN_LAST)
    lab.output(2).get_by_text("running: True").wait_for()
    lab.output(1).locator(".widget-image").first.wait_for()  # the preview
    lab.photograph("panel_running")
    cancel_and_animate(lab)
    assert lab.complaints == []


def test_a_kernel_interrupt_leaves_the_panel_usable(opened):
    lab = opened
    begin(lab, steps=40)
    lab.page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    lab.page.wait_for_timeout(1000)  # in which nothing may break
    cancel_and_animate(lab)
    assert lab.output(1).locator(".svdkit-panel video").evaluate(LOOK) == PLAYING


def test_a_picture_is_uploaded_dropped_and_framed_by_keys_and_pointer(opened, tmp_path):
    lab = opened
    wide = tmp_path / "wide.png"
    Image.fromarray(np.tile(np.arange(300, dtype=np.uint8) % 255, (60, 1))).save(wide)
    with lab.page.expect_file_chooser() as chooser:
        button(lab, "Upload").click()
    chooser.value.set_files(wide)
    lab.output(1).get_by_text("300×60 pixels").wait_for()
    easel = lab.output(1).locator(".svdkit-easel")
    crop = easel.locator(".crop")
    left = crop.bounding_box()["x"]
    easel.focus()
    for _ in range(8):
        easel.press("ArrowLeft")
    moved = f"document.querySelector('.svdkit-easel .crop').getBoundingClientRect().x < {left}"
    lab.page.wait_for_function(moved)
    box = easel.bounding_box()
    lab.page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    at_right = f"document.querySelector('.svdkit-easel .crop').getBoundingClientRect().x > {left}"
    lab.page.wait_for_function(at_right)
    lab.photograph("panel_framing")
    drop(lab, easel, sk.sample_image().crop((0, 0, 200, 400)))
    lab.output(1).get_by_text("200×400 pixels; frames of 112×64").wait_for()
    assert lab.output(1).get_by_label("picture", exact=True).input_value() == "dropped.png"
    assert lab.complaints == []


def test_a_large_photo_is_made_smaller_on_its_way_and_a_large_film_is_refused(opened, tmp_path):
    """A Jupyter server drops what is larger than 10 MB, and nobody hears of it."""
    lab = opened
    noise = np.random.default_rng(7).integers(0, 256, (2000, 2400, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size > 12e6
    (tmp_path / "long.mp4").write_bytes(bytes(12_000_000))
    for name, told in (("large.png", "2048×1706 pixels"), ("long.mp4", "long.mp4 has 12 MB")):
        with lab.page.expect_file_chooser() as chooser:
            button(lab, "Upload").click()
        chooser.value.set_files(tmp_path / name)
        lab.output(1).get_by_text(told).wait_for()
    assert lab.complaints == []


def drop(lab, easel, picture):
    """Drop a picture on the easel as from a file manager."""
    import base64
    import io

    stream = io.BytesIO()
    picture.save(stream, "PNG")
    easel.evaluate(
        """(easel, data) => {
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "dropped.png", {type: "image/png"}));
          easel.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true}));
        }""",
        base64.b64encode(stream.getvalue()).decode(),
    )


@pytest.mark.parametrize("tool", ["a box", "by brush"])
def test_a_part_is_marked_with_the_pointer_and_moves(opened, tool):
    lab = opened
    button(lab, tool).click()
    easel = lab.output(1).locator(".svdkit-easel")
    easel.scroll_into_view_if_needed()
    box = easel.bounding_box()
    at = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"])
        for x, y in ((0.1, 0.2), (0.5, 0.8))
    ]
    lab.page.mouse.move(*at[0])
    lab.page.mouse.down()
    lab.page.mouse.move(*at[1], steps=12)
    lab.page.mouse.up()
    lab.page.wait_for_timeout(500)  # until the kernel has heard of it
    lab.photograph(f"panel_{tool.split()[-1]}")
    animate(lab, 1)
    codes = lab.output(1).locator(".svdkit-panel pre").all_inner_texts()
    assert "sk.cinemagraph(" in codes[0]
    if tool == "a box":
        numbers = re.search(r"\(([\d., ]+)\)", codes[0])[1]
        found = [float(number) for number in numbers.split(",")]
        assert found == pytest.approx([0.1, 0.2, 0.5, 0.8], abs=0.02)
    assert lab.complaints == []


def test_everything_has_a_name_and_is_reached_by_the_tab_key(opened):
    lab = opened
    controls = "button, input:not([type=file]), select, [role=slider], [role=application]"
    every = lab.output(1).locator(f".svdkit-panel :is({controls})")
    names = {
        "picture", "or open", "Upload a picture …", "fit", "across", "down", "motion", "fps",
        "frames", "steps", "guidance, from", "guidance, to", "noise", "quality", "seed",
        "another seed", "memory", "Animate", "Cancel", "show the code",
        "everything", "a box", "by brush", "eraser",
    }  # fmt: skip
    reached, order = set(), []
    every.first.focus()
    for _ in range(60):
        name = lab.page.evaluate(
            """() => {
              const at = document.activeElement, label = at.labels?.[0];
              return at.getAttribute("aria-label") || (label || at).textContent.trim();
            }"""
        )
        reached.add(name)
        order.append(name)
        if name == "show the code":
            break
        lab.page.keyboard.press("Tab")
    hidden_or_off = {"Cancel"}  # nothing is running
    assert names - hidden_or_off <= reached, names - reached
    wanted = ["picture", "across", "motion", "noise", "seed", "memory", "Animate", "show the code"]
    assert sorted(wanted, key=order.index) == wanted


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_its_words_stand_out_from_what_is_behind_them(opened, theme):
    lab = opened
    turn(lab, "fps", "40")
    animate(lab, 1)
    lab.wear(theme)
    lab.photograph(f"panel_{theme.split()[-1].lower()}")
    ratios = lab.output(1).evaluate(CONTRAST)
    assert len(ratios) > 20
    assert [(words, ratio) for words, ratio in ratios if ratio < 4.5] == []


def test_its_clips_are_there_when_the_notebook_is_opened_tomorrow(opened, jupyter, chromium):
    lab = opened
    animate(lab, 1)
    lab.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    lab.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    lab.open(lab.path)
    lab.page.locator("video").first.wait_for(state="attached")
    assert lab.players(press=True) == [PLAYING]
    lab.photograph("panel_tomorrow")
