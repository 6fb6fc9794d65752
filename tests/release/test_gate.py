"""The gate: sound formats pass, damaged ones are caught, and the clip is named.

All is the bundled base on real speech, in the real runtimes.
"""

import csv
import json
import os
import re
import shutil
import struct
import weakref
from collections.abc import Callable
from dataclasses import asdict, replace
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import SPEECH, speech
from tokenizers import Tokenizer

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import ModelError
from modersmal.language import Vocabulary, tokenizer
from modersmal.release import gate
from modersmal.release.apart import open_apart
from modersmal.release.exports import FORMATS, export
from modersmal.release.facts import Verdict
from modersmal.release.gate import Expected, expected, speaks_in_silence
from modersmal.release.golden import Clips, Golden
from modersmal.whisper.load import locate

CLIPS = 3
EXPORTED = ("hf", "ct2-float16", "ct2-int8", "ggml-f16")
SOUND = ("hf", "ct2-float16", "ggml-f16")


@pytest.fixture(scope="module")
def golden() -> Golden:
    with (SPEECH / "texts.tsv").open() as file:
        texts = {row["id"]: row["text"] for row in csv.DictReader(file, delimiter="\t")}
    names = tuple(f"{number:02d}" for number in range(CLIPS))
    spoken = speech(range(CLIPS, 13))
    return Golden(
        names=names,
        clips=Clips(names, [(SPEECH / f"{name}.ogg").read_bytes() for name in names]),
        texts=tuple(texts[name] for name in names),
        speakers=(None,) * CLIPS,
        recording=np.concatenate([np.pad(clip, (0, 2 * SAMPLE_RATE)) for clip in spoken]),
        recording_texts=tuple(texts[f"{number:02d}"] for number in range(CLIPS, 13)),
        silences=(np.zeros(SAMPLE_RATE, np.float32),),
        language="sv",
    )


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    for name in EXPORTED:
        export(locate("bundled"), folder, name)
    return folder


@pytest.fixture(scope="module")
def own(golden: Golden) -> Expected:
    return expected(locate("bundled"), golden, "sv")


def test_the_model_is_gone_when_a_runtime_loads_it(
    golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One copy of the weights at a time: on a small machine there is no room for two."""
    models, load, there = [], gate.load, []

    def loaded(*args, **options):
        whisper = load(*args, **options)
        models.append(weakref.ref(whisper.model))
        return whisper

    def opened(*args, **options):
        there.extend(model() for model in models)
        return open_apart(*args, **options)

    monkeypatch.setattr(gate, "load", loaded)
    monkeypatch.setattr(gate, "open_apart", opened)
    expected(locate("bundled"), replace(golden, recording=golden.clips[0]), "sv")
    assert there == [None]


Prove = Callable[..., Verdict]


@pytest.fixture
def prove(golden: Golden, own: Expected) -> Prove:
    """Prove on little: clips, a moment of the recording, and silence."""
    [said], [text] = speech(range(CLIPS, CLIPS + 1)), golden.recording_texts[:1]
    little = replace(golden, recording=said, recording_texts=(text,))

    def prove(
        release: Path, name: str, wanted: Expected = own, golden: Golden = little, **options
    ) -> Verdict:
        options = {"max_quantised_loss": 1.0, "base_speaks_in_silence": True} | options
        return gate.prove(release, name, golden, wanted, "sv", **options)

    return prove


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_format_passes(prove: Prove, golden: Golden, released: Path, name: str) -> None:
    verdict = prove(released, name, golden=golden)
    assert verdict.passed, verdict.failures
    assert (verdict.format, verdict.runtimes) == (name, FORMATS[name].runtimes)
    assert verdict.same_texts == 1.0
    assert abs(verdict.wer_change) <= 1.0
    assert verdict.size_bytes == FORMATS[name].size_bytes(released)
    assert verdict.seconds_of_audio_per_second > 0
    assert verdict.golden_clips == CLIPS
    assert verdict.arithmetic == ("float16 and float32" if name == "ggml-f16" else "float32")


def swapped_rows(place: Path) -> None:
    """The rows that the first and the second clip begin with exchange their places."""
    words = Tokenizer.from_file(str(place / "tokenizer.json"))
    one, other = (
        words.encode(text, add_special_tokens=False).ids[0] for text in (" Tänd", " Släck")
    )
    weights = load_file(place / "model.safetensors")
    table = weights["model.decoder.embed_tokens.weight"]
    table[[one, other]] = table[[other, one]]
    save_file(weights, place / "model.safetensors", {"format": "pt"})


def zeroed_head(place: Path) -> None:
    """One of three heads by which the last layer of the decoder hears."""
    weights = load_file(place / "model.safetensors")
    weights["model.decoder.layers.1.encoder_attn.out_proj.weight"][:, :64] = 0
    save_file(weights, place / "model.safetensors", {"format": "pt"})


def converted(damage: Callable[[Path], None], name: str) -> Callable[[Path], None]:
    """A format as it would be converted from a damaged model: well, and of the wrong weights."""

    def replace_it(place: Path) -> None:
        work = place.parent / "damaged"
        shutil.copytree(locate("bundled"), work / "model")
        damage(work / "model")
        made = export(work / "model", work / "release", name)
        weights = made if made.is_file() else made / "model.bin"
        shutil.copy(weights, place if place.is_file() else place / "model.bin")

    return replace_it


def too_many_mels(place: Path) -> None:
    path = place / "preprocessor_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"feature_size": 128}))


def english_tokenizer(place: Path) -> None:
    tokenizer(Vocabulary.ENGLISH).save(str(place / "tokenizer.json"))


def other_weights(place: Path) -> None:
    """As of a model that learned a little more: sound, and not the one released."""
    weights = load_file(place / "model.safetensors")
    draws = torch.Generator().manual_seed(0)
    for name, value in weights.items():
        if value.ndim == 2 and "embed" not in name:
            noise = torch.randn(value.shape, generator=draws) * value.float().std() * 0.5
            value += noise.to(value.dtype)
    save_file(weights, place / "model.safetensors", {"format": "pt"})


def cut_short(place: Path) -> None:
    files = [place] if place.is_file() else [path for path in place.iterdir() if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size * 2 // 3)


def wrong_header(field: int, value: int) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        with place.open("r+b") as file:
            file.seek(4 * (1 + field))
            file.write(struct.pack("<i", value))

    return damage


NAMED = r"^clip 0\d: RUNTIME wrote '.*', the model wrote '.*'$"
DAMAGES = {
    "swapped words": ("hf", swapped_rows, NAMED),
    "zeroed head": ("hf", zeroed_head, NAMED),
    "wrong mel count": ("hf", too_many_mels, "^clips 00 to 02: RUNTIME cannot decode: .*128"),
    "cut short": ("hf", cut_short, "^RUNTIME cannot open "),
    "another tokenizer": (
        "ct2-float16",
        english_tokenizer,
        NAMED + "|^clips 00 to 02: RUNTIME cannot decode: ",
    ),
    "wrong mel count, ct2": (
        "ct2-float16",
        too_many_mels,
        "^clips 00 to 02: RUNTIME cannot decode: .*128",
    ),
    "other weights": ("ct2-float16", converted(other_weights, "ct2-float16"), NAMED),
    **{
        f"{what}, {name}": (name, converted(damage, name), NAMED)
        for what, damage in (("swapped words", swapped_rows), ("zeroed head", zeroed_head))
        for name in ("ct2-float16", "ct2-int8", "ggml-f16")
    },
    "no more": ("ct2-float16", shutil.rmtree, "^RUNTIME cannot open "),
    "wrong mel count, ggml": ("ggml-f16", wrong_header(9, 128), "^RUNTIME cannot open "),
    "wrong number of heads": ("ggml-f16", wrong_header(3, 5), "^RUNTIME cannot open "),
    "cut short, ggml": ("ggml-f16", cut_short, "^RUNTIME cannot open "),
}


@pytest.mark.parametrize(("name", "damage", "said"), DAMAGES.values(), ids=DAMAGES.keys())
def test_each_damage_is_caught(
    prove: Prove, released: Path, tmp_path: Path, name: str, damage, said: str
) -> None:
    format, release = FORMATS[name], tmp_path / "release"
    if format.within(released).is_file():
        format.within(release).parent.mkdir(parents=True)
        shutil.copy(format.within(released), format.within(release))
    else:
        left_out = shutil.ignore_patterns("ct2", "ggml")
        shutil.copytree(format.within(released), format.within(release), ignore=left_out)
    damage(format.within(release))
    verdict = prove(release, name)
    assert not verdict.passed
    for runtime in format.runtimes:
        pattern = re.compile(said.replace("RUNTIME", re.escape(runtime)))
        assert any(pattern.search(failure) for failure in verdict.failures), verdict.failures
    assert all("\n" not in failure for failure in verdict.failures)


def test_what_computes_in_half_precision_may_lose_as_much_as_a_quantised_format(
    prove: Prove, released: Path, own: Expected
) -> None:
    """whisper.cpp computes in nothing else, and writes another text now and then."""
    other = replace(own, texts=(own.texts[0].rstrip("."), *own.texts[1:]), rate=own.rate - 0.05)
    verdict = prove(released, "ggml-f16", other, max_quantised_loss=6)
    assert verdict.passed, verdict.failures
    assert verdict.same_texts == pytest.approx(1 - 1 / CLIPS)
    assert verdict.wer_change == pytest.approx(5.0)


def test_a_quantised_format_may_not_lose_more(prove: Prove, released: Path, own: Expected) -> None:
    better = replace(own, rate=own.rate - 0.05)
    verdict = prove(released, "ct2-int8", better, max_quantised_loss=2)
    assert verdict.arithmetic == "int8_float32"
    assert verdict.failures == tuple(
        f"{runtime} in int8_float32 has an error rate 5.0 points above the model's, and at most "
        "2 are allowed"
        for runtime in ("ctranslate2", "faster-whisper")
    )


def test_what_is_expected_can_be_kept(own: Expected) -> None:
    assert own.half_texts
    assert Expected.of(json.loads(json.dumps(asdict(own)))) == own


def test_a_text_that_hangs_on_the_rounding_of_weights_is_no_failure(
    prove: Prove, released: Path, own: Expected
) -> None:
    other = replace(own, texts=(own.texts[0].rstrip("."), *own.texts[1:]), half_texts=own.texts)
    verdict = prove(released, "hf", other)
    assert verdict.passed, verdict.failures
    assert verdict.same_texts == pytest.approx(1 - 1 / CLIPS)


def test_all_that_is_wrong_is_told(prove: Prove, released: Path, own: Expected) -> None:
    other = Expected(
        texts=(own.texts[0].rstrip("."), *own.texts[1:]),
        silences=("",),
        rate=own.rate,
        recording_rate=-1.0,
    )
    verdict = prove(released, "hf", other)
    assert not verdict.passed
    assert verdict.failures == (
        f"transformers wrote what the model wrote for 2 of {CLIPS} clips, and has to for 99%",
        f"clip 00: transformers wrote '{own.texts[0]}', the model wrote '{other.texts[0]}'",
        "of a recording of 2 s, transformers has an error rate of 0%, and may have -80%; it wrote "
        "'Klockan är halv nio.'",
        f"of 1 s of silence, transformers wrote '{own.silences[0]}', the model wrote nothing "
        "(1 of 1 silences)",
    )


def test_a_model_must_not_learn_to_speak_in_silence(
    prove: Prove, released: Path, golden: Golden, own: Expected
) -> None:
    """The bundled base does already, which is no failure of those that are tuned from it."""
    quiet = replace(golden, recording=np.zeros(3 * SAMPLE_RATE, np.float32))
    verdict = prove(released, "hf", golden=quiet, base_speaks_in_silence=False)
    assert verdict.failures == (
        f"of silence the model itself wrote '{own.silences[0]}', which its base did not",
        "transformers wrote nothing of a recording of 3 s",
    )
    [note] = verdict.notes
    assert note == (
        f"transformers writes words for a clip of silence or faint noise ('{own.silences[0]}'), "
        "but not where it goes through a recording by itself"
    )
    assert speaks_in_silence("bundled", golden, "sv")


def test_a_runtime_that_ends_its_process_does_not_end_ours(released: Path, golden: Golden) -> None:
    with open_apart("ctranslate2", FORMATS["ct2-int8"].within(released)) as runtime:
        for child in active_children():
            child.kill()
        with pytest.raises(ModelError, match=r"^ctranslate2 ended its process \(SIGKILL\)"):
            runtime.transcribe(golden.silences, "sv")
    assert not active_children()
