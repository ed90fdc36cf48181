"""Train a classifier on a table, and say why it answers so for a few rows.

$ python examples/attribute_a_table.py
"""

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import hattriq_cirq as hq


def load() -> tuple[pd.DataFrame, pd.Series]:
    """Return the rows of a table and their labels; put your own here."""
    data = load_breast_cancer(as_frame=True)
    return data.data, data.target.map({0: "malignant", 1: "benign"})


def main(epochs: int | str = "auto") -> float:
    """Train, print the answers of four test rows, write report.html, and return the test accuracy."""
    x, y = load()
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    classifier = hq.AmplitudeClassifier(epochs=epochs, seed=0).fit(x_train, y_train)
    accuracy = classifier.score(x_test, y_test)
    print(f"test accuracy {accuracy:.3f}")
    attribution = classifier.attribute(x_test[:4], baseline="mean")  # against the mean training row
    for one in attribution:
        print(one.answer())
    hq.report(attribution, "report.html")
    classifier.save("classifier.json")
    return accuracy


if __name__ == "__main__":
    main()
