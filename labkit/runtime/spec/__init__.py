"""config.json as typed values, after the OCI runtime specification 1.0 to 1.2.

    Spec.read(bundle)        frozen values with the specification's names in snake_case
    Spec.from_json(document)
    Spec.default()           what `labkit-oci spec` writes

    node        a JSON value that knows its place: errors name it as a JSON pointer
    document    Spec itself          process      process, user, capabilities, limits
    mounts      mounts and hooks     linux        namespaces, ids, devices, paths
    resources   linux.resources      seccomp      linux.seccomp
    default     the example document

Fields that nobody here knows are passed over, as the specification asks.
Left out: windows, solaris, vm; linux.intelRdt; security labels, which are only read.
"""

from labkit.runtime.spec.document import Spec
from labkit.runtime.spec.process import Process

__all__ = ["Process", "Spec"]
