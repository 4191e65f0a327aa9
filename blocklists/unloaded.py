"""What python-tuf and securesystemslib import by themselves and almost no command uses (docs/decisions/0126).

`blocklists` calls `leave_out` before either is imported, wherever that is. A key in a token calls `load_pkcs11`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_FETCHER = "tuf.ngclient.urllib3_fetcher"
_PKCS11 = "pkcs11"


def leave_out() -> None:
    """Replace python-tuf's HTTP client by an empty class; let securesystemslib believe that python-pkcs11 is missing.

    What this process has imported already stays.
    """
    if _FETCHER not in sys.modules:
        sys.modules[_FETCHER] = ModuleType(_FETCHER, "Nothing is fetched by this.")
        sys.modules[_FETCHER].__dict__["Urllib3Fetcher"] = type("Urllib3Fetcher", (), {})
    # None makes the import statement raise ImportError, which securesystemslib expects
    sys.modules.setdefault(_PKCS11, None)  # type: ignore[arg-type]


def load_pkcs11() -> None:
    """Let securesystemslib's tokens have python-pkcs11, where it is installed."""
    if sys.modules.get(_PKCS11, sys) is None:
        del sys.modules[_PKCS11]
        # the classes that were imported from this module use its globals, which the reload renews
        importlib.reload(importlib.import_module("securesystemslib.signer._hsm_signer"))
