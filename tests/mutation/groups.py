"""Which modules are tried together, and by which tests: those that look at them, and are quick."""

from __future__ import annotations

GROUPS: dict[str, tuple[list[str], list[str]]] = {
    "budget": (
        ["aml/ledger/budget.py", "aml/backup/keep.py", "aml/backup/rotate.py"],
        [
            "tests/unit/ledger/test_budget.py",
            "tests/unit/backup/test_keep.py",
            "tests/unit/backup/test_rotate.py",
            "tests/unit/backup/test_checked.py",
            "tests/property/test_keep.py",
        ],
    ),
    "prune": (
        [f"aml/prune/{name}.py" for name in ("rules", "space", "candidates", "plan", "verdicts")],
        [
            "tests/contract/test_rules_to_the_letter.py",
            "tests/contract/test_room_as_counted.py",
            "tests/contract/test_hazards_space.py",
            "tests/contract/test_hazards_judgement.py",
            "tests/contract/test_hazards_loss.py",
            "tests/contract/test_promises_budget.py",
            "tests/contract/test_promises_undo.py",
            "tests/contract/test_clock_order.py",
            "tests/contract/test_odd_depth_and_twins.py",
            "tests/cli/test_prune_explain.py",
            "tests/cli/test_backup_settings.py",
            "tests/property/test_plan_file.py",
            "tests/property/test_space.py",
            "tests/property/test_prune.py",
        ],
    ),
    "model": (
        ["aml/model/*.py"],
        [
            "tests/unit/model",
            "tests/unit/codec/test_views.py",
            "tests/unit/migrate/test_steps.py",
            "tests/contract/test_rules_to_the_letter.py",
            "tests/cli/test_hostile_text.py",
        ],
    ),
    "codec": (
        ["aml/codec/*.py"],
        [
            "tests/unit/codec",
            "tests/unit/model/test_record.py",
            "tests/unit/migrate",
            "tests/property/test_json_array.py",
            "tests/property/test_salvage.py",
            "tests/property/test_migrate_record.py",
            "tests/property/test_migrate_edited.py",
            "tests/contract/test_odd_depth_and_twins.py",
            "tests/contract/test_hazards_reading.py",
        ],
    ),
}
