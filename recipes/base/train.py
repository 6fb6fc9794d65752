"""Train the bundled base from scratch on the synthetic corpus, on two CPU cores.

    python recipes/base/train.py build/base --to build/base/short --steps 6000
    python recipes/base/train.py build/base --to build/base/final --steps 1500 \
        --from build/base/short --windows 0.5 --decay

The first phase sees single clips at their own length; the last also sees 30 s windows of joined
clips with timestamps, and decays the learning rate to zero. Three things make it feasible here:

- the softmax runs over the tokens that occur, plus one row that stands for all others (its logit
  carries the logarithm of how many they are, so the loss is that of the whole vocabulary);
- an auxiliary CTC loss on the encoder, over characters, dropped afterwards;
- the 1,501 timestamp rows are a learned mixture of smooth functions of time.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jiwer import wer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import WhisperConfig, WhisperForConditionalGeneration

from modersmal.language import TIMESTAMP_COUNT, TIMESTAMP_STEP_S, Vocabulary, tokenizer
from modersmal.logmel import HOP_SAMPLES, WINDOW_FRAMES, clip_features
from modersmal.whisper.encoder import accept_variable_context

RATE = 16_000
CHARACTERS = " abcdefghijklmnopqrstuvwxyzåäöéü"
IGNORED = -100


@dataclass(frozen=True)
class Clip:
    offset: int
    length: int
    text: str
    domain: str
    split: str
    voice: str


class Corpus:
    """The clips that speech.py wrote, their samples mapped rather than read."""

    def __init__(self, folder: Path) -> None:
        self.samples = np.memmap(folder / "clips.i16", dtype=np.int16, mode="r")
        rows = (json.loads(line) for line in (folder / "clips.jsonl").open(encoding="utf-8"))
        clips = [Clip(**row) for row in rows]
        self.sentences = (folder / "sentences.txt").read_text(encoding="utf-8").splitlines()
        self.clips = [clip for clip in clips if clip.offset + clip.length <= len(self.samples)]

    def split(self, name: str) -> list[Clip]:
        return [clip for clip in self.clips if clip.split == name]

    def audio(self, clip: Clip) -> np.ndarray:
        return self.samples[clip.offset : clip.offset + clip.length].astype(np.float32) / 32768


class Tokens:
    """The tokens that occur, numbered densely; one more class stands for all that do not."""

    def __init__(self, texts: list[str]) -> None:
        self.whole = tokenizer(Vocabulary.MULTILINGUAL)
        special = ["<|endoftext|>", "<|startoftranscript|>", "<|sv|>", "<|transcribe|>"]
        special += ["<|notimestamps|>"]
        self.end, self.start, *rest = (self.whole.token_to_id(token) for token in special)
        self.prompt = [self.start, *rest]
        self.first_timestamp = self.whole.token_to_id("<|0.00|>")
        used = {self.end, *self.prompt}
        for encoding in self.whole.encode_batch([f" {text}" for text in texts]):
            used.update(encoding.ids)
        self.ids = sorted(used) + list(
            range(self.first_timestamp, self.first_timestamp + TIMESTAMP_COUNT)
        )
        self.dense = {token: index for index, token in enumerate(self.ids)}
        self.unused = len(self.whole.get_vocab()) - len(self.ids)

    @property
    def text_count(self) -> int:
        return len(self.ids) - TIMESTAMP_COUNT

    def encode(self, text: str) -> list[int]:
        return self.whole.encode(f" {text}", add_special_tokens=False).ids

    def timestamp(self, time_s: float) -> int:
        return self.first_timestamp + round(time_s / TIMESTAMP_STEP_S)

    def decode(self, dense: list[int]) -> str:
        kept = [self.ids[index] for index in dense]
        return self.whole.decode([t for t in kept if t < self.end], skip_special_tokens=False)


def smooth_basis(width: int) -> Tensor:
    """Functions of time of which timestamp rows are mixtures, shape (1501, width)."""
    times = torch.linspace(0, 1, TIMESTAMP_COUNT)[:, None]
    waves = torch.logspace(0, math.log10(400), (width - 1) // 2)[None] * math.pi
    return torch.cat(
        [torch.ones_like(times), torch.sin(times * waves), torch.cos(times * waves)], 1
    )


class Speller(nn.Module):
    """A Whisper over the dense tokens, with a CTC head on its encoder."""

    def __init__(self, tokens: Tokens, width: int = 192) -> None:
        super().__init__()
        self.tokens = tokens
        config = base_config(vocab_size=8, width=width)
        self.whisper = WhisperForConditionalGeneration(config)
        accept_variable_context(self.whisper)
        decoder = self.whisper.model.decoder
        half = torch.arange(width // 2) / (width // 2 - 1)
        angles = torch.arange(448)[:, None] * torch.exp(-math.log(10_000) * half)[None]
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        decoder.embed_positions.weight.data.copy_(waves * 0.02)
        self.text_rows = nn.Parameter(torch.randn(tokens.text_count + 1, width) * 0.02)
        self.register_buffer("basis", smooth_basis(65), persistent=False)
        self.timestamp_mix = nn.Parameter(torch.randn(65, width) * 0.005)
        self.ctc_head = nn.Linear(width, len(CHARACTERS) + 1)

    def table(self) -> Tensor:
        """Rows of the dense tokens, then the row of the unused: (tokens + 1, width)."""
        return torch.cat(
            [self.text_rows[:-1], self.basis @ self.timestamp_mix, self.text_rows[-1:]]
        )

    def encode(self, features: Tensor) -> Tensor:
        return self.whisper.model.encoder(features).last_hidden_state

    def logits(self, encoded: Tensor, dense: Tensor) -> Tensor:
        table = self.table()
        hidden = self.whisper.model.decoder(
            inputs_embeds=F.embedding(dense, table), encoder_hidden_states=encoded
        ).last_hidden_state
        return hidden @ table.T

    def loss(self, batch: "Batch", ctc_weight: float) -> Tensor:
        encoded = self.encode(batch.features)
        logits = self.logits(encoded, batch.inputs).float()
        logits = torch.cat([logits[..., :-1], logits[..., -1:] + math.log(self.tokens.unused)], -1)
        loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED)
        if ctc_weight:
            scores = self.ctc_head(encoded).float().log_softmax(-1).transpose(0, 1)
            loss = loss + ctc_weight * F.ctc_loss(
                scores, batch.characters, batch.positions, batch.character_counts,
                zero_infinity=True,
            )  # fmt: skip
        return loss

    @torch.no_grad()
    def transcribe(self, features: Tensor, max_tokens: int) -> list[str]:
        encoded = self.encode(features)
        prompt = [self.tokens.dense[token] for token in self.tokens.prompt]
        written = torch.tensor([prompt] * len(features))
        done = torch.zeros(len(features), dtype=torch.bool)
        end = self.tokens.dense[self.tokens.end]
        while not done.all() and written.shape[1] < max_tokens:
            chosen = self.logits(encoded, written)[:, -1, : self.tokens.text_count].argmax(-1)
            done |= chosen == end
            written = torch.cat([written, torch.where(done, end, chosen)[:, None]], 1)
        return [self.tokens.decode(row) for row in written[:, len(prompt) :].tolist()]

    def whole_model(self) -> WhisperForConditionalGeneration:
        """The plain Whisper with its whole vocabulary; unused tokens share one row."""
        model = WhisperForConditionalGeneration(base_config(vocab_size=51_865, width=192))
        state = self.whisper.state_dict()
        table = self.table().detach()
        rows = table[-1].repeat(51_865, 1)
        rows[torch.tensor(self.tokens.ids)] = table[:-1]
        state["model.decoder.embed_tokens.weight"] = state["proj_out.weight"] = rows
        model.load_state_dict(state)
        return model


def base_config(vocab_size: int, width: int) -> WhisperConfig:
    whole = vocab_size > 50_257
    end = 50_257 if whole else 0
    return WhisperConfig(
        vocab_size=vocab_size, d_model=width, encoder_layers=4, decoder_layers=2,
        encoder_attention_heads=width // 64, decoder_attention_heads=width // 64,
        encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, num_mel_bins=80,
        pad_token_id=end, bos_token_id=end, eos_token_id=end,
        decoder_start_token_id=50_258 if whole else 1,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip


@dataclass(frozen=True)
class Batch:
    features: Tensor
    inputs: Tensor
    targets: Tensor
    characters: Tensor
    positions: Tensor
    character_counts: Tensor


@dataclass(frozen=True)
class Sample:
    """One encoder input, a clip or a window of clips, and its label from start-of-transcript.

    Frames from `zero_from` on are 0.0, which is how faster-whisper pads: a loud hum, not silence.
    """

    samples: np.ndarray
    labels: list[int]
    text: str
    zero_from: int = WINDOW_FRAMES


def clip_sample(corpus: Corpus, tokens: Tokens, clip: Clip, timestamps: bool) -> Sample:
    samples = corpus.audio(clip)
    if timestamps:
        times = [tokens.timestamp(0.0), tokens.timestamp(len(samples) / RATE)]
        labels = [*tokens.prompt[:-1], times[0], *tokens.encode(clip.text), times[1], tokens.end]
        return Sample(samples, labels, clip.text)
    labels = [*tokens.prompt, *tokens.encode(clip.text), tokens.end]
    return Sample(samples, labels, clip.text)


def window_sample(
    corpus: Corpus, tokens: Tokens, clips: Iterator[Clip], full_share: float, draw: random.Random
) -> Sample:
    """Join clips into a 30 s window; one that straddles the end gives its start time only.

    What speech leaves over is room noise, digital silence or zero features: each padding in use.
    """
    window = np.zeros(WINDOW_FRAMES * HOP_SAMPLES, np.float32)
    timestamps = draw.random() < 0.6
    wanted_s = 30.0 if draw.random() < full_share else draw.choice([1.0, 1.0, 4.0, 15.0])
    at, labels, texts = round(draw.choice([0.0, draw.uniform(0, 1.0)]) * RATE), [], []
    end = at
    while at < wanted_s * RATE:
        clip = next(clips)
        samples = corpus.audio(clip)
        whole = at + len(samples) <= len(window)
        if not whole and not timestamps:
            break
        end = min(at + len(samples), len(window))
        window[at:end] += samples[: end - at]
        if timestamps:
            labels.append(tokens.timestamp(at / RATE))
        if not whole:
            break
        labels += tokens.encode(clip.text)
        texts.append(clip.text)
        if timestamps:
            labels.append(tokens.timestamp(end / RATE))
        at = end + round(draw.choice([0.0, 0.3, 0.8, 2.0]) * draw.random() * RATE)
    padding = draw.choice(["noise", "silence", "zero features"])
    noise = np.random.default_rng(draw.getrandbits(32))
    noisy = len(window) if padding == "noise" else end
    window[:noisy] += noise.standard_normal(noisy, np.float32) * 10 ** draw.uniform(-5, -3)
    return Sample(
        samples=window,
        labels=[*(tokens.prompt[:-1] if timestamps else tokens.prompt), *labels, tokens.end],
        text=" ".join(texts),
        zero_from=end // HOP_SAMPLES + 1 if padding == "zero features" else WINDOW_FRAMES,
    )


def collate(tokens: Tokens, samples: list[Sample], frames: int) -> Batch:
    width = max(len(sample.labels) for sample in samples) - 1
    inputs = torch.zeros(len(samples), width, dtype=torch.long)
    targets = torch.full((len(samples), width), IGNORED)
    spelled = []
    for row, sample in enumerate(samples):
        dense = torch.tensor([tokens.dense[token] for token in sample.labels])
        inputs[row, : len(dense) - 1] = dense[:-1]
        targets[row, : len(dense) - 1] = dense[1:]
        spelled.append([CHARACTERS.index(c) + 1 for c in sample.text.lower() if c in CHARACTERS])
    features = clip_features([sample.samples for sample in samples], 80, frames, "cpu")
    for row, sample in enumerate(samples):
        features[row, :, sample.zero_from :] = 0.0
    return Batch(
        features=features,
        inputs=inputs,
        targets=targets,
        characters=torch.tensor([c for one in spelled for c in one]),
        positions=torch.full((len(samples),), frames // 2),
        character_counts=torch.tensor([len(one) for one in spelled]),
    )


def masked(features: Tensor, draw: random.Random) -> Tensor:
    """SpecAugment, light: two bands and two spans a clip, at the clip's mean."""
    count, mels, frames = features.shape
    features = features.clone()
    for row in range(count):
        for _ in range(2):
            width = draw.randint(0, 12)
            low = draw.randint(0, mels - width)
            features[row, low : low + width] = features[row].mean()
            width = draw.randint(0, min(20, frames // 8))
            start = draw.randint(0, frames - width)
            features[row, :, start : start + width] = features[row].mean()
    return features


def frames_of(samples: int) -> int:
    """Frames of the shortest context that holds the clip, a multiple of 20 (0.2 s)."""
    return min(WINDOW_FRAMES, math.ceil(samples / HOP_SAMPLES / 20) * 20)


class Stream:
    """Endless batches: single clips of like length, or windows."""

    def __init__(self, corpus: Corpus, tokens: Tokens, options: argparse.Namespace) -> None:
        self.corpus, self.tokens, self.options = corpus, tokens, options
        self.train = corpus.split("train")
        self.draw = random.Random(f"stream-{options.seed}")
        self.single = self._singles()
        self.shuffled = self._clips()
        self.step = 0

    def _clips(self) -> Iterator[Clip]:
        while True:
            yield from self.draw.sample(self.train, len(self.train))

    def _singles(self) -> Iterator[list[Clip]]:
        """Batches of about `batch_s` seconds; the first steps only see short clips."""
        while True:
            short = self.step < self.options.short_steps
            limit = 2.6 * RATE if short else 14 * RATE
            pool = [clip for clip in self.draw.sample(self.train, 2400) if clip.length < limit]
            pool.sort(key=lambda clip: clip.length)
            batches: list[list[Clip]] = [[]]
            for clip in pool:
                if (len(batches[-1]) + 1) * clip.length > self.options.batch_s * RATE:
                    batches.append([])
                batches[-1].append(clip)
            self.draw.shuffle(batches)
            for batch in batches:
                yield batch
                if short != (self.step < self.options.short_steps):
                    break

    def next(self) -> Batch:
        self.step += 1
        if self.draw.random() < self.options.windows:
            count = max(1, round(self.options.batch_s / 30 * 0.9))
            full = self.options.full_windows
            made = [
                window_sample(self.corpus, self.tokens, self.shuffled, full, self.draw)
                for _ in range(count)
            ]
            return collate(self.tokens, made, WINDOW_FRAMES)
        clips = next(self.single)
        timestamps = self.options.windows > 0 and self.draw.random() < 0.3
        made = [clip_sample(self.corpus, self.tokens, clip, timestamps) for clip in clips]
        return collate(self.tokens, made, frames_of(max(clip.length for clip in clips)))


def word_error_rates(model: Speller, corpus: Corpus, clips: list[Clip]) -> dict[str, float]:
    """WER by domain (case and punctuation count), decoded greedily, dynamic context."""
    model.eval()
    written: dict[str, tuple[list[str], list[str]]] = {}
    clips = sorted(clips, key=lambda clip: clip.length)
    for start in range(0, len(clips), 40):
        part = clips[start : start + 40]
        frames = frames_of(part[-1].length)
        features = clip_features([corpus.audio(clip) for clip in part], 80, frames, "cpu")
        for clip, text in zip(part, model.transcribe(features, 80), strict=True):
            references, hypotheses = written.setdefault(clip.domain, ([], []))
            references.append(clip.text)
            hypotheses.append(text.strip())
    model.train()
    return {domain: wer(list(r), list(h)) for domain, (r, h) in sorted(written.items())}


def optimizers(model: Speller, options: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for everything else."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or "embed_tokens" in name or "proj_out" in name:
            continue
        hidden = ".layers." in name and parameter.ndim == 2
        (matrices if hidden and options.muon else others).append(parameter)
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(others, lr=options.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    ]
    if matrices:
        made.append(
            torch.optim.Muon(
                matrices, lr=options.lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
            )
        )
    return made


def rate_at(step: int, options: argparse.Namespace) -> float:
    """Share of the peak learning rate: a warm-up, then constant or down to zero."""
    warm = min(1.0, (step + 1) / options.warmup)
    return warm * (1 - step / options.steps) if options.decay else warm


def save(model: Speller, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    state.pop("whisper.proj_out.weight", None)
    save_file(state, folder / "speller.safetensors")


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    corpus = Corpus(options.corpus)
    tokens = Tokens(corpus.sentences)
    model = Speller(tokens)
    if options.start:
        model.load_state_dict(load_file(options.start / "speller.safetensors"), strict=False)
    stream = Stream(corpus, tokens, options)
    made = optimizers(model, options)
    dev = corpus.split("dev")[:150]
    print(f"{len(stream.train)} clips, {tokens.text_count} tokens occur", flush=True)
    began, recent = time.monotonic(), []
    for step in range(options.steps):
        batch = stream.next()
        if step >= options.mask_after:
            batch = Batch(masked(batch.features, stream.draw), *list(vars(batch).values())[1:])
        for optimizer in made:
            for group in optimizer.param_groups:
                group["lr"] = options.lr * rate_at(step, options)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss(batch, options.ctc_weight)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in made:
            optimizer.step()
            optimizer.zero_grad()
        recent.append(loss.item())
        if (step + 1) % 50 == 0:
            speed = (time.monotonic() - began) / (step + 1)
            print(f"{step + 1} loss {np.mean(recent):.3f} {speed:.2f} s/step", flush=True)
            recent.clear()
        if (step + 1) % options.every == 0 or step + 1 == options.steps:
            rates = word_error_rates(model, corpus, dev)
            line = ", ".join(f"{domain} {rate:.3f}" for domain, rate in rates.items())
            print(f"{step + 1} dev WER {line}", flush=True)
            save(model, options.to)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled base from scratch.")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--from", dest="start", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--short-steps", type=int, default=0)
    parser.add_argument("--batch-s", type=float, default=100.0)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--decay", action="store_true")
    parser.add_argument("--muon", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--windows", type=float, default=0.0, help="share of 30 s window batches")
    parser.add_argument("--full-windows", type=float, default=0.4, help="share of them with 30 s")
    parser.add_argument("--ctc-weight", type=float, default=0.3)
    parser.add_argument("--mask-after", type=int, default=1500)
    parser.add_argument("--every", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
