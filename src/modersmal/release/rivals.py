"""What a release scores on test, and whether it is worse than those before it.

It is compared with the deployed one, and with the best there ever was, so that losses that are
each too small to be seen cannot add up. What a release wrote is kept in it: the next is compared
without decoding it again.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from modersmal import store
from modersmal.config import EvaluateConfig
from modersmal.corpus import Corpus, Split
from modersmal.errors import CorpusError
from modersmal.evaluate.decoding import decode_split
from modersmal.evaluate.metrics import ErrorRate, Score, score
from modersmal.evaluate.records import Conditions, hash_ids, read_hypotheses, write_clips
from modersmal.evaluate.significance import rate_difference
from modersmal.language import Language, is_spaced, resolve
from modersmal.progress import progress
from modersmal.release.facts import Comparison, Rate, Release, SplitScore
from modersmal.store.releases import Entry
from modersmal.text import normaliser
from modersmal.whisper.convert import model_hash
from modersmal.whisper.decoders import Device, open_decoder
from modersmal.whisper.load import locate

SCORES = "scores"


def score_test(
    model: str,
    corpus: Corpus,
    folder: Path,
    *,
    name: str = "model",
    system: str | None = None,
    config: EvaluateConfig | None = None,
    device: Device = "auto",
    offline: bool = False,
) -> SplitScore:
    """Score `model` on the test split. `system` is what the score is shown under.

    What it writes is kept as `scores/NAME.jsonl` in `folder`, and is not decoded again where it is
    there already, of the same model and taken alike.

    Raises:
        CorpusError: the corpus has no test split, or nothing is said in it.
        ModelError, HubError: the model cannot be loaded, or does not know the language.
        StoreError: `folder` cannot be written.
    """
    config = config or EvaluateConfig()
    split, language = _test(corpus), _language(corpus)
    conditions = _conditions(corpus, split, language, config)
    content = model_hash(locate(model, offline=offline))
    index = folder / SCORES / f"{name}.json"
    if kept := _kept(index, content, conditions):
        return kept
    decoder = open_decoder(model, device=device, engine=config.engine, offline=offline, say=_say)
    with progress(f"Decoding test with {system or model}", total=len(split), unit="clips") as done:
        texts = decode_split(
            decoder,
            split,
            range(len(split)),
            language_token=language.token,
            config=config,
            on_progress=done,
        )
    scored = _score(split, texts, language, config)
    clips_file = f"{SCORES}/{name}.jsonl"
    write_clips(folder / clips_file, split, texts, scored)
    found = SplitScore(
        system=system or model,
        wer=_rate(scored.normalised.wer),
        cer=_rate(scored.normalised.cer),
        clips=len(split),
        audio_s=split.duration_s,
        conditions=asdict(conditions),
        clips_file=clips_file,
    )
    store.write_json(index, {"model": content, "score": found.model_dump(mode="json")})
    return found


def rivals(releases: Sequence[Entry], mine: SplitScore) -> tuple[int, ...]:
    """Numbers of the releases to compare with: the deployed one, and the best of all.

    The best is looked for among those that were scored as `mine`, or, where there is none, among
    all. There may be one or none.
    """
    deployed = [entry.number for entry in releases if entry.state == "latest"]
    scores = {
        entry.number: test
        for entry in releases
        if entry.state != "half-written" and (test := _test_of(entry))
    }
    alike = {number for number, test in scores.items() if test.conditions == mine.conditions}
    spaced = is_spaced(str(mine.conditions["language"]))

    def rate(number: int) -> float:
        return (scores[number].wer if spaced else scores[number].cer).value

    best = sorted(alike or scores, key=rate)[:1]
    return tuple(dict.fromkeys([*deployed, *best]))


def compare(
    mine: SplitScore,
    folder: Path,
    other: Path,
    corpus: Corpus,
    *,
    against: str,
    name: str,
    config: EvaluateConfig | None = None,
    device: Device = "auto",
) -> Comparison:
    """Compare a score, kept in `folder`, with the release in the folder `other`, clip by clip.

    `against` is what that is called, and `name` the file of `folder` that its texts are kept under
    if they have to be decoded again, since they were of other clips or decoded in another way.

    Worse is what is significantly so: where the 95 % interval of the difference lies above zero.

    Raises:
        CorpusError: the clips of `mine` are not those of the corpus's test split.
        ModelError: `other` is no release, or cannot be loaded.
        StoreError: `folder` cannot be written.
    """
    config = config or EvaluateConfig()
    split, language = _test(corpus), _language(corpus)
    conditions = _conditions(corpus, split, language, config)
    conditions.check_comparable(Conditions(**mine.conditions))
    ours = read_hypotheses(folder / str(mine.clips_file), split.ids)
    theirs = _texts_of(other, split, conditions)
    if theirs is None:
        again = score_test(
            str(other), corpus, folder, name=name, system=against, config=config, device=device
        )
        theirs = read_hypotheses(folder / str(again.clips_file), split.ids)
    scored, rival = (_score(split, texts, language, config) for texts in (ours, theirs))
    edits = scored.normalised.edits(scored.metric)
    found = rate_difference(
        edits.errors, rival.normalised.edits(scored.metric).errors, edits.units, scored.groups
    )
    return Comparison(
        against=against,
        metric=scored.metric,
        difference=found.difference,
        low=found.interval.low if found.interval else None,
        high=found.interval.high if found.interval else None,
        worse=found.interval is not None and found.interval.low > 0,
    )


def _texts_of(release: Path, split: Split, conditions: Conditions) -> list[str] | None:
    """What a release wrote, if it was of these clips and decoded in this way.

    Texts do not depend on the normaliser.
    """
    test = Release.read(release).test
    if test is None or test.clips_file is None:
        return None
    wanted = asdict(conditions) | {"normaliser": test.conditions.get("normaliser")}
    if test.conditions != wanted:
        return None
    try:
        return read_hypotheses(release / test.clips_file, split.ids)
    except CorpusError as error:
        _say(f"what {release} wrote of test is decoded again: {error}")
        return None


def _kept(index: Path, content: str, conditions: Conditions) -> SplitScore | None:
    try:
        table = json.loads(index.read_text(encoding="utf-8"))
        found = SplitScore.model_validate(table["score"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        _say(f"{index} cannot be read, so test is decoded again: {error}")
        return None
    same = table["model"] == content and found.conditions == asdict(conditions)
    return found if same else None


def _test(corpus: Corpus) -> Split:
    split = corpus.split("test")
    if not len(split):
        raise CorpusError(f"the split 'test' of {corpus.path} holds no clips")
    return split


def _test_of(entry: Entry) -> SplitScore | None:
    try:
        return Release.model_validate(entry.facts).test
    except ValidationError:  # a folder whose release.json cannot be read is nobody's rival
        return None


def _language(corpus: Corpus) -> Language:
    return resolve(corpus.language, corpus.language_token)


def _conditions(
    corpus: Corpus, split: Split, language: Language, config: EvaluateConfig
) -> Conditions:
    iron = normaliser(config.normaliser, language=language.code, rules=config.rules)
    return Conditions(
        corpus=corpus.hash,
        split=split.name,
        clips=hash_ids(split.ids),
        language=language.code,
        normaliser=iron.version,
        context=config.context,
        beams=config.beams,
    )


def _score(split: Split, texts: Sequence[str], language: Language, config: EvaluateConfig) -> Score:
    return score(split.texts, texts, split.speakers, language=language.code, config=config)


def _rate(rate: ErrorRate) -> Rate:
    interval = rate.interval
    if interval is None:
        return Rate(value=rate.rate)
    return Rate(value=rate.rate, low=interval.low, high=interval.high)


def _say(sentence: str) -> None:
    print(f"modersmal: {sentence}", file=sys.stderr)
