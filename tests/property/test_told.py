"""Whatever a file holds: what is heard of a child that judged it is what it found."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from aml.codec.json_array import split
from aml.config import PruneSettings
from aml.ledger.history import RemovedKeys
from aml.ledger.runs import RecordKey
from aml.optimize import gc_told
from aml.optimize.garbage import Pins, scan_records
from aml.optimize.gc_plan import Judged
from aml.optimize.sources import Step
from aml.prune import told
from aml.prune.plan import FilePlan, FileScan, scan_file
from aml.workflows.prune import prune_options
from tests.property.test_gc import garbage
from tests.property.test_prune import MAKERS, elements
from tests.support.records import NOW

kinds = st.sampled_from(sorted(MAKERS))


def array_of(data: st.DataObject, kind: str) -> bytes:
    found = data.draw(st.lists(st.one_of(elements(kind), garbage(kind)), max_size=8))
    found += data.draw(st.lists(st.sampled_from(found), max_size=3)) if found else []
    return b"[" + b",".join(found) + b"]"


def keys_of(text: bytes) -> RemovedKeys:
    """As though an earlier run had removed every other element that names no id."""
    hashes = [hashlib.sha256(one).hexdigest() for one in split(text).elements]
    return RemovedKeys({RecordKey.of(None, one) for one in hashes[::2]})


@given(st.data(), kinds, st.booleans(), st.booleans())
def test_a_scan_for_a_prune_arrives_as_it_was(data: st.DataObject, kind: str, explain: bool, space: bool) -> None:
    chosen = ("time", "performance", "space") if space else ("time", "performance")
    options = prune_options(PruneSettings(), strategies=chosen)
    text = array_of(data, kind)
    now, keys = NOW.timestamp(), keys_of(text)
    scan = scan_file("alpha", kind, split(text), options, now, keys, sha256="ab", size=len(text), explain=explain)
    heard = told.hear("alpha", kind, told.tell(scan))
    assert isinstance(heard, FileScan)
    # what is unknown of a candidate is a NaN, which equals nothing
    assert repr(heard.candidates) == repr(scan.candidates)
    assert list(heard.freed) == list(scan.freed)
    alike = [structs.replace(one, candidates=None, freed=()) for one in (heard, scan)]
    assert alike[0] == alike[1]


@given(st.data(), kinds)
def test_garbage_arrives_as_it_was_found(data: st.DataObject, kind: str) -> None:
    text = array_of(data, kind)
    array = split(text)
    own = data.draw(st.integers(0, len(array)))
    scan = scan_records("alpha", kind, array, own, Pins(), keys_of(text))
    judged = Judged(("ab", None), len(text), (Step("alpha/x", "merged", "why", 1),), scan)
    assert gc_told.hear("alpha", kind, gc_told.tell(judged)) == judged


@given(st.integers(0, 1 << 40), st.none() | st.text(), st.integers(0, 9))
def test_why_a_file_is_left_alone_arrives(size: int, problem: str | None, status: int) -> None:
    plan = FilePlan("alpha", "patterns", size=size, problem=problem, problem_status=status)
    assert told.hear("alpha", "patterns", told.tell(plan)) == plan
