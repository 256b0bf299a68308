"""Which addresses a name may resolve to: public ones, and private ones that a policy lists. Pure.

Of IPv6 only global unicast is public at all, and of that nothing that carries another address inside, as it
would arrive there. What is listed here is more than `ipaddress` calls private: clouds have machines of their
own at addresses that look public.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Nobody's destination, whatever a policy lists: the proxy itself, no host, many, an address in disguise.
_NEVER: Sequence[tuple[str, str]] = (
    ("0.0.0.0/8", "unspecified"),
    ("127.0.0.0/8", "loopback"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "an IPv4-mapped address"),
    ("::ffff:0:0:0/96", "an IPv4-translated address"),
    ("::/96", "an IPv4-compatible address"),
    ("ff00::/8", "multicast"),
)
_UNLESS_LISTED: Sequence[tuple[str, str]] = (
    ("169.254.169.254/32", "a metadata service"),
    ("168.63.129.16/32", "a metadata service"),
    ("100.100.100.200/32", "a metadata service"),
    ("192.0.0.192/32", "a metadata service"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "for documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "for benchmarks"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("240.0.0.0/4", "reserved"),
    ("fd00:ec2::254/128", "a metadata service"),
    ("fd20:ce::254/128", "a metadata service"),
    ("64:ff9b::/96", "a NAT64 address"),
    ("64:ff9b:1::/48", "a NAT64 address"),
    ("2001::/32", "a Teredo address"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "for documentation"),
    ("2002::/16", "a 6to4 address"),
    ("3fff::/20", "for documentation"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
)
_GLOBAL = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
#: Of interface identifiers: the IPv4 address behind them is reached by a tunnel.
_ISATAP = (0x00005EFE, 0x02005EFE)


class Checks:
    """The two tables, read once."""

    def __init__(self) -> None:
        self._never = _networks(_NEVER)
        self._unless_listed = _networks(_UNLESS_LISTED)

    def refusal(self, found: str, listed: Iterable[str] = ()) -> str | None:
        """Why an address may not be dialled; None if it may. `listed` are the networks a policy permits."""
        try:
            address = ip_address(found)
        except ValueError:
            return "no address"
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return "link-local"
        never = _kind(address, self._never)
        if never is not None:
            return never
        permitted = _is_in(address, listed)
        if permitted and isinstance(address, IPv6Address) and address in _NAT64:
            # A listed gateway does not open what lies behind it.
            return self.refusal(str(IPv4Address(int(address) & 0xFFFFFFFF)), listed)
        return None if permitted else self._special(address)

    def _special(self, address: Address) -> str | None:
        found = _kind(address, self._unless_listed)
        if found is None and isinstance(address, IPv6Address):
            if address not in _GLOBAL:
                return "not global"
            if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
                return "an ISATAP address"
        return found


def _is_in(address: Address, networks: Iterable[str]) -> bool:
    return any(address in ip_network(network) for network in networks)


def _networks(table: Sequence[tuple[str, str]]) -> tuple[tuple[Network, str], ...]:
    return tuple((ip_network(network), kind) for network, kind in table)


def _kind(address: Address, table: Sequence[tuple[Network, str]]) -> str | None:
    return next((kind for network, kind in table if address in network), None)
