"""The tools do over hardware what they do over a card in software."""

from lab.scenes.conftest import Way


def test_ductctl_tells_what_the_card_is(way: Way) -> None:
    seat = way.bench.seats[0]
    address = way.address(seat)
    printed = way.bench.guest.check("ductctl", "-d", address)
    assert printed.startswith(f"{address}: duct v2.1, hwaddr: ")


def test_ductctl_lists_the_cards_and_the_addresses_to_use(way: Way) -> None:
    printed = way.bench.guest.check("ductctl", "list")
    for seat in way.bench.seats:
        assert way.address(seat) in printed


def test_binding_twice_is_as_good_as_once(way: Way) -> None:
    seat = way.bench.seats[0]
    way.bench.guest.check("ductctl", "bind", way.kind, seat.function)
    test_ductctl_tells_what_the_card_is(way)


def test_ductctl_sends_a_packet_and_another_card_receives_it(way: Way) -> None:
    guest, (one, other) = way.bench.guest, way.bench.seats
    hwaddr = guest.check("ductctl", "-d", way.address(other)).split()[-1]
    receiver = guest.start("ductctl", "-d", way.address(other), "-r", "-t", "120")
    while receiver.running:
        # Until the other card listens, nobody is there to receive.
        guest.check("ductctl", "-d", way.address(one), "-s", hwaddr, stdin="hello")
    ended = receiver.wait()
    assert ended.status == 0
    assert ended.output.endswith("(5 bytes)\nhello")


def test_ductclient_has_lines_echoed(way: Way) -> None:
    address = way.address(way.bench.seats[0])
    lines = "".join(f"line {number}\n" for number in range(50))
    assert way.bench.guest.check("ductclient", "-d", address, "-e", stdin=lines) == lines


def test_ductclient_gets_a_quote(way: Way) -> None:
    address = way.address(way.bench.seats[0])
    quote = way.bench.guest.check("ductclient", "-d", address, "-q")
    assert quote.strip()
    assert "\n" not in quote.strip()


def test_a_shell_starts_both_as_a_user_does(way: Way) -> None:
    # All other scenes have the agent start them, in a fork of itself.
    address = way.address(way.bench.seats[0])
    line = f"ductctl -d {address} && echo hello | ductclient -d {address} -e"
    told, echoed = way.bench.guest.check("sh", "-c", line).splitlines()
    assert told.startswith(f"{address}: duct v2.1, hwaddr: ")
    assert echoed == "hello"
