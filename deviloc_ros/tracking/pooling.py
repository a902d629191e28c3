"""Pool the information of many images about a few unknowns into one robust estimate with standard deviations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ITERATIONS = 8
OUTLIER_SCALE = 2.0  # images that deviate this many times as much as usual count half
LEAST_SHARE = 0.1  # of a variance that remains if neighbours compensate each other
USUAL_DISTANCE = 0.9  # median of sqrt(chi-squared / degrees of freedom), for four to seven degrees


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Hold (P,) unknowns and their (P,) standard deviations; claimed_stds: (P,) by the images' informations alone."""

    values: NDArray
    stds: NDArray
    claimed_stds: NDArray


def pool_estimates(
    informations: NDArray, vectors: NDArray, prior_stds: NDArray, *, differences: bool = False
) -> Pooled:
    """Return the joint estimate of unknowns with a prior around 0.

    It solves the sum of all normal equations. Images that disagree with the others are weighted down (Cauchy), since
    some have wrong matches. The standard deviation comes from the scatter of the images. Correlation of neighbours is
    included if that makes it larger, and it is not smaller than the informations claim, since a few images may agree by
    chance.

    Args:
        informations: (N, P, P) of each image, in order; they may be singular.
        vectors: (N, P) information vectors: the information times the best estimate of that image.
        prior_stds: (P,) standard deviations of the prior.
        differences: neighbours share a measurement with opposite signs, so that their errors partly cancel.
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
