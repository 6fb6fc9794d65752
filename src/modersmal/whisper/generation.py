"""The generation config every runtime reads: completed where a base lacks it."""

from typing import Any

from tokenizers import Tokenizer
from transformers import GenerationConfig, WhisperConfig

from modersmal.language import MAX_TOKENS, Vocabulary
from modersmal.whisper.tokens import special_ids

# Cross-attention heads that follow the audio, as layer.head (openai/whisper, __init__.py), by
# (d_model, decoder layers, vocabulary). The first large shares its shape with large-v2.
_ALIGNMENT_HEADS = {
    (384, 4, Vocabulary.ENGLISH): "1.0 2.0 2.5 3.0 3.1 3.2 3.3 3.4",
    (384, 4, Vocabulary.MULTILINGUAL): "2.2 3.0 3.2 3.3 3.4 3.5",
    (512, 6, Vocabulary.ENGLISH): "3.3 4.7 5.1 5.5 5.7",
    (512, 6, Vocabulary.MULTILINGUAL): "3.1 4.2 4.3 4.7 5.1 5.2 5.4 5.6",
    (768, 12, Vocabulary.ENGLISH): "6.6 7.0 7.3 7.8 8.2 8.5 8.7 9.0 9.4 9.8 9.10 10.0 10.1 10.2 "
    "10.3 10.6 10.11 11.2 11.4",
    (768, 12, Vocabulary.MULTILINGUAL): "5.3 5.9 8.0 8.4 8.7 8.8 9.0 9.7 9.9 10.5",
    (1024, 24, Vocabulary.ENGLISH): "11.4 14.1 14.12 14.14 15.4 16.0 16.4 16.9 17.12 17.14 18.7 "
    "18.10 18.15 20.0 20.3 20.9 20.14 21.12",
    (1024, 24, Vocabulary.MULTILINGUAL): "13.15 15.4 15.15 16.1 20.0 23.4",
    (1280, 32, Vocabulary.MULTILINGUAL): "10.12 13.17 16.11 16.12 16.13 17.15 17.16 18.4 18.11 "
    "18.19 19.11 21.2 21.3 22.3 22.9 22.12 23.5 23.7 23.13 25.5 26.1 26.12 27.15",
    (1280, 32, Vocabulary.MULTILINGUAL_V3): "7.0 10.17 12.18 13.12 16.1 17.14 19.11 21.4 24.1 25.6",
    (1280, 4, Vocabulary.MULTILINGUAL_V3): "2.4 2.11 3.3 3.6 3.11 3.14",
}

_NON_SPEECH = [
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』',
    *["<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))", "(((", ")))"],
    *["[[", "]]", "{{", "}}", "♪♪", "♪♪♪"],
]
_MUSIC = "♩♪♫♬♭♮♯"


def complete_generation(
    generation: GenerationConfig, config: WhisperConfig, tokenizer: Tokenizer
) -> None:
    """Fill in, in place, what decoding needs and `generation` lacks, and drop what misleads it."""
    vocabulary = Vocabulary.of_size(config.vocab_size)
    ids = special_ids(vocabulary)
    multilingual = vocabulary is not Vocabulary.ENGLISH
    needed: dict[str, Any] = {
        "decoder_start_token_id": ids.start,
        "bos_token_id": ids.end,
        "eos_token_id": ids.end,
        "pad_token_id": ids.end,
        "no_timestamps_token_id": ids.no_timestamps,
        "prev_sot_token_id": ids.start_of_previous,
        "is_multilingual": multilingual,
        "max_length": MAX_TOKENS,
    }
    if multilingual:
        needed["lang_to_id"] = {f"<|{code}|>": id_ for code, id_ in ids.languages.items()}
        needed["task_to_id"] = {"transcribe": ids.transcribe, "translate": ids.translate}
    own = {
        "return_timestamps": False,
        "max_initial_timestamp_index": 50,
        "alignment_heads": alignment_heads(config),
        "suppress_tokens": suppressed(tokenizer, vocabulary),
        "begin_suppress_tokens": [tokenizer.token_to_id("Ġ"), ids.end],
    }
    lacking = {
        name: value for name, value in own.items() if getattr(generation, name, None) is None
    }
    for name, value in (needed | lacking).items():
        setattr(generation, name, value)
    # Where older fine-tunings say that theirs came of config.json, transformers reads no more than
    # that has, and would not know that the model is multilingual.
    generation._from_model_config = False
    # Left by older fine-tunings: they override the language that the caller asks for.
    for stale in ("forced_decoder_ids", "language", "task"):
        if hasattr(generation, stale):
            delattr(generation, stale)


def alignment_heads(config: WhisperConfig) -> list[list[int]]:
    """OpenAI's heads for its own sizes, else every head of the upper half of the decoder."""
    key = (config.d_model, config.decoder_layers, Vocabulary.of_size(config.vocab_size))
    if known := _ALIGNMENT_HEADS.get(key):
        return [[int(part) for part in pair.split(".")] for pair in known.split()]
    layers, heads = config.decoder_layers, config.decoder_attention_heads
    return [[layer, head] for layer in range(layers // 2, layers) for head in range(heads)]


def suppressed(tokenizer: Tokenizer, vocabulary: Vocabulary) -> list[int]:
    """Ids that are never written: symbols that stand for no speech, and the prompt's own tokens.

    The list of openai/whisper (tokenizer.py, decoding.py). Hyphens and apostrophes stay allowed
    inside words.
    """

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    found = {encode(" -")[0], encode(" '")[0]}
    for symbol in (*_NON_SPEECH, *_MUSIC):
        for ids in (encode(symbol), encode(f" {symbol}")):
            if len(ids) == 1 or symbol in _MUSIC:
                found.add(ids[0])
    special = special_ids(vocabulary)
    found |= {special.start, special.translate, special.transcribe, special.start_of_lm}
    found |= {special.start_of_previous, special.no_speech}
    return sorted(found)
