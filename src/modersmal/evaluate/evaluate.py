"""Score a model, or another system's output, on corpora; with a baseline, clip by clip.

What a score depends on is stored with it, and scores that differ in it are not compared.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from modersmal import store
from modersmal.config import EvaluateConfig
from modersmal.corpus import Corpus, Split
from modersmal.errors import CorpusError, RecipeError
from modersmal.evaluate.decoding import context_for, decode_split
from modersmal.evaluate.metrics import score
from modersmal.evaluate.records import (
    EVALUATION_FILE,
    Conditions,
    as_json,
    hash_ids,
    read_hypotheses,
    read_kept,
    write_clips,
)
from modersmal.evaluate.results import CorpusScore, Scored, Speed, System, compare
from modersmal.evaluate.table import render
from modersmal.hardware import hardware_name
from modersmal.language import Language, resolve
from modersmal.progress import progress
from modersmal.whisper.convert import model_hash
from modersmal.whisper.decoders import Device, open_decoder
from modersmal.whisper.load import locate


@dataclass(frozen=True)
class Evaluation:
    """Scores on every corpus that was asked for; printed as a table."""

    scores: list[CorpusScore]
    output: Path | None = None

    def to_json(self) -> dict[str, Any]:
        return as_json(self)

    def __str__(self) -> str:
        return render(self.scores, self.output)


@dataclass(frozen=True)
class _Task:
    """One split to score, and in which language."""

    corpus: Corpus
    split: Split
    language: Language

    def conditions(self, normaliser: str, config: EvaluateConfig, *, known: bool) -> Conditions:
        return Conditions(
            corpus=self.corpus.hash,
            split=self.split.name,
            clips=hash_ids(self.split.ids),
            language=self.language.code,
            normaliser=normaliser,
            context=config.context if known else None,
            beams=config.beams if known else None,
        )


def evaluate(
    model: str,
    corpora: Sequence[Path],
    *,
    split: str = "test",
    baseline: str | None = None,
    hypotheses: Path | None = None,
    config: EvaluateConfig | None = None,
    language: str | None = None,
    language_token: str | None = None,
    output: Path | None = None,
    device: Device = "auto",
    offline: bool = False,
) -> Evaluation:
    """Score `model` on a split of every corpus.

    `hypotheses` is a file with another system's output (see `read_hypotheses`), scored in place
    of the model's; `model` is then only the name it is shown under. `baseline` is a model decoded
    alike, or the output folder of an earlier evaluation. `language` overrides the corpora's own.
    `output` becomes a folder with `evaluation.json` and every reference and hypothesis.

    Raises:
        CorpusError: a corpus or split is missing, the hypotheses lack clips, or the scores
            cannot be compared.
        ModelError, HubError: a model cannot be loaded, or does not know the language.
        StoreError: the output cannot be written.
    """
    config = config or EvaluateConfig()
    tasks = _open(corpora, split, language, language_token)
    rivals: Sequence[Scored | None] = [None] * len(tasks)
    kept = baseline is not None and (Path(baseline) / EVALUATION_FILE).is_file()
    if baseline is not None and kept:  # what cannot be compared shows before hours of decoding
        rivals = _from_evaluation(Path(baseline), tasks, config)
    if hypotheses is not None:
        results = _from_file(System(model), hypotheses, tasks, config)
    else:
        results = _from_model(model, tasks, config, device, offline)
    if baseline is not None and not kept:
        rivals = _from_model(baseline, tasks, config, device, offline)
    if output is not None:
        results = _write_clips(output, tasks, results)
    evaluation = Evaluation(
        [
            CorpusScore(task.corpus.path, split, result, compare(result, rival) if rival else None)
            for task, result, rival in zip(tasks, results, rivals, strict=True)
        ],
        output,
    )
    if output is not None:
        store.write_json(output / EVALUATION_FILE, evaluation.to_json())
    return evaluation


def _open(
    corpora: Sequence[Path], split: str, language: str | None, language_token: str | None
) -> list[_Task]:
    if not corpora:
        raise RecipeError("give at least one corpus to score on")
    tasks = []
    for path in corpora:
        corpus = Corpus.open(path)
        clips = corpus.split(split)
        if not len(clips):
            raise CorpusError(f"the split {split!r} of {path} holds no clips")
        spoken = resolve(
            language or corpus.language,
            language_token or (None if language else corpus.language_token),
        )
        tasks.append(_Task(corpus, clips, spoken))
    return tasks


def _from_model(
    model: str, tasks: list[_Task], config: EvaluateConfig, device: Device, offline: bool
) -> list[Scored]:
    decoder = open_decoder(model, device=device, engine=config.engine, offline=offline, say=_say)
    system = System(
        name=model,
        model_hash=model_hash(locate(model, offline=offline)),
        context=context_for(decoder.model, config),
        precision=decoder.precision,
        engine=decoder.engine,
    )
    results = []
    hardware = hardware_name(torch.device(decoder.computes_on))
    clips = sum(len(task.split) for task in tasks)
    with progress(f"Decoding with {model}", total=clips, unit="clips") as advance:
        for task in tasks:
            began_s = time.monotonic()
            texts = decode_split(
                decoder,
                task.split,
                range(len(task.split)),
                language_token=task.language.token,
                config=config,
                on_progress=advance,
            )
            took_s = time.monotonic() - began_s
            speed = Speed(float(task.split.durations_s.sum()), took_s, hardware)
            results.append(replace(_scored(system, task, texts, config), speed=speed))
    return results


def _from_file(
    system: System, file: Path, tasks: list[_Task], config: EvaluateConfig
) -> list[Scored]:
    return [
        _scored(system, task, read_hypotheses(file, task.split.ids), config, known=False)
        for task in tasks
    ]


def _from_evaluation(folder: Path, tasks: list[_Task], config: EvaluateConfig) -> list[Scored]:
    """What an earlier evaluation wrote for the same splits, scored again."""
    results = []
    for task in tasks:
        kept = read_kept(folder, task.corpus.hash, task.split.name)
        texts = read_hypotheses(folder / kept.clips_file, task.split.ids)
        again = _scored(System(**kept.system), task, texts, config)
        again.conditions.check_comparable(kept.conditions)
        results.append(replace(again, conditions=kept.conditions))
    return results


def _scored(
    system: System, task: _Task, texts: list[str], config: EvaluateConfig, *, known: bool = True
) -> Scored:
    result = score(
        task.split.texts,
        texts,
        task.split.speakers,
        language=task.language.code,
        config=config,
    )
    return Scored(system, task.conditions(result.normaliser, config, known=known), result, texts)


def _write_clips(output: Path, tasks: list[_Task], results: list[Scored]) -> list[Scored]:
    written: list[Scored] = []
    for task, result in zip(tasks, results, strict=True):
        stem = f"{task.corpus.path.resolve().name}-{task.split.name}"
        taken = {earlier.clips_file for earlier in written}
        name = f"{stem}.jsonl" if f"{stem}.jsonl" not in taken else f"{stem}-{len(taken)}.jsonl"
        write_clips(output / name, task.split, result.hypotheses, result.score)
        written.append(replace(result, clips_file=name))
    return written


def _say(sentence: str) -> None:
    print(f"modersmal: {sentence}", file=sys.stderr)
