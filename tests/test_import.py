"""What must stay cheap: `import zoo`, `zoo --help`, `zoo list`."""

import gc
import json
import weakref

import pytest

from zoo import garbage

HEAVY = {
    "torch",
    "numpy",
    "pandas",
    "matplotlib",
    "scipy",
    "statsmodels",
    "pydantic",
    "huggingface_hub",
    "rich",
    "typer",
}
MODULES = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def test_import_zoo_imports_nothing_heavy_and_no_domain(python):
    loaded = set(json.loads(python("-c", f"import zoo\n{MODULES}").stdout))
    assert "zoo" in loaded
    assert not loaded & (HEAVY | {"domains"})


@pytest.mark.parametrize("command", ["--help", "list", "info --help"])
def test_light_commands_do_not_import_torch(python, command):
    run = f"try: main({command.split()})\nexcept SystemExit as stopped: assert not stopped.code"
    code = f"from zoo.cli import main\n{run}\n{MODULES}"
    done = python("-c", code)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"torch", "numpy", "pandas", "matplotlib", "scipy", "huggingface_hub"}


def test_public_names_exist_and_nothing_else_does():
    import zoo

    for name in zoo.__all__:
        assert getattr(zoo, name) is vars(zoo)[name]  # kept: what is imported once is not asked for again
    assert set(zoo.__all__) <= set(dir(zoo))
    with pytest.raises(AttributeError, match="nonsense"):
        zoo.nonsense  # noqa: B018


def test_verbs_stay_functions_after_their_modules_are_imported(python):
    code = "import zoo, zoo.training, zoo.fit\nassert all(map(callable, [zoo.train, zoo.finetune, zoo.load]))"
    assert python("-c", code).returncode == 0


@pytest.mark.parametrize("enabled", [True, False])
def test_postponed_collection_is_put_back_and_forgets_no_garbage(enabled):
    class Cycle:
        def __init__(self) -> None:
            self.own = self

    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(KeyError), garbage.postponed():
            gone = weakref.ref(Cycle())
            assert not gc.isenabled() and gone() is not None
            raise KeyError
        assert gc.isenabled() == enabled
        gc.collect()
        assert gone() is None
    finally:
        (gc.enable if before else gc.disable)()


def test_what_others_froze_stays_frozen(python):
    code = """if True:
        import gc
        from zoo import garbage
        gc.freeze()
        frozen = gc.get_freeze_count()
        with garbage.postponed():
            pass
        assert 0 < gc.get_freeze_count() <= frozen
    """
    assert python("-c", code).returncode == 0
