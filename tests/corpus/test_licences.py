"""Licences: known ones are filled in, what is given stands, and a corpus says what it is under."""

import json

import pytest
from making import clip, simple_release, write_clips, write_manifest

from modersmal.config import DataConfig
from modersmal.corpus.inspect import inspect
from modersmal.corpus.licences import Licence, licence
from modersmal.corpus.prepare import prepare
from modersmal.errors import CorpusError


@pytest.mark.parametrize(
    ("written", "name", "url", "redistributable"),
    [
        ("cc0-1.0", "CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/", True),
        ("cc-by-4.0", "CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/", True),
        ("CC-BY-NC-SA-3.0", "CC-BY-NC-SA-3.0", "https://creativecommons.org/licenses/by-nc-sa/3.0/",
         True),
        ("cc-by-nd-4.0", "CC-BY-ND-4.0", "https://creativecommons.org/licenses/by-nd/4.0/", None),
        ("apache-2.0", "Apache-2.0", "https://spdx.org/licenses/Apache-2.0.html", True),
        ("odc-by", "ODC-By-1.0", "https://spdx.org/licenses/ODC-By-1.0.html", True),
        ("Our own terms", "Our own terms", None, None),
        ("unknown", None, None, None),
        ("other", None, None, None),
        (None, None, None, None),
    ],
)  # fmt: skip
def test_what_is_known_is_filled_in(written, name, url, redistributable):
    assert licence(written) == Licence(name, url, redistributable)


def test_what_is_given_stands():
    given = licence("cc-by-4.0", "https://example.org/terms", False)
    assert given == Licence("CC-BY-4.0", "https://example.org/terms", False)
    assert licence("Ours", "https://example.org/terms", True).redistributable is True


def manifest(folder, seed=0):
    write_clips(folder, {f"{n}.wav": clip(seed + n) for n in range(3)})
    rows = [{"audio": f"{n}.wav", "text": f"Mening {seed + n} här."} for n in range(3)]
    return write_manifest(folder, rows)


def test_a_recipe_says_it_for_manifests_and_folders_only(tmp_path):
    sources = [str(manifest(tmp_path / "a")), str(simple_release(tmp_path / "cv" / "sv-SE", 3, 1))]
    data = DataConfig(workers=1, licence="cc-by-4.0", redistributable=False)
    prepared = prepare(sources, tmp_path / "corpus", data=data)
    mine, common_voice = json.loads((tmp_path / "corpus/corpus.json").read_text())["sources"]
    assert mine["licence"] == "CC-BY-4.0"
    assert mine["licence_url"] == "https://creativecommons.org/licenses/by/4.0/"
    assert mine["redistributable"] is False
    assert (common_voice["licence"], common_voice["redistributable"]) == ("CC0-1.0", True)
    for shown in (str(prepared), str(inspect(tmp_path / "corpus"))):
        assert (
            "3 rows, CC-BY-4.0 (https://creativecommons.org/licenses/by/4.0/), must not be passed "
            "on." in shown
        )
        assert "CC0-1.0 (https://creativecommons.org/publicdomain/zero/1.0/), may be" in shown


def test_a_corpus_under_another_licence_is_another_corpus(tmp_path):
    source = str(manifest(tmp_path / "a"))
    data = DataConfig(workers=1, licence="cc-by-4.0")
    prepare([source], tmp_path / "corpus", data=data)
    assert prepare([source], tmp_path / "corpus", data=data)
    with pytest.raises(CorpusError, match="other sources or settings"):
        prepare([source], tmp_path / "corpus", data=DataConfig(workers=1, licence="MIT"))
    (tmp_path / "a").rename(tmp_path / "b")
    assert prepare([source], tmp_path / "corpus", data=data).gone == (source,)
    with pytest.raises(CorpusError, match="there is no source"):
        prepare([source], tmp_path / "corpus", data=DataConfig(workers=1, licence="MIT"))


def test_a_corpus_made_before_licences_had_urls_is_still_described(tmp_path):
    prepare([str(manifest(tmp_path / "a"))], tmp_path / "corpus", data=DataConfig(workers=1))
    file = tmp_path / "corpus" / "corpus.json"
    info = json.loads(file.read_text())
    for key in ("address", "revision", "licence_url"):
        del info["sources"][0][key]
    file.write_text(json.dumps(info))
    assert "licence not known, ask before passing on" in str(inspect(tmp_path / "corpus"))
