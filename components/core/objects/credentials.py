"""S3 credentials, read anew for every request: rotated keys take effect in the middle of a transfer.

Keys come from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`. Where these are unset,
the file `AWS_SHARED_CREDENTIALS_FILE` is asked (a mounted secret, for instance), then the pod's web identity.
"""

from __future__ import annotations

import configparser

from minio.credentials import AWSConfigProvider, Credentials, EnvAWSProvider, IamAwsProvider, Provider
from minio.error import MinioException

from components.core.stage.errors import ConfigError


class FreshCredentials(Provider):
    """The keys of the moment. minio's own `ChainedProvider` keeps keys without an expiry for ever."""

    def __init__(self) -> None:
        self._places: list[Provider] = [EnvAWSProvider(), AWSConfigProvider(), IamAwsProvider()]

    def retrieve(self) -> Credentials:
        """Read the keys from the place that had them first: no other is asked while a file is being replaced.

        Raises:
            ConfigError: no place has keys.
            MinioException: the place cannot be read at the moment.
        """
        places = self._places
        for place in places:
            try:
                keys = place.retrieve()
            except (ValueError, configparser.Error, OSError) as error:
                if isinstance(error, ValueError) and len(places) > 1:
                    continue
                raise MinioException(f"the credentials cannot be read at the moment: {error}") from error
            self._places = [place]
            return keys
        raise ConfigError(
            "no credentials for object storage; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or give the pod an identity"
        )
