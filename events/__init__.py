"""Events: the store of records, its ring of changes, and the subscriptions that read it."""

if __name__ != "avirt.events":  # the folder is linked into the package; a second copy would break isinstance
    raise ImportError("import avirt.events, not events: from the project's root it would load as a second copy")
