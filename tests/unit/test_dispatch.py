"""Requests out of lines: whatever comes is a request or a RequestError, never anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import QueueFullError
from sandboxd.rpc import dispatch
from sandboxd.rpc.dispatch import RequestError
from sandboxd_client.protocol import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorObject,
    Method,
    Request,
    RunOutput,
    RunParams,
)

DEEP = 100_000

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def _surrogates(text: str) -> bytes:
    """Surrogates as Python's own decoder takes them when it is asked to be lax."""
    return text.encode(errors="surrogatepass")


def refused(line: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        dispatch.parse(line)
    return caught.value


def request(**fields: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "run", **fields}).encode()


@given(st.binary())
def test_no_bytes_raise_anything_but_a_request_error(line: bytes) -> None:
    try:
        dispatch.parse(line)
    except RequestError as error:
        assert error.code in (PARSE_ERROR, INVALID_REQUEST)  # noqa: PT017 - either is right


@given(st.binary() | st.text(st.characters(categories=["Cs"])).map(_surrogates))
def test_no_bytes_inside_of_params_raise_anything_but_a_request_error(inside: bytes) -> None:
    line = b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": {"language": "%s"}}' % inside
    with pytest.raises(RequestError):  # at the latest because there is no code
        dispatch.parse_params(dispatch.parse(line), RunParams)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "jsonrpc": st.just("2.0") | values,
            "id": st.integers() | st.text() | values,
            "method": st.text() | values,
            "params": values,
            "more": values,
        },
    ),
)
def test_no_json_raises_anything_but_a_request_error(message: dict[str, object]) -> None:
    try:
        parsed = dispatch.parse(json.dumps(message).encode())
        dispatch.parse_params(parsed, RunParams)
    except RequestError as error:
        dispatch.error_line(error.request, ErrorObject(error.code, str(error)))


@given(st.integers() | st.text(st.characters(exclude_categories=["Cs"])))
def test_an_id_comes_back_as_it_was(identity: int | str) -> None:
    parsed = dispatch.parse(request(id=identity))
    assert parsed.id == identity
    assert not isinstance(parsed.id, type(Request.id))
    answer = json.loads(dispatch.result_line(identity, None))
    assert answer["id"] == identity
    assert type(answer["id"]) is type(identity)


@pytest.mark.parametrize(
    "line", [b"{", b"nonsense", b"   ", b'{"jsonrpc": "2.0", }', b"\xef\xbb\xbf{}"]
)
def test_what_is_not_json_is_a_parse_error_without_an_id(line: bytes) -> None:
    error = refused(line)
    assert error.code == PARSE_ERROR
    assert error.request is None


@pytest.mark.parametrize("line", [b"[]", b"  [1]", b'[{"jsonrpc": "2.0"}]', b"[" * DEEP])
def test_batches_are_refused(line: bytes) -> None:
    error = refused(line)
    assert error.code == INVALID_REQUEST
    assert "one request a line" in str(error)


@pytest.mark.parametrize("line", [b"5", b'"text"', b"null", b"true", b"1.5"])
def test_what_is_no_object_is_an_invalid_request(line: bytes) -> None:
    assert refused(line).code == INVALID_REQUEST


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc": "2.0", "id": 1, "id": 2, "method": "run"}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": {"code": "", "code": "x"}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": {"env": {"a": "", "a": ""}}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": {"a": 1, "\\u0061": 2}}',
    ],
)
def test_a_key_that_stands_twice_is_refused_at_any_depth(line: bytes) -> None:
    error = refused(line)
    assert error.code == PARSE_ERROR
    assert "stands twice" in str(error)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"nan", b"01", b"+1", b".5"])
def test_numbers_that_json_lacks_are_refused(number: bytes) -> None:
    line = b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": {"limits": %s}}' % number
    assert refused(line).code == PARSE_ERROR


@pytest.mark.parametrize(
    "text", [b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d x"', b'"\xed\xa0\x80"']
)
@pytest.mark.parametrize("field", [b"id", b"method", b"params"])
def test_lone_surrogates_are_refused(field: bytes, text: bytes) -> None:
    fields = {b"id": b"1", b"method": b'"run"', b"params": b"{}", field: text}
    inside = b", ".join(b'"%s": %s' % pair for pair in fields.items())
    assert refused(b'{"jsonrpc": "2.0", %s}' % inside).code == PARSE_ERROR


def test_a_surrogate_pair_is_one_character() -> None:
    assert dispatch.parse(request(method="\U0001f600")).method == "\U0001f600"


@pytest.mark.parametrize(
    "rubbish", [b"\xff", b"\xc3", b"\xc0\x80", b"\xf8\x88\x80\x80\x80", b"\x00"]
)
def test_bytes_that_are_not_utf_8_text_are_refused(rubbish: bytes) -> None:
    line = b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": {"code": "%s"}}' % rubbish
    assert refused(line).code == PARSE_ERROR


@pytest.mark.parametrize(
    "start",
    [
        b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": ',
        b'{"jsonrpc": 2, "id": 1, "params": ',
        b'{"id": 1, "method": 5, "more": ',
        b"",
    ],
    ids=["in its params", "after a wrong field", "after a wrong type", "from the start"],
)
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_an_error_of_the_line_and_no_more(start: bytes, opening: bytes) -> None:
    assert refused(start + opening * DEEP).code in (PARSE_ERROR, INVALID_REQUEST)


def test_deep_nesting_that_is_whole_is_an_error_of_the_line_and_no_more() -> None:
    for version in (b'"2.0"', b"2"):
        line = b'{"jsonrpc": %s, "id": 1, "method": "run", "params": %s}'
        nested = b"[" * DEEP + b"]" * DEEP
        assert refused(line % (version, nested)).code in (PARSE_ERROR, INVALID_REQUEST)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"jsonrpc": "1.0"}, "2.0"),
        ({"jsonrpc": 2}, "jsonrpc"),
        ({"method": 5}, "method"),
        ({"unknown": 5}, "unknown"),
    ],
)
def test_an_invalid_request_is_answered_under_its_own_id(
    fields: dict[str, object], told: str
) -> None:
    error = refused(request(**fields, id="mine"))
    assert error.code == INVALID_REQUEST
    assert error.request == "mine"
    assert told in str(error)


@pytest.mark.parametrize("identity", [None, True, 1.5, [], {}])
def test_an_id_that_is_neither_a_number_nor_text_is_refused(identity: object) -> None:
    error = refused(request(id=identity))
    assert error.code == INVALID_REQUEST
    assert error.request is None


def test_a_request_without_an_id_is_a_notification() -> None:
    parsed = dispatch.parse(b'{"jsonrpc": "2.0", "method": "run.input"}')
    assert parsed == Request(jsonrpc="2.0", method="run.input")


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"language": "python"}, "code"),
        ({"language": "python", "code": 5}, "$.code"),
        ({"language": "python", "code": "", "timeout": 5}, "timeout"),
        ({"language": "python", "code": "", "limits": {"timeout": "5"}}, "$.limits.timeout"),
        ({"language": "python", "code": "", "reuse": "sometimes"}, "$.reuse"),
        ({"language": "python", "code": "", "stdin": {"base46": ""}}, "base46"),
        ([], "object"),
        (None, "object"),
    ],
)
def test_params_that_are_wrong_are_refused_with_the_fields_name(params: object, told: str) -> None:
    with pytest.raises(RequestError) as caught:
        dispatch.parse_params(dispatch.parse(request(params=params)), RunParams)
    assert caught.value.code == INVALID_PARAMS
    assert caught.value.request == 1
    assert told in str(caught.value)
    assert "params of run" in str(caught.value)


def test_an_error_of_the_domain_has_its_kind_its_code_and_its_data_on_the_wire() -> None:
    error = dispatch.to_error_object(QueueFullError("too many", retry_after=2.5))
    answer = json.loads(dispatch.error_line(7, error))
    assert answer == {
        "jsonrpc": "2.0",
        "id": 7,
        "error": {
            "code": 1004,
            "message": "too many",
            "data": {"kind": "queue_full", "retry_after": 2.5},
        },
    }


def test_a_line_is_one_line_whatever_it_says() -> None:
    params = RunOutput(id=1, seq=0, stream="stdout", data="a\nb\r\u2028c")
    line = dispatch.notification_line(Method.RUN_OUTPUT, params)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line)["params"]["data"] == "a\nb\r\u2028c"
