"""`python -m tests.engines.api_names`: whether every TensorRT name in engines/ and runtime/ exists in each release.

It downloads the bindings' wheels (1 to 2 MB each) to build/tensorrt-bindings once. Exit 1 when a name is missing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.engines.api_bindings import RELEASES, Unavailable, bindings, installed, text_of
from tests.engines.api_uses import uses_in

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "tensorrt-bindings"


def main() -> int:
    uses, unknown = uses_in(ROOT)
    print(f"{len({use.path for use in uses})} names of TensorRT in engines/ and runtime/")
    failed = bool(unknown)
    if unknown:
        print(f"parameters of unknown type; add them to the tables of api_uses.py:\n  {', '.join(unknown)}")
    for release in (*RELEASES, None):
        try:
            found = installed("tensorrt_rtx") if release is None else bindings(*release, FOLDER)
        except Unavailable as reason:
            print(f"not checked: {reason}")
            continue
        missing = found.missing(uses)
        failed = failed or bool(missing)
        print(f"{found.name}: {'all there' if not missing else 'missing'}")
        if missing:
            print(text_of(missing))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
