"""Run a training that was written down: ``accelerate launch -m embedlab.training FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from embedlab.errors import EmbedlabError
from embedlab.training.job import Job

USAGE = "usage: accelerate launch -m embedlab.training FOLDER (the folder that step 14 prepared)\n"


def main(arguments: list[str]) -> None:
    """Train what a folder describes; an error is one line, with status 1."""
    if len(arguments) != 1:
        sys.stderr.write(USAGE)
        sys.exit(2)
    try:
        history = Job.read(Path(arguments[0])).run()
    except EmbedlabError as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{len(history.loss)} steps; step {history.chosen()} goes on\n")


if __name__ == "__main__":
    main(sys.argv[1:])
