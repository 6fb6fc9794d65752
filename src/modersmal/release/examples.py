"""One example for each runtime, to copy from the card and run as it is.

`USER/NAME` stands for the repository on the Hub: a release does not know where it will be
published, and `publish` puts the name there. The audio is one channel at 16 kHz, which every
runtime reads without further tools.
"""

from collections.abc import Callable
from dataclasses import dataclass

from modersmal.language import Vocabulary
from modersmal.release.exports import FORMATS, Format
from modersmal.release.facts import REPOSITORY, Release

AUDIO = "speech.wav"
_HF = ("hf",)
_CT2 = "ct2-int8", "ct2-int8_float16", "ct2-float16"  # the first that is there is shown
_GGML = "ggml-q8_0", "ggml-q5_0", "ggml-f16"


@dataclass(frozen=True)
class Example:
    """How one runtime is used: `code` in `language` (python, sh), and what to `install` for it."""

    runtime: str
    install: str
    language: str
    code: str
    note: str = ""


def examples(release: Release) -> list[Example]:
    """An example for every runtime that reads one of the formats of `release`."""
    there = {verdict.format for verdict in release.formats}
    made = []
    for wanted, make in _EXAMPLES:
        if name := next((name for name in wanted if name in there), None):
            made.append(make(release, FORMATS[name]))
    return made


def _transformers(release: Release, _format: Format) -> Example:
    options = ", return_timestamps=True" if release.windows else ""
    if _is_multilingual(release):
        options += f', generate_kwargs={{"language": "{release.language_token}"}}'
    times = "return_timestamps=True" if release.windows else "chunk_length_s=30"
    return Example(
        runtime="transformers",
        install="pip install transformers torch soundfile",
        language="python",
        code=f"""
import soundfile
from transformers import pipeline

samples, rate = soundfile.read("{AUDIO}", dtype="float32")
recognise = pipeline("automatic-speech-recognition", model="{REPOSITORY}")
heard = {{"raw": samples, "sampling_rate": rate}}
print(recognise(heard{options})["text"])
""".strip(),
        note=f"Recordings of more than 30 s need `{times}`.",
    )


def _faster_whisper(release: Release, format: Format) -> Example:
    return Example(
        runtime="faster-whisper",
        install="pip install faster-whisper",
        language="python",
        code=f"""
from faster_whisper import WhisperModel
from huggingface_hub import snapshot_download

folder = snapshot_download("{REPOSITORY}", allow_patterns="{format.place}/*")
model = WhisperModel(f"{{folder}}/{format.place}")
segments, _ = model.transcribe("{AUDIO}", language="{release.language_token}", vad_filter=True)
for segment in segments:
    print(f"{{segment.start:.2f}} {{segment.end:.2f}} {{segment.text}}")
""".strip(),
        note="`vad_filter` cuts out what is no speech, so that silence gives no text.",
    )


def _ctranslate2(release: Release, format: Format) -> Example:
    prompt = ["<|startoftranscript|>"]
    if _is_multilingual(release):
        prompt += [f"<|{release.language_token}|>", "<|transcribe|>"]
    written = ", ".join(f'"{token}"' for token in (*prompt, "<|notimestamps|>"))
    return Example(
        runtime="ctranslate2",
        install="pip install ctranslate2 transformers soundfile",
        language="python",
        code=f"""
import ctranslate2
import soundfile
from huggingface_hub import snapshot_download
from transformers import WhisperProcessor

folder = snapshot_download("{REPOSITORY}", allow_patterns="{format.place}/*")
samples, rate = soundfile.read("{AUDIO}", dtype="float32")
processor = WhisperProcessor.from_pretrained("{REPOSITORY}")
heard = processor(samples, sampling_rate=rate, return_tensors="np").input_features
model = ctranslate2.models.Whisper(f"{{folder}}/{format.place}")
prompt = [{written}]
[result] = model.generate(ctranslate2.StorageView.from_array(heard), [prompt], beam_size=1)
print(processor.decode(result.sequences_ids[0], skip_special_tokens=True))
""".strip(),
        note="One window of 30 s at most; faster-whisper goes through longer recordings.",
    )


def _whisper_cpp(release: Release, format: Format) -> Example:
    return Example(
        runtime="whisper.cpp",
        install="pip install pywhispercpp",
        language="python",
        code=f"""
from huggingface_hub import hf_hub_download
from pywhispercpp.model import Model

file = hf_hub_download("{REPOSITORY}", "{format.place}")
model = Model(file, context_params={{"flash_attn": False}})
for segment in model.transcribe("{AUDIO}", language="{release.language_token}", n_max_text_ctx=0):
    print(segment.text)
""".strip(),
        note=f"Without Python: `whisper-cli -m {format.place.rpartition('/')[2]} "
        f"-l {release.language_token} -nfa -mc 0 -f {AUDIO}`.",
    )


def _modersmal(release: Release, _format: Format) -> Example:
    return Example(
        runtime="modersmal",
        install="pip install modersmal",
        language="sh",
        code=f"modersmal transcribe {AUDIO} --model {REPOSITORY}",
        note="Any audio format and length; `--format srt` writes subtitles.",
    )


def _is_multilingual(release: Release) -> bool:
    return release.vocabulary != Vocabulary.ENGLISH


_EXAMPLES: tuple[tuple[tuple[str, ...], Callable[[Release, Format], Example]], ...] = (
    (_HF, _transformers),
    (_CT2, _faster_whisper),
    (_CT2, _ctranslate2),
    (_GGML, _whisper_cpp),
    (_HF, _modersmal),
)
