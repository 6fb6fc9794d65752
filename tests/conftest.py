"""What several test files need: tiny Whispers with the real vocabularies."""

from collections.abc import Callable
from pathlib import Path

import pytest

TinyWhisper = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> TinyWhisper:
    """Make complete folders of tiny random Whispers: `tiny_whisper(vocabulary=..., mels=...)`.

    `vocabulary` is "multilingual", "multilingual-v3" or "english". The same arguments give the
    same folder; do not write to it.
    """
    made: dict[tuple[object, ...], Path] = {}

    def make(
        vocabulary: str = "multilingual",
        mels: int = 80,
        width: int = 32,
        encoder_layers: int = 2,
        decoder_layers: int = 2,
        seed: int = 0,
    ) -> Path:
        key = (vocabulary, mels, width, encoder_layers, decoder_layers, seed)
        if key not in made:
            folder = tmp_path_factory.mktemp("whisper") / f"{vocabulary}-{mels}"
            _write_tiny_whisper(folder, *key)
            made[key] = folder
        return made[key]

    return make


def _write_tiny_whisper(
    folder: Path,
    vocabulary: str,
    mels: int,
    width: int,
    encoder_layers: int,
    decoder_layers: int,
    seed: int,
) -> None:
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    from modersmal.language import Vocabulary, tokenizer
    from modersmal.whisper.load import Whisper
    from modersmal.whisper.save import save_complete
    from modersmal.whisper.tokens import special_ids

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
