"""What a file is, told by its first bytes and never by its name."""

# ffmpeg's reader for each kind of video, told by content and forced upon ffmpeg: left to guess, it
# takes text for playlists, which lead on to other files
READERS = {
    "MP4": "mov",
    "Matroska": "matroska",
    "AVI": "avi",
    "MPEG-TS": "mpegts",
    "MPEG-PS": "mpeg",
    "MPEG": "mpegvideo",
    "FLV": "flv",
    "WMV": "asf",
    "Ogg": "ogg",
}
STARTS = {
    b"\x1aE\xdf\xa3": "Matroska",
    b"\x00\x00\x01\xba": "MPEG-PS",
    b"\x00\x00\x01\xb3": "MPEG",
    b"FLV\x01": "FLV",
    b"0&\xb2u\x8ef\xcf\x11": "WMV",
    b"OggS": "Ogg",
    b"%PDF-": "a PDF document",
    b"%!PS": "a PostScript drawing",
    b"\xc5\xd0\xd3\xc6": "a PostScript drawing",
    b"\xff\n": "a JPEG XL picture",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "a JPEG XL picture",
    b"#EXTM3U": "a playlist",
    b"ffconcat": "a playlist",
}
HEIF_BRANDS = set(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())
ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # QuickTime's, before ftyp was


def kind_of(start: bytes) -> str:
    """Tell from its first bytes what a file is, where Pillow is not the one to open it.

    >>> kind_of(b"....ftypheic...."), kind_of(b"FLV..."), kind_of(b"GIF89a")
    ('HEIF', '', '')
    """
    for magic, kind in STARTS.items():
        if start.startswith(magic):
            return kind
    if start[4:8] == b"ftyp":
        table = start[8 : int.from_bytes(start[:4])]
        brands = {table[i : i + 4] for i in range(0, len(table), 4)}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if start[8:11] == b"crx":
            return "a camera's raw photo"
        return "HEIF" if brands & HEIF_BRANDS else "MP4"
    if start[4:8] in ATOMS:
        return "MP4"
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return "AVI"
    for first, length in ((0, 188), (4, 192)):  # packets; cameras put a time before each
        packets = start[first::length]
        if len(packets) > 2 and set(packets) == {0x47}:
            return "MPEG-TS"
    if looks_like_a_page(start):
        return "a web page"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "a drawing (SVG)" if text.startswith(b"<") and b"<svg" in text else ""


def looks_like_a_page(data: bytes) -> bool:
    """Tell whether bytes are the start of a web page.

    >>> looks_like_a_page(b"\\n<!DOCTYPE html><title>Kites</title>")
    True
    """
    start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script"))
