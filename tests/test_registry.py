"""Plug-ins: a broken or duplicate one is reported by name and the others load."""

import pytest

import zoo
from tests.conftest import install
from zoo import catalog, registry
from zoo.errors import PluginError, UnknownDomainError


@pytest.fixture
def trouble(tmp_path, monkeypatch):
    """Three bad plug-ins beside the good one."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('no such GPU')\n")
    (tmp_path / "thing.py").write_text("domain = 3\n")
    install(
        tmp_path / "a", "a", {"broken": "broken:domain", "thing": "thing:domain", "absent": "absent:domain"}
    )
    install(tmp_path / "b", "b", {"twice": "thing:one"})
    install(tmp_path / "c", "c", {"twice": "thing:two"})
    for folder in (tmp_path, tmp_path / "a", tmp_path / "b", tmp_path / "c"):
        monkeypatch.syspath_prepend(str(folder))


def test_good_domain_loads_beside_bad_ones(trouble, rings):
    assert registry.domain("rings") is rings
    assert "twice" not in registry.names()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broken", "RuntimeError: no such GPU"),
        ("thing", "thing:domain"),
        ("absent", "No module named 'absent'"),
        ("twice", "thing:one and thing:two"),
    ],
)
def test_bad_domain_is_named_with_its_cause(trouble, name, told):
    with pytest.raises(PluginError, match=told) as caught:
        registry.domain(name)
    assert repr(name) in str(caught.value)


def test_unknown_domain_lists_the_known_ones():
    with pytest.raises(UnknownDomainError, match=r"'nope'.*rings"):
        registry.domain("nope")


def test_same_plugin_found_twice_on_the_path_is_one(tmp_path, monkeypatch, rings):
    install(tmp_path, "rings-again", {"rings": "rings:domain"})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.domain("rings") is rings


def test_catalogue_reports_bad_plugins_and_bad_checkpoints_and_lists_the_rest(
    trouble, model, tmp_path, monkeypatch
):
    package = tmp_path / "shipping"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the catalogue must not import a domain')\n")
    install(tmp_path / "d", "d", {"rings": "shipping:domain"})
    monkeypatch.setattr(registry, "entries", lambda: (_only(tmp_path, "d") | _only(tmp_path, "a"), {}))
    model.save(package / "pretrained" / "rings-flow")
    model.save(package / "pretrained" / "rings-misplaced")
    (model.save(package / "pretrained" / "rings-damaged") / "zoo.json").write_text("{")
    with pytest.warns(UserWarning) as warned:
        table = zoo.list_models()
    assert table.name.tolist() == ["rings-flow"]
    size = (package / "pretrained" / "rings-flow" / "model.safetensors").stat().st_size / 1e6
    assert table["size"].item() == pytest.approx(size, abs=0.01)
    assert set(table.columns) >= {"domain", "method", "trained_on", "licence", "metric", "baseline"}
    assert table.parameters.item() == sum(p.numel() for p in model.denoiser.parameters())
    told = " ".join(str(w.message) for w in warned)
    assert all(word in told for word in ("rings-misplaced", "rings-damaged", "absent"))
    assert catalog.find("rings-flow") == package / "pretrained" / "rings-flow"
    with pytest.raises(LookupError, match="did you mean 'rings-flow'"):
        catalog.find("rings-flaw")


def _only(folder, name):
    from importlib.metadata import Distribution

    found = Distribution.at(folder / name / f"{name}-1.0.dist-info").entry_points
    return {entry.name: entry for entry in found}
