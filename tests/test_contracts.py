"""The contracts of the driver's pure functions: as values, and as CrossHair sees them."""

import ast
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties import contracts
from properties.check_contracts import Confirmation, ContractResult, check, exit_status, main
from properties.contracts import CONTRACTS, Contract

BYTE = st.integers(0, 0xFF)
WORD = st.integers(0, 0xFFFF_FFFF)
LONG = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)
HALF = st.integers(0, 0x7FFF_FFFF)
BITS = st.integers(0, 3)
ARGUMENTS = {
    "counter": LONG,
    "shift": st.integers(0, 12),
    "size": st.integers(0, 16384),
    "excess": st.integers(1, 0xFFFF_BFFF),
    "command": st.integers(1, 5),
    "slot": st.binary(min_size=64, max_size=64),
    "payload": st.binary(max_size=4),
    "start": st.binary(max_size=15),
    "transmit": st.booleans(),
    "index": st.integers(0, 4095),
    "slot_of_64": st.integers(0, 63),
    **dict.fromkeys(["owner", "kind", "error"], BYTE),
    **dict.fromkeys(["word", "dest", "src", "mask", "address"], WORD),
    **dict.fromkeys([f"length{n}" for n in range(4)], WORD),
    **dict.fromkeys([f"pointer{n}" for n in range(4)], LONG),
    **dict.fromkeys(["low_mask", "low_address"], HALF),
    **dict.fromkeys(["mask_of_2", "address_of_2", "dest_of_2"], BITS),
    **dict.fromkeys(["any_mask", "any_address"], st.integers()),
}
"""What the arguments of contracts may be, by name."""

PARAMETERS = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
NAMED = {contract.name: contract for contract in CONTRACTS}


def allowed(name, values):
    if name == "other_filter_is_refused":
        top = range(1 << 31, 1 << 32)
        return values["any_mask"] not in top or values["any_address"] not in top
    if name == "message_with_another_length_is_refused":
        return values["word"] != len(values["payload"])
    return True


@PARAMETERS
def test_contract_holds_for_values(contract):
    names = list(inspect.signature(contract.function).parameters)
    values = st.fixed_dictionaries({name: ARGUMENTS[name] for name in names})

    @given(values.filter(lambda chosen: allowed(contract.name, chosen)))
    def holds(chosen):
        contract.function(**chosen)

    holds()


def test_every_contract_is_in_the_table():
    functions = {
        name
        for name, value in vars(contracts).items()
        if inspect.isfunction(value)
        and value.__module__ == contracts.__name__
        and not name.startswith("_")
    }
    assert functions == set(NAMED)


@PARAMETERS
def test_contract_says_what_it_means(contract):
    assert contract.meaning.endswith(".")


@PARAMETERS
def test_crosshair_says_what_the_table_says(contract):
    result = check(contract)
    assert result.as_expected, str(result)


@PARAMETERS
def test_what_is_assumed_ends_before_what_is_shown(contract):
    # CrossHair takes the assertions that a function begins with for assumptions, all of them.
    lines = ast.parse(inspect.getsource(contract.function)).body[0].body[1:]
    kinds = [isinstance(line, ast.Assert) for line in lines]
    assert kinds[0]
    assert False in kinds


# Broken functions


def refuted(monkeypatch, contract, **broken):
    for name, function in broken.items():
        assert callable(getattr(contracts, name))
        monkeypatch.setattr(contracts, name, function)
    result = check(NAMED[contract])
    assert result.verdict is Confirmation.REFUTED, str(result)
    assert contract in result.message
    return result.message


# The true ones, since a broken one may stand in their place.
SPLIT, PACK_FIELDS, ERRNO_OF = contracts.split, contracts.pack_fields, contracts.errno_of
CHECK_RECEIVED, UNPACK_HEADER = contracts.check_received, contracts.unpack_header


def half_pages(size):
    first = min(size, 2048)
    second = min(size - first, 2048)
    third = min(size - first - second, 2048)
    return first, second, third, size - first - second - third


def last_buffer_first(size):
    first, second, third, fourth = SPLIT(size)
    return fourth, third, second, first


def test_wrong_page_size_has_a_counterexample(monkeypatch):
    refuted(monkeypatch, "split_covers_the_payload", split=half_pages)


def test_buffers_in_the_wrong_order_have_a_counterexample(monkeypatch):
    refuted(monkeypatch, "split_leaves_no_gap", split=last_buffer_first)


def test_wrong_remainder_has_a_counterexample(monkeypatch):
    message = refuted(
        monkeypatch,
        "index_walks_one_by_one",
        index_of=lambda counter, slots: counter % (slots + (slots == 512)),
    )
    assert "9)" in message


def test_limit_that_is_one_too_high_has_a_counterexample(monkeypatch):
    message = refuted(
        monkeypatch,
        "received_length_beyond_is_refused",
        check_received=lambda length: length if length <= 16385 else CHECK_RECEIVED(length),
    )
    assert "(1)" in message


def test_limit_that_is_one_too_low_has_a_counterexample(monkeypatch):
    def check_payload(size):
        if size >= 16384:
            raise contracts.PacketTooLongError(f"{size} bytes")
        return size

    message = refuted(monkeypatch, "payload_that_fits_is_accepted", check_payload=check_payload)
    assert "(16384)" in message


def test_fields_in_another_order_have_a_counterexample(monkeypatch):
    refuted(
        monkeypatch,
        "fields_are_the_slot_behind_its_header",
        pack_fields=lambda lengths, dest, pointers: PACK_FIELDS(lengths, dest, pointers[::-1]),
    )


def test_header_with_source_and_destination_exchanged_has_a_counterexample(monkeypatch):
    def exchanged(data):
        header = UNPACK_HEADER(data)
        return contracts.Header(header.length, header.source, header.destination)

    refuted(monkeypatch, "header_is_what_the_slot_says", unpack_header=exchanged)
    refuted(monkeypatch, "header_comes_back", unpack_header=exchanged)


def test_answer_with_another_meaning_has_a_counterexample(monkeypatch):
    message = refuted(
        monkeypatch,
        "answer_means_what_the_datasheet_says",
        errno_of=lambda command, error: 0 if error == 200 else ERRNO_OF(command, error),
    )
    assert "200" in message


def test_doorbell_without_its_ring_has_a_counterexample(monkeypatch):
    refuted(monkeypatch, "doorbell_of_a_usual_ring_comes_back", doorbell=lambda ring, index: index)


def test_filter_that_ignores_its_mask_has_a_counterexample(monkeypatch):
    refuted(
        monkeypatch,
        "filter_of_2_bits_compares_bits",
        filter_accepts=lambda mask, address, dest: address == dest,
    )


# The command


def result(verdict, obstacle=None):
    return ContractResult(
        Contract(contracts.index_starts_at_slot_0, obstacle), verdict, "a message", 0.1
    )


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([], 0),
        ([result(Confirmation.CONFIRMED), result(Confirmation.OPEN, "a reason")], 0),
        ([result(Confirmation.OPEN)], 2),
        ([result(Confirmation.CONFIRMED, "a reason")], 2),
        ([result(Confirmation.REFUTED)], 1),
        ([result(Confirmation.REFUTED, "a reason")], 1),
        ([result(Confirmation.OPEN), result(Confirmation.REFUTED)], 1),
    ],
)
def test_exit_status_tells_what_is_wrong(results, status):
    assert exit_status(results) == status


def test_a_wrong_table_is_pointed_out():
    assert str(result(Confirmation.OPEN)) == (
        "not confirmed   0.1 s  index_starts_at_slot_0, and the table has it as confirmed"
    )
    assert str(result(Confirmation.CONFIRMED, "a reason")) == (
        "confirmed       0.1 s  index_starts_at_slot_0, and the table has it as not confirmed "
        "(a reason)"
    )


def test_command_prints_a_line_for_each_contract(capsys):
    assert main(["index_starts_at_slot_0", "split_leaves_no_gap"]) == 0
    first, second, total = capsys.readouterr().out.splitlines()
    assert first.startswith("confirmed ")
    assert first.endswith(" s  index_starts_at_slot_0")
    assert second.endswith(" s  split_leaves_no_gap")
    assert total.startswith("2 of 2 contracts confirmed over all paths, in ")


def test_command_prints_a_counterexample(monkeypatch, capsys):
    monkeypatch.setattr(contracts, "split", half_pages)
    assert main(["split_covers_the_payload"]) == 1
    assert "when calling split_covers_the_payload(" in capsys.readouterr().out


def test_command_refuses_an_unknown_contract(capsys):
    with pytest.raises(SystemExit) as end:
        main(["nothing"])
    assert end.value.code == 2
    assert "there is no contract nothing; there are index_stays" in capsys.readouterr().err


def test_function_without_assertions_is_no_contract():
    def nothing(number: int) -> None:
        """Nothing is said."""

    with pytest.raises(ValueError) as error:
        check(Contract(nothing))
    assert str(error.value) == "nothing cannot be checked; CrossHair says nothing"
