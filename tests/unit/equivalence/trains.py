"""Spike trains of which the truth is known: set rate, set CV, set shared input, set seed."""

from __future__ import annotations

import numpy as np

from imagefactory.model import Population, Spikes


def make_trains(
    seed: int,
    *,
    sizes: tuple[int, ...] = (40, 10),
    rate_hz: float = 20.0,
    cv: float = 1.0,
    shared: float = 0.0,
    duration_ms: float = 2000.0,
    dt_ms: float = 0.1,
    spread: float = 0.0,
) -> Spikes:
    """Gamma renewal trains, of which a `shared` part is one common Poisson train thinned by half.

    Each neuron's rate is drawn from a lognormal of mean `rate_hz` and sigma `spread`.
    """
    rng = np.random.default_rng(seed)
    steps = round(duration_ms / dt_ms)
    populations, first, found = [], 0, []
    for place, size in enumerate(sizes):
        populations.append(Population(("excitatory", "inhibitory", "third")[place], first, size))
        common = np.flatnonzero(rng.random(steps) < 2 * shared * rate_hz * dt_ms / 1000) + 1
        for neuron in range(first, first + size):
            own = rate_hz * (1 - shared) * rng.lognormal(-spread * spread / 2, spread)
            train = _renewal(rng, own, cv, duration_ms, dt_ms)
            train = np.union1d(train, common[rng.random(len(common)) < 0.5])
            found.append(np.column_stack([train, np.full(len(train), neuron)]))
        first += size
    pairs = np.concatenate(found).astype(np.int64)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Spikes(
        pairs[order, 1].copy(), pairs[order, 0].copy(), dt_ms, duration_ms, tuple(populations)
    )


def _renewal(
    rng: np.random.Generator, rate_hz: float, cv: float, duration_ms: float, dt_ms: float
) -> np.ndarray:
    mean = 1000 / rate_hz
    shape = 1 / (cv * cv)
    count = int(3 * duration_ms / mean) + 20
    times = np.cumsum(rng.gamma(shape, mean / shape, count)) - rng.random() * mean
    steps = np.unique(np.ceil(times[(times > 0) & (times <= duration_ms)] / dt_ms))
    return steps[steps <= round(duration_ms / dt_ms)].astype(np.int64)
