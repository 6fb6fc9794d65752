"""The page and the API of modersmal over a model on the Hub, always its newest revision.

    pip install -r requirements.txt
    python app.py

A new revision is loaded beside the old, tried on known speech, and takes over between requests.
Secrets come by name: HF_TOKEN reads a private model, MODERSMAL_DATABASE is a database elsewhere.
"""

import os
import sys
from pathlib import Path

from modersmal.cli import main

MODEL = "<<model>>"
RECIPE = Path(__file__).with_name("recipe.toml")


def arguments() -> list[str]:
    in_a_space = "SPACE_ID" in os.environ  # elsewhere nobody but this machine is let in
    given = ["--model", MODEL, "--recipe", str(RECIPE), "--port", os.environ.get("PORT", "7860")]
    given += ["--host", "0.0.0.0" if in_a_space else "127.0.0.1"]
    if database := os.environ.get("MODERSMAL_DATABASE"):
        given += ["--database", database]
    return given


if __name__ == "__main__":
    sys.exit(main(["serve", *arguments()]))
