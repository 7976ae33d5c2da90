"""Writes docs/schemas: what each answer of --json may hold, as JSON Schema, taken from the types of the program.

python docs/generate_schemas.py            write them
python docs/generate_schemas.py --check    fail if one of them is out of date
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

import msgspec

from aml.cli.invocation import JSON_SCHEMA
from aml.errors import ExitStatus

SCHEMAS = Path(__file__).resolve().parent / "schemas"

#: Command -> what its answer holds under ``data``, as module and name; several where it has several forms.
ANSWERS: dict[str, tuple[str, ...]] = {
    "prune": ("aml.prune.report:PruneReport",),
    "prune explain": ("aml.prune.explain:ExplainReport",),
    "prune history": ("aml.cli.prune:History",),
    "prune undo": ("aml.ledger.undo:UndoReport",),
    "backup create": ("aml.backup.create:BackupReport",),
    "backup list": ("aml.workflows.backup:BackupList",),
    "backup show": ("aml.workflows.backup:BackupDetails",),
    "backup diff": ("aml.backup.compare:DiffReport",),
    "backup verify": ("aml.workflows.upkeep:VerifyReport",),
    "backup restore": ("aml.backup.restore:RestoreReport",),
    "backup rotate": ("aml.backup.rotate:RotateReport",),
    "backup drill": ("aml.backup.drill:DrillReport",),
    "backup auto": ("aml.workflows.upkeep:AutoReport",),
    "query": ("aml.workflows.index:QueryReport",),
    "show": ("aml.cli.query_text:ShownRecord",),
    "optimize gc": ("aml.optimize.gc_report:GcReport",),
    "optimize compress": ("aml.optimize.compress_report:CompressReport",),
    "optimize index": ("aml.workflows.index:IndexReport",),
    "optimize warm-cache": ("aml.workflows.index:WarmReport",),
    "optimize all": ("aml.workflows.optimize:OptimizeReport",),
    "migrate detect": ("aml.migrate.detect:DetectReport",),
    "migrate plan": ("aml.migrate.report:MigrateReport",),
    "migrate up": ("aml.migrate.report:MigrateReport",),
    "migrate down": ("aml.migrate.report:MigrateReport",),
    "migrate migrate": ("aml.migrate.report:MigrateReport",),
    "migrate history": ("aml.workflows.migrate:MigrateHistory",),
    "monitor health": ("aml.cli.health_text:ShownHealth",),
    "monitor metrics": ("aml.workflows.metrics:MetricsReport",),
    "monitor report": ("aml.cli.monitor_report:ShownReport",),
    "monitor alerts": ("aml.workflows.alerts:AlertList",),
    "monitor alerts list": ("aml.workflows.alerts:AlertList",),
    "monitor alerts history": ("aml.workflows.alerts:AlertList",),
    "monitor alerts show": ("aml.monitor.alerts:Alert",),
    "monitor alerts ack": ("aml.monitor.alerts:Alert",),
    "monitor alerts resolve": ("aml.workflows.alerts:ResolveReport",),
    "monitor alerts test": ("aml.workflows.alerts:WebhookTrial",),
    "config show": ("aml.cli.config:Shown",),
    "config path": ("aml.cli.config:SettingsFile",),
    "config init": ("aml.cli.config:Written", "aml.cli.config:Printed", "aml.cli.schedule_files:ScheduleReport"),
    "demo": ("aml.cli.demo:DemoReport",),
}

#: Documents that stand alone: name -> what they are, and their type.
DOCUMENTS: dict[str, tuple[str, str]] = {
    "log-event": ("a line of --log-json", "aml.cli.event_log:Event"),
    "query-line": ("a line of aml query --jsonl", "aml.workflows.index:QueryRecord"),
    "prune-plan": ("a plan of aml prune --plan", "aml.prune.plan_file:PlanFile"),
}

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = "#/$defs/{name}"
#: Where the alternatives of a field are remembered.
_CHOICES = "choices"


class AnswerError(msgspec.Struct):
    """What failed: the name of the error, the message, and what to do next (may be empty)."""

    type: str
    message: str
    advice: str


def main(words: list[str]) -> int:
    """Write the schemas, or check them; returns the exit status."""
    wanted = schemas()
    there = {path.name for path in SCHEMAS.glob("*.json")}
    stale = sorted(there - set(wanted))
    for name, text in wanted.items():
        path = SCHEMAS / name
        if not (name in there and path.read_text(encoding="utf-8") == text):
            stale.append(name)
    if "--check" not in words:
        SCHEMAS.mkdir(exist_ok=True)
        for name in stale:
            if name in wanted:
                (SCHEMAS / name).write_text(wanted[name], encoding="utf-8")
            else:
                (SCHEMAS / name).unlink()
    elif stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run python docs/generate_schemas.py\n")
        return 1
    return 0


def schemas() -> dict[str, str]:
    """The text of each schema by the name of its file."""
    found = {file_name(command): answer_schema(command, types) for command, types in ANSWERS.items()}
    found |= {f"{name}.json": document_schema(what, of) for name, (what, of) in DOCUMENTS.items()}
    found["error.json"] = error_schema()
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in found.items()}


def file_name(command: str) -> str:
    return f"{command.replace(' ', '-')}.json"


def answer_schema(command: str, types: Iterable[str]) -> dict[str, Any]:
    """The envelope of a command: either an answer, or at least one error."""
    references, parts = _components([_load(one) for one in types])
    answer = references[0] if len(references) == 1 else {"anyOf": references}
    answered = {"data": answer, "errors": {"maxItems": 0}}
    failed = {"data": {"type": "null"}, "errors": {"minItems": 1}}
    envelope = _envelope(f"aml {command} --json", {"const": command}, parts)
    return envelope | {"oneOf": [{"properties": answered}, {"properties": failed}], "$defs": envelope.pop("$defs")}


def error_schema() -> dict[str, Any]:
    """The envelope of words that are no command."""
    envelope = _envelope("aml --json, where the words are no command", {"type": "string"}, {})
    failed = {"data": {"type": "null"}, "errors": {"minItems": 1}}
    return envelope | {"allOf": [{"properties": failed}], "$defs": envelope.pop("$defs")}


def document_schema(what: str, of: str) -> dict[str, Any]:
    (reference,), parts = _components([_load(of)])
    return {"$schema": _DIALECT, "title": what, **reference, "$defs": parts}


def _envelope(title: str, command: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    (error,), errors = _components([AnswerError])
    properties = {
        "schema": {"const": JSON_SCHEMA},
        "command": command,
        "status": {"enum": [status.name.lower() for status in ExitStatus]},
        "exit": {"enum": [int(status) for status in ExitStatus]},
        "data": {"type": ["object", "null"]},
        "warnings": {"type": "array", "items": {"type": "string"}},
        "errors": {"type": "array", "items": error},
    }
    return {
        "$schema": _DIALECT,
        "title": title,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "$defs": parts | errors,
    }


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def _components(types: list[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A reference to each type, and the definitions of all that they consist of."""
    structs = _structs_in(types)
    for one in structs:
        _name_alternatives(one)
    references, parts = msgspec.json.schema_components([*types, *structs], ref_template=_REFERENCE)
    always = {frozenset(one.__struct_encode_fields__) for one in structs if not one.__struct_config__.omit_defaults}
    for part in parts.values():
        if "description" in part:
            part["description"] = _told(part["description"])
        if frozenset(part.get("properties", ())) in always:
            # a default is written too; that there is one only matters to who reads
            part["required"] = list(part["properties"])
        for field in part.get("properties", {}).values():
            field.pop("default", None)
    return list(references[: len(types)]), dict(sorted(parts.items()))


def _told(docstring: str) -> str:
    """A docstring as running text: a line for each paragraph."""
    paragraphs = inspect.cleandoc(docstring).replace("``", "`").split("\n\n")
    return "\n".join(" ".join(one.split()) for one in paragraphs)


def _structs_in(types: Iterable[Any]) -> list[Any]:
    """All structs that types consist of."""
    found: list[Any] = []
    waiting = list(types)
    while waiting:
        one = waiting.pop(0)
        waiting += get_args(one)
        if isinstance(one, msgspec.Meta) and one.extra:
            waiting += one.extra[_CHOICES]
        if isinstance(one, type) and issubclass(one, msgspec.Struct) and one not in found:
            found.append(one)
            waiting += get_type_hints(one, include_extras=True).values()
    return found


def _name_alternatives(struct: Any) -> None:
    """Say the alternatives of a field in JSON Schema's words: msgspec describes no field of one struct or another."""
    for name, hint in get_type_hints(struct).items():
        choices = [one for one in get_args(hint) if isinstance(one, type) and issubclass(one, msgspec.Struct)]
        if len(choices) > 1:
            references: list[dict[str, Any]] = [{"$ref": _REFERENCE.format(name=one.__name__)} for one in choices]
            references += [{"type": "null"}] if NoneType in get_args(hint) else []
            told = msgspec.Meta(extra_json_schema={"anyOf": references}, extra={_CHOICES: choices})
            struct.__annotations__[name] = Annotated[Any, told]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
