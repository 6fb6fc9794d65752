"""What a release is refused for, and what not, with the bundled base and its real runtimes."""

import json
import shutil

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from small_runs import damage

from modersmal.corpus import Corpus
from modersmal.corpus.shards import write_corpus_file
from modersmal.errors import CorpusError, Held, ModelError, RecipeError
from modersmal.release import release as module
from modersmal.release.release import release
from modersmal.store.releases import Releases


@pytest.fixture
def run(tuned, tmp_path):
    return shutil.copytree(tuned, tmp_path / "made") / "runs" / "sv"


@pytest.fixture
def to(released, tmp_path):
    return shutil.copytree(released, tmp_path / "to")


def states(to):
    return {entry.number: entry.state for entry in Releases.open(str(to)).list()}


def lose_base(run):
    """Let the run name a base that is not there any more."""
    told = json.loads((run / "recipe.json").read_text())
    told["recipe"]["model"] = str(run / "gone")
    (run / "recipe.json").write_text(json.dumps(told))


def expected_of_another(monkeypatch, run):
    """What the model in training wrote is what another model writes."""
    real, other = module.expected, shutil.copytree(run, run.with_name("other"))
    damage(other)
    monkeypatch.setattr(
        module, "expected", lambda _, *rest, **keys: real(other / "model", *rest, **keys)
    )


@pytest.mark.chaos
def test_a_model_that_does_not_write_what_it_wrote_in_training_is_refused(run, to, monkeypatch):
    """Forced, it has all its formats, since none can be held against such a model."""
    expected_of_another(monkeypatch, run)
    with pytest.raises(ModelError, match=r"latest is what it was: hf: .*transformers .*clip "):
        release(run, to, formats=["ct2-float16"])
    assert states(to) == {1: "latest"}
    forced = release(run, to, formats=["ct2-float16"], force="no other is there")
    assert [verdict.format for verdict in forced.facts.formats] == ["hf", "ct2-float16"]
    assert forced.facts.refused == ()
    assert forced.facts.forced.startswith("no other is there; hf: transformers wrote")
    assert states(to) == {1: "complete", 2: "latest"}


@pytest.mark.chaos
def test_what_is_done_stays_done_when_other_formats_are_asked_for(run, to, monkeypatch):
    """And a format that is not asked for any more is not in the release."""
    real, asked = module.expected, []

    def expected(*arguments, **keys):
        asked.append(1)
        return real(*arguments, **keys)

    def stop(*arguments, **keys):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "expected", expected)
    with monkeypatch.context() as stopped:
        stopped.setattr(module, "score_test", stop)
        with pytest.raises(KeyboardInterrupt):
            release(run, to, formats=["ct2-int8"])
    assert (run / ".release" / "draft" / "ct2" / "int8" / "model.bin").exists()
    made = release(run, to, formats=["ct2-float16"], force="not that it is needed")
    assert made.facts.forced is None
    assert len(asked) == 1
    assert [verdict.format for verdict in made.facts.formats] == ["hf", "ct2-float16"]
    folder = Releases.open(str(to)).folder(made.number)
    assert [path.name for path in (folder / "ct2").iterdir()] == ["float16"]


@pytest.mark.chaos
def test_a_release_that_another_overtakes_is_compared_with_that_too(
    run, released, tmp_path, monkeypatch
):
    damage(run)
    to, real = tmp_path / "to", module.write_curves

    def write_curves(*arguments):
        """At the last moment, another release is deployed."""
        Releases.open(str(to)).receive(released / "releases" / "0001")
        return real(*arguments)

    monkeypatch.setattr(module, "write_curves", write_curves)
    with pytest.raises(ModelError, match="release 1 was deployed meanwhile, and stays so"):
        release(run, to, formats=["hf"])
    assert states(to) == {1: "latest", 2: "complete"}


@pytest.mark.chaos
def test_a_deployed_release_that_cannot_be_read_has_to_be_overruled(run, to):
    """Else nobody would know that the new one is no worse."""
    damage(run)
    (to / "releases" / "0001" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"cannot be compared with release 1: .* damaged"):
        release(run, to, formats=["hf"])
    assert states(to)[1] == "latest"
    made = release(run, to, formats=["hf"], force="the old one is broken")
    assert made.deployed
    assert "the old one is broken; it cannot be compared" in made.facts.forced


def test_one_run_is_released_by_one_process_at_a_time(run, tmp_path):
    with FileLock(run / ".release.lock"), pytest.raises(Held, match="another process releases"):
        release(run, tmp_path / "to")


@pytest.mark.chaos
def test_without_a_test_split_there_is_a_release_without_a_score(run, tmp_path, capsys):
    corpus = run.parent.parent / "corpora" / "sv"
    info = json.loads((corpus / "corpus.json").read_text())
    del info["splits"]["test"]
    write_corpus_file(corpus, info)
    told = json.loads((run / "recipe.json").read_text())
    told["identity"]["corpus"] = Corpus.open(corpus).hash
    (run / "recipe.json").write_text(json.dumps(told))
    made = release(run, tmp_path / "to", formats=["hf"])
    assert made.deployed
    assert made.facts.test is None
    assert "no test split" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda run: None, RecipeError, "there is no format 'ctranslate'"),
        (lambda run: shutil.rmtree(run.parent.parent / "corpora"), CorpusError, "no corpus at"),
        (lambda run: (run / "recipe.json").unlink(), ModelError, "is no run"),
        (
            lambda run: [shutil.rmtree(run / name) for name in ("checkpoints", "model")],
            ModelError,
            "no checkpoints any more, and no finished model",
        ),
        (
            lambda run: [lose_base(run), shutil.rmtree(run / "model")],
            ModelError,
            "its base .* no model to put weights into",
        ),
    ],
)
def test_what_cannot_be_released_is_told_in_one_sentence(run, to, spoil, error, said):
    spoil(run)
    with pytest.raises(error, match=said) as caught:
        release(run, to, formats=["ctranslate"] if error is RecipeError else ["hf"])
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert states(to) == {1: "latest"}


@pytest.mark.chaos
def test_a_base_that_has_gone_is_no_hindrance_where_the_model_is_there(run, to, capsys):
    lose_base(run)
    made = release(run, to, formats=["hf"])
    assert made.facts.base_test is None
    assert "What the base scores is not known" in capsys.readouterr().err
    assert states(to)[made.number] in ("latest", "complete")


@pytest.mark.chaos
def test_a_half_written_release_of_another_is_no_hindrance(run, to):
    half = to / "releases" / "0002"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    damage(run)
    with pytest.raises(ModelError, match="above that of release 1"):
        release(run, to, formats=["hf"])
    assert states(to) == {1: "latest", 2: "half-written"}
    made = release(run, to, formats=["hf"], force="to see where it goes")
    assert (made.number, states(to)[2]) == (3, "half-written")


def test_a_tokenizer_that_does_not_fit_the_weights_is_refused(run, to):
    """As of a v2 model under the name of v3: it would write garbage without an error."""
    shutil.rmtree(run / "checkpoints")
    path = run / "model" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"vocab_size": 51866}))
    weights = load_file(run / "model" / "model.safetensors")
    name = "model.decoder.embed_tokens.weight"
    weights[name] = torch.cat([weights[name], weights[name][-1:]])
    save_file(weights, run / "model" / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="do not belong together"):
        release(run, to, formats=["hf"])
    assert states(to) == {1: "latest"}
