#!/usr/bin/env bash
# Tests of the Python packages in a virtual environment of their own: ci.sh [torch|keras] [FOLDER]
# Without an argument NumPy and JAX alone; PyTorch's wheels weigh 5 GB. FOLDER (default: target/venv-…) is kept and used again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
framework=${1:-jax}
case $framework in
  jax) packages=(jax optax mypy ruff) ;;
  torch) packages=(torch) ;;
  keras) packages=(tensorflow-cpu keras) ;;
  *)
    echo "ci.sh: expected torch, keras or nothing, found $framework" >&2
    exit 2
    ;;
esac
# A bare Debian machine has no virtual environments.
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -q || echo "ci.sh: package lists could not be refreshed" >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3 python3-venv
fi
environment=${2:-../target/venv-$framework}
[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/pip" install --quiet numpy safetensors ml_dtypes mpmath pytest jsonschema "${packages[@]}"
# Small programs: more threads than one only wait for each other.
export OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu
if [ "$framework" = keras ]; then export KERAS_BACKEND=tensorflow; fi
if [ "$framework" = jax ]; then
  "$environment/bin/ruff" check .
  "$environment/bin/ruff" format --check --exclude '*.md' .
  "$environment/bin/mypy"
fi
"$environment/bin/python" -m pytest -q -rs tests
