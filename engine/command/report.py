"""What came of a run: the verdict, as a table for people and as JSON for programs.

A report is complete at any moment. What was planned and not reached, because the run was
interrupted or a process died, is in it as unknown.
"""

from __future__ import annotations

import collections
import importlib.metadata
import itertools
import json
import platform
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from engine.catch import Catch
from engine.command.options import Options
from engine.command.work import Event, Failure, Proof, Search
from engine.faults import Fault
from engine.obligations import Obligation, Verdict
from engine.theory import Theory

__all__ = ["Entry", "Report", "Style", "tool_versions"]

VERSION: Final = 1
SHOWN: Final = 20
"""How many obligations that went wrong are printed; the files name all."""
ALL_WELL, VIOLATED, UNDECIDED, FAILED, RELATIVE = 0, 1, 2, 4, 5
PROVED, ON_PREMISES = "proved", "proved if the rest is"
"""What is said of a property of which all that was asked is proved."""

Style: TypeAlias = Callable[[str, str], str]
"""Marks up a piece of text: gets its role ("head", "good", "bad") and the text."""


def _plain(role: str, text: str) -> str:
    return text


def tool_versions(package: str = "") -> dict[str, str]:
    """The version of everything that a verdict may depend on, and of the package that is proved."""
    found = {"python": platform.python_version()}
    for name in filter(None, (package, "z3-solver", "cvc5")):
        try:
            found[name.removesuffix("-solver")] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name.removesuffix("-solver")] = "not installed"
    return found


@attrs.frozen
class Entry:
    """One obligation as one solver sees it."""

    obligation: Obligation
    solver: str
    result: str
    seconds: float
    detail: str
    kept: bool = False

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.obligation.id} ({self.obligation.arithmetic}, {self.solver})"

    def to_json(self) -> dict[str, Any]:
        """As it stands in the JSON file."""
        return {
            "id": self.obligation.id,
            "property": self.obligation.property,
            "kind": self.obligation.kind,
            "arithmetic": self.obligation.arithmetic,
            "solver": self.solver,
            "result": self.result,
            "seconds": round(self.seconds, 4),
            "detail": self.detail,
            "kept": self.kept,
            "meaning": self.obligation.meaning,
        }


@attrs.define
class Report:
    """What a run set out to do and what has come of it so far.

    Attributes:
        left_out: For each property of which something is asked, what that stands on and nobody
            asks: a part is not the whole.
    """

    theory: Theory
    options: Options
    obligations: Sequence[Obligation]
    faults: Sequence[Fault]
    tools: dict[str, str] = attrs.field()
    seconds: float = 0.0
    interrupted: bool = False
    left_out: Mapping[str, Sequence[Obligation]] = attrs.field(factory=dict)
    failures: list[Failure] = attrs.field(factory=list)
    _verdicts: dict[tuple[str, str, str], Verdict] = attrs.field(factory=dict, init=False)
    _catches: dict[str, Catch] = attrs.field(factory=dict, init=False)

    @tools.default
    def _tools(self) -> dict[str, str]:
        return tool_versions(self.theory.package)

    def add(self, event: Event) -> None:
        """Take note of what has become of a task."""
        if isinstance(event, Proof):
            about = event.obligation
            self._verdicts[about.id, about.arithmetic, event.solver] = event.verdict
        elif isinstance(event, Failure):
            self.failures.append(event)
        elif isinstance(event, Search):
            self._catches[event.fault.id] = event.catch

    # What came of it

    def entries(self) -> list[Entry]:
        """Every obligation, by every solver that was asked for, in the order of the catalogue."""
        failed = {failure.task: failure.message for failure in self.failures}
        found: list[Entry] = []
        for item in self.obligations:
            for solver in self.options.solvers:
                verdict = self._verdicts.get((item.id, item.arithmetic, solver))
                if verdict is not None:
                    parts = (verdict.result, verdict.seconds, verdict.detail, verdict.kept)
                else:
                    task = f"{item.id} ({item.arithmetic})"
                    why = failed.get(f"{task} by {solver}") or failed.get(task) or "not reached"
                    parts = ("unknown", 0.0, why, False)
                found.append(Entry(item, solver, *parts))
        return found

    def catch(self, fault: Fault) -> Catch | None:
        """What the search for the fault found, if it has ended."""
        return self._catches.get(fault.id)

    def fault_result(self, fault: Fault) -> str:
        """`caught`, `missed`, or `unknown` while the search has not ended."""
        found = self.catch(fault)
        return "unknown" if found is None else found.result

    def disagreements(self) -> list[Obligation]:
        """The obligations that one solver proves and another refutes."""
        said: dict[tuple[str, str], set[str]] = {}
        for entry in self.entries():
            key = (entry.obligation.id, entry.obligation.arithmetic)
            said.setdefault(key, set()).add(entry.result)
        return [
            item
            for item in self.obligations
            if {"proved", "refuted"} <= said[item.id, item.arithmetic]
        ]

    def status(self) -> int:
        """The exit status. A fault that was asked for by name is a violation if it is caught."""
        results = {entry.result for entry in self.entries()}
        faults = {self.fault_result(fault) for fault in self.faults}
        if self.failures or self.disagreements():
            return FAILED
        if "refuted" in results or "missed" in faults or (self.options.fault and self._catches):
            return VIOLATED
        if results - {"proved"} or faults - {"caught"} or self.interrupted:
            return UNDECIDED
        return RELATIVE if self.left_out else ALL_WELL

    def premises(self) -> dict[str, int]:
        """Of each property that something stands on, how many obligations nobody asks."""
        each = itertools.chain.from_iterable(self.left_out.values())
        missing = dict.fromkeys(each)  # in their order
        return collections.Counter(item.property for item in missing)

    # For people

    def lines(self, style: Style = _plain, width: int = 100) -> Iterator[str]:
        """The closing tables and what went wrong, as lines of text; of a broken-off run, counts.

        Tables are at most `width` wide if that is 60 or more; what they say of faults is less then.
        """
        if self.interrupted:
            yield style("bad", self.broken_off())
            return
        yield from self._property_table(style)
        yield from self._fault_table(style, width)
        yield from self._trouble(style)
        yield from self._conclusion(style, width)

    def broken_off(self) -> str:
        """How far an interrupted run had got, in one line."""
        summary, asked = self.summary(), len(self.obligations) * len(self.options.solvers)
        what = "obligations" if len(self.options.solvers) == 1 else "answers"
        parts: list[str] = []
        if asked:
            refuted = f", {summary['refuted']:,} refuted" if summary["refuted"] else ""
            parts.append(f"{summary['proved']:,} of {asked:,} {what} proved{refuted}")
        if self.faults:
            missed = sum(self.fault_result(fault) == "missed" for fault in self.faults)
            parts.append(
                f"{summary['faults_caught']:,} of {len(self.faults):,} faults caught"
                + (f", {missed:,} missed" if missed else "")
            )
        if self.failures:
            parts.append(f"the tool failed {len(self.failures):,} times")
        return f"Interrupted after {self.seconds:.1f} s: {'; '.join(parts)}."

    def _property_table(self, style: Style) -> Iterator[str]:
        rows = [(row["name"], row) for row in self.properties()]
        if not rows:
            return
        width = max(len(name) for name, _ in [*rows, ("property", {})])
        yield style("head", f"{'property':<{width}}  obligations       time  verdict")
        for name, row in rows:
            role = {PROVED: "good", ON_PREMISES: "head"}.get(row["verdict"], "bad")
            verdict = style(role, row["verdict"])
            yield f"{name:<{width}}  {row['obligations']:>11,}  {row['seconds']:>7.1f} s  {verdict}"
        yield ""

    def _fault_table(self, style: Style, width: int) -> Iterator[str]:
        if not self.faults:
            return
        first = max(len("fault"), *(len(fault.id) for fault in self.faults))
        second = max(len("breaks"), *(len(self._broken(fault)) for fault in self.faults))
        figures = "  ring size  steps"
        if first + second + len(figures) + len("    caught") > width:
            figures = ""
        yield style("head", f"{'fault':<{first}}  {'breaks':<{second}}{figures}  verdict")
        for fault in self.faults:
            found, result = self.catch(fault), self.fault_result(fault)
            if figures:
                figures = f"  {found.ring_size:>9}  {found.steps:>5}" if found else " " * 18
            verdict = style("good", result) if result == "caught" else style("bad", result.upper())
            yield f"{fault.id:<{first}}  {self._broken(fault):<{second}}{figures}  {verdict}"
        yield ""

    def _broken(self, fault: Fault) -> str:
        found = self.catch(fault)
        return fault.property if found is None else found.property

    def _trouble(self, style: Style) -> Iterator[str]:
        for failure in self.failures[:SHOWN]:
            yield f"{style('bad', 'failed:')} {failure.task}: {failure.message}"
        wrong = [entry for entry in self.entries() if entry.result != "proved"]
        wrong = [entry for entry in wrong if entry.detail != "not reached"]
        for entry in wrong[:SHOWN]:
            detail = f": {entry.detail}" if entry.detail else ""
            yield f"{style('bad', f'{entry.result}:')} {entry.name}{detail}"
            yield f"    {entry.obligation.meaning}"
        if len(wrong) > SHOWN:
            yield f"... and {len(wrong) - SHOWN:,} more; --json FILE names all"
        for item in self.disagreements()[:SHOWN]:
            yield f"{style('bad', 'the solvers disagree:')} {item.id} ({item.arithmetic})"
        if self.failures or wrong or self.disagreements():
            yield ""

    def _conclusion(self, style: Style, width: int) -> Iterator[str]:
        summary = self.summary()
        questions = len(self.obligations)
        asked = questions * len(self.options.solvers)
        parts: list[str] = []
        status = self.status()
        if status in (ALL_WELL, RELATIVE):
            if questions:
                parts.append(_all_of(questions, "obligation", "proved"))
            if self.faults:
                parts.append(_all_of(len(self.faults), "fault", "caught"))
            text = f"{' and '.join(parts)}, in {self.seconds:.1f} s{self._kept()}."
            text = text[0].upper() + text[1:]
            yield style("good" if status == ALL_WELL else "head", text)
        else:
            for what, total in (("refuted", asked), ("unknown", asked)):
                if summary[what]:
                    parts.append(f"{summary[what]:,} of {total:,} answers are {what!r}")
            left = {self.fault_result(fault) for fault in self.faults}
            for what in sorted(left - {"caught"}):
                count = sum(self.fault_result(fault) == what for fault in self.faults)
                parts.append(f"{count:,} of {len(self.faults):,} faults: {what}")
            if self.failures:
                parts.append(f"the tool failed {len(self.failures):,} times")
            if self.disagreements():
                parts.append(f"the solvers disagree {len(self.disagreements()):,} times")
            text = (
                f"Not all is as it must be: {'; '.join(parts)}. {self.seconds:.1f} s{self._kept()}."
            )
            yield style("bad", text)
        if self.left_out:
            named = ", ".join(f"{name} ({count:,})" for name, count in self.premises().items())
            text = (
                f"Relative to what was not checked, with the number of obligations: {named}. "
                "--with-premises checks that as well."
            )
            for line in textwrap.wrap(text, width, break_on_hyphens=False):
                yield style("bad", line)
        if questions:
            hold = summary["proved"] == asked
            said = "hold, if these do," if hold and self.left_out else "hold"
            yield f"Obligations {said if hold else 'were asked'} {self._extent()}."

    def _kept(self) -> str:
        """How many answers are not of this run, and how many faults were not searched for."""
        summary = self.summary()
        answers, faults = summary["kept"], summary["faults_replayed"]
        parts = []
        if answers:
            which = "an earlier run" if answers == 1 else "earlier runs"
            parts.append(f"{answers:,} answer{'s' * (answers != 1)} kept from {which}")
        if faults:
            parts.append(f"{faults:,} fault{'s' * (faults != 1)} shown by a run replayed")
        return f"; {', '.join(parts)}" if parts else ""

    def _extent(self) -> str:
        size = self.options.ring_size
        rings = (
            "for every ring size"
            if size is None
            else f"for rings of {size} slot{'' if size == 1 else 's'}"
        )
        bits = self.theory.protocol.machine.bits
        words = {"integer": "unbounded integers", "machine": f"{bits}-bit machine words"}
        numbers = " and in ".join(words[item] for item in self.options.arithmetics)
        solvers = " and ".join(f"{item} {self.tools[item]}" for item in self.options.solvers)
        return f"{rings}, in {numbers}; decided by {solvers}, seed {self.options.seed}"

    # For programs

    def properties(self) -> list[dict[str, Any]]:
        """One row for each property: its name, obligations, seconds and verdict."""
        grouped: dict[str, list[Entry]] = {}
        for entry in self.entries():
            grouped.setdefault(entry.obligation.property, []).append(entry)
        disagreed = {(item.id, item.arithmetic) for item in self.disagreements()}
        rows: list[dict[str, Any]] = []
        for name, entries in grouped.items():
            keys = {(entry.obligation.id, entry.obligation.arithmetic) for entry in entries}
            refuted = sum(entry.result == "refuted" for entry in entries)
            unknown = sum(entry.result == "unknown" for entry in entries)
            if keys & disagreed:
                verdict = f"SOLVERS DISAGREE on {len(keys & disagreed):,}"
            elif refuted:
                verdict = f"REFUTED: {refuted:,} of {len(entries):,}"
            elif unknown:
                verdict = f"UNDECIDED: {unknown:,} of {len(entries):,}"
            else:
                verdict = ON_PREMISES if name in self.left_out else PROVED
            seconds = round(sum(entry.seconds for entry in entries), 3)
            rows.append(
                {"name": name, "obligations": len(keys), "seconds": seconds, "verdict": verdict}
            )
        return rows

    def summary(self) -> dict[str, int]:
        """How many of everything there are."""
        results = [entry.result for entry in self.entries()]
        caught = sum(self.fault_result(fault) == "caught" for fault in self.faults)
        return {
            "proved": results.count("proved"),
            "refuted": results.count("refuted"),
            "unknown": results.count("unknown"),
            "kept": sum(entry.kept for entry in self.entries()),
            "faults": len(self.faults),
            "faults_caught": caught,
            "faults_replayed": sum(found.kept for found in self._catches.values()),
        }

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "version": VERSION,
            "command": list(self.options.command),
            "seed": self.options.seed,
            "tools": self.tools,
            "seconds": round(self.seconds, 3),
            "exit_status": self.status(),
            "interrupted": self.interrupted,
            "ring_size": "any" if self.options.ring_size is None else self.options.ring_size,
            "obligations": [entry.to_json() for entry in self.entries()],
            "faults": [self._fault_to_json(fault) for fault in self.faults],
            "properties": self.properties(),
            "left_out": [
                {"property": name, "obligations": count} for name, count in self.premises().items()
            ],
            "disagreements": [
                {"id": item.id, "arithmetic": item.arithmetic} for item in self.disagreements()
            ],
            "failures": [attrs.asdict(failure) for failure in self.failures],
            "summary": self.summary(),
        }

    def _fault_to_json(self, fault: Fault) -> dict[str, Any]:
        data: dict[str, Any] = {
            "id": fault.id,
            "result": self.fault_result(fault),
            "property": self._broken(fault),
            "ring_size": None,
            "steps": 0,
            "trace": [],
            "origin": fault.origin,
            "title": fault.title,
            "seconds": 0.0,
            "note": "not reached",
            "replayed": False,
        }
        found = self.catch(fault)
        if found is not None:
            run = found.trace.to_json()
            data |= {"ring_size": found.ring_size, "steps": found.steps, "note": found.note}
            data["replayed"] = found.kept
            data |= {"seconds": round(found.seconds, 4), "trace": run.pop("steps"), "run": run}
        return data

    def write_json(self, path: Path) -> None:
        """Write the JSON file."""
        path.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")


def _all_of(count: int, what: str, verdict: str) -> str:
    if count == 1:
        return f"the one {what} is {verdict}"
    return f"all {count:,} {what}s are {verdict}"
