"""How numbers stand in the card's memory is said by `model.layout` and nowhere else."""

import ast
from collections.abc import Iterator

import pytest

from tests.test_imports import FILES, ROOT

OTHERS = {
    "bench/ixy.py": "slots of another card",
    "cuse/messages.py": "messages of CUSE",
    "examples/device_selectors.py": "an example without the project's packages",
    "impl/device_calls.py": "what ioctls of the device file take beyond the datasheet",
    "impl/vfio.py": "what ioctls of the kernel take",
    "emulator/vfio_user/": "messages of vfio-user, and PCI configuration space",
    "emulator/shared_net/": "records of the net's socket, and an option of it",
    "lab/inside/exchange.py": "what its own packets carry",
    "lab/load.py": "what the packets of a load carry",
    "properties/soak.py": "what its own packets carry",
    "properties/conformance/checks/": "what its own packets carry",
    "userland/pcapng.py": "blocks of pcapng",
    "tests/fake_machine.py": "what ioctls of the kernel take",
    "tests/test_capture.py": "blocks of pcapng",
    "tests/test_check.py": "the size of a terminal",
    "tests/test_cuse_messages.py": "messages of CUSE",
    "tests/test_trace.py": "the size of a terminal",
    "tests/vfio_user/": "messages of vfio-user",
}
"""Who has formats of something else, and what that is."""
MAKERS = {"Struct", "calcsize", "iter_unpack", "pack", "pack_into", "unpack", "unpack_from"}
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*FILES, *sorted((ROOT / "tests").rglob("*.py")))
}


def formats(source: str) -> Iterator[int]:
    """The lines on which a format is spelt out."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name),
                args=[ast.Constant(value=str()) | ast.JoinedStr(), *_],
            ) if name in MAKERS:
                yield node.lineno


def stray(texts: dict[str, str]) -> list[str]:
    return [
        f"{file}:{line}: a format of bytes; what the card's memory holds, model/layout.py says"
        for file, source in texts.items()
        if "struct" in source and not any(file.startswith(other) for other in OTHERS)
        for line in formats(source)
        if file != "model/layout.py"
    ]


def test_no_format_of_the_cards_memory_stands_outside_the_layout():
    assert stray(TEXTS) == []


def test_whoever_is_listed_has_formats():
    idle = [
        other
        for other in OTHERS
        if not any(list(formats(TEXTS[file])) for file in TEXTS if file.startswith(other))
    ]
    assert idle == []


@pytest.mark.parametrize(
    "line",
    [
        'FIELDS = struct.Struct("<4I")',
        'Struct("<4I")',
        'struct.unpack("<4I", data)',
        'struct.pack(f"<{count}I", *numbers)',
        'struct.unpack_from("<BBB5xII", slot)',
    ],
)
def test_a_stray_format_is_found(line):
    (found,) = stray({"judge/slot_check.py": f"import struct\n{line}\n"})
    assert found.startswith("judge/slot_check.py:2: ")
