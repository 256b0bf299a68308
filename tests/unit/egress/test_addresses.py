"""Which addresses may be dialled: those of the internet, and of the rest what a policy lists."""

import pytest

from citadel.egress.addresses import Checks

CHECKS = Checks()
PUBLIC = ["93.184.216.34", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
          "9.255.255.255", "11.0.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
          "198.20.0.0", "223.255.255.255",
          "2606:2800:220:1::1", "2a00::1", "2001:200::1", "2001:4860:4860::8888", "3ffe::1"]  # fmt: skip
REFUSED = {
    "10.0.0.0": "private", "10.255.255.255": "private", "172.16.0.0": "private", "172.31.255.255": "private",
    "192.168.0.1": "private", "fc00::1": "private", "fdff::1": "private",
    "127.0.0.1": "loopback", "127.255.255.255": "loopback", "::1": "loopback",
    "0.0.0.0": "unspecified", "0.1.2.3": "unspecified", "::": "unspecified",
    "169.254.0.1": "link-local", "fe80::1": "link-local", "fe80::1%1": "link-local", "febf::1": "link-local",
    "169.254.169.254": "a metadata service", "168.63.129.16": "a metadata service",
    "100.100.100.200": "a metadata service", "192.0.0.192": "a metadata service",
    "fd00:ec2::254": "a metadata service", "fd20:ce::254": "a metadata service",
    "100.64.0.0": "carrier-grade NAT", "100.127.255.255": "carrier-grade NAT",
    "224.0.0.1": "multicast", "239.255.255.255": "multicast", "ff02::1": "multicast",
    "240.0.0.1": "reserved", "255.255.255.254": "reserved", "192.0.0.8": "reserved", "2001:2::1": "reserved",
    "255.255.255.255": "broadcast",
    "192.0.2.1": "for documentation", "198.51.100.1": "for documentation", "203.0.113.1": "for documentation",
    "2001:db8::1": "for documentation", "3fff:fff::1": "for documentation",
    "198.18.0.0": "for benchmarks", "198.19.255.255": "for benchmarks", "192.88.99.1": "a 6to4 relay",
    "::ffff:93.184.216.34": "an IPv4-mapped address", "::ffff:10.0.0.1": "an IPv4-mapped address",
    "::ffff:0:93.184.216.34": "an IPv4-translated address", "::93.184.216.34": "an IPv4-compatible address",
    "64:ff9b::93.184.216.34": "a NAT64 address", "64:ff9b:1::1": "a NAT64 address",
    "2002:5db8:d822::1": "a 6to4 address", "2001:0:5db8::1": "a Teredo address",
    "2a00::5efe:5db8:d822": "an ISATAP address", "2a00::200:5efe:a00:1": "an ISATAP address",
    "fec0::1": "site-local", "100::1": "not global", "5f00::1": "not global", "4000::1": "not global",
    "example.com": "no address", "127.1": "no address", "010.0.0.1": "no address", "": "no address",
}  # fmt: skip
NEVER = ("loopback", "unspecified", "multicast", "broadcast", "IPv4", "no address", "link-local%")


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_may_be_dialled(address: str) -> None:
    assert CHECKS.refusal(address) is None


@pytest.mark.parametrize(("address", "why"), REFUSED.items())
def test_any_other_may_not(address: str, why: str) -> None:
    assert CHECKS.refusal(address) == why


@pytest.mark.parametrize(("address", "why"), REFUSED.items())
def test_a_policy_opens_what_it_lists_but_no_address_in_disguise_and_not_the_proxy_itself(
    address: str, why: str
) -> None:
    everything = ("0.0.0.0/0", "::/0")
    never = why.startswith(("an IPv4", *NEVER)) or "%" in address
    assert CHECKS.refusal(address, everything) == (why if never else None)


@pytest.mark.parametrize(
    ("address", "listed", "why"),
    [
        ("10.1.2.3", ["10.1.0.0/16"], None),
        ("10.2.2.3", ["10.1.0.0/16"], "private"),
        ("10.1.2.3", ["fd00::/8"], "private"),
        ("fd00::1", ["10.0.0.0/8", "fd00::/64"], None),
        ("169.254.169.254", ["169.254.0.0/16"], None),
        # A gateway that is listed does not open what lies behind it.
        ("64:ff9b::93.184.216.34", ["64:ff9b::/96"], None),
        ("64:ff9b::10.1.2.3", ["64:ff9b::/96"], "private"),
        ("64:ff9b::127.0.0.1", ["64:ff9b::/96", "0.0.0.0/0"], "loopback"),
        ("64:ff9b::10.1.2.3", ["64:ff9b::/96", "10.0.0.0/8"], None),
    ],
)
def test_what_is_listed_is_that_network_and_no_more(address: str, listed: list[str], why: str | None) -> None:
    assert CHECKS.refusal(address, listed) == why
