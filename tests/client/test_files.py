"""Files through both clients: of any size, with a mode, whole or in parts."""

from __future__ import annotations

import asyncio
import os

import pytest

from sandboxd_client import (
    AsyncClient,
    Base64,
    Client,
    File,
    FilePart,
    InvalidParamsError,
    Output,
    PayloadTooLargeError,
)
from sandboxd_client._files import Arriving, Files, split, wire_files
from sandboxd_client.protocol import (
    FILES_INLINE,
    FilesOutput,
    FilesRead,
    InputFile,
    OutputFile,
    RunParams,
    blob_pieces,
    blob_size,
    from_blob,
    to_blob,
)
from tests.support.service import Service

LARGE = os.urandom(20 * 1024 * 1024)
"""More than a line holds."""


def test_files_of_any_size_go_in_and_come_out(client: Client) -> None:
    files: dict[str, bytes] = {"a": LARGE, "b": b"text", "c": LARGE[:100], "d": LARGE[:2_000_000]}
    result = client.run("python", "write e x", files=files, outputs=["*"])
    assert {file.path: file.content for file in result.files} == {**files, "e": b"x"}
    with client.stream("python", "out x", files={"a": LARGE}, outputs=["a"]) as run:
        assert list(run)[1:]
    assert run.result.files[0].content == LARGE
    assert client.run("python", "out x").stdout == "x\n"


def test_text_of_any_kind_comes_out_as_it_went_in(client: Client) -> None:
    text = "\0é😀\n" * 1_000_000
    result = client.run("python", "", files={"a": text}, outputs=["a"])
    assert result.files[0].content == text.encode()


def test_files_of_any_size_go_into_sessions_and_come_out_of_them(client: Client) -> None:
    with client.session("python", files={"a": LARGE}) as session:
        session.write_files({"b": LARGE})
        session.run("", files={"c": LARGE})
        assert session.run("", outputs=["c"]).files[0].content == LARGE
        for name in "abc":
            assert session.read_files([name]).files[0].content == LARGE


def test_files_of_any_size_go_into_kept_runs_and_come_out_when_they_are_joined(
    client: Client,
) -> None:
    kept = client.run("python", "", files={"a": LARGE}, outputs=["a"], keep=True)
    with client.attach(kept.run) as joined:
        for _ in joined:
            pass
    assert joined.result.files[0].content == kept.files[0].content == LARGE


LONG_CODE = f"mark é{'x' * len(LARGE)}\nshow a\nout done"


def test_code_of_any_size_is_run(client: Client) -> None:
    files = {"a": b"\xff" + LARGE[:10]}
    assert from_blob(client.run("python", LONG_CODE, files=files).stdout or "").endswith(b"done\n")
    with client.stream("python", LONG_CODE, files={"a": "1"}) as run:
        assert b"".join(event.data for event in run if isinstance(event, Output)) == b"1done\n"
    with client.session("python", files={"a": "2"}) as session:
        assert session.run(LONG_CODE).stdout == "2done\n"


async def test_code_of_any_size_is_run_by_the_asynchronous_client(aclient: AsyncClient) -> None:
    runs = (aclient.run("python", LONG_CODE, files={"a": str(number)}) for number in range(3))
    results = await asyncio.gather(*runs)
    assert [result.stdout for result in results] == ["0done\n", "1done\n", "2done\n"]


def test_a_refusal_is_an_error_also_where_content_was_to_follow(client: Client) -> None:
    with pytest.raises(PayloadTooLargeError, match="big"):
        client.run("python", "", files={"big": bytes(2**27)})
    with pytest.raises(InvalidParamsError, match="relative"):
        client.run("python", "", files={"../big": LARGE})
    with (
        pytest.raises(PayloadTooLargeError, match="big"),
        client.session("python", files={"big": bytes(2**27)}),
    ):
        pass
    assert client.run("python", "out x").stdout == "x\n"


async def test_many_runs_at_once_over_one_connection_have_each_their_own_files(
    aclient: AsyncClient,
) -> None:
    async def one(number: int) -> None:
        content = LARGE[number:]
        result = await aclient.run("python", "", files={"a": content}, outputs=["a"])
        assert result.files[0].content == content

    await asyncio.gather(*(one(number) for number in range(5)))


async def test_sessions_and_kept_runs_of_the_asynchronous_client(aclient: AsyncClient) -> None:
    async with aclient.session("python", files={"a": LARGE}) as session:
        await session.write_files({"b": LARGE})
        read = await session.read_files(["a", "b"])
        assert [file.content for file in read.files] == [LARGE, LARGE]
    await aclient.initialize()
    kept = await aclient.run("python", "", files={"a": LARGE}, outputs=["a"], keep=True)
    async with aclient.attach(kept.run) as joined:
        async for _ in joined:
            pass
    assert joined.result.files[0].content == LARGE
    with pytest.raises(PayloadTooLargeError, match="big"):
        await aclient.run("python", "", files={"big": bytes(2**27)})
    assert (await aclient.run("python", "out x")).stdout == "x\n"


async def test_a_run_that_is_left_while_its_files_are_sent_holds_nothing(
    aclient: AsyncClient, service: Service
) -> None:
    methods = service.hub.methods
    await methods.incoming.take(os.getuid(), 2**40)  # the run waits for room
    run = asyncio.create_task(aclient.run("python", "", files={"a": LARGE}))
    await asyncio.sleep(0)
    assert (await aclient.run("python", "out x")).stdout == "x\n"
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    methods.incoming.give_back(os.getuid(), 2**40)
    assert (await aclient.run("python", "out x")).stdout == "x\n"
    assert methods.incoming.held(os.getuid()) == 0


def test_files_have_a_mode_and_parts(client: Client) -> None:
    files: Files = {"a": File("x", mode=0o750), "b": File(b"\xff", mode=0o600), "c": "#!/bin/sh"}
    with client.session("python", files=files) as session:
        assert [file.mode for file in session.read_files("abc").files] == [0o750, 0o600, 0o755]
        session.write_files({"a": File("yz", offset=1)})
        session.write_files({"b": File(LARGE, offset=1)})
        parts = [FilePart(path="a", length=2), FilePart(path="b", offset=1)]
        read = session.read_files(parts).files
        assert [file.content for file in read] == [b"xy", LARGE]
    assert client.run("python", "", files=files, outputs=["a"]).files[0].mode == 0o750


def test_an_offset_is_refused_where_there_is_no_file_yet() -> None:
    with pytest.raises(ValueError, match="a: an offset"):
        wire_files({"a": File("x", offset=1)})


# --- what stands in a line, and what follows ---


def test_a_line_has_files_up_to_its_room_and_the_sizes_of_the_others() -> None:
    half = b"\xff" * (FILES_INLINE // 2)
    files = wire_files({"a": half, "b": half, "c": b"\xff", "d": "", "e": File("x", mode=0o700)})
    params, following = split(RunParams(language="python", code="", files=files))
    assert isinstance(params, RunParams)
    assert {path: from_blob(blob) for path, blob in following.items()} == {"c": b"\xff", "e": b"x"}
    assert params.files["c"] == InputFile(size=1)
    assert params.files["e"] == InputFile(size=1, mode=0o700)
    assert params.files["a"] == files["a"]
    small = RunParams(language="python", code="", files={"a": "x"})
    assert split(small) == (small, {})


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\xff", b"\xff" * 2, b"\xff" * 300_001, "é".encode() * 300_001]
)
def test_pieces_make_the_whole(data: bytes) -> None:
    blob = to_blob(data)
    pieces = list(blob_pieces(blob))
    assert b"".join(map(from_blob, pieces)) == data
    assert blob_size(blob) == len(data)
    arriving = Arriving()
    for piece in pieces:
        arriving.add(FilesOutput(id=1, index=1, data=piece))
    first, second = OutputFile("a", 1, "x"), OutputFile("b", len(data), "")
    whole = arriving.put_into(FilesRead([first, second], []))
    assert [file.content for file in whole.files] == [b"x", data]


def test_base64_that_was_given_as_it_is_goes_in(client: Client) -> None:
    result = client.run("python", "", files={"a": Base64("/w==")}, outputs=["a"])
    assert result.files[0].content == b"\xff"
