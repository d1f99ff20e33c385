"""For who must decide anyway: how likely the gain is worth it, and what either decision is expected to cost."""

from __future__ import annotations

from embedlab.evaluation.results import Comparison, Stakes


def stakes(found: Comparison) -> Stakes:
    """Return the probability that the true gain exceeds the minimum, and the expected regret of either decision.

    The true gain is taken to be spread around the one seen as Student's t, with a width that gives the comparison's
    95 % interval: the posterior of a mean under a flat prior. With ``z = (m - gain) / error``, density f and
    distribution F of Student's t with ν degrees of freedom,
    ``E[max(0, m - g)] = error · (z F(z) + f(z) (ν + z²) / (ν - 1))`` (the expected loss of Raiffa and Schlaifer 1961,
    for t); not shipping is the same of the other tail.

    Args:
        found: a comparison at its ``min_gain``.
    """
    from scipy import stats

    low, high = found.ci95
    # The mean loss of one degree of freedom is infinite: two are the least that can be told of.
    freedom = max(found.n_groups - 1, 2)
    error = (high - low) / 2 / float(stats.t.ppf(0.975, freedom))
    if error == 0:
        short = found.min_gain - found.delta
        return Stakes(float(short < 0), max(0.0, short), max(0.0, -short))
    z = (found.min_gain - found.delta) / error
    spread = float(stats.t.pdf(z, freedom)) * (freedom + z**2) / (freedom - 1)
    return Stakes(
        probability=float(stats.t.sf(z, freedom)),
        of_shipping=error * (z * float(stats.t.cdf(z, freedom)) + spread),
        of_staying=error * (spread - z * float(stats.t.sf(z, freedom))),
    )
