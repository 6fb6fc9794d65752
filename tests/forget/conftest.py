"""What tests of corpora make is made here, too."""

import sys
from pathlib import Path

CORPUS = Path(__file__).parents[1] / "corpus"
sys.path += [str(CORPUS), str(CORPUS / "corrections")]
