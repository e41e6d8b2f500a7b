"""`python -m avirt` is `avirt`."""

from avirt.cli.app import script

if __name__ == "__main__":
    script()
