"""What one import costs in a process that has imported ``airflow.sdk`` and nothing else.

``python -m benchmarks.import_cost MODULE...`` prints it as JSON. It imports little itself,
as a module that is already loaded costs nothing.
"""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Import the modules named on the command line, and print the seconds and the modules it took."""
    import airflow.sdk  # noqa: F401

    before = set(sys.modules)
    cpu, wall = time.process_time(), time.perf_counter()
    for name in sys.argv[1:]:
        __import__(name)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    loaded = sorted(set(sys.modules) - before)

    import json

    print(json.dumps({"wall": wall, "cpu": cpu, "loaded": loaded}))


if __name__ == "__main__":
    main()
