"""OpenAI's own client, unmodified, against a real server."""

import io
import math

import openai
import pytest
from api_server import CLIP, SAID, Running


@pytest.fixture(scope="module")
def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert listed[0] == "bundled"
    assert "whisper-1" in listed
    assert client.models.retrieve("whisper-1").id == "whisper-1"
    with pytest.raises(openai.NotFoundError, match="there is no model 'whisper-2'"):
        client.models.retrieve("whisper-2")


def test_json(client: openai.OpenAI) -> None:
    raw = client.audio.transcriptions.with_raw_response.create(file=CLIP, model="whisper-1")
    assert raw.headers["x-model-release"] == "bundled"
    assert raw.headers["x-request-id"].startswith("req_")
    found = raw.parse()
    assert found.text == SAID
    assert [language.code for language in found.languages] == ["sv"]
    assert found.usage.type == "duration"
    assert found.usage.seconds == pytest.approx(1.686, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text", f"{SAID}\n"),
        ("srt", f"1\n00:00:00,000 --> 00:00:01,686\n{SAID}\n"),
        ("vtt", f"WEBVTT\n\n00:00:00.000 --> 00:00:01.686\n{SAID}\n"),
    ],
)
def test_plain_formats(client: openai.OpenAI, kind: str, body: str) -> None:
    found = client.audio.transcriptions.create(
        file=CLIP, model="bundled", response_format=kind, language="sv"
    )
    assert found == body


def test_verbose_json(client: openai.OpenAI) -> None:
    found = client.audio.transcriptions.create(
        file=CLIP, model="whisper-1", response_format="verbose_json"
    )
    assert (found.task, found.language, found.text) == ("transcribe", "swedish", SAID)
    (segment,) = found.segments
    assert segment.text == f" {SAID}"
    assert (segment.id, segment.seek, segment.start) == (0, 0, 0.0)
    assert segment.avg_logprob < 0 < segment.compression_ratio
    assert segment.tokens
    assert found.words is None


@pytest.mark.parametrize("granularities", [["word"], ["word", "segment"]])
def test_words_with_their_times(client: openai.OpenAI, granularities: list[str]) -> None:
    found = client.audio.transcriptions.create(
        file=CLIP,
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=granularities,
    )
    assert " ".join(word.word for word in found.words) == SAID
    times_s = [time_s for word in found.words for time_s in (word.start, word.end)]
    assert times_s == sorted(times_s)
    assert times_s[-1] <= found.duration
    assert (found.segments is not None) == ("segment" in granularities)


def test_logprobs_are_those_of_words(client: openai.OpenAI) -> None:
    found = client.audio.transcriptions.create(file=CLIP, model="whisper-1", include=["logprobs"])
    assert [one.token for one in found.logprobs] == SAID.split()
    assert [bytes(map(int, one.bytes)).decode() for one in found.logprobs] == SAID.split()
    assert all(one.logprob <= 0 for one in found.logprobs)
    assert sum(math.exp(one.logprob) for one in found.logprobs) > 3


def test_streaming(client: openai.OpenAI) -> None:
    with client.audio.transcriptions.create(
        file=CLIP, model="whisper-1", stream=True, include=["logprobs"]
    ) as stream:
        events = list(stream)
    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]
    assert events[0].delta == events[1].text == SAID
    assert [one.token for one in events[1].logprobs] == SAID.split()


def test_a_client_may_send_the_strategy_as_a_table(client: openai.OpenAI) -> None:
    for strategy in ("auto", {"type": "server_vad"}):
        found = client.audio.transcriptions.create(
            file=CLIP, model="whisper-1", chunking_strategy=strategy, languages=["sv", "en"]
        )
        assert found.text == SAID
    with pytest.raises(openai.BadRequestError, match="options of server_vad"):
        client.audio.transcriptions.create(
            file=CLIP,
            model="whisper-1",
            chunking_strategy={"type": "server_vad", "threshold": 0.5},
        )


@pytest.mark.parametrize(
    ("asked", "status", "says", "param"),
    [
        ({"model": "whisper-2"}, 404, "there is no model", "model"),
        ({"language": "de"}, 400, "does not write 'de'", None),
        ({"language": "English"}, 400, "use 'en'", "language"),
        ({"languages": ["de", "fi"]}, 400, "writes sv", "languages"),
        ({"temperature": 3}, 400, "less than or equal to 1", "temperature"),
        ({"response_format": "diarized_json"}, 400, "Input should be", "response_format"),
        ({"known_speaker_names": ["anna"]}, 400, "not told apart", "known_speaker_names"),
        ({"timestamp_granularities": ["word"]}, 400, "need", "timestamp_granularities"),
        ({"include": ["logprobs"], "response_format": "text"}, 400, "need", "include"),
        ({"stream": True, "response_format": "srt"}, 400, "cannot be streamed", "stream"),
        ({"prompt": "x" * 5000}, 400, "at most 4000", "prompt"),
        ({"extra_body": {"promt": "x"}}, 400, "did you mean 'prompt'", "promt"),
    ],
)
def test_what_cannot_be_done_is_said(
    client: openai.OpenAI, asked: dict[str, object], status: int, says: str, param: str | None
) -> None:
    with pytest.raises(openai.APIStatusError, match=says) as caught:
        client.audio.transcriptions.create(**{"file": CLIP, "model": "whisper-1"} | asked)
    error = caught.value
    assert (error.status_code, error.param) == (status, param)
    assert error.type == "invalid_request_error"
    assert error.request_id.startswith("req_")


def test_a_file_that_is_too_large_is_told_so_though_it_is_still_being_sent(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.APIStatusError, match="larger than 25 MiB") as caught:
        client.audio.transcriptions.create(
            file=("large.wav", io.BytesIO(bytes(27 << 20))), model="whisper-1"
        )
    assert caught.value.status_code == 413
