import importlib.util
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "vectors"


def test_the_kept_vectors_are_what_their_generator_writes() -> None:
    spec = importlib.util.spec_from_file_location("generate_crypto", FOLDER / "generate_crypto.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in module.written().items():
        assert (FOLDER / name).read_text() == text, name
