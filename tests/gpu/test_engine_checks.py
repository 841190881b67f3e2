"""How the engine checks take what their processes do: measure, lack something, end or hang. It needs no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu import engine_checks
from tests.gpu.engine_checks import _case, _verdict
from tests.gpu.machine import SkipCheck


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ('print(\'noise\\n{"reached": "done", "ms": 2.5}\')', {"reached": "done", "ms": 2.5}),
        (
            'import sys; print("a\\nno such GPU", file=sys.stderr); print(\'{"reached": "build", "code": 3}\')',
            {"lacking": "no such GPU"},
        ),
        (
            'import sys; print("wrong", file=sys.stderr); print(\'{"reached": "build", "code": 6}\')',
            {"failed": "wrong", "reached": "build", "code": 6},
        ),
        ("import os; os.abort()", {"failed": "the process ended with -6: "}),
        ("import time; time.sleep(60)", {"failed": "not done after 1 s"}),
    ],
)
def test_outcomes(program: str, outcome: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = tmp_path / "case.py"
    case.write_text(program)
    monkeypatch.setattr(engine_checks, "CASE", case)
    monkeypatch.setitem(engine_checks.LONGEST_S, "tensorrt", 1 if "sleep" in program else 60)
    assert _case("tensorrt", Path("m.onnx"), "--size", "64x96") == outcome


def test_verdicts() -> None:
    done, lacking, failed = {"reached": "done"}, {"lacking": "no such GPU"}, {"failed": "it hangs"}
    assert _verdict({"a": done, "b": lacking}) == {"a": done, "b": lacking}
    with pytest.raises(SkipCheck, match="a: no such GPU"):
        _verdict({"a": lacking})
    with pytest.raises(SkipCheck, match="cannot be imported"):
        _verdict({"tensorrt": "tensorrt cannot be imported"})
    with pytest.raises(AssertionError, match="it hangs"):
        _verdict({"a": done, "b": failed})
