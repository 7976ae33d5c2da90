"""Removing low-value records by rules: options, rules, plan, apply, report."""
