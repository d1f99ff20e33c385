"""An exported model as somebody uses it who has its folder and nothing of this project."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np


def as_its_readme_says(folder: Path, texts: dict[str, list[str]]) -> tuple[dict[str, np.ndarray], set[str]]:
    """Load an export in a fresh process by the code in its README; return vectors by kind, and what was imported."""
    [code] = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    asked = f"""
import json, sys
found = {{kind: encode(some, kind).tolist() for kind, some in {texts!r}.items()}}
print(json.dumps([found, sorted({{name.split(".")[0] for name in sys.modules}})]))
"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", code + asked], cwd=folder, env={"PATH": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    vectors, imported = json.loads(done.stdout.splitlines()[-1])
    return {kind: np.array(some, dtype=np.float32) for kind, some in vectors.items()}, set(imported)
