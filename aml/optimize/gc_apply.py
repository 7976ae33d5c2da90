"""Applying a garbage collection: per file, under its lock, archive and quarantine first, then write, then read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os.path import isfile, islink

from msgspec import Struct, structs

from aml.codec.json_array import RecordArray, split
from aml.errors import AmlError, ChangedError, DamagedError, ExitStatus
from aml.fs.files import is_there
from aml.fs.parallel import parted, side_by_side
from aml.fs.runtime_lock import LockNotes, LockPolicy
from aml.ledger.archive import prepare_archives
from aml.ledger.history import AgentHistory
from aml.ledger.quarantine import note_creation, put_in_quarantine, take_back
from aml.ledger.ready import Preparation, preparing
from aml.ledger.removal import Cut, Removed, check_elements, remove_records
from aml.ledger.runs import RunFile
from aml.model.kinds import KIND_BY_PLURAL, KINDS
from aml.optimize.garbage import scan_records
from aml.optimize.gc_plan import AgentPlan, FilePlan, GcOptions, GcPlan, Judged, plan_agent, replan_file
from aml.optimize.leftovers import STALE_LOCK, UNFINISHED_WRITE, Leftover, find_leftovers
from aml.optimize.sources import Source, files_with_copy, packed_copy, read_source
from aml.store.judging import Judging, judge_files
from aml.store.layout import GLOBAL, RecordFile, locked_file, record_file
from aml.store.open import Store
from aml.store.read import Content, read_content
from aml.store.transact import Transaction, transaction, with_attempts

#: Times are compared as floats, which round those of files.
_SLACK_SECONDS = 0.001

_NOTHING = split(b"[]")


class FileOutcome(Struct, frozen=True):
    """What a run did to one record file. ``plan`` is what was applied: the plan itself, or one made under the lock.

    ``quarantined`` are the paths of files taken away or replaced; ``problem`` says why something was left alone, if it
    was, and ``status`` what that is worth. Sizes in bytes on disk.
    """

    plan: FilePlan
    bytes_before: int = 0
    bytes_after: int = 0
    gone: Removed = Removed()
    quarantined: tuple[str, ...] = ()
    problem: str | None = None
    status: int = ExitStatus.DONE

    def settled(self, found: RunFile, quarantined: Sequence[str]) -> FileOutcome:
        """This outcome with what is known of the file after a look at the disk."""
        paths = {f"{found.agent}/{found.kind}.json", f"{found.agent}/{found.kind}.json.gz"}
        return structs.replace(
            self,
            gone=Removed.of(found),
            bytes_after=found.bytes_after,
            quarantined=tuple(path for path in quarantined if path in paths),
        )

    def journal_entry(self, *, used_allowance: bool) -> RunFile:
        plan = self.plan
        return self.gone.journal_entry(plan.agent, plan.kind, self.bytes_before, self.bytes_after, used_allowance)


class LeftoverOutcome(Struct, frozen=True):
    """What a run did to one leftover; ``problem`` says why it was left alone, if it was to be removed."""

    leftover: Leftover
    removed: bool = False
    problem: str | None = None
    status: int = ExitStatus.DONE


class GcRun(Struct, frozen=True):
    """What applying needs to know of the run it belongs to. ``now`` in seconds since 1970 UTC."""

    id: str
    now: float
    options: GcOptions
    notes: LockNotes
    locks: LockPolicy


def plan_store(
    store: Store, agents: Sequence[str], options: GcOptions, now: float, history: Mapping[str, AgentHistory]
) -> GcPlan:
    """Read and judge the files of ``agents``, and look for leftovers. ``now`` in seconds since 1970 UTC."""

    def judged(file: RecordFile, main: Content | AmlError | None) -> Judged | FilePlan:
        return _judge_or_problem(store, file, main, options, history.get(file.agent, AgentHistory()))

    plans = []
    judging = Judging(judged, _tell, _hear)
    for agent, found in judge_files(store, agents, judging):
        parts = {file.kind: part for file, part in found.items()}
        for file in files_with_copy(store, agent):
            if file.kind not in parts:
                parts[file.kind] = judged(file, None)
        ordered = [parts[kind.plural] for kind in KINDS if kind.plural in parts]
        plans.append(plan_agent(agent, ordered, history.get(agent, AgentHistory()), options))
    folders = agents if options.agents else (*agents, GLOBAL)
    leftovers, notes = find_leftovers(store, folders, now, options.temporary_days)
    return GcPlan(now, options, tuple(plans), leftovers, notes)


def _tell(part: Judged | FilePlan) -> bytes:
    from aml.optimize.gc_told import tell  # most stores are too small for children

    return tell(part)


def _hear(file: RecordFile, answer: bytes) -> Judged | FilePlan:
    from aml.optimize.gc_told import hear

    return hear(file.agent, file.kind, answer)


def _judge_or_problem(
    store: Store, file: RecordFile, main: Content | AmlError | None, options: GcOptions, history: AgentHistory
) -> Judged | FilePlan:
    """One file judged; one that cannot be read becomes a plan that leaves it alone, with the reason."""
    size = len(main.data) if isinstance(main, Content) else 0
    try:
        if isinstance(main, DamagedError) and options.salvage:
            main = None  # read again without looking inside
        if isinstance(main, AmlError):
            raise main
        return _judge(read_source(store, file, with_salvage=options.salvage, main=main), options, history)
    except AmlError as error:
        # a link or a folder is no file to be mended
        paths = [path for path in (file.path, packed_copy(file).path) if is_there(path)]
        are_files = bool(paths) and all(isfile(path) and not islink(path) for path in paths)
        could = isinstance(error, DamagedError) and not options.salvage and are_files
        hint = "; --salvage --dry-run tells what can be read of it" if could else ""
        return FilePlan(file.agent, file.kind, size=size, problem=f"{error}{hint}", problem_status=error.status)


def _judge(source: Source, options: GcOptions, history: AgentHistory) -> Judged:
    file = source.file
    array = source.array if source.array is not None else _NOTHING
    scan = scan_records(file.agent, file.kind, array, source.own, options.pins, history.of(file.kind))
    return Judged(source.pins, source.size, source.steps, scan)


def apply_plan(
    store: Store, plan: GcPlan, run: GcRun, history: Mapping[str, AgentHistory], progress: Callable[[str], None]
) -> tuple[dict[tuple[str, str], FileOutcome], list[LeftoverOutcome]]:
    """Do what the plan says, file by file, and tell what came of each by agent and kind, and of each leftover.

    Files of ordinary size are done side by side, large ones alone, which bounds memory.
    """

    def work(plan: FilePlan) -> FileOutcome:
        progress(f"{plan.agent}/{plan.kind}")
        return apply_file(store, plan, agents[plan.agent], run, history.get(plan.agent, AgentHistory()), ready)

    def cut_out(file: RecordFile) -> tuple[Content, Cut] | None:
        return _cut(store, file, plans[file], run)

    agents = {agent.agent: agent for agent in plan.agents}
    touched = [file for file in plan.files if file.touches]
    if any(file.removals for file in touched):
        prepare_archives(store, sorted({file.agent for file in touched if file.removals}))
    ordinary, large = parted(touched, lambda file: file.size)
    plans = {_file_of(store, one): one for one in ordinary if one.removals and not one.steps}
    with preparing(store, tuple(plans), run.id, cut_out) as ready:
        outcomes = side_by_side(ordinary, work, run.notes.cancel, ready.threads)
    outcomes += [work(one) for one in large]
    done = [_clear(store, one, run) for one in plan.leftovers if one.what == UNFINISHED_WRITE]
    # a lock that was in the way of this run is taken over, and given back
    locks = [one for one in plan.leftovers if one.what == STALE_LOCK and not is_there(store.root / one.path)]
    done += [LeftoverOutcome(one, removed=True) for one in locks]
    return {(one.plan.agent, one.plan.kind): one for one in outcomes}, done


def _file_of(store: Store, plan: FilePlan) -> RecordFile:
    return record_file(store.root, plan.agent, KIND_BY_PLURAL[plan.kind])


def _cut(store: Store, file: RecordFile, plan: FilePlan, run: GcRun) -> tuple[Content, Cut] | None:
    """What a child makes ready, of a file that is what the plan is for, and all that there is to it."""
    source = read_source(store, file, with_salvage=run.options.salvage)
    if source.pins != plan.pins or source.main is None or source.array is None or not source.unchanged:
        return None
    if source.packed is not None:
        return None
    gone = [one.ordinal for one in plan.removals]
    return source.main, Cut(file, source.array, gone, plan.removals, run.id)


def apply_file(
    store: Store, plan: FilePlan, agent: AgentPlan, run: GcRun, history: AgentHistory, ready: Preparation
) -> FileOutcome:
    """Do to one file what its plan says; whatever stands in the way is an outcome, not an exception."""
    file = _file_of(store, plan)
    planned = plan

    def work() -> FileOutcome:
        with transaction(store, file, run.notes, run.locks) as held:
            # a child knows of no plan but the first
            done = ready.remove(held, file) if plan is planned else None
            if done is not None:
                return FileOutcome(plan, done.before, done.after, done.removed)
            with ready.turn:
                return change(held)

    def change(held: Transaction) -> FileOutcome:
        nonlocal plan
        source = read_source(store, file, with_salvage=run.options.salvage)
        if source.pins != plan.pins:
            plan = replan_file(agent, plan, _judge(source, run.options, history), run.options)
        if plan.removals:
            prepare_archives(store, [plan.agent])
        return _change(store, held, source, plan, run)

    return with_attempts(work, lambda error, status: _nothing_done(plan, error, status))


def _nothing_done(plan: FilePlan, error: AmlError, status: ExitStatus) -> FileOutcome:
    # damage that came since the plan was made
    status = ExitStatus.PARTIAL if status is ExitStatus.DAMAGED else status
    return FileOutcome(plan, problem=str(error), status=status, bytes_before=plan.size, bytes_after=plan.size)


def _change(store: Store, held: Transaction, source: Source, plan: FilePlan, run: GcRun) -> FileOutcome:
    outcome = FileOutcome(plan, bytes_before=source.size, bytes_after=source.size)
    if source.array is not None and (plan.removals or not source.unchanged):
        outcome = _write(store, held, source, plan, run, outcome)
    elif source.replaces_main:
        outcome = _take_away(store, held, source.main, plan, run, outcome)
    if source.packed is not None:
        outcome = _take_away(store, held, source.packed, plan, run, outcome)
    return outcome


def _write(
    store: Store, held: Transaction, source: Source, plan: FilePlan, run: GcRun, outcome: FileOutcome
) -> FileOutcome:
    """Write what stays of the records: from the main file, from a copy, or salvaged."""
    array, main = source.array, source.main
    if array is None:
        return outcome
    gone = [one.ordinal for one in plan.removals]
    cut = Cut(source.file, array, gone, plan.removals, run.id)
    if main is not None and source.unchanged:
        removed, after = remove_records(store, cut, lambda text: held.replace(main, text))
        return structs.replace(outcome, gone=removed, bytes_after=after + _size_of_copy(source))
    text = array.without(gone)
    data = _formed(held, main, text)
    # noted before the archive is written: where that is and this is not, nothing has been taken out of the file
    path = _note_replaced(store, source, data, split(text), plan, run)

    def put(_: bytes) -> int:
        if main is None:
            held.create_as(data)
        else:
            held.replace_as(main, data)
        return len(data)

    try:
        if gone:
            removed, after = remove_records(store, cut, put)
            outcome = structs.replace(outcome, gone=removed)
        else:
            check_elements(array.elements, text)
            after = put(text)
    except ChangedError:
        take_back(store, run.id, path)
        raise
    return structs.replace(outcome, bytes_after=after + _size_of_copy(source), quarantined=(path,))


def _size_of_copy(source: Source) -> int:
    return len(source.packed.data) if source.packed is not None else 0


def _formed(held: Transaction, main: Content | None, text: bytes) -> bytes:
    """``text`` in the form of the main file; where that has none, in that of the agent's other files."""
    return main.rewritten(text) if main is not None and main.data else held.formed(text)


def _note_replaced(store: Store, source: Source, data: bytes, records: RecordArray, plan: FilePlan, run: GcRun) -> str:
    """Have the main file in quarantine, or noted that there is none, before ``data`` takes its place; its path."""
    if source.main is None:
        path = source.file.path_in_store
        note_creation(store, run.id, path, "made of the compressed copy beside it", data, records)
        return path
    return put_in_quarantine(store, run.id, source.main, _reason(plan, source.main), data, records).path


def _take_away(
    store: Store, held: Transaction, content: Content | None, plan: FilePlan, run: GcRun, outcome: FileOutcome
) -> FileOutcome:
    """Quarantine a file whose records, if any, are in the record file by now, and remove it."""
    if content is None:
        return outcome
    path = put_in_quarantine(store, run.id, content, _reason(plan, content)).path
    try:
        held.remove(content)
    except ChangedError as error:
        take_back(store, run.id, path)
        return structs.replace(outcome, problem=str(error), status=ExitStatus.PARTIAL)
    return structs.replace(
        outcome,
        bytes_after=outcome.bytes_after - len(content.data),
        quarantined=(*outcome.quarantined, path),
    )


def _reason(plan: FilePlan, content: Content) -> str:
    path = content.file.path_in_store
    merged = "records of a compressed copy beside it were merged into it"
    return next((f"{step.what}: {step.reason}" for step in plan.steps if step.path == path), merged)


def _clear(store: Store, leftover: Leftover, run: GcRun) -> LeftoverOutcome:
    """Quarantine an unfinished write and remove it, under the lock of the file that it was meant for."""
    file = locked_file(store.root, leftover.path)
    stray = RecordFile(file.agent, file.kind, store.root / leftover.path)
    try:
        with transaction(store, file, run.notes, run.locks) as held:
            content = read_content(stray, store.max_unpacked_bytes)
            if content.stat.st_mtime > run.now - leftover.age + _SLACK_SECONDS:
                raise ChangedError(f"{stray.path} was written to since it was looked at")
            put_in_quarantine(store, run.id, content, f"{leftover.what}: its writer died")
            try:
                held.remove(content)
            except ChangedError:
                take_back(store, run.id, leftover.path)
                raise
    except ChangedError as error:
        return LeftoverOutcome(leftover, problem=str(error), status=ExitStatus.PARTIAL)
    except AmlError as error:
        status = ExitStatus.PARTIAL if error.status is ExitStatus.DAMAGED else error.status
        return LeftoverOutcome(leftover, problem=str(error), status=status)
    return LeftoverOutcome(leftover, removed=True)
