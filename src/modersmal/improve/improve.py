"""Corrections → corpus → train → release → measured → approved → live.

What is done is kept in the store (`attempt`), so that the same command goes on wherever another was
stopped. Nobody is served by a release that was not measured, nor, unless the recipe waives it, by
one that nobody has approved.
"""

import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

from modersmal.config import Recipe
from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.improvements import Improvement, Improvements
from modersmal.corpus.corrections.improvements import State as Shown
from modersmal.corpus.sources.corrections import PREFIX, Corrections
from modersmal.database import Database
from modersmal.errors import CorpusError, NotReleased, RecipeError, Stopped, StoreError
from modersmal.improve.attempt import Attempt, Attempts, Measured, State
from modersmal.improve.data import Data, learned_ids
from modersmal.improve.measure import SET_ASIDE, measure
from modersmal.improve.result import Improved, Outcome
from modersmal.release.release import release
from modersmal.run import stoppable, train_here
from modersmal.serve.serving import database_address
from modersmal.store.faults import fault
from modersmal.store.releases import Releases
from modersmal.store.remote import Remote
from modersmal.train.budget import Limit
from modersmal.train.train import session_end

_MOVED_BY = "improve"
_SHOWN: dict[State, Shown] = {"waiting": "waiting", "approved": "approved", "live": "live"}


def improve(
    recipe: Recipe,
    *,
    approve: bool = False,
    refuse: str | None = None,
    limit: Limit | None = None,
    now: Callable[[], float] = time.time,
) -> Improved:
    """Make the corrections that people's pages have kept into the next release of the store.

    They come from the database of the recipe's [serve]. `approve` lets the release that waits be
    live; `refuse` is a reason to let it never be. Started again after a stop, it goes on.

    Raises:
        RecipeError: nothing waits for approval, or an improvement of another recipe does.
        StoreError: the store has no release yet, or does not answer.
        CorpusError, ModelError, TrainingError: a stage cannot go on.
        Stopped: it was stopped with everything saved, or what it learned from was erased.
        Held: somebody else improves this store now.
    """
    if approve and refuse is not None:
        raise RecipeError("a release is approved or refused, not both")
    address = database_address(recipe.serve)
    source = Corrections(f"{PREFIX}{address}", recipe.language, now)
    attempts = Attempts(Remote.open(recipe.store))
    with attempts.alone(), closing(Database.open(address)) as database:
        limit = limit or session_end(recipe.train)
        work = _Improving(recipe, source, address, database, attempts, limit, now)
        return work.go(approve, refuse)


@dataclass(frozen=True)
class _Improving:
    recipe: Recipe
    source: Corrections
    address: str
    database: Database
    attempts: Attempts
    limit: Limit | None
    now: Callable[[], float]

    def go(self, approve: bool, refuse: str | None) -> Improved:
        attempt = self._open()
        if attempt is None or attempt.release is None:
            if approve or refuse is not None:
                raise RecipeError(
                    "no release waits for approval; without --approve and --refuse, the same "
                    "command makes one"
                )
            if attempt is None:
                if lacking := self._lacking():
                    return Improved("nothing", self._releases.url, lacking)
                attempt = self.attempts.begin(self.recipe.name, self._deployed(), self.now())
            attempt = self._make(attempt)
        if attempt.state in ("making", "waiting"):
            attempt = self._measure(attempt)
        if attempt.state == "waiting" and refuse is not None:
            attempt = self._end(attempt, "refused", refuse.strip() or "no reason was given")
        if attempt.state == "waiting" and (approve or self._is_waived(attempt)):
            attempt = self._save(replace(attempt, state="approved"))
        if attempt.state == "approved":
            attempt = self._deploy(attempt)
        return self._result(attempt)

    # What there is

    def _open(self) -> Attempt | None:
        """The one that was begun and not ended, if it can still go on; else it is abandoned."""
        newest = next(iter(self.attempts.all()), None)
        if newest is None or not newest.goes_on:
            return None
        if newest.run != f"{self.recipe.name}-improve-{newest.number}":
            raise RecipeError(
                f"{newest.run} in {self._releases.url} was begun with another recipe; end it with "
                "that one first"
            )
        if outdated := self._outdated(newest):
            _say(f"{newest.run} is abandoned: {outdated}")
            self._end(newest, "abandoned", outdated)
            return None
        return newest

    def _outdated(self, attempt: Attempt) -> str | None:
        """Why what is being made must not become a release."""
        if attempt.corpus is None or attempt.release is not None:
            return None
        try:
            corpus = self._data(attempt).open()
        except CorpusError as error:
            return f"its corpus is gone: {error}"
        if corpus.hash != attempt.corpus or self._erased(attempt):
            return "some of what it learns from was erased meanwhile"
        return None

    def _erased(self, attempt: Attempt) -> int:
        """How many of the corrections that it learned from have been erased since."""
        erased = Book(self.database).tombstones()
        try:
            ids = learned_ids(self._data(attempt).open())
        except CorpusError:
            return attempt.corrections
        return attempt.corrections - sum(id_ not in erased for id_ in ids)

    def _lacking(self) -> str | None:
        """What there is too little of to begin."""
        config, usable = self.recipe.improve, self.source.usable()
        ended = [one.began_s for one in self.attempts.all() if one.state in ("live", "refused")]
        since_s = max(ended, default=0.0)
        fresh = sum((one.reviewed_s or 0.0) >= since_s for one in usable)
        if fresh < config.min_corrections:
            return (
                f"{fresh:,} corrections were accepted since the last time, and "
                f"improve.min_corrections asks for {config.min_corrections:,}"
            )
        aside = sum(one.split == SET_ASIDE for one in usable)
        if aside < config.min_set_aside:
            return (
                f"{aside:,} accepted corrections are set aside to measure with, and "
                f"improve.min_set_aside asks for {config.min_set_aside:,}"
            )
        return None

    @property
    def _releases(self) -> Releases:
        return Releases.open(self.recipe.store)

    def _deployed(self) -> int:
        number = self._releases.latest()
        if number is None:
            raise StoreError(
                f"{self._releases.url} has no release to improve; `modersmal run` and `modersmal "
                "release` make the first"
            )
        return number

    def _data(self, attempt: Attempt) -> Data:
        return Data(self.recipe, f"{PREFIX}{self.address}", attempt.run)

    # Its stages

    def _make(self, attempt: Attempt) -> Attempt:
        """From a beginning to a release that is not the latest, or is refused."""
        data = self._data(attempt)
        if attempt.corpus is None:
            with stoppable("prepare the corrections"):
                corpus = data.make()
            fault("improve.after-corpus")
            count = len(learned_ids(corpus))
            attempt = self.attempts.save(replace(attempt, corpus=corpus.hash, corrections=count))
        self._must_stand(attempt)
        recipe = self._training(attempt, data)
        train_here(recipe, self.limit)
        fault("improve.after-training")
        self._must_stand(attempt)
        run = f"{recipe.store}/runs/{recipe.name}"
        try:
            with stoppable("release"):
                made = release(run, recipe.store, deploy=False)
        except NotReleased as refused:
            return self._end(attempt, "refused", str(refused))
        fault("improve.after-release")
        return self.attempts.save(replace(attempt, release=made.number))

    def _training(self, attempt: Attempt, data: Data) -> Recipe:
        """The recipe of its run."""
        config, train = self.recipe.improve, self.recipe.train
        own = {"max_steps": config.max_steps, "learning_rate": config.learning_rate}
        chosen = {name: value for name, value in own.items() if value is not None}
        begun = f"{self.recipe.store}#{attempt.parent}"
        return self.recipe.model_copy(
            update={
                "name": attempt.run,
                "corpus": data.name,
                "model": begun if config.start == "release" else self.recipe.model,
                "train": train.model_copy(update=chosen),
            }
        )

    def _must_stand(self, attempt: Attempt) -> None:
        """Raises Stopped where what is being made must not become a release."""
        if outdated := self._outdated(attempt):
            self._end(attempt, "abandoned", outdated)
            raise Stopped(f"{attempt.run} is abandoned: {outdated}; the same command begins anew")

    def _measure(self, attempt: Attempt) -> Attempt:
        """Hold it against the release that is the latest, unless that is done."""
        deployed = self._deployed()
        known = attempt.measured.against if attempt.measured else None
        if attempt.release is None or deployed in (known, attempt.release):
            return attempt
        with stoppable("measure"):
            corpus = self._data(attempt).corrections
            found = measure(self.recipe, corpus, deployed, attempt.release)
        fault("improve.after-measuring")
        attempt = replace(attempt, measured=found)
        if found.low > 0:
            rate = found.metric.upper()
            return self._end(attempt, "refused", f"its {rate} on what was set aside is higher")
        return self._save(replace(attempt, state="waiting"))

    def _is_waived(self, attempt: Attempt) -> bool:
        """Whether it goes live without a person's word: what it was proven against is the latest
        still."""
        found = attempt.measured
        if self.recipe.improve.approval or found is None:
            return False
        return found.against == attempt.parent and found.difference <= 0

    def _deploy(self, attempt: Attempt) -> Attempt:
        if attempt.release is None:
            raise StoreError(f"{attempt.run} was approved without a release; delete its file")
        fault("improve.before-live")
        self._releases.move_latest(attempt.release, _MOVED_BY)
        fault("improve.after-live")
        return self._save(replace(attempt, state="live"))

    def _end(self, attempt: Attempt, state: State, reason: str) -> Attempt:
        """Let it be over. Of what is abandoned before it was a release nothing is left; it goes
        first."""
        if state == "abandoned":
            self._data(attempt).remove()
            self._data(attempt).remove_run()
        return self._save(replace(attempt, state=state, reason=reason))

    def _save(self, attempt: Attempt) -> Attempt:
        """Keep it: in the database what the page shows of it, and in the store how far it is."""
        if attempt.measured:
            Improvements(self.database).save(_shown(attempt, attempt.measured))
        fault("improve.before-note")
        return self.attempts.save(attempt)

    def _result(self, attempt: Attempt) -> Improved:
        outcomes: dict[State, Outcome] = {"live": "live", "refused": "refused"}
        return Improved(
            state=outcomes.get(attempt.state, "waiting"),
            store=self._releases.url,
            reason=attempt.reason,
            release=attempt.release,
            corrections=attempt.corrections,
            erased=self._erased(attempt) if attempt.release else 0,
            measured=attempt.measured,
        )


def _shown(attempt: Attempt, found: Measured) -> Improvement:
    """As the page has it, in percent."""
    return Improvement(
        id=attempt.id,
        made_s=attempt.began_s,
        corrections=attempt.corrections,
        wer_before=100 * found.before,
        wer_after=100 * found.after,
        difference_low=100 * found.low,
        difference_high=100 * found.high,
        clips=found.clips,
        release=attempt.release,
        state=_SHOWN.get(attempt.state, "refused"),
        reason=attempt.reason,
    )


def _say(sentence: str) -> None:
    print(f"modersmal: {sentence}", file=sys.stderr)
