"""Tiny random Whispers with the real vocabularies, and tiny corpora of words sung as tones."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from modersmal import audio
from modersmal.corpus.schema import shard_name, shard_schema
from modersmal.corpus.shards import ShardWriter, write_corpus_file
from modersmal.language import Vocabulary, resolve, tokenizer
from modersmal.whisper.load import Whisper
from modersmal.whisper.save import save_complete
from modersmal.whisper.tokens import special_ids

WORDS = ("ett", "två", "tre", "fyra", "fem", "sex", "sju", "åtta", "nio", "tio")


def write_tiny_corpus(
    folder: Path,
    splits: dict[str, int],
    language: str = "sv",
    language_token: str | None = None,
    seed: int = 0,
) -> None:
    """Write a corpus of `splits` clips per split; a split of none is left out."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    listed = {}
    for split, count in splits.items():
        if not count:
            continue
        with ShardWriter(folder / shard_name(split, 0), shard_schema([])) as writer:
            for number in range(count):
                writer.add(_sung_row(split, number, random))
        listed[split] = {"shards": [asdict(writer.shard)]}
    token = resolve(language, language_token).token
    info = {"language": language, "language_token": token, "splits": listed}
    write_corpus_file(folder, info)


def _sung_row(split: str, number: int, random: Any) -> dict[str, Any]:
    chosen = random.integers(0, len(WORDS), int(random.integers(1, 5)))
    times = np.arange(round(0.25 * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    notes = [np.sin(2 * np.pi * 220 * 1.2 ** int(word) * times) for word in chosen]
    song = 0.3 * np.concatenate(notes) + 0.003 * random.standard_normal(len(times) * len(notes))
    return {
        "id": f"{split}-{number}",
        "audio": {"bytes": audio.encode_flac(song.astype(np.float32)), "path": f"{number}.flac"},
        "text": " ".join(WORDS[word] for word in chosen).capitalize() + ".",
        "duration": len(song) / audio.SAMPLE_RATE,
        "speaker": f"{split}-speaker-{number % 3}",
        "source": "tones",
        "split": split,
        "flags": [],
    }


def write_tiny_whisper(
    folder: Path,
    vocabulary: str,
    mels: int,
    width: int,
    encoder_layers: int,
    decoder_layers: int,
    seed: int,
    terse: bool = False,
) -> None:
    """Write a complete folder; a `terse` one ends after a token or two, so that it decodes fast."""
    kind = Vocabulary(vocabulary)
    ids = special_ids(kind)
    heads = max(1, width // 16)
    config = WhisperConfig(
        vocab_size=kind.size, num_mel_bins=mels, d_model=width, encoder_layers=encoder_layers,
        decoder_layers=decoder_layers, encoder_attention_heads=heads,
        decoder_attention_heads=heads, encoder_ffn_dim=2 * width, decoder_ffn_dim=2 * width,
        pad_token_id=ids.end, bos_token_id=ids.end, eos_token_id=ids.end,
        decoder_start_token_id=ids.start, begin_suppress_tokens=None,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = WhisperForConditionalGeneration(config)
    if terse:
        with torch.no_grad():
            model.proj_out.weight[ids.end] = 0.2  # else it begins as zero: it is the padding
            model.model.decoder.layer_norm.bias += 1.0
    whisper = Whisper(
        model=model,
        tokenizer=tokenizer(kind),
        vocabulary=kind,
        mels=mels,
        name="tiny",
        generation=GenerationConfig(),
        folder=folder,
    )
    save_complete(whisper, folder, None)
