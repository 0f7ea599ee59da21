// The picture of svdkit's panel: drop or paste one, move its focus, draw a box, paint a mask.
// The state is the kernel's (easel.py); here it is drawn and changed.

const PANEL = ".svdkit-panel"; // the element that an easel stands in
const STEP = 0.02; // of the picture, for one press of an arrow key
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const MASK_SIDE = 512; // pixels of the mask's longer side
const LARGEST_FILE = 8e6; // bytes; a Jupyter server drops messages of more than 10 MB unsaid
const SUFFIXES = ".heic,.avif,.tif,.tiff,.bmp"; // of pictures that not every browser knows
const LARGEST_SIDE = 2048; // pixels, to which a larger file is reduced
const HINTS = {
  frame: "Arrow keys or the pointer move what the frame keeps in view.",
  box: "Drag from corner to corner: what the box holds will move.",
  brush: "Paint what will move.",
  eraser: "Wipe off what shall rest.",
};

const clamp = (value) => Math.min(1, Math.max(0, value));
const percent = (value) => `${100 * value}%`;

function place(element, [left, top, right, bottom]) {
  Object.assign(element.style, {
    left: percent(left), top: percent(top),
    width: percent(right - left), height: percent(bottom - top),
  });
}

async function reduced(file) {
  if (file.size <= LARGEST_FILE) return file;
  const image = await createImageBitmap(file);
  const scale = Math.min(1, LARGEST_SIDE / Math.max(image.width, image.height));
  const canvas = new OffscreenCanvas(image.width * scale, image.height * scale);
  const ink = canvas.getContext("2d");
  ink.fillStyle = "#fff"; // behind what is transparent, as the kernel has it
  ink.fillRect(0, 0, canvas.width, canvas.height);
  ink.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
}

// ipywidgets leave the handles of their sliders without a name, and JupyterLab takes their arrows.
function nameSliders(panel) {
  panel.querySelectorAll('[role="slider"]:not([aria-label])').forEach((handle) => {
    const row = handle.closest(".widget-inline-hbox");
    const label = row?.querySelector(".widget-label")?.textContent;
    if (!label) return;
    const ends = [...row.querySelectorAll('[role="slider"]')];
    const end = ends.length > 1 ? [", from", ", to"][ends.indexOf(handle)] : "";
    handle.setAttribute("aria-label", label + end);
    row.dataset.lmSuppressShortcuts = "true";
  });
}

function render({ model, el }) {
  const stage = document.createElement("div");
  stage.className = "svdkit-easel";
  stage.tabIndex = 0;
  stage.setAttribute("role", "application");
  // JupyterLab keeps the arrow keys for itself otherwise
  stage.dataset.lmSuppressShortcuts = "true";
  const image = document.createElement("img");
  image.draggable = false; // the browser would drag the picture away
  const shade = document.createElement("div");
  shade.className = "shade";
  const crop = document.createElement("div");
  crop.className = "crop";
  shade.append(crop);
  const mask = document.createElement("canvas");
  const box = document.createElement("div");
  box.className = "box";
  stage.append(image, shade, mask, box);
  const upload = document.createElement("button");
  upload.className = "jupyter-widgets jupyter-button widget-button";
  upload.textContent = "Upload a picture …";
  const files = document.createElement("input");
  files.type = "file";
  files.accept = `image/*,video/*,${SUFFIXES}`;
  files.hidden = true;
  const notice = document.createElement("div");
  notice.className = "svdkit-notice";
  notice.setAttribute("role", "alert");
  el.append(upload, files, stage, notice);

  const ink = mask.getContext("2d", { willReadFrequently: true });
  let address = null; // of the picture's bytes
  let start = null; // where the pointer went down
  let last = null; // where the brush was
  let sent = null; // what was painted, as the kernel has it

  const tool = () => model.get("tool");
  const painting = () => tool() === "brush" || tool() === "eraser";
  const change = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };

  function drawPicture() {
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([model.get("picture")]));
    image.src = address;
  }
  function drawMarks() {
    const framing = tool() === "frame";
    const rect = model.get("box");
    image.alt = model.get("label");
    stage.setAttribute("aria-label", `${model.get("label")}. Drop or paste a picture here. ${HINTS[tool()]}`);
    stage.title = HINTS[tool()];
    stage.style.cursor = framing ? "move" : "crosshair";
    place(crop, model.get("crop"));
    const boxing = tool() === "box" && rect.length === 4;
    box.style.display = boxing ? "block" : "none";
    if (boxing) place(box, rect);
    mask.hidden = !painting();
    stage.style.touchAction = framing ? "pan-y" : "none"; // a finger can scroll past a picture
  }
  async function drawMask() {
    const painted = model.get("painted");
    if (painted === sent) return;
    sent = painted;
    const [w, h] = [image.naturalWidth || 1, image.naturalHeight || 1];
    const scale = MASK_SIDE / Math.max(w, h);
    [mask.width, mask.height] = [Math.round(w * scale), Math.round(h * scale)];
    if (!painted || !painted.byteLength) return;
    const drawn = await createImageBitmap(new Blob([painted]));
    ink.drawImage(drawn, 0, 0, mask.width, mask.height);
  }

  function point(event) {
    const at = stage.getBoundingClientRect();
    return [clamp((event.clientX - at.left) / at.width), clamp((event.clientY - at.top) / at.height)];
  }
  function paint(to) {
    ink.globalCompositeOperation = tool() === "eraser" ? "destination-out" : "source-over";
    ink.strokeStyle = "#fff";
    ink.lineCap = ink.lineJoin = "round";
    ink.lineWidth = model.get("brush") * mask.width;
    ink.beginPath();
    ink.moveTo(last[0] * mask.width, last[1] * mask.height);
    ink.lineTo(to[0] * mask.width, to[1] * mask.height);
    ink.stroke();
    last = to;
  }
  const corners = (a, b) => [
    Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1]),
  ];

  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    stage.setPointerCapture(event.pointerId);
    start = last = point(event);
    if (tool() === "frame") change("focus", start);
    if (painting()) paint(start);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!start) return;
    const to = point(event);
    if (tool() === "frame") change("focus", to);
    if (tool() === "box") place(box, corners(start, to)), (box.style.display = "block");
    if (painting()) paint(to);
  });
  stage.addEventListener("pointerup", (event) => {
    if (!start) return;
    const drawn = corners(start, point(event));
    start = null;
    if (tool() === "box") {
      if (drawn[2] - drawn[0] > 0.01 && drawn[3] - drawn[1] > 0.01) change("box", drawn);
      drawMarks(); // a mere click leaves the box where it was
    }
    if (painting()) keepMask();
  });
  stage.addEventListener("pointercancel", () => {
    if (start && painting()) keepMask();
    start = null;
    drawMarks();
  });

  function keepMask() {
    const empty = !ink.getImageData(0, 0, mask.width, mask.height).data.some((value) => value);
    if (empty) return change("painted", (sent = new DataView(new ArrayBuffer(0))));
    mask.toBlob(async (blob) => change("painted", (sent = new DataView(await blob.arrayBuffer()))));
  }

  stage.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow || tool() !== "frame") return;
    event.preventDefault();
    const step = event.shiftKey ? 5 * STEP : STEP;
    change("focus", model.get("focus").map((value, side) => clamp(value + step * arrow[side])));
  });

  const take = (data) =>
    send(data).catch((error) => {
      notice.textContent = `That cannot be read: ${error.message}`;
    });
  async function send(data) {
    const file = [...data.files][0];
    notice.textContent = "";
    if (file) {
      // what the browser cannot open, the kernel may
      const blob = await reduced(file).catch(() => file);
      if (blob.size > LARGEST_FILE) {
        const size = `${Math.round(file.size / 1e6)} MB`;
        notice.textContent = `${file.name} has ${size}, which is too much for this way. Put it beside the notebook, and open it by its name.`;
        return;
      }
      model.send({ kind: "file", name: file.name }, undefined, [await blob.arrayBuffer()]);
    } else {
      const link = data.getData("text/uri-list") || data.getData("text/plain");
      if (/^https?:/.test(link)) model.send({ kind: "address", address: link.split("\n")[0].trim() });
    }
  }
  upload.addEventListener("click", () => files.click());
  files.addEventListener("change", () => {
    take(files);
    files.value = ""; // so that the same file can be chosen again
  });
  stage.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("dropping");
  });
  stage.addEventListener("dragleave", () => stage.classList.remove("dropping"));
  stage.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    stage.classList.remove("dropping");
    take(event.dataTransfer);
  });
  stage.addEventListener("paste", (event) => {
    event.preventDefault();
    event.stopPropagation();
    take(event.clipboardData);
  });

  const marks = ["label", "crop", "tool", "box"];
  image.addEventListener("load", () => {
    sent = null;
    drawMask();
  });
  model.on("change:picture", drawPicture);
  model.on("change:painted", drawMask);
  marks.forEach((name) => model.on(`change:${name}`, drawMarks));
  drawPicture();
  drawMarks();
  const panels = new MutationObserver(() => document.querySelectorAll(PANEL).forEach(nameSliders));
  panels.observe(document.body, { childList: true, subtree: true });
  return () => {
    panels.disconnect();
    model.off("change:picture", drawPicture);
    model.off("change:painted", drawMask);
    marks.forEach((name) => model.off(`change:${name}`, drawMarks));
    URL.revokeObjectURL(address);
  };
}

export default { render };
