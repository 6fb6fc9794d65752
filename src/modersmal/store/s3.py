"""S3 and what speaks like it: uploads in parts that go on where they stopped, proven by ETag."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from modersmal.store.anyfs import AnyFs, open_fsspec
from modersmal.store.backend import OnProgress
from modersmal.store.retry import Backoff
from modersmal.store.trouble import Damaged

PART_BYTES = 16 << 20  # S3 takes at least 5 MiB and at most 10,000 parts
_MOST_PARTS = 9_000
_AT_ONCE = 4
READ_TIMEOUT_S = 60.0
_DELETE_AT_ONCE = 1_000
_MD5_ETAG = re.compile(r"[0-9a-f]{32}(-\d+)?")


def open_s3(url: str, backoff: Backoff) -> "S3":
    """The storage of an s3:// URL; keys, region and AWS_ENDPOINT_URL come from the environment."""
    filesystem, root = open_fsspec(
        "s3://" + url.partition("://")[2],
        max_concurrency=1,
        config_kwargs={
            # Waiting and trying again happens in one place, ours.
            "retries": {"total_max_attempts": 1},
            "connect_timeout": 10,
            "read_timeout": READ_TIMEOUT_S,
            # Every part carries its MD5; the newer checksums puzzle many stores that are not AWS.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
    )
    filesystem.retries = 1
    return S3(filesystem, root, backoff)


class S3(AnyFs):
    """A prefix of a bucket."""

    def __init__(self, filesystem: Any, root: str, backoff: Backoff) -> None:
        super().__init__(filesystem, root)
        self.backoff = backoff

    def put_all(self, files: Mapping[str, Path], on_bytes: OnProgress) -> None:
        for name, local in files.items():
            bucket, key, _ = self.fs.split_path(self._path(name))
            _Upload(self, bucket, key, local, on_bytes).run()

    def create(self, name: str, data: bytes) -> bool:
        try:
            return super().create(name, data)
        except OSError as error:
            code = _code(error)
            if code in ("PreconditionFailed", "412"):  # stores that leave out the condition's name
                return False
            if code in ("NotImplemented", "501"):
                raise NotImplementedError from error
            raise

    def write(self, name: str, data: bytes) -> None:
        bucket, key, _ = self.fs.split_path(self._path(name))
        self.call("put_object", Bucket=bucket, Key=key, Body=data, ContentMD5=_md5_base64(data))

    def delete(self, names: Sequence[str]) -> None:
        for begin in range(0, len(names), _DELETE_AT_ONCE):
            split = [
                self.fs.split_path(self._path(name))
                for name in names[begin : begin + _DELETE_AT_ONCE]
            ]
            answer = self.call(
                "delete_objects",
                Bucket=split[0][0],
                Delete={"Objects": [{"Key": key} for _, key, _ in split], "Quiet": True},
            )
            if failed := answer.get("Errors"):
                raise OSError(f"{failed[0].get('Key')} stays: {failed[0].get('Message')}")

    def _make_folder(self, path: str) -> None:
        pass

    def call(self, method: str, **arguments: Any) -> Any:
        return self.fs.call_s3(method, **arguments)


class _Upload:
    """One file on its way: whole where it is small, else in parts of which those there stay."""

    def __init__(self, s3: S3, bucket: str, key: str, local: Path, on_bytes: OnProgress) -> None:
        self.s3, self.local, self.on_bytes = s3, local, on_bytes
        self.where = {"Bucket": bucket, "Key": key}
        self.size_bytes = local.stat().st_size
        self.part_bytes = max(PART_BYTES, -(-self.size_bytes // _MOST_PARTS))

    def run(self) -> None:
        if self._is_there():
            self.on_bytes(self.size_bytes)
        elif self.size_bytes <= self.part_bytes:
            data = self.local.read_bytes()
            self.s3.call("put_object", **self.where, Body=data, ContentMD5=_md5_base64(data))
            self.on_bytes(len(data))
            self._confirm(hashlib.md5(data, usedforsecurity=False).hexdigest())
        else:
            self._confirm(self._in_parts())

    def _is_there(self) -> bool:
        """Whether an earlier attempt got through, and only its answer was lost."""
        try:
            head = self.s3.call("head_object", **self.where)
        except FileNotFoundError:
            return False
        etag = head.get("ETag", "").strip('"')
        return (
            head["ContentLength"] == self.size_bytes
            and bool(_MD5_ETAG.fullmatch(etag))
            and etag == self._etag()
        )

    def _etag(self) -> str:
        """What the file's ETag must be, read from the file."""
        with self.local.open("rb") as file:
            md5s = [
                hashlib.md5(part, usedforsecurity=False)
                for part in iter(lambda: file.read(self.part_bytes), b"")
            ]
        if self.size_bytes <= self.part_bytes:
            return (md5s or [hashlib.md5(usedforsecurity=False)])[0].hexdigest()
        return _joined(md5.digest() for md5 in md5s)

    def _in_parts(self) -> str:
        """Send what is missing and join it. Returns the ETag that the whole must have."""
        upload, there = self._begun() or (self._begin(), {})
        count = -(-self.size_bytes // self.part_bytes)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            numbers = range(1, count + 1)
            sent = [pool.submit(self._send_part, upload, number, there) for number in numbers]
            try:
                md5s = [future.result() for future in sent]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        parts = [
            {"PartNumber": number, "ETag": f'"{md5.hex()}"'} for number, md5 in enumerate(md5s, 1)
        ]
        self.s3.call(
            "complete_multipart_upload",
            **self.where,
            UploadId=upload,
            MultipartUpload={"Parts": parts},
        )
        return _joined(md5s)

    def _send_part(self, upload: str, number: int, there: Mapping[int, str]) -> bytes:
        """Send a part unless it is there. Returns its MD5."""
        with self.local.open("rb") as file:
            file.seek((number - 1) * self.part_bytes)
            data = file.read(self.part_bytes)
        md5 = hashlib.md5(data, usedforsecurity=False)
        if there.get(number) != md5.hexdigest():
            self.s3.backoff.run(lambda: self._upload_part(upload, number, data, md5.hexdigest()))
        self.on_bytes(len(data))
        return md5.digest()

    def _upload_part(self, upload: str, number: int, data: bytes, md5: str) -> None:
        answer = self.s3.call(
            "upload_part",
            **self.where,
            UploadId=upload,
            PartNumber=number,
            Body=data,
            ContentMD5=_md5_base64(data),
        )
        if _differs(answer.get("ETag", ""), md5):
            raise Damaged(f"part {number} arrived with other bytes than were sent")

    def _begin(self) -> str:
        return self.s3.call("create_multipart_upload", **self.where)["UploadId"]

    def _begun(self) -> tuple[str, dict[int, str]] | None:
        """An upload that was cut off, and the ETags of the parts that it has."""
        try:
            listed = self.s3.call(
                "list_multipart_uploads", Bucket=self.where["Bucket"], Prefix=self.where["Key"]
            )
            own = [
                upload
                for upload in listed.get("Uploads") or ()
                if upload["Key"] == self.where["Key"]
            ]
            if not own:
                return None
            newest = max(own, key=lambda upload: str(upload.get("Initiated", "")))["UploadId"]
            return newest, {
                part["PartNumber"]: part["ETag"].strip('"') for part in self._parts(newest)
            }
        except (PermissionError, FileNotFoundError, NotImplementedError):
            return None  # a store that does not list uploads begun, or ended this one meanwhile

    def _parts(self, upload: str) -> Iterable[dict[str, Any]]:
        marker = 0
        while True:
            answer = self.s3.call(
                "list_parts", **self.where, UploadId=upload, PartNumberMarker=marker
            )
            yield from answer.get("Parts") or ()
            if not answer.get("IsTruncated"):
                return
            marker = answer["NextPartNumberMarker"]

    def _confirm(self, expected: str) -> None:
        head = self.s3.call("head_object", **self.where)
        if head["ContentLength"] != self.size_bytes:
            raise Damaged(f"{head['ContentLength']} of {self.size_bytes} bytes arrived")
        hidden = head.get("SSECustomerAlgorithm") or "kms" in head.get("ServerSideEncryption", "")
        if not hidden and _differs(head.get("ETag", ""), expected):
            raise Damaged("other bytes arrived than were sent")


def _differs(etag: str, expected: str) -> bool:
    """Whether an ETag is an MD5, and not the right one; a few stores make others."""
    etag = etag.strip('"').lower()
    return bool(_MD5_ETAG.fullmatch(etag)) and etag != expected


def _joined(md5s: Iterable[bytes]) -> str:
    """The ETag of a file sent in parts, from the parts' MD5s."""
    parts = list(md5s)
    return f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"


def _md5_base64(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _code(error: BaseException) -> str:
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
