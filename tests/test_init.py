"""`init` writes a recipe that is the defaults, says all about them, and never overwrites."""

import re
import tomllib
from pathlib import Path

import pytest

from modersmal.config import Recipe, Section, load_recipe, parse_recipe, sections
from modersmal.errors import LanguageError, RecipeError
from modersmal.init import init, ready_recipes, recipe_text


def test_what_is_written_is_the_defaults() -> None:
    written = parse_recipe(tomllib.loads(recipe_text("fi")))
    assert written == Recipe(language="fi")


def test_without_its_comments_it_is_the_same_recipe() -> None:
    text = recipe_text()
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    bare = re.sub(r"(?m)^(\[.*\])  #.*$", r"\1", bare)
    assert "#" not in bare
    assert tomllib.loads(bare) == tomllib.loads(text)


def test_every_key_stands_in_it_under_its_comment() -> None:
    lines = recipe_text().splitlines()
    for name, schema in sections():
        start = (
            next(i for i, line in enumerate(lines) if line.startswith(f"[{name}]")) if name else 0
        )
        for key, field in schema.model_fields.items():
            if isinstance(field.default, Section):
                continue
            place = next(
                i for i in range(start, len(lines)) if re.match(rf"(# )?{key} = ", lines[i])
            )
            comment = []
            while lines[place - 1].startswith("# "):
                place -= 1
                comment.insert(0, lines[place][2:])
            said = " ".join(comment)
            assert said.startswith(str(field.description)), key
            assert re.search(r" Default: \S.*\.$", said), key


def test_every_key_that_is_commented_out_can_be_uncommented() -> None:
    text = re.sub(r"(?m)^# (\w+ = )", r"\1", recipe_text("se", "fi"))
    recipe = parse_recipe(tomllib.loads(text))
    assert recipe.train.learning_rate == 1e-5
    assert recipe.train.device_batch_s == 120.0
    assert recipe.train.gradient_checkpointing is True


def test_the_language_sets_what_belongs_to_it() -> None:
    swedish = parse_recipe(tomllib.loads(recipe_text("sv-SE")))
    assert swedish.language == "sv-SE"
    assert swedish.evaluate.candidates == ["KBLab/kb-whisper-small"]
    sami = parse_recipe(tomllib.loads(recipe_text("se", "sv")))
    assert (sami.language, sami.language_token) == ("se", "sv")
    assert sami.evaluate.candidates == []
    with pytest.raises(LanguageError, match=r"'fi' \(Finnish\)"):
        recipe_text("se")


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("mine")
    with pytest.raises(RecipeError, match="--force"):
        init(path)
    assert path.read_text() == "mine"
    assert init(path, force=True) == path
    assert load_recipe(path).language == "sv"
    assert [file.name for file in tmp_path.iterdir()] == ["recipe.toml"]


def test_ready_recipes_are_sound(tmp_path: Path) -> None:
    assert ready_recipes() == ["common-voice-sv", "manifest"]
    for name in ready_recipes():
        recipe = load_recipe(init(tmp_path / f"{name}.toml", ready=name))
        assert recipe.name == name
        assert recipe.model == "openai/whisper-small"
        assert recipe.data.sources
    swedish = (tmp_path / "common-voice-sv.toml").read_text()
    assert "Mozilla Data Collective" in swedish
    assert "KBLab/kb-whisper-small" in swedish


def test_an_unknown_ready_recipe_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'common-voice-sv'"):
        init(tmp_path / "x.toml", ready="common-voice-se")
    assert not (tmp_path / "x.toml").exists()
