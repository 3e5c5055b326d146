"""``python -m app``: what makes importing the service cheap and its memory quick, then the service."""

import gc
import os
import sys

_TUNABLES = "GLIBC_TUNABLES"

if __name__ == "__main__":
    if sys.platform == "linux" and _TUNABLES not in os.environ:
        # A walk through a graph jumps all over its memory: in huge pages it misses fewer addresses. glibc
        # reads this when a process begins, so it begins again; elsewhere the variable means nothing.
        os.environ[_TUNABLES] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - itself
    gc.disable()  # importing leaves no garbage to look for; `serve` enables it again
    # Requests have one BLAS thread each. A pool of more would spin while the rest is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from app.start import main

    main()
