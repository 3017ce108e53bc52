"""Which addresses messages may go to by themselves: public ones, in whatever spelling."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.notifications.core.delivering import is_public, read_address

INSIDE = [
    *(
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
    ),
    *(
        "168.63.129.16",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ),
    *("::", "::1", "::7f00:1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1", "5f00::1"),
    *("2001::1", "2001:db8::1", "3fff::1", "4000::1", "64:ff9b:1::808:808"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001:81b::200e", "64:ff9b::808:808", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("text", INSIDE)
def test_addresses_of_this_machine_and_its_networks_are_not_public(text):
    assert not is_public(read_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_addresses_of_the_internet_are_public(text):
    assert is_public(read_address(text))


def spellings(inner: IPv4Address) -> list[IPv6Address]:
    """An IPv4 address as it stands in addresses of the new kind."""
    number = int(inner)
    prefixes = ("::ffff:0:0", "64:ff9b::", "::ffff:0:0:0", "2606:4700::5efe:0:0", "2606:4700::200:5efe:0:0")
    written = [IPv6Address(int(IPv6Address(prefix)) | number) for prefix in prefixes]
    return [*written, IPv6Address((0x2002 << 112) | (number << 80))]


@given(inner=st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_for_itself(inner):
    assert {is_public(spelling) for spelling in spellings(inner)} == {is_public(inner)}


@given(address=st.ip_addresses(v=6))
def test_no_address_is_public_that_python_calls_private(address):
    # Some versions of Python call each address that has another one in it private, whatever that is.
    is_judged_for_itself = address.ipv4_mapped is None and address.sixtofour is None
    assert not (is_public(address) and address.is_private and is_judged_for_itself)
