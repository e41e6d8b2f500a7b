#!/bin/sh
# The real servers of `make test`: as root on Debian it installs what is missing, otherwise it says what that is, and
# the tests that need it are skipped. AVIRT_REQUIRE_REAL=1 makes it fail instead.
set -eu
need=""
want() { [ -n "$(command -v "$1" 2>/dev/null || ls "$1" 2>/dev/null)" ] || need="$need $2"; }
PATH=$PATH:/usr/sbin:/sbin
want virsh libvirt-clients
want libvirtd libvirt-daemon-system
want /usr/lib/libvirt/libvirt_lxc libvirt-daemon-driver-lxc
want /usr/share/libvirt/networks/default.xml libvirt-daemon-config-network
want dnsmasq dnsmasq-base
want qemu-system-x86_64 qemu-system-x86
want qemu-img qemu-utils
want busybox busybox-static
want socat socat
want cpio cpio
want xz xz-utils
want zstd zstd
want unshare util-linux
want setpriv util-linux
want ip iproute2
[ -n "$need" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing for the tests (apt):$need"
  apt-get -q update >/dev/null
  # no service is started: each test has a daemon of its own
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q install -y --no-install-recommends $need >/dev/null
else
  echo "not here, so the tests with real hypervisors are skipped as far as they need it (as root on Debian this installs it):$need" >&2
  [ "${AVIRT_REQUIRE_REAL:-}" != 1 ] || exit 1
fi
