#!/bin/sh
# build_container.sh FOLDER: a root folder for LXC containers: busybox, and an init that ends on SIGTERM.
set -eu
root=$1
for folder in bin dev proc sys tmp etc; do mkdir -p "$root/$folder"; done
cp "$(command -v busybox)" "$root/bin/busybox"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
trap "exit 0" TERM
: >/ready  # only now: a process 1 ignores signals that it does not handle
while :; do /bin/busybox sleep 1 & wait $!; done
INIT
chmod +x "$root/init"
