"""What was said, sealed inside the Parquet files: column encryption under the transcript key.

Conventions
-----------
Columns whose ``access`` is ``transcript`` (`pipeline.results.schemas`) are encrypted by Parquet's own modular
encryption (AES-GCM, a random key for each file and column, wrapped under the transcript key). The footer
stays readable: without the key pandas, pyarrow or DuckDB read every other column, as do dashboards. Of
``evidence`` only the quotes are sealed, so places to listen to stay open.

The key's place comes from ``ZHIJIAN_TRANSCRIPT_KEY`` or ``transcript_key`` in ``zhijian.toml`` (``file:``,
``env:``, ``transit+https:``; several, divided by commas, while a key is being changed). Without one, files
are written plain, and a results folder may hold both kinds.

Table of contents: `transcript_place`, `writing`, `reading`, `sealed_columns`, `refusal`.

References
----------
.. [1] https://github.com/apache/parquet-format/blob/master/Encryption.md
"""

from __future__ import annotations

import base64
import os
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet.encryption as pe

from pipeline.errors import AccessRefusedError
from pipeline.settings import CONFIG_FILE, ENV_PREFIX, load_settings

_AAD = b"zhijian parquet 1 "
_SEALED = b"zhijian.sealed"
# Of these columns only one leaf says what was said.
_LEAVES = {"evidence": ("quote",)}


def transcript_place() -> str | None:
    """Tell where the transcript key is kept; None if none is set."""
    given = os.environ.get(f"{ENV_PREFIX}TRANSCRIPT_KEY")
    if given:
        return given
    return load_settings()[0].transcript_key if Path(CONFIG_FILE).exists() else None


def writing(schema: pa.Schema) -> tuple[pa.Schema, Any]:
    """Prepare the encryption of a file that is about to be written.

    Parameters
    ----------
    schema : pyarrow.Schema
        Its fields' metadata say which columns are to be sealed.

    Returns
    -------
    schema : pyarrow.Schema
        The same, marked as sealed if it is.
    properties : FileEncryptionProperties or None
        None if there is no key or nothing to seal.

    Raises
    ------
    KeyMaterialError
        If the key is set and cannot be used: nothing is then written plain by mistake.
    """
    place = transcript_place()
    closed = sealed_columns(schema)
    if place is None or not closed:
        return schema, None
    factory, connection, key_id = _factory(place)
    leaves = [path for name in closed for path in _paths(schema.field(name))]
    configuration = pe.EncryptionConfiguration(
        footer_key=key_id,
        column_keys={key_id: leaves},
        encryption_algorithm="AES_GCM_V1",
        plaintext_footer=True,
        double_wrapping=True,
    )
    marked = schema.with_metadata({**(schema.metadata or {}), _SEALED: key_id.encode()})
    return marked, factory.file_encryption_properties(connection, configuration)


def reading() -> Any:
    """Give the decryption configuration of a dataset scan; None without a key."""
    place = transcript_place()
    if place is None:
        return None
    factory, connection, _ = _factory(place)
    return ds.ParquetDecryptionConfig(factory, connection, pe.DecryptionConfiguration())


def file_properties() -> Any:
    """Give the decryption properties of a single file; None without a key."""
    place = transcript_place()
    if place is None:
        return None
    factory, connection, _ = _factory(place)
    return factory.file_decryption_properties(connection, pe.DecryptionConfiguration())


def sealed_columns(schema: pa.Schema) -> list[str]:
    """Name the columns of a schema that say what was said."""
    return [f.name for f in schema if (f.metadata or {}).get(b"access") == b"transcript"]


def sealed_with(schema: pa.Schema) -> str | None:
    """Give the id of the key a file was sealed with; None if it is plain."""
    found = (schema.metadata or {}).get(_SEALED)
    return found.decode() if found else None


def refusal(table: str, columns: list[str]) -> AccessRefusedError:
    """Make the error for whoever asks for sealed columns without their key."""
    shown = ", ".join(f"{table}.{name}" for name in columns)
    have = "no transcript key is set" if transcript_place() is None else "the transcript key is another one"
    return AccessRefusedError(
        f"{shown}: sealed, and {have}; set ZHIJIAN_TRANSCRIPT_KEY to its place, or ask for other columns"
    )


@cache
def _factory(place: str) -> tuple[Any, Any, str]:
    """Factory, connection and key id of a key; kept, since Arrow refers to them while it reads."""
    from pipeline.vault.providers import key_provider

    # the first key seals; others open what was sealed before the key was changed
    providers = [key_provider(one.strip()) for one in place.split(",")]
    by_id = {provider.key_id: provider for provider in providers}

    class Client(pe.KmsClient):  # type: ignore[misc]  # untyped base
        """Wraps the files' keys; asks the provider, which alone knows the transcript key."""

        def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
            """Wrap a key."""
            aad = _AAD + master_key_identifier.encode()
            wrapped = by_id[master_key_identifier].wrap(bytes(key_bytes), aad)
            return base64.b64encode(wrapped).decode()

        def unwrap_key(self, wrapped_key: str, master_key_identifier: str) -> bytes:
            """Unwrap a key."""
            provider = by_id.get(master_key_identifier)
            if provider is None:
                raise AccessRefusedError(
                    f"sealed with transcript key {master_key_identifier}, found only {', '.join(by_id)}"
                )
            return provider.unwrap(base64.b64decode(wrapped_key), _AAD + master_key_identifier.encode())

    factory = pe.CryptoFactory(lambda _configuration: Client())
    return factory, pe.KmsConnectionConfig(), providers[0].key_id


def _paths(field: pa.Field) -> list[str]:
    """Name the leaves of a column as Parquet does."""

    def leaves(kind: pa.DataType, path: str) -> list[str]:
        if pa.types.is_list(kind):
            return leaves(kind.value_type, f"{path}.list.element")
        if pa.types.is_struct(kind):
            return [leaf for part in kind for leaf in leaves(part.type, f"{path}.{part.name}")]
        return [path]

    wanted = _LEAVES.get(field.name)
    found = leaves(field.type, field.name)
    return found if wanted is None else [path for path in found if path.rpartition(".")[2] in wanted]
