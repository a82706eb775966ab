"""What AWS complains about, in a sentence, and which of its complaints pass by themselves."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)

from btard.errors import UserError

_HINTS = {
    "UnauthorizedOperation": "the credentials lack the permission for it",
    "AccessDenied": "the credentials lack the permission for it",
    "AccessDeniedException": "the credentials lack the permission for it",
    "AuthFailure": "the credentials are not valid",
    "InvalidClientTokenId": "the credentials are not valid",
    "ExpiredToken": "the credentials have expired",
    "RequestExpired": "the credentials have expired, or this machine's clock is wrong",
    "InsufficientInstanceCapacity": "AWS has no such machine free now; another --worker-type or --region may have",
    "SpotMaxPriceTooLow": "the spot price is above --max-price; raise it, or leave it away",
    "MaxSpotInstanceCountExceeded": "the account's limit of spot instances is reached; ask AWS to raise it",
    "VcpuLimitExceeded": "the account's limit of processors is reached; ask AWS to raise it, or take fewer --workers",
    "InstanceLimitExceeded": "the account's limit of instances is reached; ask AWS to raise it",
    "InvalidAMIID.NotFound": "there is no such image in this region; give another --ami",
    "InvalidAMIID.Malformed": "that is no id of an image; give another --ami",
    "ParameterNotFound": "there is no such parameter in this region; give another --ami",
    "InvalidSubnetID.NotFound": "there is no such --subnet in this region",
    "InvalidGroup.NotFound": "there is no such --security-group in this region",
    "InvalidKeyPair.NotFound": "there is no such --key-name in this region",
    "VpcLimitExceeded": "the account's limit of networks is reached; give a --subnet",
    "NoSuchBucket": "there is no such --bucket",
}
_PASSING = frozenset(
    {
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientCapacityOnHost",
        "InsufficientAddressCapacity",
        "SpotMaxPriceTooLow",
        "MaxSpotInstanceCountExceeded",
        "InternalError",
        "InternalFailure",
        "ServiceUnavailable",
        "Unavailable",
    }
)
_THROTTLING = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "TooManyRequestsException",
        "EC2ThrottledException",
        "SlowDown",
        "PriorRequestNotComplete",
        "BandwidthLimitExceeded",
    }
)


class CloudError(UserError):
    """A call that AWS did not answer as hoped.

    Attributes:
        code: AWS's own.
        passing: whether the same call may work later.
    """

    def __init__(self, sentence: str, code: str, passing: bool) -> None:
        super().__init__(sentence)
        self.code = code
        self.passing = passing


def explained(error: Exception, doing: str) -> CloudError:
    """Return the error of a call as one sentence; `doing` says what it was for, as "start worker-3"."""
    if isinstance(error, ClientError):
        detail = error.response.get("Error", {})
        code, message = str(detail.get("Code", "")), str(detail.get("Message", "")).strip().rstrip(".")
        if code in _THROTTLING:
            return CloudError(f"cannot {doing}: AWS answers {code} again and again; try later", code, True)
        hint = _HINTS.get(code)
        why = f"{hint} ({code}: {message})" if hint else f"{message} ({code})"
        return CloudError(f"cannot {doing}: {why}", code, code in _PASSING)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return CloudError(
            f"cannot {doing}: there are no AWS credentials here; set AWS_PROFILE, or run `aws configure`", "", False
        )
    if isinstance(error, NoRegionError):
        return CloudError(f"cannot {doing}: no --region is given", "", False)
    if isinstance(error, ConnectionError | HTTPClientError):
        return CloudError(f"cannot {doing}: AWS cannot be reached ({error})", "", True)
    if isinstance(error, BotoCoreError):
        return CloudError(f"cannot {doing}: {' '.join(str(error).split())}", "", False)
    raise error
