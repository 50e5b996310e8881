"""What the store's own S3 settings are in the words of another library: environment, profile and roles alike."""

from __future__ import annotations

from slipway.errors import SourceDenied


def delta_options(url: str) -> dict[str, str]:
    """Storage options of `deltalake` for a table's path or URL, as boto3 finds them; none for a path.

    Temporary credentials are those of this moment, and are not renewed while a table is read. Raises `SourceDenied`
    when there are no credentials, and `InputError` for an endpoint that is no URL.
    """
    if not url.startswith("s3://"):
        return {}
    import boto3

    from slipway.storage.s3_client import endpoint_of, make_client

    client = make_client()
    found = boto3.session.Session().get_credentials()
    if found is None:
        raise SourceDenied(
            f"{url}: there are no S3 credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or role"
        )
    credentials = found.get_frozen_credentials()
    options = {
        "aws_access_key_id": credentials.access_key,
        "aws_secret_access_key": credentials.secret_key,
        "aws_session_token": credentials.token,
        "aws_endpoint": endpoint_of(client),
        "aws_region": client.meta.region_name,
        "aws_allow_http": "true",
        "aws_virtual_hosted_style_request": "false",
    }
    return {key: value for key, value in options.items() if value}
