"""Where deliveries may go: to public addresses, and to those networks that the configuration file allows.

An administrator of the console must not be able to reach what only this machine can. The address is judged when the
connection is made, so that a name which means another address a moment later gets nowhere.
"""

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST = 1000

#: IPv4 addresses within IPv6 ones (RFC 6052).
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressRefused(OSError):
    """Nothing was sent; the message says why."""


def may_reach(address: str, allowed: Sequence[Network]) -> bool:
    """Pure. `address` without brackets; one with a zone is none of the public ones."""
    try:
        found: Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        found = _within(found)
    if any(found.version == network.version and found in network for network in allowed):
        return True
    return found.is_global and not found.is_multicast


def _within(address: ipaddress.IPv6Address) -> Address:
    """The IPv4 address that an IPv6 one stands for."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def fault_of(url: str, allowed: Sequence[Network]) -> str | None:
    """What is wrong with a URL, as far as it can be seen without asking anybody."""
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        return f"A URL has at most {LONGEST} characters of ASCII, and no blanks."
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "This is no URL."
    if parts.scheme not in ("https", "http") or not host:
        return "A URL begins with https:// or http://."
    if parts.username is not None or parts.password is not None:
        return "No name and password in a URL: deliveries are signed."
    if parts.fragment:
        return "Nothing behind # is ever sent: leave it out."
    if _is_literal(host) and not may_reach(host, allowed):
        return "This address is not public, and the configuration file does not allow it."
    return None


def _is_literal(host: str) -> bool:
    """Also in the spellings that only a C library knows, such as 127.1 and 0x7f000001."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        try:
            socket.inet_aton(host)
        except OSError:
            return False
    return True


class PublicResolver(AbstractResolver):
    """Finds only addresses that may be reached."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises AddressRefused."""
        found = await self._resolver.resolve(host, port, family)
        public = [one for one in found if may_reach(one["host"], self._allowed)]
        if not public:
            raise AddressRefused(f"{host} has no address that may be reached")
        return public

    async def close(self) -> None:
        await self._resolver.close()
