"""Pool what many images say of a few unknowns, each a little: the estimate that fits all, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ITERATIONS = 8
OUTLIER_SCALE = 2.0  # images that say something else by so many times as much as usual count half
LEAST_SHARE = 0.1  # of a variance remains where neighbours make up for each other
USUAL_DISTANCE = 0.9  # median of the root of chi-squared per degree of freedom, of four to seven


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Hold (P,) unknowns and their (P,) standard deviations; claimed_stds: (P,) as the images claim them."""

    values: NDArray
    stds: NDArray
    claimed_stds: NDArray


def pool_estimates(
    informations: NDArray, vectors: NDArray, prior_stds: NDArray, *, differences: bool = False
) -> Pooled:
    """Return what images say together of unknowns that are near 0 but for what they say.

    The sum of all normal equations, where an image counts less the less it agrees with the others (Cauchy's weight),
    since some rest on wrong matches. The deviation is that of the images among themselves, neighbours taken as related
    if that makes it larger, and not less than they claim: few that agree by chance make nothing sure.

    Args:
        informations: (N, P, P) of each image, in order; singular ones are welcome.
        vectors: (N, P) the information times what fits that image best.
        prior_stds: (P,) deviations of the unknowns without any image.
        differences: neighbours share a measurement, with opposite signs, and make up for each other's errors.
    """
    prior = np.diag(prior_stds**-2.0)
    claimed = np.linalg.inv(informations + prior)
    weights = np.ones(len(vectors))
    for _ in range(ITERATIONS):
        covariance = np.linalg.inv(np.einsum("n,nij->ij", weights, informations) + prior)
        values = covariance @ (weights @ vectors)
        left = vectors - informations @ values
        distances = np.sqrt(np.maximum(np.einsum("ni,nij,nj->n", left, claimed, left), 0.0) / len(values))
        usual = max(float(np.median(distances)) / USUAL_DISTANCE, 1e-9)
        weights = 1 / (1 + (distances / (OUTLIER_SCALE * usual)) ** 2)
    scores = weights[:, None] * left
    beside = scores[1:].T @ scores[:-1]
    scale = len(scores) / max(len(scores) - len(values), 1)
    apart, related = (
        np.diag(covariance @ (scale * spread + prior) @ covariance)
        for spread in (scores.T @ scores, scores.T @ scores + beside + beside.T)
    )
    claimed_variances = np.diag(covariance)
    least = LEAST_SHARE * apart if differences else np.maximum(apart, claimed_variances)
    return Pooled(values, np.sqrt(np.maximum(related, least)), np.sqrt(claimed_variances))
