"""The command `avirt`: virsh's verbs, and a live view. Uses the public API only."""
