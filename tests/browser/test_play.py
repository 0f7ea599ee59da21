"""Clips play in a real browser."""

import numpy as np
import pytest

import svdkit as sk

# What the first player of a page is doing, once it can play through
STATE = """
() => new Promise((answer) => {
  const video = document.querySelector("video");
  const tell = () => answer({
    ready: video.readyState, width: video.videoWidth, height: video.videoHeight,
    duration: video.duration, paused: video.paused,
  });
  if (video.readyState == 4) tell(); else video.addEventListener("canplaythrough", tell);
  setTimeout(tell, 60000);
})
"""
# What can play is not painted yet: the colour is that of the next frame on screen
COLOUR = """
() => new Promise((answer) => {
  const video = document.querySelector("video"), canvas = document.createElement("canvas");
  video.requestVideoFrameCallback(() => {
    canvas.width = video.videoWidth; canvas.height = video.videoHeight;
    const ink = canvas.getContext("2d");
    ink.drawImage(video, 0, 0);
    answer(Array.from(ink.getImageData(8, 8, 1, 1).data).slice(0, 3));
  });
})
"""


@pytest.fixture
def page(chromium):
    page = chromium.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_saved_video_plays(page, clip, tmp_path, suffix):
    saved = clip.at(fps=3).save(tmp_path / f"kite{suffix}")
    (tmp_path / "page.html").write_text(f'<video src="{saved.name}" muted autoplay loop></video>')
    page.goto(f"file://{tmp_path}/page.html")
    state = page.evaluate(STATE)
    assert (state["ready"], state["width"], state["height"]) == (4, 112, 64)
    assert state["duration"] == pytest.approx(2, abs=0.1)
    before = page.evaluate("document.querySelector('video').currentTime")
    page.wait_for_function(f"document.querySelector('video').currentTime != {before}")


def test_a_clip_plays_from_what_a_notebook_shows(page, clip):
    page.set_content(clip._repr_html_())
    page.evaluate(STATE)
    # a busy machine takes its time between what can play and what plays
    page.wait_for_function("(v => v.readyState == 4 && !v.paused)(document.querySelector('video'))")


@pytest.mark.parametrize("colour", [(200, 40, 40), (40, 180, 60), (40, 60, 200), (128, 128, 128)])
def test_the_browser_shows_the_colours_that_were_saved(page, colour):
    page.set_content(sk.Clip(np.full((4, 64, 112, 3), colour, np.uint8))._repr_html_())
    page.evaluate(STATE)
    assert np.abs(np.subtract(page.evaluate(COLOUR), colour)).max() <= 4


def test_a_grid_plays_all_its_clips(page, clip):
    page.set_content(sk.show_clips([clip] * 4)._repr_html_())
    page.wait_for_function(
        "(all => all.length == 4 && all.every(video => video.readyState == 4))"
        "(Array.from(document.querySelectorAll('video')))"
    )
