"""S3-compatible storage for blobs that are too large for the database. Only the gateway may use it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from citadel.settings import S3Settings
from citadel.store.blobs import BlobLost, Upload
from citadel.store.journal import JournalUnavailable

#: Bytes of a part; S3 wants at least 5 MiB of all but the last. Each upload holds one in memory.
PART = 8 * 2**20
READ = 256 * 1024
ATTEMPTS = 3
SECONDS = 30


async def open_objects(settings: S3Settings, stack: AsyncExitStack) -> "S3Objects":
    """The bucket's objects, until the stack closes."""
    # Half a second and 30 MiB that only an installation with S3 pays.
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    config = AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        connect_timeout=5,
        read_timeout=SECONDS,
        retries={"max_attempts": ATTEMPTS, "mode": "standard"},
        # Checksums that not every S3-compatible server knows; the digest of the whole is our own.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = await stack.enter_async_context(
        get_session().create_client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            config=config,
        )
    )
    return S3Objects(client, settings.bucket)


class S3Objects:
    """`Objects` in a bucket. What the server refuses or does not answer is JournalUnavailable."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    async def upload(self, name: str) -> Upload:
        """Begins an object."""
        begun = await _asked(self._client.create_multipart_upload(Bucket=self._bucket, Key=name))
        return _Multipart(self._client, {"Bucket": self._bucket, "Key": name, "UploadId": begun["UploadId"]})

    async def read(self, name: str, offset: int) -> AsyncIterator[bytes]:
        """The bytes of an object from `offset` on; raises BlobLost."""
        found = await _asked(self._client.get_object(Bucket=self._bucket, Key=name, Range=f"bytes={offset}-"))
        async with found["Body"] as body:
            while piece := await _asked(body.read(READ)):
                yield piece

    async def delete(self, name: str) -> None:
        """Removes an object."""
        await _asked(self._client.delete_object(Bucket=self._bucket, Key=name))


class _Multipart:
    """`Upload` in parts."""

    def __init__(self, client: Any, target: dict[str, str]) -> None:
        self._client, self._target = client, target
        self._buffer = bytearray()
        self._parts: list[dict[str, Any]] = []

    async def write(self, data: bytes) -> None:
        """The next bytes."""
        self._buffer += data
        while len(self._buffer) >= PART:
            await self._send(bytes(memoryview(self._buffer)[:PART]))
            del self._buffer[:PART]

    async def _send(self, part: bytes) -> None:
        number = len(self._parts) + 1
        sent = await _asked(self._client.upload_part(**self._target, PartNumber=number, Body=part))
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    async def complete(self) -> None:
        """That was all."""
        if self._buffer or not self._parts:
            await self._send(bytes(self._buffer))
            self._buffer.clear()
        parts = {"Parts": self._parts}
        await _asked(self._client.complete_multipart_upload(**self._target, MultipartUpload=parts))

    async def abort(self) -> None:
        """It is not wanted after all."""
        await _asked(self._client.abort_multipart_upload(**self._target))


async def _asked(request: Any) -> Any:
    """An answer of the server; raises BlobLost and JournalUnavailable."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        async with asyncio.timeout(SECONDS * ATTEMPTS):
            return await request
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("NoSuchKey", "InvalidRange"):
            raise BlobLost(f"object storage has lost a blob ({code})") from error
        raise JournalUnavailable(f"object storage refuses: {code}") from error
    except (BotoCoreError, OSError, TimeoutError) as error:
        raise JournalUnavailable(f"object storage does not answer: {type(error).__name__}") from error
