"""qmp+…://: QEMU without a daemon, by its own monitor protocol. Follows reference/drivers.md §1."""
