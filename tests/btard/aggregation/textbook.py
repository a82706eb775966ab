"""CenteredClip as the textbook writes it: float64, whole vectors, one step after another. Slow, and the oracle."""

import torch


def clipped(rows: torch.Tensor, v: torch.Tensor, tau: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Float64 (n, d) rows and (d,) v to the (n, d) clipped differences and the (n,) distances."""
    differences = rows.double() - v.double()
    distances = torch.linalg.vector_norm(differences, dim=1)
    factors = torch.where(distances > tau, tau / distances, torch.ones_like(distances))
    return differences * factors[:, None], distances


def relative_residual(rows: torch.Tensor, v: torch.Tensor, tau: float, weights: torch.Tensor | None = None) -> float:
    """Length of the sum of the weighted clipped differences over the sum of their lengths; 0 when all are 0."""
    contributions, distances = clipped(rows, v, tau)
    weights = torch.ones(len(rows)).double() if weights is None else weights.double()
    size = float(weights @ distances.clamp(max=tau))
    return float((weights @ contributions).norm()) / size if size > 0 else 0.0


def rounding_floor(rows: torch.Tensor, v: torch.Tensor, tau: float, weights: torch.Tensor | None = None) -> float:
    """The relative residual that rounding an exact solution to float32 may leave."""
    _, distances = clipped(rows, v, tau)
    weights = torch.ones(len(rows)).double() if weights is None else weights.double()
    factors = torch.where(distances > tau, tau / distances, torch.ones_like(distances))
    size = float(weights @ distances.clamp(max=tau))
    return float(weights @ factors) * 2.0**-24 * float(v.double().norm()) / size if size > 0 else 0.0


def paper_step(rows: torch.Tensor, tau: float, *, tol: float = 1e-9, max_steps: int = 100_000) -> torch.Tensor:
    """Karimireddy et al. (arXiv 2012.10333): v <- v + (1/n) sum_i clip(x_i - v), from the coordinate-wise median."""
    v = rows.double().median(dim=0).values
    for _ in range(max_steps):
        contributions, distances = clipped(rows, v, tau)
        if contributions.sum(0).norm() <= tol * distances.clamp(max=tau).sum():
            return v
        v = v + contributions.mean(0)
    raise AssertionError(f"the textbook did not converge in {max_steps} steps")
