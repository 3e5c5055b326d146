"""``python -m app``: what makes importing the service cheap, then the service."""

import gc
import os

if __name__ == "__main__":
    gc.disable()  # importing leaves no garbage to look for; `serve` enables it again
    # Requests have one BLAS thread each. A pool of more would spin while the rest is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from app.start import main

    main()
