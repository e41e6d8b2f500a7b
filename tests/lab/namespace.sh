# The first process of a laboratory daemon's namespaces (run by daemon.py through unshare, as pid 1).
# libvirtd keeps its state in /run/libvirt and /var/lib/libvirt whatever its configuration says: each daemon has its own
# copies of those, mounted from the folder given. Commands come by stdin, one a line, each answered by one line; the end
# of stdin ends this shell, and with it, as pid 1, everything in the namespace: daemon, guests, helpers.
set -u
D=$1
for folder in run/libvirt etc/libvirt var/lib/libvirt var/log/libvirt var/cache/libvirt; do
  mkdir -p "/$folder"
  mount --bind "$D/$(dirname "$folder" | tr / -)" "/$folder" || exit 1
done
# hybrid cgroup layouts only: the LXC driver wants to write there and can't
umount /sys/fs/cgroup/unified 2>/dev/null
[ -z "${LAB_HOSTNAME:-}" ] || hostname "$LAB_HOSTNAME"
ip link set lo up 2>/dev/null
virtlogd -d -p /run/libvirt/virtlogd.pid >/dev/null 2>&1
pid=""
alive() { [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
while read -r command first second; do
  answer=ok
  case $command in
  start)
    rm -f /run/libvirt/libvirt-sock*
    libvirtd -p /run/libvirt/libvirtd.pid </dev/null >>"$D/output" 2>&1 &
    pid=$!
    until [ -S /run/libvirt/libvirt-sock ] && [ -S /run/libvirt/libvirt-sock-ro ]; do
      alive || { answer="libvirtd ended"; break; }
      sleep 0.02
    done ;;
  end) # the daemon alone, by the signal named; its guests live on
    kill "-$first" "$pid"; wait "$pid"; pid="" ;;
  signal) kill "-$first" "$pid" || answer="no such process" ;;
  guest) # a signal for the process of a guest (QEMU or libvirt_lxc)
    kill "-$first" "$(cat "/run/libvirt/qemu/$second.pid" 2>/dev/null || cat "/run/libvirt/lxc/$second.pid")" || answer="no such guest" ;;
  esac
  echo "$answer"
done
