"""Shared codecs. No I/O, no clock."""
