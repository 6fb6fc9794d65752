"""Which corrections a model has learned from that was trained on a corpus, as traces."""

from modersmal.corpus.corrections.traces import ids_in, traces_of
from modersmal.corpus.erasing import is_of_corrections
from modersmal.corpus.shards import Corpus

_LEARNED = ("train", "dev")  # by dev, a model is chosen


def learned_from(corpus: Corpus) -> list[str]:
    """Traces of the corrections in train and dev, and of those that were erased from there."""
    named = {one["name"] for one in corpus.info.get("sources", ()) if is_of_corrections(one)}
    traces: set[str] = set()
    for name in _LEARNED:
        traces.update(corpus.forgotten.get(name, ()))
        if named and name in corpus.splits:
            split = corpus.split(name)
            for clip, source in zip(split.ids, split.column("source"), strict=True):
                if source in named:
                    traces.update(traces_of(ids_in(clip)))
    return sorted(traces)
