"""A TCP proxy between the server and its database that delays, cuts or swallows what passes.

A process of its own, so that the simulator's threads do not slow it down; it obeys lines on its standard input:
`pass`, `delay SECONDS`, `cut` (all connections, once), `refuse` (and all new ones), `swallow` (nothing comes through).
"""

import asyncio
import subprocess
import sys
from contextlib import suppress
from typing import TextIO, cast

from spotopt.e2e.processes import SETPRIV, Failed
from spotopt.simulator.server import ROOT

PORTION = 1 << 16
MODES = ("pass", "delay", "refuse", "swallow")


class Line:
    """What is done to everything that passes."""

    def __init__(self) -> None:
        self.mode, self.seconds = "pass", 0.0
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    def obey(self, order: str) -> None:
        """Raises ValueError for an order that there is not."""
        word, _, argument = order.strip().partition(" ")
        if word == "cut":
            self._cut()
            return
        if word not in MODES:
            raise ValueError(order)
        self.mode, self.seconds = word, float(argument or 0)
        if word == "refuse":
            self._cut()
        self._changed.set()
        self._changed = asyncio.Event()

    async def join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, target: tuple[str, int]
    ) -> None:
        """One connection, from its beginning to its end."""
        try:
            if self.mode == "refuse":
                return
            there, back = await asyncio.open_connection(*target)
        except OSError:
            return
        else:
            self._writers |= {writer, back}
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
            self._writers -= {writer, back}
            back.close()
        finally:
            writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(PORTION):
                while self.mode == "swallow":
                    await self._changed.wait()
                if self.mode == "delay":
                    await asyncio.sleep(self.seconds)
                sink.write(data)
                await sink.drain()
        sink.close()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


async def serve(port: int, target: tuple[str, int], orders: asyncio.StreamReader, say: TextIO) -> None:
    line = Line()
    listener = await asyncio.start_server(lambda r, w: line.join(r, w, target=target), "127.0.0.1", port)
    async with listener:
        say.write(f"{listener.sockets[0].getsockname()[1]}\n")
        say.flush()
        while order := await orders.readline():
            line.obey(order.decode())
            say.write("done\n")
            say.flush()


async def main(target_port: int) -> None:
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    await serve(0, ("127.0.0.1", target_port), orders, sys.stdout)


class Proxy:
    """From the outside."""

    def __init__(self, target_port: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [SETPRIV, "--pdeathsig", "KILL", sys.executable, "-m", "spotopt.faults.proxy", str(target_port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._orders, self._answers = cast(TextIO, self._process.stdin), cast(TextIO, self._process.stdout)
        self.port = int(self._answers.readline())

    def order(self, order: str) -> None:
        """Holds when it returns. Raises Failed."""
        self._orders.write(order + "\n")
        self._orders.flush()
        if self._answers.readline() != "done\n":
            raise Failed(f"The proxy did not obey: {order}")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._orders.close()
        self._answers.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
