#!/bin/sh
# setup_bench.sh VENV: the peers of `make bench`, libvirt-python above all. What can't be had is left out there, and said.
set -eu
python=$1/bin/python
[ ! -x /usr/bin/virsh ] && exit 0
"$python" -c 'import libvirt' 2>/dev/null && exit 0
if ! pkg-config --exists libvirt 2>/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing for the benchmarks (apt): libvirt-dev gcc pkg-config"
  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends libvirt-dev gcc libc6-dev pkg-config python3-dev >/dev/null || true
fi
"$python" -m pip install -qq "libvirt-python==$(pkg-config --modversion libvirt 2>/dev/null)" ||
  echo "libvirt-python can't be built here: its variants are left out" >&2
