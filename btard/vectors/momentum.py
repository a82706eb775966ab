"""What an honest peer submits, and the chain of its submissions when the run has worker momentum.

With momentum mu in (0, 1) a peer submits m_t = mu * m_(t-1) + (1 - mu) * g_t, where g_t is its gradient and m_(-1) = 0.
Averaging over steps shrinks the noise of an honest vector, and so what an attacker can hide in it. To recompute a
vector needs its base m_(t-1), so a peer keeps the last bases and their digests. It keeps its last vectors, too, to show
what it sent in failed attempts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.hashing import digest
from btard.identity import Malformed
from btard.tensors import bytes_of

_KEPT = 3
"""Steps whose base and vector are kept: the current one and, for those that recompute them, the two before it."""


def submission(gradient: torch.Tensor, base: torch.Tensor | None, momentum: float) -> torch.Tensor:
    """Return the vector that an honest peer submits; bit-equal for equal arguments.

    Args:
        gradient: float32 on the CPU, shape (d,); may hold NaN or Inf.
        base: m_(t-1), float32 on the CPU, shape (d,); None for zeros. Without momentum it is not looked at.
        momentum: mu in [0, 1).

    Returns:
        m_t, float32 of shape (d,), `gradient` itself without momentum. All zeros if any of its numbers is not finite:
        such numbers on the wire are an offence, and a peer whose arithmetic overflowed has nothing to say.

    Raises:
        ValueError: the base is no float32 vector of the gradient's shape.
    """
    vector = gradient
    if momentum > 0:
        if base is None:
            # Not left out: adding zero turns -0 into +0, and all peers must do the same.
            base = torch.zeros_like(gradient)
        if base.shape != gradient.shape or base.dtype != torch.float32:
            raise ValueError(
                f"a base is float32 of shape {tuple(gradient.shape)}, this one is {base.dtype} of shape "
                f"{tuple(base.shape)}"
            )
        # Two products, then a sum, each rounded: a fused operation would round once less on some processors.
        vector = base.mul(momentum).add_(gradient.mul(1.0 - momentum))
    # NaN wins in aminmax, so two numbers tell of all; ten times as fast as torch.isfinite.
    least, most = torch.aminmax(vector)
    return vector if bool(torch.isfinite(least) & torch.isfinite(most)) else torch.zeros_like(vector)


@dataclass(frozen=True)
class Link:
    """The last vector that a peer was seen to submit: into how many parts it was cut, and their hashes."""

    count: int
    digests: tuple[bytes, ...]


@dataclass(frozen=True)
class KeptLink:
    """The last link of a chain as it is kept on a disk: what was submitted in `step`, and its base, 4 d float32 bytes
    each."""

    step: int
    base: bytes
    vector: bytes


@dataclass(frozen=True)
class _Submission:
    step: int
    base: torch.Tensor | None
    digest: bytes
    submitted: torch.Tensor


class Momentum:
    """A peer's own chain of submissions. Without momentum (mu = 0) it keeps no bases.

    Steps are given in ascending order, the same step perhaps again. A step that is left out leaves the chain as it is.
    """

    def __init__(self, momentum: float, dimension: int) -> None:
        """`momentum`: mu in [0, 1), kept as `mu`; `dimension`: d."""
        self.mu = momentum
        self._dimension = dimension
        self._links: tuple[_Submission, ...] = ()

    def base(self, step: int) -> torch.Tensor | None:
        """Return m_(t-1) for t = `step`, float32 of shape (d,), zeros at the start of the chain; None without momentum.

        Nobody may change it.
        """
        if not self.mu:
            return None
        known = [link for link in self._links if link.step <= step]
        if not known:
            return torch.zeros(self._dimension)
        return known[-1].base if known[-1].step == step else known[-1].submitted

    def submitted(self, step: int, base: torch.Tensor | None, vector: torch.Tensor) -> None:
        """Note what was submitted in `step` (m_t, float32 of shape (d,), not to be changed) and from which `base`."""
        earlier = tuple(link for link in self._links if link.step < step)
        promised = b"" if base is None else digest(bytes_of(base))
        self._links = (*earlier, _Submission(step, base, promised, vector))[-_KEPT:]

    def withdraw(self, step: int) -> None:
        """Take back what was noted for `step`: the peer has sent nothing in it after all."""
        self._links = tuple(link for link in self._links if link.step != step)

    def reset(self) -> None:
        """Begin a new chain, as a peer does that joins."""
        self._links = ()

    def last(self) -> KeptLink | None:
        """Return the last link for a disk; None without momentum, and at the start of the chain."""
        link = self._links[-1] if self._links else None
        if link is None or link.base is None:
            return None
        return KeptLink(link.step, bytes(bytes_of(link.base)), bytes(bytes_of(link.submitted)))

    def go_on(self, kept: KeptLink) -> None:
        """Go on with a chain that was kept; raises Malformed for vectors of another length."""
        base, vector = (vector_from_bytes(data, self._dimension) for data in (kept.base, kept.vector))
        self._links = (_Submission(kept.step, base, digest(kept.base), vector),)

    @property
    def digest(self) -> bytes:
        """The 32-byte digest of the last submission's base as float32 bytes; empty when there is none."""
        return self._links[-1].digest if self._links else b""

    def base_bytes(self, step: int) -> bytes | None:
        """Return the base of the submission of `step` as 4 d float32 bytes, None if it is not kept."""
        bases = (link.base for link in self._links if link.step == step)
        return next((bytes(bytes_of(base)) for base in bases if base is not None), None)

    def vector_bytes(self, step: int) -> bytes | None:
        """Return the vector of `step`, before it was cut and clipped, as 4 d float32 bytes, None if it is not kept."""
        return next((bytes(bytes_of(link.submitted)) for link in self._links if link.step == step), None)


def vector_from_bytes(data: bytes | bytearray | memoryview, dimension: int) -> torch.Tensor:
    """Return a vector that another peer served, float32 of shape (d,), whatever its numbers; raises Malformed."""
    if len(data) != 4 * dimension:
        raise Malformed(f"a vector of {dimension} numbers has {4 * dimension} bytes, this one has {len(data)}")
    return torch.frombuffer(bytearray(data), dtype=torch.float32)


def base_from_bytes(data: bytes | bytearray | memoryview, dimension: int) -> torch.Tensor:
    """Return the base that another peer served, float32 of shape (d,).

    Raises:
        Malformed: not 4 d bytes, or numbers that are not finite.
    """
    base = vector_from_bytes(data, dimension)
    if not bool(torch.isfinite(base).all()):
        raise Malformed("the base holds numbers that are not finite")
    return base
