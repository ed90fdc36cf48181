"""`hattriq study`: a study of the suite, or a plan of one's own."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field


@dataclass(frozen=True)
class Study:
    """Run a study: many small tasks that answer one question.

    Without a NAME the studies are listed. NAME is one of them, `all`, or a plan, a file that ends in .toml: a grid of models,
    inputs, engines, estimators, mitigations and shots of your own. `hattriq study NAME --help` lists the options of each.

    Each result is kept as soon as it is known, and what exists is not computed again, so that a study can be stopped at any
    time and started again by the same command. Tables, pictures and a page are written at the end.

    Args:
        name (NAME): Study or plan.
        options (OPTION): Options of the study.
        new (FILE): Write a commented plan into this new file, to be edited and run.

    Examples:
        hattriq study
        hattriq study signs --quick
        hattriq study --new plan.toml
        hattriq study plan.toml --list
        hattriq study plan.toml --out runs/mine --workers 4
        hattriq study mitigation --model runs/bars --data bars_and_stripes --engine virtual:weber \
--mitigations none readout twirl,readout --shots 10000 100000 --repeats 3 --out runs/mine
    """

    name: str | None = None
    options: tuple[str, ...] = field(default=(), metadata={"rest": True})
    _: KW_ONLY
    new: str | None = None

    def run(self) -> int:
        """Run the study, list the studies, or write a plan."""
        from experiments.runner import registry
        from hattriq_cirq.foundation.display import printable

        if self.new is not None:
            if self.name is not None:
                raise ValueError(f"--new {self.new} writes a plan and runs nothing; leave out {self.name!r}")
            from experiments.runner.plan import write_example

            path = printable(write_example(self.new))
            print(f"wrote {path}; edit it, then: hattriq study {path} --list")
            return 0
        if self.name is None:
            print("studies:", registry.listed(), sep="\n")
            print("run one by `hattriq study NAME`; for a plan of your own: `hattriq study --new plan.toml`")
            return 0
        try:
            return registry.run_words([self.name, *self.options])
        except RuntimeError as error:  # tasks failed; the others are kept
            raise ValueError(f"{error}\nthe same command runs only what has no result yet") from error
