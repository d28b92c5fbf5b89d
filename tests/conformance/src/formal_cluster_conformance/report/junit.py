"""A report as JUnit XML, for CI systems. Nothing is green there that is not green here: what is
inconclusive is an error."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from formal_cluster_conformance.report.document import Document

_TAGS = {
    "failed": "failure",
    "error": "error",
    "inconclusive": "error",
    "undeclared": "skipped",
    "skipped": "skipped",
    "deselected": "skipped",
}
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Document) -> str:
    """The report as text."""
    name = f"{report['subject']['kind']} {report['subject']['name']}"
    rules = report["rules"]
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(rules)),
        failures=str(_count(rules, "failure")),
        errors=str(_count(rules, "error")),
        skipped=str(_count(rules, "skipped")),
        time=str(report["run"]["seconds"]),
        timestamp=report["run"]["started"],
    )
    properties = ET.SubElement(suite, "properties")
    known = {**report["versions"], "seed": report["run"]["seed"], **report["levels"]}
    for key, value in known.items():
        ET.SubElement(properties, "property", name=key, value=str(value))
    for rule in rules:
        case = ET.SubElement(
            suite, "testcase", classname=name, name=rule["id"], time=str(rule["seconds"])
        )
        if rule["status"] in _TAGS:
            told = ET.SubElement(
                case, _TAGS[rule["status"]], message=_clean(f"{rule['status']}: {rule['detail']}")
            )
            told.text = _clean("\n".join([rule["text"], rule["detail"], *rule["timeline"]]))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _count(rules: list[Document], tag: str) -> int:
    return sum(_TAGS.get(rule["status"]) == tag for rule in rules)


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)
