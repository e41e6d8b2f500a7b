"""libvirt: every daemon, by its own RPC protocol. Follows reference/libvirt-wire.md."""
