"""The verb features: what this runtime can do, as JSON for the engine above.

It says what the program knows, and not what this machine can: the specification wants
it so. The names come from the tables by which the program works.
"""

from __future__ import annotations

import json

from labkit.linux.flags import CAP, NamespaceType
from labkit.primitives.mount_options import known_words
from labkit.primitives.seccomp import ACTIONS, ARCHITECTURES, FLAGS, OPERATORS
from labkit.runtime.spec.document import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from labkit.runtime.oci.command import Call

OLDEST = "1.0.0"
_HOOKS = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)


def features(call: Call) -> None:
    """Print what this runtime can do, as the specification's features structure.

    labkit-oci features
    """
    print(json.dumps(document(), indent=2))


def document() -> dict[str, Any]:
    """Return the features structure.

    Spec: features.md, features-linux.md.
    """
    return {
        "ociVersionMin": OLDEST,
        "ociVersionMax": VERSION,
        "hooks": list(_HOOKS),
        "mountOptions": sorted(known_words()),
        "linux": _linux(),
    }


def _linux() -> dict[str, Any]:
    return {
        "namespaces": sorted(kind.value for kind in NamespaceType),
        "capabilities": [str(capability) for capability in CAP],
        "cgroup": {
            "v1": True,
            "v2": True,
            "systemd": False,
            "systemdUser": False,
            "rdma": False,
        },
        "seccomp": {
            "enabled": True,
            "actions": sorted(ACTIONS),
            "operators": sorted(OPERATORS),
            "archs": sorted(ARCHITECTURES),
            "knownFlags": sorted(FLAGS),
            "supportedFlags": sorted(FLAGS),
        },
        "apparmor": {"enabled": False},
        "selinux": {"enabled": False},
        "intelRdt": {"enabled": False},
        "mountExtensions": {"idmap": {"enabled": True}},
    }
