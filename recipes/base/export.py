"""Turn the trained base into the folder that ships with the package.

    python recipes/base/export.py build/base build/base/final --to src/modersmal/assets/base

Weights are kept in float16; the rows of tokens that never occurred are one vector, so the file
compresses. The cross-attention heads that give word times are found on dev clips.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import GenerationConfig

from modersmal.language import Vocabulary, resolve, tokenizer
from modersmal.whisper.generation import complete_generation
from modersmal.whisper.load import Whisper
from modersmal.whisper.save import save_complete
from train import Corpus, Speller, Tokens, clip_sample, collate, frames_of

# What only the slow tokenizer of transformers 4 reads would add 2 MB to the wheel.
SLOW_TOKENIZER_FILES = ("vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json")


@torch.no_grad()
def alignment_heads(model: Speller, corpus: Corpus, count: int) -> list[list[int]]:
    """The `count` heads whose attention moves most steadily through the audio, as [layer, head].

    Steadiness is the mean correlation, over clips, of token number and mean attended time.
    """
    model.eval()
    model.whisper.set_attn_implementation("eager")
    scores: list[Tensor] = []
    for clip in corpus.split("dev")[:60]:
        sample = clip_sample(corpus, model.tokens, clip, timestamps=False)
        batch = collate(model.tokens, [sample], frames_of(clip.length))
        encoded = model.encode(batch.features)
        embedded = torch.nn.functional.embedding(batch.inputs, model.table())
        attentions = model.whisper.model.decoder(
            inputs_embeds=embedded, encoder_hidden_states=encoded, output_attentions=True
        ).cross_attentions
        weights = torch.stack([layer[0] for layer in attentions])[:, :, len(model.tokens.prompt) :]
        times = weights @ torch.arange(weights.shape[-1], dtype=torch.float32)
        order = torch.arange(times.shape[-1], dtype=torch.float32)
        order, times = order - order.mean(), times - times.mean(-1, keepdim=True)
        scores.append((times @ order) / (times.norm(dim=-1) * order.norm() + 1e-9))
    mean = torch.stack(scores).nanmean(0)
    best = mean.flatten().topk(count).indices
    for layer in range(mean.shape[0]):
        print("layer", layer, [round(value, 3) for value in mean[layer].tolist()])
    return [[int(i) // mean.shape[1], int(i) % mean.shape[1]] for i in sorted(best.tolist())]


def main() -> None:
    parser = argparse.ArgumentParser(description="Export the bundled base.")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("trained", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    corpus = Corpus(options.corpus)
    model = Speller(Tokens(corpus.sentences))
    model.load_state_dict(load_file(options.trained / "speller.safetensors"), strict=False)
    whole = model.whole_model().half()
    words = tokenizer(Vocabulary.MULTILINGUAL)
    generation = GenerationConfig(alignment_heads=alignment_heads(model, corpus, 3))
    complete_generation(generation, whole.config, words)
    whisper = Whisper(
        model=whole,
        tokenizer=words,
        vocabulary=Vocabulary.MULTILINGUAL,
        mels=80,
        name="modersmal/synthetic-sv",
        generation=generation,
        folder=options.to,
        base="modersmal/synthetic-sv",
        context="dynamic",
    )
    save_complete(whisper, options.to, resolve("sv"))
    for name in SLOW_TOKENIZER_FILES:
        (options.to / name).unlink()


if __name__ == "__main__":
    main()
