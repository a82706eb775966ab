"""What the two sides of a boundary between stages remember of each sample, and how they notice that it differs.

`boundary.open_sender` and `open_receiver` give the two ends of any codec; `activations` holds what is remembered.
"""

from btard.pipeline.caches.activations import ActivationCache
from btard.pipeline.caches.boundary import BoundaryReceiver, BoundarySender, open_receiver, open_sender
from btard.pipeline.caches.delta import CachesDiffer

__all__ = ["ActivationCache", "BoundaryReceiver", "BoundarySender", "CachesDiffer", "open_receiver", "open_sender"]
