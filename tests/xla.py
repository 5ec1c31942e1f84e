"""How XLA compiles in the tests, which compile much and compute little.

JAX reads these flags when a device is first asked for.
"""

from importlib.metadata import version

QUICK = "--xla_backend_optimization_level=0"
"""Without optimisation a program compiles in half the time."""

# The older code generator takes half the time of the rest: 2.5 CPU seconds of 5.3 for
# the programs of a label graph and an LSTM. A flag that jaxlib does not know ends the
# process, so it is given only to versions that were seen to know it.
if version("jaxlib").startswith("0.10."):
    QUICK += " --xla_cpu_use_fusion_emitters=false"


def flags(devices: int) -> str:
    """For a process with so many CPU devices."""
    return f"--xla_force_host_platform_device_count={devices} {QUICK}"
