"""Tables of plain text."""

from __future__ import annotations

from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.workflows.accuracies import Accuracy


def accuracy_table(rows: tuple[Accuracy, ...]) -> str:
    """Accuracies as lines of text."""
    lines = [f"{'accuracy':<22}{'train':>8}{'test':>8}"]
    for row in rows:
        train_text, test_text = ("-" if value is None else f"{value:.3f}" for value in (row.train, row.test))
        lines.append(f"{row.classifier:<22}{train_text:>8}{test_text:>8}{f'  ({row.note})' if row.note else ''}")
    return "\n".join(lines)


def score_table(attribution: Attribution, indices: Array, labels: Array) -> str:
    """The score of each input and baseline as lines of text."""
    lines = [f"{'sample':>8}{'label':>7}{'F(input)':>12}{'F(baseline)':>13}{'gap':>11}{'std. error':>12}"]
    a = attribution
    columns = (indices, labels, a.f_input, a.f_baseline, a.completeness_gap, a.completeness_gap_stderr)
    for index, label, score, base, gap, error in zip(*columns, strict=True):
        lines.append(f"{index:>8}{label:>+7d}{score:>+12.6f}{base:>+13.6f}{gap:>+11.1e}{error:>12.1e}")
    return "\n".join(lines)


def feature_table(attribution: Attribution, top: int, shape: tuple[int, int] | None) -> str:
    """The features of one input with the largest attribution, as lines of text."""
    bits = (attribution.n_features - 1).bit_length()
    place = f"{'row':>6}{'col':>5}" if shape else ""
    lines = [f"{'feature':>9}  {'bits':<{max(bits, 4)}}{place}{'amplitude':>22}{'attribution':>13}{'std. error':>12}"]
    for feature, value in attribution.top(top):
        x, error = attribution.x[feature], attribution.stderr[feature]
        where = "{:>6}{:>5}".format(*divmod(feature, shape[1])) if shape else ""
        amplitude = f"{x:+.5f}"
        lines.append(
            f"{feature:>9}  {feature:0{bits}b}".ljust(11 + max(bits, 4))
            + f"{where}{amplitude:>22}{value:>+13.6f}{error:>12.1e}"
        )
    return "\n".join(lines)
