"""Where corpora and runs are kept: files that survive (`files`), and the other parts by name."""

from modersmal.store.files import (
    MANIFEST,
    remove_drafts,
    replacing,
    sha256,
    sync_folder,
    verify_manifest,
    write_bytes,
    write_json,
    write_manifest,
    writing,
)

__all__ = [
    "MANIFEST",
    "remove_drafts",
    "replacing",
    "sha256",
    "sync_folder",
    "verify_manifest",
    "write_bytes",
    "write_json",
    "write_manifest",
    "writing",
]
