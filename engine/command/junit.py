"""A report as JUnit XML, for programs that show test results."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from engine.command.report import Report

__all__ = ["write_junit"]


def write_junit(report: Report, path: Path) -> None:
    """Write the JUnit file: a test suite for each property, and one for the faults.

    What the answers stand on and nobody asked is in one of its own, as skipped.
    """
    root = ElementTree.Element(
        "testsuites", name=report.theory.program, time=f"{report.seconds:.3f}"
    )
    suites: dict[str, ElementTree.Element] = {}
    for entry in report.entries():
        name = entry.obligation.property
        if name not in suites:
            suites[name] = ElementTree.SubElement(root, "testsuite", name=name)
        case = _test_case(suites[name], entry.name, entry.seconds, entry.result, entry.detail)
        if entry.kept:
            ElementTree.SubElement(case, "system-out").text = "kept from an earlier run"
    if report.faults:
        suites["faults"] = ElementTree.SubElement(root, "testsuite", name="faults")
    for fault in report.faults:
        found, result = report.catch(fault), report.fault_result(fault)
        seconds, detail = (0.0, "not reached") if found is None else (found.seconds, found.note)
        _test_case(suites["faults"], fault.id, seconds, result, detail)
    if report.left_out:
        premises = suites["premises"] = ElementTree.SubElement(root, "testsuite", name="premises")
        for name, count in report.premises().items():
            _test_case(premises, name, 0.0, "left out", f"{count} obligations were not checked")
    for suite in suites.values():
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("errors", str(len(suite.findall("testcase/error"))))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
    path.write_text(text + "\n", encoding="utf-8")


def _test_case(
    suite: ElementTree.Element, name: str, seconds: float, result: str, detail: str
) -> ElementTree.Element:
    case = ElementTree.SubElement(
        suite, "testcase", classname=suite.get("name", ""), name=name, time=f"{seconds:.4f}"
    )
    kinds = {"refuted": "failure", "missed": "failure", "unknown": "error", "left out": "skipped"}
    if result in kinds:
        # XML has no room for control characters.
        text = re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", detail)
        ElementTree.SubElement(case, kinds[result], message=result).text = text
    return case
