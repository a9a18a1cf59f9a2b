"""A repository in a bucket that speaks S3: `s3://bucket/prefix`. Conditional writes keep two publishers apart."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from edgeship.errors import InputError, MissingPackageError, RepositoryError, RepositoryUnavailable
from edgeship.publish.serving import headers
from edgeship.publish.stores import Stored


class S3Store:
    """A bucket, or what lies below a prefix in it. Credentials come from where AWS's tools look for them."""

    def __init__(self, address: str, endpoint_url: str | None = None) -> None:
        parts = urlsplit(address)
        query = parse_qs(parts.query)
        if not parts.netloc or set(query) - {"endpoint_url"}:
            raise InputError(f"{address!r} is no bucket", remedy="Give s3://BUCKET/PREFIX?endpoint_url=https://...")
        self.address = f"s3://{parts.netloc}{parts.path.rstrip('/')}"
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/") + "/" if parts.path.strip("/") else ""
        endpoint = endpoint_url or next(iter(query.get("endpoint_url", [])), None)
        self.identity = self.address if endpoint is None else f"{self.address}?endpoint_url={endpoint}"
        self._client = _client(endpoint)

    def read(self, path: str, limit_bytes: int) -> Stored | None:
        """The file; None: there is none. Raises RepositoryError if it is larger than the limit."""
        found = self._ask("get_object", path)
        if found is None:
            return None
        from botocore.exceptions import BotoCoreError

        try:
            content = found["Body"].read(limit_bytes + 1)
        except (BotoCoreError, OSError) as error:
            raise RepositoryUnavailable(f"{self.address}/{path}: {error}", remedy=_REMEDY) from error
        if len(content) > limit_bytes:
            raise RepositoryError(f"{self.address}/{path} is larger than {limit_bytes:,} bytes")
        return Stored(content, found["ETag"])

    def create(self, path: str, content: bytes) -> bool:
        """Write a file that is not there; False: it is there, and was left as it is."""
        return self._put(path, content, IfNoneMatch="*")

    def replace(self, path: str, content: bytes, tag: str) -> bool:
        """Write over a file if it is still the one with this tag; False: it is not, and was left as it is."""
        return self._put(path, content, IfMatch=tag)

    def _put(self, path: str, content: bytes, **condition: str) -> bool:
        shown = headers(path)
        done = self._ask(
            "put_object",
            path,
            Body=content,
            CacheControl=shown["Cache-Control"],
            ContentType=shown["Content-Type"],
            **condition,
        )
        return done is not None

    def _ask(self, operation: str, path: str, **arguments: Any) -> dict[str, Any] | None:
        """One request; None: the file is not there, or the condition is not met."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            done = getattr(self._client, operation)(Bucket=self._bucket, Key=self._prefix + path, **arguments)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if code == "NoSuchKey" or status in (409, 412):
                return None
            raise RepositoryUnavailable(f"{self.address}/{path}: {error}", remedy=_REMEDY) from error
        except BotoCoreError as error:
            raise RepositoryUnavailable(f"{self.address}: {error}", remedy=_REMEDY) from error
        return dict(done)


_REMEDY = (
    "Check the name of the bucket, the endpoint (--endpoint-url) and the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID)."
)


def _client(endpoint_url: str | None) -> Any:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise MissingPackageError(
            "publishing to s3:// needs boto3", remedy="Get it: pip install 'edgeship[publish]'"
        ) from error
    try:
        config = Config(retries={"mode": "standard", "max_attempts": 3})
        return boto3.client("s3", endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as error:
        raise RepositoryUnavailable(f"S3 cannot be used: {error}", remedy=_REMEDY) from error
