"""The words that `tiny-sd` reads: a CLIP tokenizer whose vocabulary is learned from Toyland's
captions.

Every caption word is one token; any other word still works, spelled in smaller pieces, but means
nothing to the model.
"""

from __future__ import annotations

import collections
import itertools
import json
import tempfile
from pathlib import Path

from transformers import CLIPTokenizer

from .architectures import CAPTION_TOKENS
from .scenes import captions

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()&/-"
START, END = "<|startoftext|>", "<|endoftext|>"


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent first, until every word is a single piece (Sennrich et al.,
    2016).

    >>> learn_merges(["sun", "sunk"])[:2]
    [('s', 'u'), ('n', 'k</w>')]
    """
    spelled = [[*word[:-1], word[-1] + "</w>"] for word in sorted(set(words))]
    merges = []
    while True:
        pairs = collections.Counter(
            pair for pieces in spelled for pair in itertools.pairwise(pieces)
        )
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for pieces in spelled:
            i = 0
            while i < len(pieces) - 1:
                if (pieces[i], pieces[i + 1]) == best:
                    pieces[i : i + 2] = ["".join(best)]
                i += 1


def write_vocabulary(folder: Path) -> None:
    """Write vocab.json and merges.txt, learned from the captions, into a folder.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_vocabulary(Path(folder))
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['merges.txt', 'vocab.json']
    """
    merges = learn_merges([word for caption in captions() for word in caption.split()])
    spelled = [*LETTERS, *(letter + "</w>" for letter in LETTERS)]
    pieces = [*spelled, *("".join(pair) for pair in merges), START, END]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")


def tokenizer() -> CLIPTokenizer:
    """The tokenizer, built from the captions: the same one each time.

    >>> tokenizer().tokenize("a red balloon")
    ['a</w>', 'red</w>', 'balloon</w>']
    """
    with tempfile.TemporaryDirectory() as folder:
        write_vocabulary(Path(folder))
        return CLIPTokenizer.from_pretrained(folder, model_max_length=CAPTION_TOKENS)
