"""Engines are built on devices without torch: nothing here, nor the passes, may pull it in."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import engines.build_command, engines.inspect_command, export.passes
found = {"torch", "training", "onnxsim", "onnxscript", "onnxruntime", "cv2"} & set(sys.modules)
assert not found, found
"""


def test_no_torch_and_no_training() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
