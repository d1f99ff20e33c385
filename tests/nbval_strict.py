"""A pytest plugin for nbval: notebooks are executed as people execute them, figures are compared too.

nbval by itself executes cells outside the history, where a closing ``;`` hides nothing, and leaves ``image/png``
out. Matplotlib draws the same bytes from the same numbers on one machine, so nothing needs to be left out here.
"""

from typing import Any

from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbFile


def _execute(self: Any, source: str, allow_stdin: bool | None = None) -> str:
    return self.kc.execute(source, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


def pytest_configure(config: Any) -> None:
    """Change both for this session."""
    build = IPyNbFile.__init__

    def strict(self: Any, *args: Any, **more: Any) -> None:
        build(self, *args, **more)
        self.skip_compare = tuple(kind for kind in self.skip_compare if not kind.startswith("image/"))

    IPyNbFile.__init__ = strict
    RunningKernel.execute_cell_input = _execute
