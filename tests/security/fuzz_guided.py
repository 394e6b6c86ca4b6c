"""Coverage-guided fuzzing of the parsers written here, with Atheris, which is no dependency of the project.

``pip install atheris`` into the environment, then ``python -m tests.security.fuzz_guided sm4
-max_total_time=60``. Targets: ``sm4`` (container header), ``rewrap`` (age header), ``calls`` (call records),
``bech32`` (keys). Anything but an error of the project's own kinds stops the run and leaves the input in a
file.
"""

from __future__ import annotations

import contextlib
import sys


def _sm4(data: bytes) -> None:
    from pipeline.vault import sm4
    from pipeline.vault.envelope import decrypt
    from tests.security.fuzz import _keys

    decrypt(sm4.MAGIC + data, _keys())


def _rewrap(data: bytes) -> None:
    from pipeline.vault.rewrap import rewrap
    from tests.security.fuzz import _keys

    stanzas = b"-> X25519 " + data.replace(b"|", b"\n-> X25519 ")
    rewrap(b"age-encryption.org/v1\n" + stanzas + b"\n--- AAAA\npayload", _keys(), _keys().recipients)


def _calls(data: bytes) -> None:
    from pipeline import tablefiles
    from pipeline.callrecords import read_call_records

    tablefiles.read_bytes = lambda _place, max_bytes=None: data  # no file: the parser alone
    read_call_records("calls.jsonl" if data[:1] == b"{" else "calls.csv")


def _bech32(data: bytes) -> None:
    from pipeline.vault import x25519

    with contextlib.suppress(ValueError):
        x25519.bech32_decode(data.decode("utf-8", "replace"))


TARGETS = {"sm4": _sm4, "rewrap": _rewrap, "calls": _calls, "bech32": _bech32}


def main() -> None:
    """Fuzz the target that the first argument names; the rest goes to libFuzzer."""
    import atheris

    with atheris.instrument_imports(include=["pipeline"]):
        import pipeline.callrecords
        import pipeline.tablefiles
        import pipeline.vault.rewrap
        import pipeline.vault.sm4
        import pipeline.vault.x25519  # noqa: F401 - imported to be instrumented
    from pipeline.errors import ZhijianError

    run = TARGETS[sys.argv[1]]

    def one(data: bytes) -> None:
        with contextlib.suppress(ZhijianError):
            run(data)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
