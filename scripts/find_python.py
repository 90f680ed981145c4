"""Print the path of a Python, or nothing where there is none: ``python scripts/find_python.py 3.13``."""

from __future__ import annotations

import sys

from environment import find_python

if __name__ == "__main__":
    print(find_python(int(sys.argv[1].removeprefix("3."))) or "")
