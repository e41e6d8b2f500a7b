"""Shared I/O: byte streams to a hypervisor."""
