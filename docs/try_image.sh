#!/bin/sh
# Take the steps of the Dockerfile in a folder of this machine, and start the service there: sh docs/try_image.sh [FOLDER]
# A trained experiment is needed (GENRE_PIPELINE_DATA, GENRE_PIPELINE_EXPERIMENT).
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$(mktemp -d)}
python=${PYTHON:-python3}
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# The first stage. TORCH=cpu needs PyTorch's own index; without it, the default build is installed.
"$python" -m venv "$folder/uv"
"$folder/uv/bin/pip" install --quiet uv
export VIRTUAL_ENV="$folder/venv" PATH="$folder/uv/bin:$PATH"
mkdir -p "$folder/build/src/genre_pipeline" "$folder/app/src"
cd "$folder/build"
cp "$project/pyproject.toml" "$project/README.md" "$project/LICENSE" "$project/constraints-$version.txt" .
echo '__version__ = "0"' > src/genre_pipeline/__init__.py
uv venv --quiet "$VIRTUAL_ENV" --python "$python"
uv pip install --quiet ${TORCH:+--torch-backend "$TORCH"} -c "constraints-$version.txt" ".[${EXTRAS:-serve}]"
uv pip uninstall --quiet genre-pipeline
du -sh "$VIRTUAL_ENV"
(
    cd "$VIRTUAL_ENV"/lib/python*/site-packages
    rm -rf torch/include torch/test pyarrow/include
    find torch/bin -type f ! -name torch_shm_manager -delete
    find networkx pandas pyarrow scipy sklearn sympy -type d -name tests -prune -exec rm -rf {} +
)
rm -r src && cp -r "$project/src" src
uv pip install --quiet --no-deps .
"$VIRTUAL_ENV/bin/python" -c \
    "import genre_pipeline.service.answering, genre_pipeline.service.app, librosa, mlflow, skops.io, uvicorn"

# The second.
cp -r "$project/conf" "$project/pyproject.toml" "$folder/app"
cd "$folder/app"
export GENRE_PIPELINE_TOKEN=0123456789abcdef0123456789abcdef
"$VIRTUAL_ENV/bin/genre-pipeline" serve --host 0.0.0.0 --port "${PORT:-8765}" > "$folder/log" 2>&1 &
service=$!
trap 'kill $service' EXIT
for _ in $(seq 120); do
    if "$VIRTUAL_ENV/bin/python" -c "import urllib.request
print(urllib.request.urlopen('http://127.0.0.1:${PORT:-8765}/health', timeout=4).read().decode())" 2> /dev/null; then
        du -sh "$VIRTUAL_ENV"
        exit 0
    fi
    kill -0 $service 2> /dev/null || { cat "$folder/log"; exit 1; }
    sleep 2
done
exit 1
