"""Training throughput on a GPU: tiny, small and large-v3-turbo sizes beside Seq2SeqTrainer.

    python benchmarks/gpu_throughput.py                    # on a GPU, in bfloat16 where it has it
    python benchmarks/gpu_throughput.py --sizes small
    python benchmarks/gpu_throughput.py --try              # minutes on a CPU: does it run?

Weights are random and audio is noise, so no data is needed; clips are as long as those of Common
Voice (mean 4.3 s) and have 5 tokens a second. Steps are those that the plan makes of them. Both
sides train with SDPA attention and fused AdamW, without gradient checkpointing, in the same
precision; each takes the device batch that is fastest for it, and features are ready before the
trainer's clock starts.

Model FLOPs utilisation (MFU) is the arithmetic that training needs, by the time it took and the
GPU's peak. A product of (m, k) and (k, n) takes 2mkn; backward takes twice forward. With
width d, T encoder positions (two frames each), N tokens, forward takes

    encoder   2*3*mels*d*2T + 2*3*d*d*T + layers * (24*d*d*T + 4*d*T*T)
    decoder   layers * (28*d*d*N + 2*d*N*N + 4*d*d*T + 4*d*N*T) + 2*d*vocabulary*N

that is: convolutions, then projections, feed-forward and attention; in the decoder half of its own
attention (it looks back only), keys and values of what was heard, and the vocabulary. T and N are
those of each side's own batches, padding included: so MFU says how well the GPU is kept busy, and
seconds of audio per second what comes of it.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from modersmal.audio import SAMPLE_RATE
from modersmal.config import TrainConfig
from modersmal.language import Vocabulary, tokenizer
from modersmal.logmel import FRAMES_PER_S, WINDOW_FRAMES
from modersmal.train.batch import HeardSample, StepBatch
from modersmal.train.labels import Label
from modersmal.train.learner import Learner
from modersmal.train.memory import shortage_told
from modersmal.train.optim import freeze
from modersmal.train.plan import Clips, Plan, PlannedBatch
from modersmal.train.precision import choose_device, choose_precision
from modersmal.train.shapes import GEOMETRIES, Geometry, Shapes
from modersmal.whisper.encoder import accept_variable_context
from modersmal.whisper.load import Whisper
from modersmal.whisper.tokens import special_ids
from train_step import Clock, collate, mixed

CLIPS, MEAN_S, TOKENS_PER_S = 20_000, 4.3, 5
PEAKS = {  # dense, in half precision, FLOP/s; by the beginning of what the driver calls it
    "NVIDIA B200": 2250e12, "NVIDIA H200": 989e12, "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989e12, "NVIDIA A100": 312e12, "NVIDIA L40S": 362e12, "NVIDIA L4": 121e12,
    "NVIDIA A10": 125e12, "NVIDIA GeForce RTX 4090": 165e12, "NVIDIA GeForce RTX 3090": 71e12,
    "Tesla V100": 125e12, "Tesla T4": 65e12,
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    width: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    mels: int
    vocabulary: Vocabulary


SIZES = {
    "tiny": Size(384, 4, 4, 6, 80, Vocabulary.MULTILINGUAL),
    "small": Size(768, 12, 12, 12, 80, Vocabulary.MULTILINGUAL),
    "large-v3-turbo": Size(1280, 32, 4, 20, 128, Vocabulary.MULTILINGUAL_V3),
}


@dataclass(frozen=True)
class Speed:
    """Seconds of audio, and FLOPs of encoder and decoder, per second."""

    audio_s: float
    encoder_flops: float
    decoder_flops: float
    device_batch: str = ""

    def said(self, peak: float) -> str:
        used = (self.encoder_flops + self.decoder_flops) / peak
        parts = f"encoder {self.encoder_flops / peak:.1%}, decoder {self.decoder_flops / peak:.1%}"
        return f"{self.audio_s:.1f} s of audio a second, MFU {used:.1%} ({parts})"


def flops(size: Size, samples: int, frames: int, tokens: int) -> tuple[float, float]:
    """FLOPs of encoder and decoder to train on samples of so many frames and tokens each."""
    width, positions, vocabulary = size.width, frames // 2, size.vocabulary.size
    encoder = 12 * size.mels * width * positions + 6 * width**2 * positions
    encoder += size.encoder_layers * (24 * width**2 + 4 * width * positions) * positions
    of_layer = (28 * width**2 + 2 * width * tokens + 4 * width * positions) * tokens
    of_layer += 4 * width**2 * positions
    decoder = size.decoder_layers * of_layer + 2 * width * vocabulary * tokens
    return 3.0 * samples * encoder, 3.0 * samples * decoder


def random_model(size: Size) -> WhisperForConditionalGeneration:
    ids = special_ids(size.vocabulary)
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=size.vocabulary.size, d_model=size.width, encoder_layers=size.encoder_layers,
        decoder_layers=size.decoder_layers, encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads, encoder_ffn_dim=4 * size.width,
        decoder_ffn_dim=4 * size.width, num_mel_bins=size.mels, decoder_start_token_id=ids.start,
        pad_token_id=ids.end, bos_token_id=ids.end, eos_token_id=ids.end,
        attn_implementation="sdpa",
    )  # fmt: skip
    return WhisperForConditionalGeneration(config)


def durations_s(clips: int) -> np.ndarray:
    """Lengths as in Common Voice: (clips,) float32."""
    drawn = np.random.default_rng(0).lognormal(np.log(MEAN_S) - 0.06, 0.35, clips)
    return np.clip(drawn, 1, 15).astype(np.float32)


def label(seconds: float, random: np.random.Generator) -> Label:
    ids = random.integers(300, 50_000, 5 + int(seconds * TOKENS_PER_S)).tolist()
    return Label(ids, ids[1:])


def batches(geometry: Geometry, clips: int, steps: int) -> Iterator[StepBatch]:
    """Steps of one geometry, as planned for about `clips` clips each, with noise in the clips."""
    lengths = durations_s(CLIPS)
    shapes = Shapes(packed_share=float(geometry == "packed"), full_share=float(geometry == "full"))
    everything = Clips(lengths, np.append(np.arange(0, CLIPS, 100), CLIPS))
    plan = Plan(everything, seed=0, batch_s=clips * MEAN_S, shapes=shapes)
    for step in range(steps):
        yield heard(plan.batch(step), lengths)


def heard(planned: PlannedBatch, lengths: np.ndarray) -> StepBatch:
    random = np.random.default_rng(planned.step)
    samples = []
    for place, sample in enumerate(planned.samples):
        seconds = float(lengths[list(sample.rows)].sum())
        heard_s = planned.frames / FRAMES_PER_S if planned.geometry == "packed" else seconds
        noise = random.standard_normal(int(heard_s * SAMPLE_RATE), dtype=np.float32)
        frames = min(planned.frames, int(heard_s * FRAMES_PER_S))
        samples.append(HeardSample(noise, label(seconds, random), place, [(0, frames)]))
    return StepBatch(planned, samples, sum(one.label.learned for one in samples))


def modersmal(size: Size, geometry: Geometry, clips: int, device_s: float, steps: int,
              compiled: bool) -> Speed:  # fmt: skip
    """How fast steps of a geometry are, at most `device_s` of padded audio at a time."""
    device = choose_device("auto")
    model = random_model(size).to(device)
    accept_variable_context(model)
    freeze(model, encoder=False)
    whisper = Whisper(
        model=model, tokenizer=tokenizer(size.vocabulary), vocabulary=size.vocabulary,
        mels=size.mels, name="", generation=model.generation_config, folder=Path(),
    )  # fmt: skip
    learner = Learner(
        whisper, TrainConfig(compile=compiled), device=device,
        precision=choose_precision(device, "auto"), checkpointing=False,
    )  # fmt: skip
    taken = [
        batch.made_ahead(device_s, pinned=device.type == "cuda")
        for batch in batches(geometry, clips, steps)
    ]
    learner.step(taken[0], 1e-5, device_s)
    _finish_device_work()
    began_s = time.monotonic()
    for batch in taken:
        learner.step(batch, 1e-5, device_s)
    _finish_device_work()
    took_s = time.monotonic() - began_s
    counted = [
        flops(size, len(part.inputs), part.frames, part.inputs.shape[1])
        for batch in taken
        for part in batch.micro_batches(device_s)
    ]
    encoder, decoder = np.sum(counted, axis=0) / took_s
    return Speed(sum(batch.planned.audio_s for batch in taken) / took_s, encoder, decoder)


def seq2seq_trainer(size: Size, clips: int, at_a_time: int, steps: int) -> Speed:
    """How fast the notebooks' way is: each clip padded to 30 s, features ready."""
    random, device = np.random.default_rng(0), choose_device("auto")
    lengths = durations_s(CLIPS)[:clips]
    features = torch.randn(size.mels, WINDOW_FRAMES)
    examples = [
        {"input_features": features, "labels": label(float(one), random).targets} for one in lengths
    ]
    clock = Clock()
    half = choose_precision(device, "auto").autocast
    with tempfile.TemporaryDirectory() as folder:
        settings = Seq2SeqTrainingArguments(
            folder, per_device_train_batch_size=at_a_time,
            gradient_accumulation_steps=-(-clips // at_a_time), max_steps=steps + 1,
            learning_rate=1e-5, optim="adamw_torch_fused", bf16=half == torch.bfloat16,
            fp16=half == torch.float16, report_to=[], logging_strategy="no", disable_tqdm=True,
            use_cpu=device.type == "cpu", remove_unused_columns=False, save_strategy="no",
        )  # fmt: skip
        Seq2SeqTrainer(
            random_model(size), settings, data_collator=collate, train_dataset=examples,
            callbacks=[clock],
        ).train()  # fmt: skip
    took_s = float(np.mean(clock.times_s[1:]))
    tokens = int(np.mean([len(one["labels"]) for one in examples]))
    encoder, decoder = flops(size, clips, WINDOW_FRAMES, tokens)
    return Speed(float(lengths.sum()) / took_s, encoder / took_s, decoder / took_s)


def best(name: str, tries: dict[str, Callable[[int], Speed]], steps: int) -> Speed:
    """Try each size of the device batch until memory is too small; measure the fastest again."""
    found: dict[str, Speed] = {}
    for size, measure in tries.items():
        try:
            with shortage_told():
                found[size] = measure(1)
        except torch.OutOfMemoryError:
            break
        finally:
            gc.collect()
            torch.cuda.empty_cache()
        print(f"  {name}, {size} at a time: {found[size].audio_s:.1f} s a second", flush=True)
    size = max(found, key=lambda one: found[one].audio_s)
    speed = tries[size](steps)
    gc.collect()
    return Speed(speed.audio_s, speed.encoder_flops, speed.decoder_flops, size)


def peak_flops(device: torch.device) -> tuple[float, str]:
    """The device's peak, from the table or measured with a large product of matrices."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for known, peak in PEAKS.items():
            if name.startswith(known):
                return peak, f"{name}, {peak / 1e12:.0f} TFLOP/s by its data sheet"
    side = 8192 if device.type == "cuda" else 1024
    dtype = choose_precision(device, "auto").autocast or torch.float32
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    times_s = []
    for _ in range(10):
        _finish_device_work()
        began_s = time.monotonic()
        matrix @ matrix
        _finish_device_work()
        times_s.append(time.monotonic() - began_s)
    peak = 2 * side**3 / min(times_s)
    return peak, f"{device}, {peak / 1e12:.2f} TFLOP/s measured with a product of {side} by {side}"


def compare(name: str, clips: int, steps: int, peak: float, *, quick: bool, compiled: bool) -> None:
    size = SIZES[name]
    sizes_s = (60,) if quick else (60, 120, 240, 480, 960, 1920)
    theirs = best(
        "Seq2SeqTrainer",
        {
            f"{count} clips": lambda steps, count=count: seq2seq_trainer(size, clips, count, steps)
            for count in (2, 4, 8, 16, 32, 64, 128)
            if count <= clips
        },
        steps,
    )
    print(f"{name}, Seq2SeqTrainer, {theirs.device_batch} at a time: {theirs.said(peak)}")
    ours: dict[Geometry, float] = {}
    for geometry in GEOMETRIES:
        found = best(
            geometry,
            {
                f"{device_s} s": lambda steps, device_s=device_s, geometry=geometry: modersmal(
                    size, geometry, clips, device_s, steps, compiled
                )
                for device_s in sizes_s
            },
            steps * (1 if quick else 4),
        )
        ours[geometry] = found.audio_s
        print(f"{name}, modersmal, {geometry} alone, {found.device_batch} at a time: "
              f"{found.said(peak)}, {found.audio_s / theirs.audio_s:.1f} x")  # fmt: skip
    config = TrainConfig()
    dynamic = 1 - config.packed_share - config.full_share
    without_full: dict[Geometry, float] = {"dynamic": dynamic, "packed": config.packed_share}
    shares = without_full | {"full": config.full_share}
    for mixture, parts in (("dynamic and packed", without_full), ("default shares", shares)):
        speed = mixed(ours, parts)
        print(f"{name}, modersmal, {mixture}: {speed:.1f} s of audio a second, "
              f"{speed / theirs.audio_s:.1f} x")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Training throughput on a GPU.")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--clips", type=int, default=128, help="clips of an optimiser step")
    parser.add_argument("--steps", type=int, default=5, help="steps measured at the best size")
    parser.add_argument("--compile", action="store_true", help="torch.compile our side")
    parser.add_argument("--try", action="store_true", dest="quick", help="tiny, 4 clips, one step")
    options = parser.parse_args()
    device = choose_device("auto")
    if device.type != "cuda" and not options.quick:
        raise SystemExit("no GPU is here; --try shows on a CPU that it runs")
    peak, said = peak_flops(device)
    print(f"{said}; torch {torch.__version__}, {choose_precision(device, 'auto').name}")
    for name in ["tiny"] if options.quick else options.sizes:
        clips, steps = (4, 1) if options.quick else (options.clips, options.steps)
        compare(name, clips, steps, peak, quick=options.quick, compiled=options.compile)


def _finish_device_work() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
