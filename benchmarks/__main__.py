"""All benchmarks, one after the other: ``make bench`` or ``python -m benchmarks``.

Each is also a command of its own, such as ``python -m benchmarks.serving``.
"""

import subprocess
import sys

_ALL = (
    "load_interactions",
    "als",
    "ratings",
    "retrieval",
    "startup",
    "serving",
    "overload",
    "evaluation",
    "recommend_all",
    "capacity",
)


def main() -> int:
    """Run every benchmark in a process of its own; returns how many failed."""
    failed = 0
    for name in _ALL:
        print(f"\n== python -m benchmarks.{name}\n", flush=True)
        failed += subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
