"""Events: the store of records, its ring of changes, and the subscriptions that read it."""

if __name__ != "avirt.events":  # the folder is linked into the package; a second copy would break isinstance
    raise ImportError("import avirt.events, not events: from the project's root it would load as a second copy")

from avirt.events.cursor import Statistics
from avirt.events.filters import EVERYTHING, Filter
from avirt.events.notifier import Notifier
from avirt.events.policies import Retention, Slow, TooOld
from avirt.events.store import CAPACITY, Store, apply
from avirt.events.subscription import Batches, Subscription
from avirt.events.token import Token

__all__ = [
    "CAPACITY",
    "EVERYTHING",
    "Batches",
    "Filter",
    "Notifier",
    "Retention",
    "Slow",
    "Statistics",
    "Store",
    "Subscription",
    "Token",
    "TooOld",
    "apply",
]
