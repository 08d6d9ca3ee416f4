"""On which machine and with which versions the numbers were made."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = [
    "numpy",
    "scipy",
    "scikit-learn",
    "glum",
    "liblinear-official",
    "scikit-learn-intelex",
    "snapml",
    "cyanure",
    "skglm",
    "numba",
    "benchopt",
]


def cpu_model():
    """The name of the processor, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def n_cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def describe():
    """Print processor, memory, system, BLAS and versions."""
    from threadpoolctl import threadpool_info

    import sklearn_logreg

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    blas = {f"{pool['internal_api']} {pool['version']} for {pool.get('architecture')}" for pool in pools}
    installed = []
    for package in PACKAGES:
        try:
            installed.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            installed.append(f"{package} absent")
    print(f"- processor: {cpu_model()}, {n_cores()} cores")
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        print(f"- memory: {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB")
    print(f"- system: {platform.system()} {platform.release()}, Python {platform.python_version()}")
    print(f"- BLAS: {', '.join(sorted(blas)) or 'unknown'}")
    print(f"- sklearn_logreg {sklearn_logreg.__version__}")
    print(f"- {', '.join(installed)}")
    if hasattr(os, "getloadavg"):
        print(f"- load average at the start: {os.getloadavg()[0]:.1f}")
    print(flush=True)
