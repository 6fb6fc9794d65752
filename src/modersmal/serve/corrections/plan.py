"""Which corrections there are to be of a recording: a pure function of its text and what stands."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from modersmal.corpus.corrections.correction import Consent, Correction, Terms, split_of
from modersmal.serve.jobs.job import Job, Segment
from modersmal.text import clean

_DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Plan:
    """What is to be saved; the ids of what is to be erased; of which, by id, audio is new."""

    saved: list[Correction] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)


def plan(
    job: Job,
    corrected: Sequence[Segment],
    consent: Consent,
    terms: Terms,
    known: Sequence[Correction],
    now_s: float,
) -> Plan:
    """Let the corrections that are `known` follow the segments that are `corrected`.

    A segment whose span has changed is another correction; what no segment stands for is gone. What
    a reviewer has said of a segment holds until that is changed.
    """
    made = Plan()
    before = {one.segment: one for one in known}
    for segment in corrected:
        fresh = _correction(job, segment, consent, terms, now_s)
        if segment.unfit or not fresh.text:
            continue
        old = before.get(segment.id)
        if old is None or (old.start_s, old.end_s) != (fresh.start_s, fresh.end_s):
            made.saved.append(fresh)
            made.spans[fresh.id] = (fresh.start_s, fresh.end_s)
            continue
        del before[segment.id]
        followed = _followed(old, fresh)
        if followed != old:
            made.saved.append(followed)
    made.gone.extend(one.id for one in before.values())
    return made


def _followed(old: Correction, fresh: Correction) -> Correction:
    """The old one under the consent and the segment as they are now."""
    agreed = replace(
        old,
        person_id=fresh.person_id,
        voice=fresh.voice,
        ground=fresh.ground,
        consent_version=fresh.consent_version,
        expires_s=old.created_s + fresh.expires_s - fresh.created_s,
    )
    if old.segment_version == fresh.segment_version:
        return agreed
    if (old.text, old.hypothesis) == (fresh.text, fresh.hypothesis):
        return replace(agreed, segment_version=fresh.segment_version)
    return replace(
        agreed,
        segment_version=fresh.segment_version,
        text=fresh.text,
        hypothesis=fresh.hypothesis,
        probability=fresh.probability,
        state="waiting",
        reviewed_s=None,
        reviewer=None,
        changed_s=fresh.changed_s,
    )


def _correction(
    job: Job, segment: Segment, consent: Consent, terms: Terms, now_s: float
) -> Correction:
    last_s = segment.end_s if job.duration_s is None else job.duration_s
    start_s = min(max(0.0, segment.start_s), last_s)
    end_s = min(max(start_s, segment.end_s), last_s)
    return Correction(
        id=secrets.token_hex(16),
        person_id=consent.person_id,
        recording=job.id,
        segment=segment.id,
        segment_version=segment.version,
        start_s=start_s,
        end_s=end_s,
        duration_s=end_s - start_s,
        language=job.language or job.wish.get("language"),
        hypothesis=clean(segment.written),
        text=clean(segment.text),
        release=segment.release,
        probability=segment.probability,
        voice=consent.voice,
        ground=consent.ground,
        consent_version=consent.version,
        state="waiting",
        split=split_of(job.id),
        created_s=now_s,
        changed_s=now_s,
        expires_s=now_s + terms.retention_days * _DAY_S,
    )
