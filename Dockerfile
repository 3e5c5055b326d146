# Three images from one file: `serve` answers requests, `train` fetches data and publishes artifacts, `spark` is
# `train` with Spark and Java, for a cluster's master, workers and jobs.
# It needs nothing of BuildKit. What changes most comes last in each stage.

# What both images have in common, but for their packages.
FROM python:3.11-slim AS runtime
ENV PATH=/opt/foldrec/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A new volume takes over the owner of the directory that it is mounted on.
RUN install --directory --owner=10001 --group=10001 /artifacts /data
WORKDIR /srv/foldrec


FROM python:3.11-slim AS dependencies
# For a network with a package index of its own.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml constraints.txt ./
# hnswlib has no wheels and compiles for the building processor unless told otherwise. x86-64-v3 (AVX2, FMA) is
# Intel's since Haswell and AMD's since Zen; arm64 needs no flag. Which of CFLAGS and CXXFLAGS counts depends on
# the version of setuptools. It is linked with OpenMP but uses nothing of it: --as-needed leaves that out.
RUN python -m venv --without-pip /opt/foldrec \
    && python -c "import tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], sep='\n', file=open('serve.txt', 'w')); \
print(*project['optional-dependencies']['train'], sep='\n', file=open('train.txt', 'w'))" \
    && if [ "$(uname -m)" = x86_64 ]; then portable="-march=x86-64-v3"; fi \
    && export HNSWLIB_NO_NATIVE=1 LDFLAGS="-Wl,--as-needed" \
    && export CFLAGS="-O3 -DNDEBUG $portable" CXXFLAGS="-O3 -DNDEBUG $portable" \
    && pip --python /opt/foldrec/bin/python install --no-cache-dir -c constraints.txt -r serve.txt \
    && find /opt/foldrec -type d -name tests -prune -exec rm -r {} +


FROM dependencies AS serve-packages
COPY . .
RUN pip --python /opt/foldrec/bin/python install --no-cache-dir --no-deps .


FROM runtime AS serve
ENV FOLDREC_ARTIFACTS=/artifacts FOLDREC_HOST=0.0.0.0 FOLDREC_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD python -c "import http.client, os, sys; \
service = http.client.HTTPConnection('127.0.0.1', int(os.environ['FOLDREC_PORT']), timeout=2); \
service.request('GET', '/ready'); \
sys.exit(service.getresponse().status != 200)"
# A number, so that a cluster can tell that it is not root.
USER 10001:10001
CMD ["python", "-m", "app"]
COPY --from=serve-packages /opt/foldrec /opt/foldrec


FROM dependencies AS train-packages
# pip: scripts.fetch may take MovieLens 100K out of a wheel.
RUN pip --python /opt/foldrec/bin/python install --no-cache-dir -c constraints.txt -r train.txt pip \
    && find /opt/foldrec -type d -name tests -prune -exec rm -r {} +
COPY . .
RUN pip --python /opt/foldrec/bin/python install --no-cache-dir --no-deps .


FROM runtime AS train
# implicit and numba use OpenMP.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
# numba keeps what it has compiled; the rest of the file system is read-only.
ENV NUMBA_CACHE_DIR=/tmp/numba
USER 10001:10001
CMD ["python", "-m", "scripts.train", "--help"]
COPY recipes recipes
COPY --from=train-packages /opt/foldrec /opt/foldrec


FROM train-packages AS spark-packages
RUN pip --python /opt/foldrec/bin/python install --no-cache-dir -c constraints.txt pyspark \
    && find /opt/foldrec -type d -name tests -prune -exec rm -r {} +


FROM runtime AS spark
# default-jre-headless is Java 17 or 21, both of which Spark 4 runs on. Hadoop wants a name for its user.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends default-jre-headless libgomp1 procps \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
    && echo 'foldrec:x:10001:10001::/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && install --directory --owner=10001 --group=10001 /shared
ENV NUMBA_CACHE_DIR=/tmp/numba PYSPARK_PYTHON=/opt/foldrec/bin/python
USER 10001:10001
CMD ["python", "-m", "scripts.train", "--help"]
COPY recipes recipes
COPY --from=spark-packages /opt/foldrec /opt/foldrec
