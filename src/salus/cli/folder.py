"""Which folder a command means. Nothing else lives here, so that it can be known before anything large is loaded."""

import os
from pathlib import Path

USUAL_FOLDER = "salus-data"
FOLDER_VARIABLE = "SALUS_HOME"


def home_folder(given: Path | None) -> Path:
    """The folder given, else that of the environment, else `salus-data` here."""
    return given or Path(os.environ.get(FOLDER_VARIABLE) or USUAL_FOLDER)
