"""Stripe's API on loopback: `localstripe`, which keeps what it is given in memory and answers as Stripe documents.

It says `listening on PORT`, and ends when its standard input ends. Any key that begins with `sk_` is good for it.
"""

import asyncio
import sys

from aiohttp import web
from localstripe.resources import store
from localstripe.server import app

# It would keep a copy in `/tmp`, and write all of it anew with each request.
store.dump_to_disk = lambda: None


async def main():
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("listening on", runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


asyncio.run(main())
