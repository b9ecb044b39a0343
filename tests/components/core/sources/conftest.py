from tests.hub.fixtures import cache, hub  # noqa: F401 - fixtures
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401 - fixtures
