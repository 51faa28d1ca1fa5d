"""Write the classes of `engines/cometbft/abci.proto` again, after a change of it. Needs grpcio-tools, as `make setup`
installs it; what it writes is committed, so that nothing else does."""

import sys
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "src/salus/engines/cometbft"


def main() -> int:
    """Write both files; the exit code of the compiler."""
    source = ROOT / "src"
    proto = f"{FOLDER.removeprefix('src/')}/abci.proto"
    return int(protoc.main(["protoc", f"-I{source}", f"--python_out={source}", f"--pyi_out={source}", proto]))


if __name__ == "__main__":
    sys.exit(main())
