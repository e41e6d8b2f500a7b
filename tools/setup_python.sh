#!/bin/sh
# setup_python.sh VENV run|dev: makes the virtual environment and installs avirt, editable; "dev" adds the tools.
# The Makefile calls it only when a stamp is older than pyproject.toml.
set -eu
venv=$1 what=$2
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import sys' 2>/dev/null; then
  python=${PYTHON:-$(sh "$(dirname "$0")/find_python.sh" || true)}
  if [ -z "$python" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Python (apt)"
    apt-get -q update >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends python3 python3-venv ca-certificates >/dev/null
    python=$(sh "$(dirname "$0")/find_python.sh" || true)
  fi
  if [ -z "$python" ]; then
    echo "avirt needs Python 3.11 or newer with its venv module (Debian: apt install python3 python3-venv)" >&2
    exit 1
  fi
  echo "making $venv with $("$python" --version)"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install -qq --upgrade pip   # dependency groups need pip 25.1
fi
"$venv/bin/python" -m pip install -qq -e '.[cli,uvloop,trio]'
if [ "$what" = dev ]; then "$venv/bin/python" -m pip install -qq --group dev; fi
