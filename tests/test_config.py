"""Recipes: defaults, plain errors, overrides, and paths that are relative to the recipe."""

from pathlib import Path
from typing import Any

import pytest

from modersmal.config import Recipe, Section, load_recipe, parse_recipe, sections
from modersmal.errors import LanguageError, RecipeError


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_recipe_is_the_defaults() -> None:
    assert parse_recipe({}) == Recipe()
    assert Recipe().model == "openai/whisper-small"
    assert Recipe().train.max_steps == 2000
    assert Recipe().train.save_every == 500


def test_every_key_says_what_it_does_and_has_a_default() -> None:
    for name, schema in sections():
        assert schema.__doc__, name
        for key, field in schema.model_fields.items():
            assert field.description, f"{name}.{key} has no description"
            assert field.description.rstrip().endswith((".", ")")), f"{name}.{key}"
            assert not field.is_required(), f"{name}.{key} has no default"
            assert not isinstance(field.default, Section) or field.default == type(field.default)()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"trian": {}}, ["'trian'", "'train'"]),
        ({"train": {"max_step": 5}}, ["'train.max_step'", "'max_steps'"]),
        ({"train": {"spec_augment": {"time_mask": 1}}}, ["'time_masks'"]),
        ({"max_steps": 5}, ["belongs to [train]"]),
        ({"train": {"langauge": "sv"}}, ["'train.langauge'"]),
        ({"train": {"language": "sv"}}, ["belongs to the top"]),
        ({"train": {"max_steps": 0}}, ["train.max_steps", "1", "not 0"]),
        ({"train": {"max_steps": "many"}}, ["train.max_steps", "integer", "'many'"]),
        ({"train": {"precision": "fp16"}}, ["'float16'", "'fp16'"]),
        ({"train": 5}, ["train", "not 5"]),
        ({"data": {"sources": "clips.csv"}}, ["data.sources", "list"]),
        ({"checks": {"max_duration_s": 31}}, ["30"]),
        ({"name": "../elsewhere"}, ["name"]),
        ({"evaluate": {"normaliser": "custom"}}, ["rules"]),
        ({"evaluate": {"rules": {"a": "b"}}}, ["rules", "'custom'"]),
        ({"evaluate": {"normaliser": "custom", "rules": {"(": ""}}}, ["'('", "regular expression"]),
    ],
)
def test_a_wrong_recipe_is_one_plain_sentence(table: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(RecipeError) as refused:
        parse_recipe(table, where="my.toml")
    message = str(refused.value)
    assert message.startswith("my.toml: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_language_that_whisper_lacks_needs_a_token() -> None:
    with pytest.raises(LanguageError, match="'fi'"):
        parse_recipe({"language": "se"})
    assert parse_recipe({"language": "se", "language_token": "fi"}).language == "se"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name = 1\nlanguage = \n\n", ["is not TOML", "line 2"]),
        (b"language = 'sv'\nlanguage = 'fi'", ["is not TOML"]),
        (b"\xff\xfe\x00", ["cannot be read"]),
        (b"[train]\nmax_steps = 5\n[train]", ["is not TOML"]),
    ],
)
def test_an_unreadable_file(content: bytes, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as refused:
        load_recipe(path)
    for word in [str(path), *words]:
        assert word in str(refused.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="modersmal init"):
        load_recipe(tmp_path / "recipe.toml")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes('\ufeffname = "notepad"'.encode())
    assert load_recipe(path).name == "notepad"


def test_overrides_win_and_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path, "[train]\nmax_steps = 10\n")
    recipe = load_recipe(
        path,
        ["train.max_steps=20", "model=bundled", "train.compile = true", "train.learning_rate=1e-4",
         'evaluate.candidates=["a/b"]', "train.spec_augment.time_masks=0"],
    )  # fmt: skip
    assert recipe.train.max_steps == 20
    assert recipe.model == "bundled"
    assert recipe.train.compile is True
    assert recipe.train.learning_rate == 1e-4
    assert recipe.evaluate.candidates == ["a/b"]
    assert recipe.train.spec_augment.time_masks == 0
    for wrong, word in {
        "max_steps": "KEY=VALUE",
        "train.max_stps=1": "max_steps",
        "train.max_steps=x": "integer",
        "name.x=1": "not a table",
    }.items():
        with pytest.raises(RecipeError, match=word):
            load_recipe(write(tmp_path, "name = 'n'"), [wrong])


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    path = write(
        tmp_path,
        'store = "s"\nname = "n"\nmodel = "mine"\n[data]\nsources = ["a.csv", "/b", "~/c"]\n'
        '[evaluate]\ncandidates = ["./old", "org/name"]\n',
    )
    recipe = load_recipe(path)
    assert recipe.store == str(tmp_path / "s")
    assert recipe.workspace.local == tmp_path / "s"
    assert recipe.model == str(tmp_path / "mine")
    assert recipe.data.sources == [str(tmp_path / "a.csv"), "/b", str(Path.home() / "c")]
    assert recipe.evaluate.candidates == [str(tmp_path / "old"), "org/name"]
    assert load_recipe(write(tmp_path, "")).model == "openai/whisper-small"


@pytest.mark.parametrize("shares", [[0.0], [0.25, 1.0], [-0.1]])
@pytest.mark.parametrize("table", ["train", "release"])
def test_what_is_mixed_in_of_the_base_is_a_share(table: str, shares: list[float]) -> None:
    with pytest.raises(RecipeError, match=rf"{table}\.interpolate: .*between 0 and 1"):
        parse_recipe({table: {"interpolate": shares}})
    assert parse_recipe({table: {"interpolate": [0.25]}})


def test_a_key_of_training_in_the_table_of_release_is_told() -> None:
    with pytest.raises(RecipeError, match=r"unknown key 'release\.save_every' .*\[train\]"):
        parse_recipe({"release": {"save_every": 5}})
