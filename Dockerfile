# The service, and training as a job: docs/deploy.md.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG PYTHON
# PyTorch's build: cpu, or a CUDA version such as cu126.
ARG TORCH=cpu
# serve; serve,onnx,tune with more of it.
ARG EXTRAS=serve
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /build
ENV UV_LINK_MODE=copy UV_NO_CACHE=1 VIRTUAL_ENV=/opt/venv
COPY pyproject.toml README.md LICENSE constraints-${PYTHON}.txt ./
# What the package needs, in a layer that its own changes leave alone. All of MLflow, Kedro-Viz included: training is a
# job of the same image.
RUN uv venv "$VIRTUAL_ENV" \
    && mkdir -p src/genre_pipeline && echo '__version__ = "0"' > src/genre_pipeline/__init__.py \
    && uv pip install --torch-backend "$TORCH" -c "constraints-${PYTHON}.txt" ".[${EXTRAS}]" \
    && uv pip uninstall genre-pipeline
# Headers, and tests of packages, which nothing imports: a fifth of it.
WORKDIR /opt/venv/lib/python${PYTHON}/site-packages
RUN rm -rf torch/include torch/test pyarrow/include \
    && find torch/bin -type f ! -name torch_shm_manager -delete \
    && find networkx pandas pyarrow scipy sklearn sympy -type d -name tests -prune -exec rm -rf {} +
WORKDIR /build
COPY src src
# Importing leaves the bytecode of what the service imports, a quarter of all.
RUN uv pip install --no-deps . && "$VIRTUAL_ENV/bin/python" -c \
    "import genre_pipeline.service.answering, genre_pipeline.service.app, librosa, mlflow, skops.io, uvicorn"

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --uid 10001 genre \
    && mkdir /app /data && chown genre:genre /app /data
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY --chown=genre:genre conf conf
COPY --chown=genre:genre pyproject.toml ./
# Kedro finds the project by its pyproject.toml, and the package in the environment.
RUN mkdir -p src
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    GENRE_PIPELINE_DATA=/data NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib \
    DO_NOT_TRACK=1 KEDRO_DISABLE_TELEMETRY=1 MLFLOW_DISABLE_TELEMETRY=true
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["genre-pipeline", "serve", "--host", "0.0.0.0"]
