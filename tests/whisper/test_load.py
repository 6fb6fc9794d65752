import json
import shutil

import pytest
import torch
from hub import local_hub
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import BertConfig

from modersmal.errors import HubError, ModelError, ModersmalError
from modersmal.language import Vocabulary
from modersmal.store.releases import Releases
from modersmal.whisper.load import load, locate


@pytest.fixture
def folder(tiny_whisper, tmp_path):
    """A copy of a tiny multilingual Whisper, to be damaged."""
    return shutil.copytree(tiny_whisper(), tmp_path / "model")


def edit(folder, file, **changes):
    path = folder / file
    table = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in table.items() if value != "GONE"}))


@pytest.mark.parametrize(
    ("vocabulary", "mels"), [("multilingual", 80), ("multilingual-v3", 128), ("english", 80)]
)
def test_a_folder_loads_with_all_that_belongs_to_it(tiny_whisper, vocabulary, mels):
    whisper = load(str(tiny_whisper(vocabulary, mels)))
    assert whisper.vocabulary is Vocabulary(vocabulary)
    assert whisper.mels == mels
    assert whisper.generation.is_multilingual == (vocabulary != "english")
    assert whisper.model.config._attn_implementation == "sdpa"
    assert not whisper.model.training
    assert whisper.model.proj_out.weight is whisper.model.model.decoder.embed_tokens.weight
    assert whisper.tokenizer.token_to_id("<|startoftranscript|>") == 50257 + (mels != 80 or
        vocabulary == "multilingual")  # fmt: skip


def test_weights_come_as_they_were_saved(folder):
    saved = load_file(folder / "model.safetensors")
    loaded = load(str(folder)).model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in saved.items())
    assert load(str(folder), dtype=torch.float16).model.dtype == torch.float16


def test_a_run_folder_stands_for_its_model(folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(folder, run / "model")
    assert load(str(run)).name == str(run)


def test_a_sharded_model_loads(folder):
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    parts = {
        "model-00001-of-00002.safetensors": names[::2],
        "model-00002-of-00002.safetensors": names[1::2],
    }
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, folder / file)
    (folder / "model.safetensors").unlink()
    table = {name: file for file, part in parts.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    loaded = load(str(folder)).model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


def test_a_base_without_tokenizer_and_generation_config_is_completed(folder):
    complete = load(str(folder))
    for file in folder.glob("*"):
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    bare = load(str(folder))
    assert bare.tokenizer.get_vocab() == complete.tokenizer.get_vocab()
    assert bare.generation.lang_to_id == complete.generation.lang_to_id
    assert bare.generation.task_to_id == {"transcribe": 50359, "translate": 50358}
    assert bare.generation.suppress_tokens == complete.generation.suppress_tokens


def test_what_older_fine_tunings_force_is_dropped(folder):
    edit(folder, "config.json", forced_decoder_ids=[[1, 50259], [2, 50359]], suppress_tokens=[])
    edit(folder, "generation_config.json", forced_decoder_ids=[[1, 50259]], language="english")
    whisper = load(str(folder))
    assert getattr(whisper.model.config, "forced_decoder_ids", None) is None
    assert not hasattr(whisper.generation, "forced_decoder_ids")
    assert not hasattr(whisper.generation, "language")


def test_a_base_that_suppresses_nothing_keeps_doing_so(folder):
    edit(folder, "generation_config.json", suppress_tokens=[])
    assert load(str(folder)).generation.suppress_tokens == []


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config.json", {"model_type": "wav2vec2"}, "not a Whisper model .*'wav2vec2'"),
        ("config.json", {"vocab_size": 40000}, "40,000 tokens is none of Whisper's"),
        ("config.json", {"vocab_size": 51866}, "do not belong together"),
        ("config.json", {"num_mel_bins": 128}, "128 mel bins, but .* makes 80"),
        ("config.json", {"num_mel_bins": 81}, "81 mel bins; Whisper has 80 or 128"),
        ("config.json", {"max_source_positions": 3000}, "positions"),
        ("config.json", {"max_target_positions": 100}, "positions"),
        ("config.json", {"decoder_start_token_id": 50257}, "starts with token 50257"),
        ("config.json", {"encoder_layers": 3}, r"lack 15 of \d+ parts, such as .*layers\.2"),
        ("config.json", {"d_model": "wide"}, "config.json of .* describes no Whisper.*d_model"),
        ("preprocessor_config.json", {"feature_size": 128}, "makes 128"),
    ],
)
def test_parts_that_do_not_fit_are_refused(folder, file, changes, message):
    edit(folder, file, **changes)
    with pytest.raises(ModelError, match=message):
        load(str(folder))


def test_weights_of_another_size_are_refused(folder):
    weights = load_file(folder / "model.safetensors")
    name = "model.encoder.conv1.weight"
    save_file(weights | {name: torch.zeros(32, 128, 3)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"conv1.weight is \(32, 128, 3\).*\(32, 80, 3\)"):
        load(str(folder))


def test_a_tokenizer_of_another_vocabulary_is_refused(folder, tiny_whisper):
    shutil.copy(tiny_whisper("multilingual-v3", 128) / "tokenizer.json", folder)
    with pytest.raises(ModelError, match="do not belong together"):
        load(str(folder))


def test_a_foreign_vocabulary_without_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text('{"a": 0}')
    with pytest.raises(ModelError, match="is not Whisper's"):
        load(str(folder))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_named(folder, file):
    (folder / file).write_bytes(b"\x00{not it")
    with pytest.raises(ModelError, match=file):
        load(str(folder))


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no safetensors weights; pickled ones"):
        load(str(folder))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("./nowhere", "there is no model at ./nowhere"),
        ("/nowhere/at/all", "there is no model at"),
        ("whisper-small", "there is no model at whisper-small; give a folder, a Hub id"),
        ("a b/c", "neither a folder nor a Hub id"),
    ],
)
def test_a_model_that_is_nowhere_is_said_plainly(model, message):
    with pytest.raises(ModelError, match=message):
        load(model)


def test_folders_without_a_model_are_told_apart(tmp_path):
    with pytest.raises(ModelError, match=r"it has no config\.json"):
        load(str(tmp_path))
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(ModelError, match="no finished model yet"):
        load(str(tmp_path))
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="model_type is 'bert'"):
        load(str(tmp_path))


def ask(repo, offline=False):
    """What loading says: the model, or the error's kind and sentence."""
    try:
        return load(repo, offline=offline)
    except ModersmalError as error:
        return type(error), str(error)


def test_models_from_the_hub(folder, tmp_path, monkeypatch):
    (folder / "pytorch_model.bin").write_bytes(b"a pickle, which must not be fetched")
    (folder / "model.fp32-00001-of-00002.safetensors").write_bytes(b"a second copy")
    (folder / "README.md").write_text("a card")
    only_pickle = tmp_path / "pickle"
    only_pickle.mkdir()
    shutil.copy(folder / "config.json", only_pickle)
    (only_pickle / "pytorch_model.bin").write_bytes(b"")
    repos = {
        "some/whisper": folder, "some/pickle": only_pickle, "some/gated": 403, "some/broken": 500
    }  # fmt: skip
    refused = {
        "some/missing": (HubError, "the Hub has no model some/missing"),
        "some/gated": (HubError, "some/gated is gated"),
        "some/broken": (HubError, "the Hub cannot be reached to download some/broken"),
        "some/pickle": (ModelError, "no safetensors weights"),
    }
    with local_hub(repos) as (endpoint, seen):
        # What HF_ENDPOINT and HF_HOME set at import.
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        found = ask("some/whisper")
        for repo, (kind, message) in refused.items():
            said = ask(repo)
            assert said[0] is kind
            assert message in said[1]
            assert "\n" not in said[1]
    assert found.vocabulary is Vocabulary.MULTILINGUAL
    assert found.folder.is_relative_to(tmp_path / "cache")
    fetched = {path.split("/")[-1] for path in seen if "some/whisper/resolve/" in path}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= fetched
    assert not fetched & {"pytorch_model.bin", "README.md", "model.fp32-00001-of-00002.safetensors"}

    # The server is gone by now: what was fetched still loads, what was not is said plainly.
    assert ask("some/whisper", offline=True).folder == found.folder
    assert ask("some/whisper").folder == found.folder
    assert "the Hub cannot be reached to download some/other" in ask("some/other")[1]
    assert "some/other was not downloaded before" in ask("some/other", offline=True)[1]


@pytest.fixture(params=["folder", "s3"])
def released(request, tiny_whisper, tmp_path):
    """A store with two releases, of which the second is deployed."""
    if request.param == "s3":
        url = request.getfixturevalue("s3_store")
        request.getfixturevalue("monkeypatch").setenv("MODERSMAL_WORK", str(tmp_path / "work"))
    else:
        url = str(tmp_path / "store")
    for seed in (1, 2):
        draft = shutil.copytree(tiny_whisper(seed=seed), tmp_path / f"draft-{seed}")
        (draft / "release.json").write_text(json.dumps({"content": str(seed)}))
        Releases.open(url).add(draft, lambda deployed: True)
    return url


def test_a_store_is_its_latest_release_and_may_be_asked_for_one_by_number(released, tiny_whisper):
    for asked, seed in ((released, 2), (f"{released}#1", 1), (f"{released}#2", 2)):
        weights = load(asked).model.state_dict()["model.encoder.conv1.weight"]
        own = load(str(tiny_whisper(seed=seed))).model.state_dict()["model.encoder.conv1.weight"]
        assert torch.equal(weights, own)
    Releases.open(released).move_latest(1, "rollback")
    assert locate(released).name == "0001"
    with pytest.raises(ModersmalError, match="has no release 7; it has 1, 2"):
        load(f"{released}#7")


def test_a_releases_own_folder_is_a_model_unless_it_is_half_written(tiny_whisper, tmp_path):
    draft = shutil.copytree(tiny_whisper(), tmp_path / "draft")
    (draft / "release.json").write_text(json.dumps({"content": "x"}))
    Releases.open(str(tmp_path / "store")).add(draft, lambda deployed: True)
    folder = tmp_path / "store" / "releases" / "0001"
    assert locate(str(folder)) == folder
    (folder / "manifest.json").unlink()
    for asked in (folder, f"{tmp_path}/store#1", tmp_path / "store"):
        with pytest.raises(ModersmalError, match="half-written"):
            locate(str(asked))


def test_a_store_without_a_release_is_said(tmp_path):
    (tmp_path / "store" / "releases").mkdir(parents=True)
    with pytest.raises(ModersmalError, match="has no release yet"):
        locate(str(tmp_path / "store"))
