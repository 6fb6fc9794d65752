import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modersmal.errors import StoreError
from modersmal.store.remote import Remote
from modersmal.store.trouble import passing, plain, without_secrets

WORDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789", min_size=12, max_size=40)


@given(WORDS.map("Zq9{}".format))  # unlike every word of the messages
def test_no_secret_survives_a_message(secret):
    for text in (
        f"GET https://anna:{secret}@host.example/path failed",
        f"https://bucket.host/key?X-Amz-Signature={secret}&b=1 said no",
        f"token=hf_{secret} is not valid",
        f"Authorization: Bearer {secret}",
        f"aws_secret_access_key = {secret}",
    ):
        assert secret not in without_secrets(text), text


def test_what_is_not_secret_stays():
    text = "s3://bucket/some/where/step-00000500.t00000003 cannot be written: The bucket is gone"
    assert without_secrets(text) == text


def test_a_remotes_messages_do_not_show_the_password_in_its_url(tmp_path):
    with pytest.raises(StoreError) as caught:
        Remote.open("nothing-like-it://anna:sesame-open@host/path")
    assert "sesame" not in str(caught.value)
    assert "sesame" not in Remote.open("memory://anna:sesame-open@host/path").url


def test_the_reason_is_what_the_server_said():
    error = OSError(errno.EIO, "We encountered an internal error.")
    error.__cause__ = RuntimeError("An error occurred (InternalError) when calling PutObject")
    assert plain(error) == "We encountered an internal error"
    assert plain(TimeoutError()) == "TimeoutError"


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OSError(errno.EIO, "broken"), True),
        (OSError(errno.EDQUOT, "quota"), False),
        (PermissionError(), False),
        (ValueError(), False),
    ],
)
def test_what_may_pass(error, passes):
    assert passing(error) is passes
    outer = RuntimeError("while uploading")
    outer.__cause__ = error
    assert passing(outer) is passes
