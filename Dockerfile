# One spore. Its memory and identity live in /data: give that a volume, or they go with the
# container. Everything is set by environment variables (config.template.yaml lists them).
#
#   docker build -t synapse . && docker run -p 7860:7860 -v synapse:/data synapse

FROM python:3.13-slim AS packages
WORKDIR /app
COPY requirements.lock .
# The packages keep their *.dist-info folders: licences (crdt-merge's LICENSE and NOTICE among them)
# must travel with the code.
RUN python -m venv .venv \
 && .venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

FROM python:3.13-slim AS kernel
# The compiled loops of the index, which are a part of the code. The compiler stays behind.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
WORKDIR /app
COPY pyproject.toml setup.py requirements-dev.lock README.md LICENSE ./
COPY synapse synapse
RUN pip install --no-cache-dir "$(grep -o '^setuptools==[^ ]*' requirements-dev.lock)" \
 && python setup.py build_ext --inplace \
 && python -c 'import synapse.retrieval._kernel'

FROM python:3.13-slim
# Hugging Face runs containers as uid 1000, and nothing here needs more.
RUN useradd --uid 1000 --create-home spore \
 && install -d -o spore -g spore /data
WORKDIR /app
COPY --from=packages /app/.venv .venv
COPY LICENSE spore.py bootstrap.json config.template.yaml ./
COPY --from=kernel /app/synapse synapse
RUN python -m compileall -q synapse

ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SYNAPSE_HOST=0.0.0.0 \
    SYNAPSE_DATA_DIR=/data
USER 1000
VOLUME /data
EXPOSE 7860
# Platforms choose the port with PORT; /live does no I/O, so a busy spore is not a dead one.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD python -c \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:${SYNAPSE_PORT:-${PORT:-7860}}/live', timeout=4)"
CMD ["python", "spore.py"]
