"""A server erases from the stores that it serves from and its recipe works in."""

import json
from pathlib import Path

import httpx
import pytest
from correcting import SETTINGS, put_job
from test_corrections_person import by, until
from test_serve import serving

from modersmal.corpus.corrections.book import Book
from modersmal.database import Database
from modersmal.serve.serving import Serving


@pytest.mark.chaos
def test_who_leaves_is_in_no_report_of_the_recipes_store(tmp_path: Path, cache: Path) -> None:
    said = SETTINGS.corrections
    (tmp_path / "recipe.toml").write_text(
        'language = "sv"\nmodel = "bundled"\n[data]\nsources = ["none"]\n'
        f'[serve.corrections]\npurpose = "{said.purpose}"\nconsent = "{said.consent}"\n'
        f"retention_days = {said.retention_days}\n"
    )
    report = tmp_path / "modersmal-store" / "runs" / "sv" / "scores" / "test" / "hypotheses.jsonl"
    with (
        serving(tmp_path, "--recipe", "recipe.toml") as (_, address, _said),
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        assert client.get("/health").is_success  # it listens before it has looked at its folder
        folder = tmp_path / "modersmal-serve"
        database = Database.open(f"sqlite:///{folder / 'modersmal.db'}")
        here = Serving(SETTINGS, None, database, folder, None)  # type: ignore[arg-type]
        job = put_job(here, client)
        key = job.agreed()
        job.edit(0, "Klockan är halv nio.")
        (kept,) = Book(database).of_recording(job.id)
        report.parent.mkdir(parents=True)
        rows = [{"id": f"corrections/{kept.id}"}, {"id": "somebody"}]
        report.write_text("".join(json.dumps(row) + "\n" for row in rows))
        answer = client.delete("/person", headers=by(key)).json()
        assert answer == {"corrections": 1, "releases": [], "pending": True}
        until(lambda: kept.id not in report.read_text())
        assert "somebody" in report.read_text()
        until(lambda: not Book(database).unforgotten())
        database.close()
