"""Errors of zhijian: one root, and beneath it what heals and what does not.

Conventions
-----------
A message says what was found, what was expected, where, and what to do.
It may hold call ids and file names; never transcript text, phone numbers or keys.

Table of contents: `ZhijianError`; terminal kinds (`InputError`, `ConfigError`,
`RecordingError` and its children, `KeyMaterialError`, `ModelMissingError`,
`RulebookError`, `ResultsError`, `AccountingError`, `NightStoppedError`); transient kinds
(`TransientError`, `StorageError`, `WorkerDiedError`).
"""

from __future__ import annotations


class ZhijianError(Exception):
    """Root of all errors that this software raises on purpose.

    Attributes
    ----------
    kind : str
        Stable snake_case name; it is what the ``quarantine`` table stores.
    transient : bool
        Whether the same work may succeed if it is simply tried again.
    """

    kind: str = "error"
    transient: bool = False


class TerminalError(ZhijianError):
    """Trying again without changing the input cannot help."""

    kind = "terminal"


class TransientError(ZhijianError):
    """Trying again later may help (a network, a full disk, a dead worker)."""

    kind = "transient"
    transient = True


class InputError(TerminalError):
    """A value that a user or a caller gave is not usable."""

    kind = "bad_input"


class ConfigError(TerminalError):
    """A setting is unknown or out of range."""

    kind = "bad_setting"


class CallRecordError(InputError):
    """A row of the call detail records (随录参数) is malformed."""

    kind = "bad_call_record"


class DuplicateCallError(CallRecordError):
    """A call id stands in more than one row of the call detail records."""

    kind = "duplicate_call_record"


class RecordingError(TerminalError):
    """A recording cannot be turned into audio."""

    kind = "bad_recording"


class RecordingMissingError(RecordingError):
    """The call record has no recording."""

    kind = "recording_missing"


class UnexpectedRecordingError(RecordingError):
    """The recording has no call record."""

    kind = "call_record_missing"


class RescoredCallChangedError(RecordingError):
    """What a version was made from changed after a person had asked for it; no night supersedes it."""

    kind = "changed_after_rescore"


class DecryptError(RecordingError):
    """The container was altered, cut, or is no container at all."""

    kind = "decrypt_failed"


class WrongKeyError(DecryptError):
    """The identity is none of the container's recipients."""

    kind = "wrong_key"


class DecodeError(RecordingError):
    """The decrypted bytes are no audio of a known kind."""

    kind = "decode_failed"


class EmptyAudioError(RecordingError):
    """Zero samples."""

    kind = "empty_audio"


class SilentAudioError(RecordingError):
    """Samples, but nobody speaks in any of them."""

    kind = "silent_audio"


class KeyMaterialError(TerminalError):
    """A key file is missing, malformed, or readable by others."""

    kind = "bad_key"


class AccessRefusedError(KeyMaterialError):
    """Something was asked for that the keys at hand do not open (a transcript, an unmasked number)."""

    kind = "access_refused"


class AuditError(TerminalError):
    """The audit log (who opened what) was altered, cut, or cannot be read."""

    kind = "audit_broken"


class ModelMissingError(TerminalError):
    """Model weights are absent or their sha256 does not match the registry."""

    kind = "model_missing"


class RulebookError(TerminalError):
    """The rulebook has problems; the message lists all of them with file and line."""

    kind = "bad_rulebook"


class ResultsError(TerminalError):
    """The results folder cannot be used or holds something that does not fit."""

    kind = "bad_results"


class AccountingError(TerminalError):
    """Calls in differ from scored + quarantined + skipped: a bug, never a warning."""

    kind = "accounting"


class NightStoppedError(TerminalError):
    """Somebody stopped the night; it goes on when it is started again, not by itself."""

    kind = "night_stopped"


class StorageError(TransientError):
    """Reading or writing failed for a reason outside the data."""

    kind = "storage"


class WorkerDiedError(TransientError):
    """A worker process ended while it heard a call."""

    kind = "worker_died"
