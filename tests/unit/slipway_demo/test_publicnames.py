"""Under which path a user meets a definition."""

from slipway_demo.outline import Outline, read_outline
from slipway_demo.publicnames import PublicNames, is_public


def _package(**sources: str) -> dict[str, Outline]:
    """Outlines by module; a double underscore in a keyword stands for a dot, ``pkg`` is the package itself."""
    modules = {name.replace("__", "."): source for name, source in sources.items()}
    return {name: read_outline(source, name, is_package=name == "pkg") for name, source in modules.items()}


def test_a_re_export_is_preferred_to_the_place_of_definition() -> None:
    outlines = _package(pkg="from pkg.core.api import Frame", pkg__core__frame="class Frame: ...")
    outlines["pkg.core.api"] = read_outline("from pkg.core.frame import Frame", "pkg.core.api")
    assert PublicNames(outlines).paths == {("pkg.core.frame", "Frame"): "pkg.Frame"}


def test_what_is_not_exported_keeps_its_own_path_unless_excluded() -> None:
    outlines = _package(pkg="", pkg__tools="def walk(): ...", pkg__core="def inner(): ...")
    assert PublicNames(outlines, excluded=("pkg.core",)).paths == {("pkg.tools", "walk"): "pkg.tools.walk"}


def test_private_names_and_modules_have_no_public_path() -> None:
    outlines = _package(pkg="from pkg._impl import seen, _unseen", pkg__tools="def _own(): ...")
    outlines["pkg._impl"] = read_outline("def seen(): ...\ndef _unseen(): ...\ndef other(): ...", "pkg._impl")
    assert PublicNames(outlines).paths == {("pkg._impl", "seen"): "pkg.seen"}
    assert not is_public("pkg._impl.other")


def test_star_imports_follow_the_exports_of_their_origin() -> None:
    outlines = _package(pkg="from pkg.a import *", pkg__a="__all__ = ['x']\ndef x(): ...\ndef y(): ...")
    assert PublicNames(outlines).paths == {("pkg.a", "x"): "pkg.x", ("pkg.a", "y"): "pkg.a.y"}


def test_a_module_re_exports_its_private_twin_but_not_what_it_merely_uses() -> None:
    outlines = _package(pkg="", pkg__fs="from pkg._s3fs import S3\nfrom pkg._loss import Loss")
    outlines["pkg._s3fs"] = read_outline("class S3: ...", "pkg._s3fs")
    outlines["pkg._loss"] = read_outline("class Loss: ...", "pkg._loss")
    assert PublicNames(outlines).paths == {("pkg._s3fs", "S3"): "pkg.fs.S3"}


def test_imports_that_run_in_a_circle_resolve_to_nothing() -> None:
    outlines = _package(pkg="from pkg.a import x", pkg__a="from pkg import x")
    assert PublicNames(outlines).paths == {}
