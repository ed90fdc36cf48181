"""Time that jobs take on a processor, as cirq_google estimates it."""

from __future__ import annotations

from hattriq_cirq.circuits.program import to_sweep
from hattriq_cirq.execution.backend import Job


def processor_seconds(job: Job) -> float:
    """Estimate the time that a processor takes for a job without other jobs in its queue, in seconds.

    It is a rough guide: `cirq_google.engine.estimate_run_sweep_time`, which was fitted to Sycamore processors in 2021, summed
    over the circuits of the job, with the latency of the service counted once.

    Example:
        >>> import cirq
        >>> circuit = cirq.FrozenCircuit(cirq.X(cirq.q(0, 0)), cirq.measure(cirq.q(0, 0)))
        >>> round(processor_seconds(Job("job-1", (circuit,), ({},), shots=24_000, seed=None)), 1)
        2.4
    """
    from cirq_google.engine import estimate_run_sweep_time

    points, shots = to_sweep(job.points), job.shots or 0
    first, *others = job.circuits
    seconds = estimate_run_sweep_time(first, points, shots)
    return float(seconds + sum(estimate_run_sweep_time(circuit, points, shots, latency=0.0) for circuit in others))
