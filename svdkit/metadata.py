"""What a file says of itself: the recipe, and that it is made by AI, in its own metadata.

Videos and GIFs have a comment, in which the recipe stands as JSON. Where a format has a place for
XMP, which is mp4, GIF, WebP and PNG, a packet says the same in the words of the IPTC.
"""

import html
import json
import re
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .ffmpeg import run_ffmpeg, said_by
from .kinds import READERS, kind_of
from .notes import json_in
from .paths import shown
from .video import reading

if TYPE_CHECKING:
    from PIL import Image

# https://cv.iptc.org/newscodes/digitalsourcetype/: media created by a trained model
MADE_BY_AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP_IN_MP4 = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")  # XMP specification, part 3
XMP_IN_PNG = "XML:com.adobe.xmp"
LOOPING, LOOPING_LENGTH = b"!\xff\x0bNETSCAPE2.0", 19  # a GIF's block that says how often
XMP_FLAG, EXTENDED = 0x04, b"VP8X"  # of WebP's container
PACKET = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
  xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:svdkit="urn:svdkit">
<xmp:CreatorTool>svdkit {version}</xmp:CreatorTool>
<Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType>
<svdkit:recipe>{recipe}</svdkit:recipe>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
SECONDS = 60  # for ffmpeg to copy a file


def with_metadata(data: bytes, suffix: str, about: Mapping[str, Any]) -> bytes:
    """Write what there is to say about a clip into the bytes of its file.

    >>> from svdkit.video import encode
    >>> import numpy as np
    >>> gif = encode(np.zeros((2, 16, 16, 3), np.uint8), 7, ".gif")
    >>> b"svdkit" in with_metadata(gif, ".gif", {"svdkit": "0.1.0"})
    True
    """
    return WRITERS[suffix](data, about)


def xmp(about: Mapping[str, Any]) -> str:
    """Give the XMP packet that says it.

    >>> "trainedAlgorithmicMedia" in xmp({"svdkit": "0.1.0", "digital_source_type": MADE_BY_AI})
    True
    """
    return PACKET.format(
        version=html.escape(about.get("svdkit", "")),
        source_type=html.escape(about.get("digital_source_type", "")),
        recipe=html.escape(_json(about), quote=False),
    )


def png_metadata(about: Mapping[str, Any]) -> Any:
    """Give the XMP packet as what Pillow writes into a PNG.

    >>> len(png_metadata({"svdkit": "0.1.0"}).chunks)
    1
    """
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt(XMP_IN_PNG, xmp(about))
    return info


def read_metadata(path: Path) -> dict[str, Any]:
    """Read what svdkit wrote into a file; {} where it wrote nothing, or nothing that can be read.

    >>> read_metadata(Path("nowhere.mp4"))
    {}
    """
    try:
        with path.open("rb") as stream:
            kind = kind_of(stream.read(4096))
        note = _note_of_video(path, kind) if kind in READERS else _note_of_picture(path)
        about = json_in(note) if note else {}
    except Exception:  # whatever Pillow, ffmpeg or json meet there, it is no note of ours
        return {}
    return about if isinstance(about, dict) and "svdkit" in about else {}


def metadata_in(image: "Image.Image") -> dict[str, Any]:
    """Read what svdkit wrote into the file of a picture that Pillow opened; {} for any other.

    >>> from PIL import Image
    >>> metadata_in(Image.new("RGB", (8, 8)))
    {}
    """
    try:
        note = _note_in(image)
        about = json_in(note) if note else {}
    except Exception:
        return {}
    return about if isinstance(about, dict) and "svdkit" in about else {}


def _json(about: Mapping[str, Any]) -> str:
    return json.dumps(about, separators=(",", ":"))  # ASCII, which every container takes


def _remuxed(data: bytes, suffix: str, about: Mapping[str, Any], *options: str) -> bytes:
    """Have ffmpeg copy a video with a comment; through files, as a command line has its limit."""
    note = re.sub(r"([\\=;#\n])", r"\\\1", _json(about))
    source_type = about.get("digital_source_type", "")
    with tempfile.TemporaryDirectory() as folder:
        old, new, words = (Path(folder, name) for name in (f"old{suffix}", f"new{suffix}", "words"))
        old.write_bytes(data)
        words.write_text(f";FFMETADATA1\ncomment={note}\ndigital_source_type={source_type}\n")
        inputs = ("-i", str(old), "-f", "ffmetadata", "-i", str(words), "-map_metadata", "1")
        command = ("-v", "error", "-nostdin", *inputs, "-c", "copy", *options, str(new))
        run = run_ffmpeg(*command, seconds=SECONDS)
        if run.returncode or not new.exists():
            told = shown(said_by(run))
            raise RuntimeError(f"ffmpeg cannot write metadata into {suffix}: {told}")
        return new.read_bytes()


def _into_mp4(data: bytes, about: Mapping[str, Any]) -> bytes:
    packet = xmp(about).encode()
    box = struct.pack(">I4s", 24 + len(packet), b"uuid") + XMP_IN_MP4.bytes + packet
    return _remuxed(data, ".mp4", about, "-movflags", "+faststart") + box


def _into_webm(data: bytes, about: Mapping[str, Any]) -> bytes:
    return _remuxed(data, ".webm", about)


def _into_gif(data: bytes, about: Mapping[str, Any]) -> bytes:
    """Put a comment and an XMP block before the first frame, where Pillow looks for them."""
    note = _json(about).encode()
    parts = (note[i : i + 255] for i in range(0, len(note), 255))
    comment = b"!\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    # The packet is no chain of blocks. A reader that takes it for one lands in this trailer,
    # whose every byte leads to its end (XMP specification, part 3).
    trailer = bytes([1, *range(255, -1, -1), 0])
    packet = b"!\xff\x0bXMP DataXMP" + xmp(about).encode() + trailer
    has_palette, entries = data[10] & 0x80, 2 << (data[10] & 7)
    start = 13 + (3 * entries if has_palette else 0)
    if data[start:].startswith(LOOPING):
        start += LOOPING_LENGTH  # which players look for first
    return data[:start] + comment + packet + data[start:]


def _into_webp(data: bytes, about: Mapping[str, Any]) -> bytes:
    """Add an XMP chunk, and the flag that announces it."""
    chunks = data[12:]
    if chunks[:4] != EXTENDED:  # a single frame stands there bare
        chunks = _extension(data) + chunks
    chunks = chunks[:8] + bytes([chunks[8] | XMP_FLAG]) + chunks[9:]
    packet = xmp(about).encode()
    chunks += b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _extension(data: bytes) -> bytes:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        sides = ((side - 1).to_bytes(3, "little") for side in image.size)
        return EXTENDED + struct.pack("<I", 10) + b"\0" * 4 + b"".join(sides)


WRITERS = {".mp4": _into_mp4, ".webm": _into_webm, ".gif": _into_gif, ".webp": _into_webp}


def _note_of_picture(path: Path) -> str | None:
    from PIL import Image

    with Image.open(path) as image:
        return _note_in(image)


def _note_in(image: "Image.Image") -> str | None:
    comment = image.info.get("comment", b"")
    packet = image.info.get("xmp") or image.info.get(XMP_IN_PNG) or ""
    if comment:
        return comment.decode(errors="replace") if isinstance(comment, bytes) else comment
    packet = packet.decode(errors="replace") if isinstance(packet, bytes) else packet
    found = re.search(r"<svdkit:recipe>(.*?)</svdkit:recipe>", packet, re.DOTALL)
    return html.unescape(found[1]) if found else None


def _note_of_video(path: Path, kind: str) -> str | None:
    command = ("-v", "error", "-nostdin", *reading(path, kind), "-f", "ffmetadata", "-")
    run = run_ffmpeg(*command, seconds=SECONDS)
    told = run.stdout.decode(errors="replace")
    found = re.search(r"^comment=((?:[^\\\n]|\\.)*)$", told, re.MULTILINE | re.IGNORECASE)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else None
