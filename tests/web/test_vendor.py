"""The bundles that the page brings along are those that were written down, with its licences and without addresses."""

import hashlib
import re
from pathlib import Path

import pytest

VENDOR = Path(__file__).resolve().parents[2] / "web" / "vendor"


def test_the_files_are_those_of_the_list() -> None:
    listed = dict(reversed(line.split("  ")) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    assert listed == {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in listed}
    assert {file.name for file in VENDOR.iterdir()} == {*listed, "SHA256SUMS", "preact.d.ts", "codemirror.d.ts"}


def test_every_bundled_package_comes_with_its_licence() -> None:
    script = (VENDOR.parents[1] / "scripts" / "vendor.mjs").read_text()
    bundled = re.search(r"BUNDLED = \{(.*?)\}", script, re.DOTALL)
    assert bundled is not None
    licences = (VENDOR / "LICENSES.txt").read_text()
    for name, version in re.findall(r'"?([@\w/-]+)"?: "([\d.]+)"', bundled[1]):
        assert f"{name} {version}, " in licences


@pytest.mark.parametrize("bundle", ["preact.js", "codemirror.js"])
def test_a_bundle_names_no_address_but_those_of_xml_namespaces(bundle: str) -> None:
    addresses = set(re.findall(r"https?://[^\s\"'`]+", (VENDOR / bundle).read_text()))
    assert addresses <= {"http://www.w3.org/1998/Math/MathML", "http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"}
