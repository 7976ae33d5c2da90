"""Every record file of some agents judged, by several processes where that pays, and with little of it in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from aml.errors import AmlError
from aml.fs.children import WORTH_A_CHILD, by_children
from aml.fs.parallel import LARGE_BYTES
from aml.store.layout import RecordFile
from aml.store.open import Store
from aml.store.read import Content, read_ahead, read_content, size_of

#: Agents whose files have so many bytes together are judged at a time, which bounds what is known of their records.
_BATCH_BYTES = 256 << 20

Part = TypeVar("Part")


class Judging(Struct, Generic[Part], frozen=True):
    """How files are judged: ``judge`` is given the content, or why there is none, and changes nothing.

    It may be called in a copy of this process, which then sends what ``tell`` makes of the answer; ``hear`` makes the
    same answer of that, and is given the file besides.
    """

    judge: Callable[[RecordFile, Content | AmlError], Part]
    tell: Callable[[Part], bytes]
    hear: Callable[[RecordFile, bytes], Part]


def judge_files(
    store: Store, agents: Sequence[str], judging: Judging[Part]
) -> Iterator[tuple[str, dict[RecordFile, Part]]]:
    """Each agent with what is found in each of its record files, in order. Raises what ``judging`` raises."""

    def tell(file: RecordFile, content: Content | AmlError) -> bytes:
        try:
            return judging.tell(judging.judge(file, content))
        except UnicodeEncodeError:
            return b""  # a path that is no text is in there: the caller looks at that file itself

    files = {agent: store.record_files(agent) for agent in agents}
    for batch in _batches(files):
        answers = told_by_children(store, [file for agent in batch for file in files[agent]], tell)
        for agent in batch:
            rest = [file for file in files[agent] if file not in answers]
            parts: dict[RecordFile, Part] = {}
            for file, content in read_ahead(rest, store.max_unpacked_bytes):
                parts[file] = judging.judge(file, content)
                del content  # freed before the next file is judged
            for file in files[agent]:
                if file not in parts:
                    parts[file] = judging.hear(file, answers.pop(file))
            yield agent, {file: parts[file] for file in files[agent]}


def _batches(files: Mapping[str, Sequence[RecordFile]]) -> Iterator[list[str]]:
    batch: list[str] = []
    room = _BATCH_BYTES
    for agent, its_files in files.items():
        size = sum(map(size_of, its_files))
        if batch and size > room:
            yield batch
            batch, room = [], _BATCH_BYTES
        batch.append(agent)
        room -= size
    yield batch


def told_by_children(
    store: Store, files: Sequence[RecordFile], tell: Callable[[RecordFile, Content | AmlError], bytes]
) -> dict[RecordFile, bytes]:
    """What children tell of files of ordinary size, which bounds memory, the largest first; nothing where children do
    not pay, or of a file of which a child has nothing to say."""
    sizes = {file: size_of(file) for file in files}
    ordinary = sorted((file for file in files if sizes[file] < LARGE_BYTES), key=lambda file: -sizes[file])
    if sum(sizes[file] for file in ordinary) < WORTH_A_CHILD:
        return {}

    def work(file: RecordFile) -> bytes:
        content: Content | AmlError
        try:
            content = read_content(file, store.max_unpacked_bytes)
            content.prepare()
        except AmlError as error:
            content = error
        return tell(file, content)

    return {ordinary[place]: answer for place, answer in by_children(ordinary, work).items() if answer}
