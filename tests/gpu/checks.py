"""What can only be checked on an NVIDIA GPU. `make gpu` runs this script, which writes JSON; pytest runs it too.

Each `check_…` of the files beside this one returns what it measured, raises AssertionError when something is wrong, and
SkipCheck, with the reason, where this machine lacks something. Most need torch alone; the others say what they miss.
Words after the script's name keep only the checks whose name contains one of them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.gpu.machine import Measured, SkipCheck, device_name
from tests.gpu.table import tables

Check = Callable[[], Measured]


def _checks_of(topic: str) -> list[Check]:
    """Those of one file; where it cannot be imported, one that says why."""
    try:
        module = importlib.import_module(f"tests.gpu.{topic}_checks")
    except ImportError as error:
        missing = f"{topic} checks cannot be imported: {error}"

        def check_imports() -> Measured:
            raise SkipCheck(missing)

        check_imports.__name__ = f"check_{topic}"
        return [check_imports]
    return [check for name, check in vars(module).items() if name.startswith("check_")]


CHECKS = [check for topic in ("deform", "session", "engine", "training") for check in _checks_of(topic)]


def main(words: list[str]) -> int:
    """Run the checks; writes gpu.json and gpu.md, its table, to $OUT, or build/ without it. Exit 1 when one failed."""
    wanted = [check for check in CHECKS if not words or any(word in check.__name__ for word in words)]
    if not wanted:
        print(
            f"no check's name contains {' or '.join(words)}; they are:", *(check.__name__ for check in CHECKS), sep="\n"
        )
        return 2
    folder = Path(os.environ.get("OUT", "build"))
    folder.mkdir(parents=True, exist_ok=True)
    report: Measured = {"device": device_name(), "time": time.strftime("%Y-%m-%d %H:%M:%S"), "checks": {}}
    for check in wanted:
        report["checks"][check.__name__] = _outcome(check)
        (folder / "gpu.json").write_text(json.dumps(report, indent=2))  # what a time limit cuts short is kept
        print(check.__name__, json.dumps(report["checks"][check.__name__], indent=2), flush=True)
    (folder / "gpu.md").write_text(tables(report))
    return int(any(result["outcome"] == "failed" for result in report["checks"].values()))


def _outcome(check: Check) -> Measured:
    started = time.monotonic()
    try:
        outcome = {"outcome": "passed", **check()}
    except SkipCheck as reason:
        outcome = {"outcome": "skipped", "reason": str(reason)}
    except Exception:  # one broken check must not cost the results of the others
        outcome = {"outcome": "failed", "reason": traceback.format_exc()}
    return {**outcome, "seconds": round(time.monotonic() - started, 1)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
