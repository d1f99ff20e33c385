"""Forked kernels behave as stock ones: isolated, interruptible, gone with their owner; and they save the imports."""

import os
import signal
import subprocess
import sys
import time

import pytest
from jupyter_client.manager import start_new_kernel

from embedlab.chain.kernels import PRELOAD, PROVISIONER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")

LOADED = "import sys; print('torch' in sys.modules, [m for m in sys.modules if m.split('.')[0] == 'embedlab'])"


@pytest.fixture
def kernel(monkeypatch, tmp_path):
    """A forked kernel that starts in ``tmp_path`` with a variable of its own."""
    from jupyter_client.provisioning import KernelProvisionerFactory

    monkeypatch.setenv("ONE", "1")
    monkeypatch.setattr(KernelProvisionerFactory.instance(), "default_provisioner_name", PROVISIONER)
    manager, client = start_new_kernel(cwd=str(tmp_path))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def printed(client, code: str) -> str:
    """Execute code and return what it printed."""
    found = []
    client.execute_interactive(code, timeout=60, output_hook=found.append)
    return "".join(m["content"].get("text", "") for m in found).strip()


def test_a_forked_kernel_holds_the_slow_imports_and_nothing_of_embedlab(kernel):
    assert PRELOAD
    assert not [name for name in PRELOAD if name.startswith("embedlab")]
    own = ["embedlab", "embedlab.chain", "embedlab.chain.kernels"]  # imported after the fork, as it is now
    assert printed(kernel[1], LOADED) == f"True {own}"


def test_it_has_its_own_folder_environment_and_names(kernel, tmp_path):
    _, client = kernel
    assert printed(client, "import os; print(os.getcwd(), os.environ['ONE'])") == f"{tmp_path} 1"
    assert printed(client, "x = 5\nprint(x)") == "5"
    manager, other = start_new_kernel()
    try:
        assert printed(other, "print('x' in globals())") == "False"
    finally:
        other.stop_channels()
        manager.shutdown_kernel(now=True)


def test_figures_are_shown_inline(kernel):
    found = []
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    kernel[1].execute_interactive(code, timeout=60, output_hook=found.append)
    assert any("image/png" in m["content"].get("data", {}) for m in found)


def test_it_can_be_interrupted(kernel):
    manager, client = kernel
    client.execute("import time\nprint('begun', flush=True)\nfor _ in range(600):\n    time.sleep(0.1)")
    while client.get_iopub_msg(timeout=30)["content"].get("text", "").strip() != "begun":
        pass
    manager.interrupt_kernel()
    reply = client.get_shell_msg(timeout=30)
    assert reply["content"]["ename"] == "KeyboardInterrupt"


def test_it_says_when_it_died(kernel):
    manager, _ = kernel
    assert manager.is_alive()
    os.kill(manager.provisioner.pid, signal.SIGKILL)
    end = time.monotonic() + 30
    while manager.is_alive():
        assert time.monotonic() < end
        time.sleep(0.05)


OWNER = """
import sys, time
from jupyter_client.manager import start_new_kernel
if __name__ == "__main__":
    manager, client = start_new_kernel()
    print(manager.provisioner.pid, flush=True)
    time.sleep(600)
"""


def test_a_kernel_ends_with_the_process_that_started_it_even_when_that_is_killed(tmp_path):
    (tmp_path / "owner.py").write_text(OWNER)
    env = {**os.environ, "JUPYTER_DEFAULT_PROVISIONER_NAME": PROVISIONER}
    owner = subprocess.Popen([sys.executable, tmp_path / "owner.py"], env=env, stdout=subprocess.PIPE, text=True)
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    end = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < end, "the kernel outlives its owner"
        time.sleep(0.1)
