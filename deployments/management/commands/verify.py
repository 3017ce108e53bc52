"""`manage.py verify`: check all invariants of the stored runs. Exit code 1 if one is violated."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from deployments.upkeep.selectors.invariants import violations
from orchestration.database_clock import current_time


class Command(BaseCommand):
    """Reads a live database without locking it."""

    help = "Check histories, attempts, leases, slots, limits and schedules; exit code 1 when something does not hold."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print what was found as a JSON list.")

    def handle(self, *args: Any, **options: Any) -> None:
        found = 0
        for found, violation in enumerate(violations(current_time()), 1):
            if options["json"]:
                self.stdout.write(("[" if found == 1 else ",") + json.dumps(violation._asdict()))
            else:
                self.stdout.write(str(violation))
        if options["json"]:
            self.stdout.write("]" if found else "[]")
        elif not found:
            self.stdout.write("Everything holds.")
        if found:
            sys.exit(1)
