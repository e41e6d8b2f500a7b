#!/bin/sh
# build_guest.sh FOLDER: makes FOLDER/vmlinuz and FOLDER/initrd.gz, a small Linux for the laboratory, in a few seconds.
# Debian's cloud kernel, busybox and the QEMU agent are unpacked, not installed. The guest answers the power button,
# starts the agent, and panics or powers off by itself if its command line says lab.panic or lab.off.
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/packages" "$work/unpacked"
kernel_of() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends:/ {print $2; exit}'; }
kernel=$(kernel_of)
[ -n "$kernel" ] || { apt-get -q update >/dev/null; kernel=$(kernel_of); }
(cd "$work/packages" && apt-get -q download "$kernel" busybox-static qemu-guest-agent >/dev/null 2>&1) || {
  apt-get -q update >/dev/null
  (cd "$work/packages" && apt-get -q download "$kernel" busybox-static qemu-guest-agent >/dev/null 2>&1)
}
for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/unpacked"; done
cd "$work/unpacked"
version=$(ls lib/modules)
root=$work/root
for folder in bin sbin dev proc sys run tmp lib/modules etc/acpi/PWRF usr/sbin var/run; do mkdir -p "$root/$folder"; done
cp bin/busybox "$root/bin/busybox"
# The cloud kernel has virtio as modules. The order is that of their dependencies.
for module in drivers/acpi/button drivers/input/evdev \
  drivers/virtio/virtio drivers/virtio/virtio_ring drivers/virtio/virtio_pci_legacy_dev \
  drivers/virtio/virtio_pci_modern_dev drivers/virtio/virtio_pci drivers/char/virtio_console \
  drivers/virtio/virtio_balloon drivers/misc/pvpanic/pvpanic drivers/misc/pvpanic/pvpanic-mmio; do
  name=$(basename "$module")
  file=lib/modules/$version/kernel/$module.ko
  if [ -e "$file" ]; then cp "$file" "$root/lib/modules/$name.ko"
  elif [ -e "$file.xz" ]; then xz -dc "$file.xz" >"$root/lib/modules/$name.ko"
  elif [ -e "$file.zst" ]; then zstd -qdc "$file.zst" >"$root/lib/modules/$name.ko"
  else continue; fi
  echo "$name" >>"$root/lib/modules/order"
done
cp usr/sbin/qemu-ga "$root/usr/sbin/"
ldd usr/sbin/qemu-ga | awk '$3 ~ /^\// {print $3} $1 ~ /^\// {print $1}' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin:/sbin:/usr/sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
for round in 1 2 3; do
  for module in $(cat /lib/modules/order); do [ -d "/sys/module/$module" ] || insmod "/lib/modules/$module.ko" 2>/dev/null; done
done
printf '#!/bin/sh\npoweroff -f\n' >/etc/acpi/PWRF/00000080; chmod +x /etc/acpi/PWRF/00000080
until ls /dev/input/event* >/dev/null 2>&1; do sleep 0.1; done
acpid -d -c /etc/acpi >/dev/null 2>&1 &
agent() { # the port's name appears a moment after the driver
  mkdir -p /dev/virtio-ports
  until [ -e /dev/virtio-ports/org.qemu.guest_agent.0 ]; do
    for port in /sys/class/virtio-ports/*; do
      name=$(cat "$port/name" 2>/dev/null)
      [ -z "$name" ] || ln -sf "/dev/$(basename "$port")" "/dev/virtio-ports/$name"
    done
    sleep 0.1
  done
  while :; do qemu-ga -m virtio-serial -p /dev/virtio-ports/org.qemu.guest_agent.0 -t /run; sleep 1; done
}
agent >/dev/null 2>&1 &
grep -q lab.panic /proc/cmdline && { sleep 1; echo c >/proc/sysrq-trigger; }
grep -q lab.off /proc/cmdline && poweroff -f
while :; do sleep 3600; done
INIT
# what the agent runs
cat >"$root/sbin/shutdown" <<'SHUTDOWN'
#!/bin/busybox sh
case "$*" in *-r*) exec /bin/busybox reboot -f ;; *) exec /bin/busybox poweroff -f ;; esac
SHUTDOWN
chmod +x "$root/init" "$root/sbin/shutdown"
(cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet | gzip -1) >"$out/initrd.gz.new"
cp "boot/vmlinuz-$version" "$out/vmlinuz"
mv "$out/initrd.gz.new" "$out/initrd.gz"
