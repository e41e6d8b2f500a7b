"""Drivers: one package a hypervisor family, beside the codecs (`wire`) and the I/O (`transport`) they share."""

if __name__ != "avirt.drivers":  # the folder is linked into the package; a second copy would break isinstance
    raise ImportError("import avirt.drivers, not drivers: from the project's root it would load as a second copy")
